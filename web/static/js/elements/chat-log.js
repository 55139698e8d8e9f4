/**
 * <chat-log consultation mine other user>: the messages, and what is being written.
 *
 * What could not be sent stays: under the person's own id, marked, to be sent again without doubling (`client_id`).
 * Another person on the same browser never sees it. The log follows new lines only if it was at its end.
 */

import { ask, CallFailed, join, onStateChange, serverNow } from "../live.js";
import { clock, say } from "../words.js";

/** @typedef {{ id: string, number: number, sender_role: string, client_id: string, text: string, created_at: string }} Message */
/** @typedef {{ client_id: string, text: string, at: number }} Unsent */

const TYPING_EVERY_MS = 3_000;
const TYPING_SHOWN_MS = 5_000;
const AT_END_PX = 40;

class ChatLog extends HTMLElement {
  /** @type {(() => void)[]} */ #undo = [];
  #typedAt = 0;
  /** @type {number | undefined} */ #typingTimer;
  #unseen = 0;
  #sending = false;

  connectedCallback() {
    const consultation = this.#consultation;
    this.#undo.push(
      join(
        `consultation:${consultation}`,
        {
          "chat.message": ({ message }) => this.#show(message),
          "chat.typing": ({ role }) => this.#typing(role),
        },
        { onSnapshot: ({ messages }) => this.#all(messages ?? []) },
      ),
      onStateChange((state) => {
        if (state === "connected") void this.#sendAll();
      }),
    );
    const form = this.#form;
    const input = this.#input;
    if (form && input) {
      form.addEventListener("submit", (event) => this.#submit(event, input));
      input.addEventListener("input", () => this.#written(input));
      input.value = localStorage.getItem(this.#key("draft")) ?? "";
    }
    this.#scroll?.addEventListener("scroll", () => {
      if (this.#atEnd) this.#seen();
    });
    for (const unsent of this.#unsent) this.#mark(unsent);
    this.#toEnd();
    void this.#sendAll();
  }

  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
    clearTimeout(this.#typingTimer);
  }

  get #consultation() {
    return this.getAttribute("consultation") ?? "";
  }

  get #form() {
    return /** @type {HTMLFormElement | null} */ (this.querySelector("form.chat-send"));
  }

  get #input() {
    return /** @type {HTMLInputElement | null} */ (this.querySelector("input[name=text]"));
  }

