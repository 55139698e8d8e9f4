/**
 * Forms that act once: a second press while the first is under way does nothing (the hidden key makes it harmless too).
 * <booking-form> also asks for the consent before it sends, counts the words and keeps them while the page lives.
 */

import { say } from "../words.js";

/** @param {HTMLFormElement} form */
function onlyOnce(form) {
  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    if (form.dataset.busy === "true") {
      event.preventDefault();
      return;
    }
    form.dataset.busy = "true";
    for (const button of form.querySelectorAll('button[type="submit"], button:not([type])')) {
      button.setAttribute("aria-busy", "true");
      button.setAttribute("title", say("working"));
    }
  });
}

function free() {
  for (const form of document.querySelectorAll("form[data-busy]")) {
    form.removeAttribute("data-busy");
    for (const button of form.querySelectorAll("[aria-busy]")) {
      button.removeAttribute("aria-busy");
      button.removeAttribute("title");
    }
  }
}

class BookingForm extends HTMLElement {
  connectedCallback() {
    const form = this.querySelector("form");
    if (!form) return;
    const consent = form.querySelector("input[name=consent]");
    form.addEventListener("submit", (event) => {
      if (!(consent instanceof HTMLInputElement) || consent.checked) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      this.#missing(consent, true);
      consent.focus();
    });
    consent?.addEventListener("change", () => this.#missing(/** @type {HTMLInputElement} */ (consent), false));
    onlyOnce(form);
    const reason = form.querySelector("textarea[name=reason]");
    const count = form.querySelector("[data-count]");
    if (!(reason instanceof HTMLTextAreaElement) || !count) return;
    const show = () => {
      count.textContent = say("count", { count: reason.value.length, most: reason.maxLength });
    };
    reason.addEventListener("input", show);
    show();
  }

  /**
   * @param {HTMLInputElement} consent
   * @param {boolean} missing
   */
  #missing(consent, missing) {
    const error = this.querySelector("#consent-missing");
    if (error instanceof HTMLElement) error.hidden = !missing;
    consent.closest(".choice")?.toggleAttribute("data-wrong", missing);
    if (missing) consent.setAttribute("aria-invalid", "true");
    else consent.removeAttribute("aria-invalid");
  }
}

customElements.define("booking-form", BookingForm);
for (const form of document.querySelectorAll("form[data-once]")) if (form instanceof HTMLFormElement) onlyOnce(form);
for (const zone of document.querySelectorAll("input[data-own-zone]")) {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone instanceof HTMLInputElement && own && own !== "UTC") zone.value = own;
}
// Back from the next page by the browser's own arrow: the form may be sent again.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) free();
});
const errors = document.getElementById("errors");
errors?.focus();
