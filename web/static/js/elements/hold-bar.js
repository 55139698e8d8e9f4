/** <hold-bar until minutes>: until when a time is held. It moves once a minute: nobody who is ill is hurried. */

import { serverNow } from "../live.js";
import { say } from "../words.js";

const MINUTE_MS = 60_000;

class HoldBar extends HTMLElement {
  /** @type {number | undefined} */ #timer;

  connectedCallback() {
    this.#show();
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
  }

  #show() {
    const leftMs = Date.parse(this.getAttribute("until") ?? "") - serverNow();
    const minutes = Math.max(0, Math.ceil(leftMs / MINUTE_MS));
    const bar = this.querySelector("progress");
    if (bar) bar.value = minutes;
    const words = this.querySelector("[data-left]");
    if (words) words.textContent = minutes === 0 ? say("holdOver") : minutes === 1 ? say("minuteLeft") : say("minutesLeft", { count: minutes });
    if (minutes > 0) this.#timer = setTimeout(() => this.#show(), Math.max(1_000, leftMs % MINUTE_MS || MINUTE_MS));
  }
}

customElements.define("hold-bar", HoldBar);