  get #list() {
    return /** @type {HTMLOListElement} */ (this.querySelector(".chat-log"));
  }

  get #scroll() {
    return /** @type {HTMLElement | null} */ (this.querySelector(".chat-scroll"));
  }

  get #atEnd() {
    const scroll = this.#scroll;
    return !scroll || scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < AT_END_PX;
  }

  /** @param {string} what */
  #key(what) {
    return `amrutam:${what}:${this.getAttribute("user")}:${this.#consultation}`;
  }

  /** @returns {Unsent[]} */
  get #unsent() {
    try {
      return JSON.parse(localStorage.getItem(this.#key("unsent")) ?? "[]");
    } catch {
      return [];
    }
  }

  /** @param {Unsent[]} all */
  #keep(all) {
    if (all.length) localStorage.setItem(this.#key("unsent"), JSON.stringify(all));
    else localStorage.removeItem(this.#key("unsent"));
  }

  /**
   * @param {SubmitEvent} event
   * @param {HTMLInputElement} input
   */
  #submit(event, input) {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return;
    const unsent = { client_id: newId(), text, at: serverNow() };
    this.#keep([...this.#unsent, unsent]);
    input.value = "";
    localStorage.removeItem(this.#key("draft"));
    this.#mark(unsent);
    this.#toEnd();
    void this.#sendAll();
  }

  /** Send what waits, in its order; what finds no answer waits for the connection, or for a press. */
  async #sendAll() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (let unsent = this.#unsent[0]; unsent; unsent = this.#unsent[0]) {
        const { client_id, text } = unsent;
        this.#state(client_id, say("sending"), false);
        const { message } = await ask("chat.send", { consultation_id: this.#consultation, client_id, text });
        this.#keep(this.#unsent.filter((one) => one.client_id !== client_id));
        this.#show(message);
      }
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      const refused = ["wrong-status", "not-found", "conflict", "invalid"].includes(error.code);
      for (const { client_id } of this.#unsent) this.#state(client_id, refused ? say("chatClosed") : say("notSent"), !refused);
    } finally {
      this.#sending = false;
    }
  }

  /** @param {HTMLInputElement} input */
  #written(input) {
    if (input.value) localStorage.setItem(this.#key("draft"), input.value);
    else localStorage.removeItem(this.#key("draft"));
    if (serverNow() - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = serverNow();
    ask("chat.typing", { consultation_id: this.#consultation }).catch(() => undefined); // it may be lost
  }

  /** @param {string} role */
  #typing(role) {
    if (role === this.getAttribute("mine")) return;
    const line = this.querySelector("[data-typing]");
    if (!line) return;
    line.textContent = say("typing", { name: this.getAttribute("other") ?? "" });
    clearTimeout(this.#typingTimer);
    this.#typingTimer = setTimeout(() => (line.textContent = ""), TYPING_SHOWN_MS);
  }

  /** @param {Message[]} messages */
  #all(messages) {
    for (const message of messages) this.#show(message);
    this.#toEnd();
  }

  /** @param {Message} message */
  #show(message) {
    if (this.#list.querySelector(`[data-number="${message.number}"]`)) return;
    const mine = message.sender_role === this.getAttribute("mine");
    const atEnd = this.#atEnd;
    this.#list.querySelector(`[data-client-id="${CSS.escape(message.client_id)}"]`)?.remove();
    if (mine) this.#keep(this.#unsent.filter((one) => one.client_id !== message.client_id));
    else this.#typingOver();
    const item = line(message.text, mine);
    item.dataset.number = String(message.number);
    item.dataset.clientId = message.client_id;
    const small = document.createElement("small");
    const time = document.createElement("time");
    time.dateTime = message.created_at;
    time.textContent = clock(message.created_at);
    small.append(mine ? "" : `${this.getAttribute("other")} · `, time);
    item.append(small);
    const after = [...this.#list.querySelectorAll("li")].find((one) => !one.dataset.number || Number(one.dataset.number) > message.number);
    this.#list.insertBefore(item, after ?? null);
    if (atEnd || mine) this.#toEnd();
    else {
      this.#unseen += 1;
      this.#badge();
    }
  }

  #typingOver() {
    const typing = this.querySelector("[data-typing]");
    if (typing) typing.textContent = "";
  }

  /** @param {Unsent} unsent */
  #mark(unsent) {
    const item = line(unsent.text, true);
    item.classList.add("unsent");
    item.dataset.clientId = unsent.client_id;
    item.append(document.createElement("small"));
    this.#list.append(item);
    this.#state(unsent.client_id, say("notSent"), true);
  }

  /**
   * @param {string} clientId
   * @param {string} sentence
   * @param {boolean} again
   */
  #state(clientId, sentence, again) {
    const small = this.#list.querySelector(`.unsent[data-client-id="${CSS.escape(clientId)}"] small`);
    if (!small) return;
    small.replaceChildren(sentence);
    if (!again) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = say("sendAgain");
    button.addEventListener("click", () => void this.#sendAll());
    small.append(" · ", button);
  }

  #toEnd() {
    const scroll = this.#scroll;
    if (scroll) scroll.scrollTop = scroll.scrollHeight;
    this.#seen();
  }

  #seen() {
    this.#unseen = 0;
    this.#badge();
    const number = Number([...this.#list.querySelectorAll("li[data-number]:not(.mine)")].at(-1)?.getAttribute("data-number") ?? 0);
    if (number > 0 && number !== Number(this.dataset.read ?? 0) && document.visibilityState === "visible") {
      this.dataset.read = String(number);
      ask("chat.read", { consultation_id: this.#consultation, number }).catch(() => undefined); // told again with the next
    }
  }

  #badge() {
    const badge = this.querySelector("[data-new]");
    if (!(badge instanceof HTMLElement)) return;
    badge.hidden = this.#unseen === 0;
    badge.textContent = say("newMessages", { count: this.#unseen });
  }
}

/**
 * @param {string} text
 * @param {boolean} mine
 */
function line(text, mine) {
  const item = document.createElement("li");
  item.classList.toggle("mine", mine);
  const said = document.createElement("span");
  said.className = "said";
  said.textContent = text;
  item.append(said);
  return item;
}

// Over plain http on another address than this machine there is no randomUUID.
function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16).padStart(8, "0")).join("");
}

customElements.define("chat-log", ChatLog);
