/**
 * <doctor-desk room offset>: the doctor's side of a consultation. It tells the page's main where the consultation
 * stands (data-state, data-status, data-open), unless the call itself says it, and whether the patient is there.
 */

import { join, serverNow } from "../live.js";

/** @typedef {{ status: string, confirmed_at: string | null, checked_in_at: string | null, called_at: string | null }} Consultation */

const CALL_STATES = new Set(["connecting", "live", "degraded", "reconnecting"]);

class DoctorDesk extends HTMLElement {
  /** @type {(() => void)[]} */ #undo = [];

  connectedCallback() {
    const since = Number(this.getAttribute("offset"));
    const leave = join(
      this.getAttribute("room") ?? "",
      {
        "consultation.changed": ({ consultation }) => this.#take(consultation),
        presence: ({ role, present }) => {
          if (role === "PATIENT") this.#say(present ? "arrived" : "away");
        },
      },
      {
        since: Number.isNaN(since) ? null : since,
        onSnapshot: ({ consultation }) => this.#take(consultation),
        onRefused: () => location.reload(),
      },
    );
    const watching = setInterval(() => this.#uncover(), 15_000);
    this.#undo.push(leave, () => clearInterval(watching));
  }

  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** @param {Consultation} consultation */
  #take(consultation) {
    const page = this.closest("main");
    if (!page) return;
    const before = page.dataset.state ?? "";
    const next = stateOf(consultation);
    const left = before === "ended" && page.dataset.open === "true" && next === "called";
    page.dataset.open = String(next === "called");
    page.dataset.status = consultation.status;
    // The call's own word stands while it lasts, and so does that the doctor went out of it.
    if (next === before || left || (CALL_STATES.has(before) && next !== "ended")) return;
    page.dataset.state = next;
    if (next === "waiting" && before === "checking") this.#say("arrived");
  }

  /** What only makes sense from a moment on, shown from then on. */
  #uncover() {
    for (const part of this.querySelectorAll("[data-after]")) {
      if (part instanceof HTMLElement && Date.parse(part.dataset.after ?? "") <= serverNow()) part.hidden = false;
    }
  }

  /** @param {"arrived" | "away"} what */
  #say(what) {
    const status = this.querySelector("[data-status]");
    if (status) status.textContent = this.dataset[what] ?? "";
  }
}

/** @param {Consultation} consultation */
function stateOf(consultation) {
  if (consultation.status === "COMPLETED" || consultation.status === "CANCELLED") return "ended";
  if (consultation.status === "ACTIVE") return "called";
  if (!consultation.confirmed_at) return "unpaid";
  if (consultation.called_at) return "called";
  return consultation.checked_in_at ? "waiting" : "checking";
}

customElements.define("doctor-desk", DoctorDesk);
