/**
 * <stay-form refresh="id">: sends the form inside it as it is, without leaving the page (leaving would end a call).
 * The answer is the page itself: from it the form comes fresh (or with what is wrong), and the list named by `refresh`.
 */

const SEND_MS = 20_000;

class StayForm extends HTMLElement {
  #busy = false;

  connectedCallback() {
    this.addEventListener("submit", (event) => {
      const form = event.target;
      if (!(form instanceof HTMLFormElement)) return;
      event.preventDefault();
      if (!this.#busy) void this.#send(form);
    });
  }

  /** @param {HTMLFormElement} form */
  async #send(form) {
    this.#busy = true;
    const button = form.querySelector("button[type=submit]");
    button?.setAttribute("aria-busy", "true");
    this.#say("");
    const typed = new FormData(form);
    const answer = await post(form.action, typed);
    button?.removeAttribute("aria-busy");
    this.#busy = false;
    if (!answer) {
      this.#say(this.dataset.offline ?? "", true);
      return;
    }
    const fresh = answer.page.getElementById(form.id);
    if (!answer.isPage || !(fresh instanceof HTMLFormElement)) {
      // A refusal has a page of its own: say its first sentence here, and keep what was typed.
      this.#say(answer.page.querySelector("main h1")?.textContent ?? this.dataset.offline ?? "", true);
      return;
    }
    const focused = form.contains(document.activeElement);
    const isSaved = answer.address !== form.action;
    if (!isSaved || same(typed, new FormData(form))) form.replaceWith(document.adoptNode(fresh));
    if (!isSaved) {
      this.#say(this.dataset.wrong ?? "", true);
      const wrong = this.querySelector("[aria-invalid=true], [role=alert]");
      if (focused && wrong instanceof HTMLElement) wrong.focus();
      return;
    }
    this.#refresh(answer.page);
    this.#say((this.dataset.saved ?? "").replace("{time}", clock.format(new Date())));
    const first = this.querySelector("form :is(input:not([type=hidden]), textarea)");
    if (focused && first instanceof HTMLElement) first.focus({ preventScroll: true });
  }

  /** @param {Document} page */
  #refresh(page) {
    const id = this.getAttribute("refresh") ?? "";
    const list = document.getElementById(id);
    const fresh = page.getElementById(id);
    if (list && fresh) list.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
  }

  /**
   * @param {string} sentence
   * @param {boolean} [isWrong]
   */
  #say(sentence, isWrong = false) {
    const place = this.querySelector("[data-said]");
    if (!place) return;
    place.textContent = sentence;
    place.classList.toggle("good", !isWrong);
    place.classList.toggle("wrong", isWrong);
  }
}

const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZone: document.documentElement.dataset.zone ?? "UTC",
});

/**
 * The answer as a document, or null when none came. XMLHttpRequest reads HTML into a document that never runs a script,
 * which trusted types allow without a policy.
 * @param {string} address
 * @param {FormData} fields
 * @returns {Promise<{ page: Document, isPage: boolean, address: string } | null>}
 */
function post(address, fields) {
  const body = new URLSearchParams();
  for (const [name, value] of fields) if (typeof value === "string") body.append(name, value);
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.responseType = "document";
    request.timeout = SEND_MS;
    request.onload = () => {
      const page = request.responseXML;
      const url = request.responseURL.split("#")[0] ?? "";
      resolve(page ? { page, isPage: request.status < 400, address: url } : null);
    };
    request.onerror = request.ontimeout = () => resolve(null);
    request.send(body);
  });
}

/**
 * Whether nothing was typed since.
 * @param {FormData} before
 * @param {FormData} now
 */
function same(before, now) {
  return [...now].every(([name, value]) => before.get(name) === value);
}

customElements.define("stay-form", StayForm);
