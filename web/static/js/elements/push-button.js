/**
 * <push-button key>: asks this browser for pushes and tells the server where they go. Hidden where browsers have none;
 * what a browser refuses is said in its status line.
 */

import { say, tell } from "../words.js";

const WORKER = "/push-worker.js";

/** The worker's address, as pages that demand trusted types want it. */
function workerAddress() {
  const { trustedTypes } = /** @type {{ trustedTypes?: { createPolicy(name: string, rules: object): any } }} */ (
    /** @type {unknown} */ (window)
  );
  if (!trustedTypes) return WORKER;
  const policy = trustedTypes.createPolicy("push-worker", {
    /** @param {string} address */
    createScriptURL: (address) => {
      if (address !== WORKER) throw new TypeError("not the push worker");
      return address;
    },
  });
  return policy.createScriptURL(WORKER);
}

/** @param {string} key base64url */
function bytesOf(key) {
  const text = atob(key.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

class PushButton extends HTMLElement {
  connectedCallback() {
    const button = this.querySelector("button");
    if (!button || !("serviceWorker" in navigator) || !("PushManager" in window) || !window.isSecureContext) return;
    this.hidden = false;
    button.addEventListener("click", async () => {
      button.setAttribute("aria-busy", "true");
      try {
        await this.#begin();
      } catch {
        this.#tell("pushFailed");
      } finally {
        button.removeAttribute("aria-busy");
      }
    });
  }

  async #begin() {
    if ((await Notification.requestPermission()) !== "granted") return this.#tell("pushDenied");
    await navigator.serviceWorker.register(workerAddress());
    const registration = await navigator.serviceWorker.ready;
    const key = bytesOf(this.getAttribute("key") ?? "");
    const earlier = await registration.pushManager.getSubscription();
    if (earlier && !sameKey(earlier.options.applicationServerKey, key)) await earlier.unsubscribe();
    const found = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    const { endpoint, keys } = found.toJSON();
    const csrf = document.querySelector("meta[name=csrf-token]")?.getAttribute("content") ?? "";
    const answer = await fetch("/api/v1/me/push", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify({ endpoint, keys: { p256dh: keys?.["p256dh"], auth: keys?.["auth"] } }),
    });
    if (answer.status !== 201) return this.#tell(answer.status === 422 ? "pushUnknown" : "pushFailed");
    location.reload();
  }

  /** @param {"pushFailed" | "pushDenied" | "pushUnknown"} word */
  #tell(word) {
    tell(this.querySelector("[role=status]"), say(word), "warning");
  }
}

/**
 * @param {ArrayBuffer | null} earlier
 * @param {Uint8Array} key
 */
function sameKey(earlier, key) {
  if (!earlier) return false;
  const bytes = new Uint8Array(earlier);
  return bytes.length === key.length && bytes.every((byte, at) => byte === key[at]);
}

customElements.define("push-button", PushButton);
