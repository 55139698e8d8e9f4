/**
 * <chat-log consultation mine other user>: the messages, and what is being written.
 *
 * What could not be sent stays: under the person's own id, marked, to be sent again without doubling (`client_id`).
 * Another person on the same browser never sees it. The log follows new lines only if it was at its end.
 */

import { ask, CallFailed, join, onStateChange, serverNow } from "../live.js";
import { say } from "../words.js";
import { Attach } from "./chat-attach.js";
import { bubble, fileLine, line, markRead, newId } from "./chat-parts.js";

/** @typedef {import("./chat-parts.js").Message} Message */
/** @typedef {{ client_id: string, text: string, at: number, attachment_id?: string }} Unsent */

const TYPING_EVERY_MS = 3_000;
// A mark that is not renewed ends: here after this, and there when nothing more was written for the second.
const TYPING_SHOWN_MS = 6_000;
const TYPING_STOPS_MS = 4_000;
const PAGE = 50;
const AT_END_PX = 40;

class ChatLog extends HTMLElement {
  /** @type {(() => void)[]} */ #undo = [];
  #typedAt = 0;
  /** @type {number | undefined} */ #typingTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #stopTimer;
  #unseen = 0;
  #readByOther = 0;
  #sending = false;
  #loading = false;

  connectedCallback() {
    const consultation = this.#consultation;
    this.#undo.push(
      join(
        `consultation:${consultation}`,
        {
          "chat.message": ({ message }) => this.#show(message),
          "chat.typing": ({ role, writing }) => this.#typing(role, writing !== false),
          "chat.read": ({ role, number }) => {
            if (role !== this.getAttribute("mine")) this.#read(number);
          },
          "attachment.changed": ({ attachment }) => this.#file(attachment),
        },
        {
          onSnapshot: ({ messages, read_by_other }) => {
            this.#all(messages ?? []);
            this.#read(read_by_other ?? 0);
          },
        },
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
      else if (this.#scroll && this.#scroll.scrollTop < AT_END_PX) void this.#older();
    });
    this.querySelector("[data-action=older]")?.addEventListener("click", () => void this.#older());
    const attach = this.querySelector("form.chat-attach");
    if (attach instanceof HTMLFormElement) {
      new Attach(attach, this.#consultation, ({ id, name }) => this.#send({ client_id: newId(), text: name, at: serverNow(), attachment_id: id }));
    }
    this.#read(Number(this.getAttribute("read-by-other")));
    for (const unsent of this.#unsent) this.#mark(unsent);
    this.#toEnd();
    void this.#sendAll();
  }

  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
    clearTimeout(this.#typingTimer);
    clearTimeout(this.#stopTimer);
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
    input.value = "";
    localStorage.removeItem(this.#key("draft"));
    this.#stopped();
    this.#send({ client_id: newId(), text, at: serverNow() });
  }

  /** @param {Unsent} unsent */
  #send(unsent) {
    this.#keep([...this.#unsent, unsent]);
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
        const { client_id, text, attachment_id = null } = unsent;
        this.#state(client_id, say("sending"), false);
        const { message } = await ask("chat.send", { consultation_id: this.#consultation, client_id, text, attachment_id });
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
    clearTimeout(this.#stopTimer);
    if (!input.value) {
      this.#stopped();
      return;
    }
    this.#stopTimer = setTimeout(() => this.#stopped(), TYPING_STOPS_MS);
    if (serverNow() - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = serverNow();
    this.#tellWriting(true);
  }

  /** Nothing more is being written: the other side is told once. */
  #stopped() {
    clearTimeout(this.#stopTimer);
    if (this.#typedAt === 0) return;
    this.#typedAt = 0;
    this.#tellWriting(false);
  }

  /** @param {boolean} writing */
  #tellWriting(writing) {
    ask("chat.typing", { consultation_id: this.#consultation, writing }).catch(() => undefined); // it may be lost
  }

  /**
   * @param {string} role
   * @param {boolean} writing
   */
  #typing(role, writing) {
    if (role === this.getAttribute("mine")) return;
    const line = this.querySelector("[data-typing]");
    if (!line) return;
    line.textContent = writing ? say("typing", { name: this.getAttribute("other") ?? "" }) : "";
    clearTimeout(this.#typingTimer);
    this.#typingTimer = setTimeout(() => (line.textContent = ""), TYPING_SHOWN_MS);
  }

  /**
   * The room's last lines: those above what is shown move nothing that somebody is reading.
   * @param {Message[]} messages
   */
  #all(messages) {
    const atEnd = this.#atEnd;
    const first = this.#firstNumber;
    this.#holdingPlace(() => {
      for (const message of messages) this.#show(message, message.number < first);
    });
    if (atEnd) this.#toEnd();
  }

  get #firstNumber() {
    return Number(this.#list.querySelector("li[data-number]")?.getAttribute("data-number") ?? 0);
  }

  /** @param {() => void} insert what goes in above, while the lines that one sees stay where they are */
  #holdingPlace(insert) {
    const scroll = this.#scroll;
    const below = scroll ? scroll.scrollHeight - scroll.scrollTop : 0;
    const before = this.#list.lastElementChild;
    insert();
    if (scroll && before === this.#list.lastElementChild) scroll.scrollTop = scroll.scrollHeight - below;
  }

  /**
   * @param {Message} message
   * @param {boolean} [isOld] whether it was asked for from further back
   */
  #show(message, isOld = false) {
    if (this.#list.querySelector(`[data-number="${message.number}"]`)) return;
    const mine = message.sender_role === this.getAttribute("mine");
    const atEnd = this.#atEnd && !isOld;
    this.#list.querySelector(`[data-client-id="${CSS.escape(message.client_id)}"]`)?.remove();
    if (mine && !isOld) this.#keep(this.#unsent.filter((one) => one.client_id !== message.client_id));
    else if (!isOld) this.#typingOver();
    const item = bubble(message, mine, this.getAttribute("other") ?? "");
    const after = [...this.#list.querySelectorAll("li")].find((one) => !one.dataset.number || Number(one.dataset.number) > message.number);
    this.#list.insertBefore(item, after ?? null);
    if (mine) markRead(this.#list, this.#readByOther);
    if (atEnd || (mine && !isOld)) this.#toEnd();
    else if (!isOld) {
      this.#unseen += 1;
      this.#badge();
    }
  }

  /** The page of the chat that lies before what is shown; what one reads stays where it is. */
  async #older() {
    const first = this.#firstNumber;
    if (this.#loading || first <= 1) return;
    this.#loading = true;
    try {
      const address = `/api/v1/consultations/${this.#consultation}/messages?before=${first}&limit=${PAGE}`;
      const answer = await fetch(address, { headers: { Accept: "application/json" } }).catch(() => null);
      if (!answer?.ok) return;
      const { items, next_cursor } = await answer.json();
      this.#holdingPlace(() => {
        for (const message of items.reverse()) this.#show(message, true);
      });
      const button = this.querySelector("[data-older]");
      if (button instanceof HTMLElement) button.hidden = next_cursor === null;
    } finally {
      this.#loading = false;
    }
  }

  /** @param {number} number up to which the other side has read */
  #read(number) {
    if (number <= this.#readByOther) return;
    this.#readByOther = number;
    markRead(this.#list, this.#readByOther);
  }

  /** @param {import("./chat-parts.js").ChatFile} file */
  #file(file) {
    for (const old of this.#list.querySelectorAll(`[data-file="${CSS.escape(file.id)}"]`)) old.replaceWith(fileLine(file, this.#consultation));
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

customElements.define("chat-log", ChatLog);
