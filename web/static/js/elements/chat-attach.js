/** Sending a file into the chat: chosen, sent as it is, told in one line; the message follows once it is kept. */

import { say, tell } from "../words.js";

/** @typedef {import("../words.js").Word} Word */

const MOST_BYTES = 10_000_000;
/** @type {Record<string, Word>} */
const REFUSALS = { heic: "fileHeic", "too-many-files": "fileMany", "too-large": "fileLarge", "file-refused": "fileKind" };

export class Attach {
  /** @type {HTMLFormElement} */ #form;
  #consultation;
  #sent;
  #busy = false;

  /**
   * @param {HTMLFormElement} form with a file field, a token and a line to say how it went
   * @param {string} consultation
   * @param {(file: { id: string, name: string }) => void} sent
   */
  constructor(form, consultation, sent) {
    this.#form = form;
    this.#consultation = consultation;
    this.#sent = sent;
    const field = form.elements.namedItem("file");
    const button = form.querySelector("button");
    if (button) button.hidden = true; // choosing is sending
    if (field instanceof HTMLInputElement) {
      field.addEventListener("change", () => {
        const file = field.files?.[0];
        if (file) void this.#send(file).finally(() => (field.value = ""));
      });
    }
  }

  /** @param {File} file */
  async #send(file) {
    if (this.#busy) return;
    if (/\.hei[cf]$/i.test(file.name)) return this.#say(say("fileHeic"));
    if (file.size > MOST_BYTES) return this.#say(say("fileLarge"));
    this.#busy = true;
    this.#say(say("fileSending", { name: file.name }));
    try {
      const body = new FormData();
      body.append("file", file, file.name);
      const token = this.#form.querySelector("input[name=csrf_token]");
      const answer = await fetch(`/api/v1/consultations/${this.#consultation}/attachments`, {
        method: "POST",
        body,
        headers: { Accept: "application/json", "X-CSRF-Token": token instanceof HTMLInputElement ? token.value : "" },
      });
      const told = await answer.json();
      if (answer.ok) {
        this.#sent(told);
        this.#say(say("fileSent", { name: told.name }));
      } else {
        const code = told.errors?.[0]?.code;
        const problem = String(told.type ?? "").replace("/problems/", "");
        this.#say(say(REFUSALS[code] ?? REFUSALS[problem] ?? "fileFailed"));
      }
    } catch {
      this.#say(say("fileFailed"));
    } finally {
      this.#busy = false;
    }
  }

  /** @param {string} sentence */
  #say(sentence) {
    tell(this.#form.querySelector("[data-attach-said]"), sentence, "");
  }
}
