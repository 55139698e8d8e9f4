/** <wait-list room offset>: the patient's own room says when a time came free or went on; the page is then loaded anew. */

import { join } from "../live.js";

class WaitList extends HTMLElement {
  /** @type {() => void} */ #leave = () => undefined;

  connectedCallback() {
    const offset = this.getAttribute("offset");
    this.#leave = join(
      this.getAttribute("room") ?? "",
      { "waitlist.changed": () => location.reload() },
      { since: offset === null ? null : Number(offset) },
    );
  }

  disconnectedCallback() {
    this.#leave();
  }
}

customElements.define("wait-list", WaitList);
