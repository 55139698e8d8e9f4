/** <connection-banner>: nothing for two seconds without a connection, then words with "as of"; once again on its return. */

import { connection, onStateChange, serverNow } from "../live.js";
import { clock, icon, say } from "../words.js";

const PATIENCE_MS = 2_000;
const WELCOME_MS = 6_000;

class ConnectionBanner extends HTMLElement {
  /** @type {number | undefined} */ #timer;
  #shown = false;
  #lostAt = 0;
  /** @type {() => void} */ #leave = () => undefined;

  connectedCallback() {
    this.setAttribute("role", "status");
    this.#leave = onStateChange((state) => this.#changed(state));
    this.#changed(connection.state);
  }

  disconnectedCallback() {
    this.#leave();
    clearTimeout(this.#timer);
  }

  /** @param {import("../live.js").ConnectionState} state */
  #changed(state) {
    clearTimeout(this.#timer);
    if (state === "connected") {
      if (this.#shown) {
        this.#say("banner", "network", say("backOnline"));
        this.#timer = setTimeout(() => this.#clear(), WELCOME_MS);
      }
      this.#lostAt = 0;
    } else if (state === "offline") {
      this.#lostAt ||= serverNow();
      if (!this.#shown) this.#timer = setTimeout(() => this.#say("banner offline", "network-off", say("offline", { time: clock(this.#lostAt) })), PATIENCE_MS);
    } else if (state === "ended") {
      this.#say("banner offline", "exit", say("loggedOut"));
    }
  }

  /**
   * @param {string} style
   * @param {string} sign
   * @param {string} sentence
   */
  #say(style, sign, sentence) {
    const banner = document.createElement("div");
    banner.className = style;
    const words = document.createElement("span");
    words.textContent = sentence;
    banner.append(icon(sign), words);
    this.replaceChildren(banner);
    this.#shown = true;
  }

  #clear() {
    this.replaceChildren();
    this.#shown = false;
  }
}

customElements.define("connection-banner", ConnectionBanner);
