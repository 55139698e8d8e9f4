/**
 * <payment-watch room offset consultation status confirmed>: the checkout page follows what becomes true of its payment.
 * Paid leads to the consultation; anything else loads the page as it is now.
 */

import { join } from "../live.js";
import { say, tell } from "../words.js";

class PaymentWatch extends HTMLElement {
  /** @type {() => void} */ #leave = () => undefined;

  connectedCallback() {
    const confirmed = this.getAttribute("confirmed") === "yes";
    const offset = this.getAttribute("offset");
    if (!confirmed) {
      this.#leave = join(
        this.getAttribute("room") ?? "",
        {
          "payment.changed": ({ payment }) => {
            // Its order is open now: there is a way to pay.
            if (this.hasAttribute("preparing")) location.reload();
            else this.#changed(payment?.status, null);
          },
          "consultation.changed": ({ consultation }) => this.#changed(consultation?.payment?.status, consultation),
        },
        {
          since: offset === null ? null : Number(offset),
          onSnapshot: ({ consultation }) => this.#changed(consultation?.payment?.status, consultation),
        },
      );
    }
    for (const form of this.querySelectorAll("form[data-once]")) {
      if (form instanceof HTMLFormElement) form.addEventListener("submit", (event) => void this.#send(event, form));
    }
  }

  disconnectedCallback() {
    this.#leave();
  }

  /**
   * @param {string | undefined} status
   * @param {{ confirmed_at?: string | null, status?: string } | null} consultation
   */
  #changed(status, consultation) {
    if (consultation?.confirmed_at) {
      location.assign(`/consultations/${this.getAttribute("consultation")}`);
    } else if (status === "captured" && consultation?.status !== "CANCELLED") {
      return; // the confirmation follows it, in the same room
    } else if ((status && status !== this.getAttribute("status")) || consultation?.status === "CANCELLED") {
      this.#leave();
      location.reload();
    }
  }

  /**
   * @param {SubmitEvent} event
   * @param {HTMLFormElement} form
   */
  async #send(event, form) {
    event.preventDefault();
    if (form.dataset.busy === "true") return;
    for (const one of this.querySelectorAll("form[data-once]")) one.setAttribute("data-busy", "true");
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
    tell(this.querySelector("[data-status]"), say("asBank"), "clock");
    const fields = new URLSearchParams();
    for (const [name, value] of new FormData(form)) fields.append(name, String(value));
    try {
      const answer = await fetch(form.action, { method: "POST", body: fields, redirect: "manual" });
      if (answer.type !== "opaqueredirect" && !answer.ok) location.reload();
    } catch {
      location.reload();
    }
    // The room says what became of it; without a word for a while the page asks by itself.
    setTimeout(() => location.reload(), 8_000);
  }
}

customElements.define("payment-watch", PaymentWatch);
