/**
 * <consultation-room room offset consultation doctor>: the patient's page follows its consultation: unpaid, checking,
 * waiting, called, ended. While a call state stands, the call is the one who changes it.
 */

import { ask, CallFailed, join } from "../live.js";
import { say } from "../words.js";
import { Readiness } from "./readiness.js";
import { soundTheCall } from "./tone.js";

/**
 * @typedef {object} Consultation
 * @property {string} status
 * @property {string} doctor_id
 * @property {string | null} confirmed_at
 * @property {string | null} checked_in_at
 * @property {string | null} called_at
 * @property {string | null} ended_as
 */

const CALL_STATES = ["connecting", "live", "degraded", "reconnecting"];
const PAPERS_MS = 1_500;

class ConsultationRoom extends HTMLElement {
  /** @type {(() => void)[]} */ #undo = [];
  #title = document.title;
  #papers = false;

  connectedCallback() {
    const offset = this.getAttribute("offset");
    this.#undo.push(
      join(
        this.getAttribute("room") ?? "",
        {
          "consultation.changed": ({ consultation }) => this.#changed(consultation),
          "prescription.written": () => this.#written(),
        },
        {
          since: offset === null ? null : Number(offset),
          onSnapshot: ({ consultation }) => this.#changed(consultation),
          onRefused: () => location.reload(),
        },
      ),
    );
    const readiness = new Readiness(this.getAttribute("consultation") ?? "");
    this.addEventListener("devices-checked", (event) => {
      if (event instanceof CustomEvent) void readiness.tell(event.detail);
    });
    const form = this.querySelector('form:has([data-action="check-in"])');
    if (form instanceof HTMLFormElement) form.addEventListener("submit", (event) => void this.#checkIn(event, form));
    if (this.#state === "called") this.#called();
    // Leaving the call is the call's doing; what the page then says is ours.
    const watch = new MutationObserver(() => {
      if (this.#state === "ended" && this.#page.dataset.open === "true") {
        this.#ended("leftCall", "leftCallWhy");
        const heading = this.querySelector("[data-called-title]");
        if (heading) heading.textContent = say("stillOpen");
      }
    });
    watch.observe(this.#page, { attributes: true, attributeFilter: ["data-state"] });
    this.#undo.push(() => watch.disconnect());
  }

  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
  }

  get #page() {
    return /** @type {HTMLElement} */ (this.closest("main"));
  }

  get #state() {
    return this.#page.dataset.state ?? "";
  }

  get #doctor() {
    return this.getAttribute("doctor") ?? "";
  }

  /** @param {Consultation} consultation */
  #changed(consultation) {
    const open = consultation.status === "PENDING" || consultation.status === "ACTIVE";
    const wasOpen = this.#page.dataset.open === "true";
    this.#page.dataset.open = String(open);
    if (!open) {
      this.#page.dataset.state = "ended";
      this.#over(consultation);
      if (wasOpen) setTimeout(() => this.#reload(), PAPERS_MS);
      return;
    }
    if (this.getAttribute("doctor-id") !== consultation.doctor_id) {
      this.#reload(); // another doctor took it over: the page names them
      return;
    }
    if (CALL_STATES.includes(this.#state)) return;
    const left = this.#state === "ended" && wasOpen;
    if (left && consultation.status === "ACTIVE") return;
    const next = stateOf(consultation);
    if (next === this.#state) return;
    // What the server rendered only for the states it knew of (the chat, after payment) comes with a new page.
    if (this.#state === "unpaid") {
      this.#reload();
      return;
    }
    this.#page.dataset.state = next;
    if (next === "called") this.#called();
    else document.title = this.#title;
  }

  #called() {
    const heading = this.querySelector("[data-called-title]");
    if (heading) heading.textContent = say("calling", { doctor: this.#doctor });
    document.title = say("titleCalled", { doctor: this.#doctor });
    soundTheCall();
  }

  #written() {
    this.#papers = true;
    if (this.#page.dataset.open !== "true") this.#reload();
  }

  /** @param {Consultation} consultation */
  #over(consultation) {
    document.title = this.#title;
    const how = consultation.ended_as;
    if (consultation.status === "COMPLETED") this.#ended("endedCompleted", "endedCompletedWhy");
    else if (how === "cancelled_by_doctor") this.#ended("endedByDoctor", "endedByDoctorWhy");
    else if (how === "cancelled_by_admin") this.#ended("endedByClinic", "endedByClinicWhy");
    else if (how === "no_show") this.#ended("endedNoShow", "endedNoShowWhy");
    else this.#ended("endedByPatient", "endedByPatientWhy");
  }

  /**
   * @param {import("../words.js").Word} title
   * @param {import("../words.js").Word} why
   */
  #ended(title, why) {
    const values = { doctor: this.#doctor };
    const pairs = /** @type {const} */ ([["[data-ended-title]", title], ["[data-ended-why]", why]]);
    for (const [place, word] of pairs) {
      const element = this.querySelector(place);
      if (element) element.textContent = say(word, values);
    }
    const ending = this.querySelector("[data-ending]");
    if (ending instanceof HTMLElement) ending.hidden = this.#page.dataset.open === "true";
  }

  /** Papers, other times and what became of the money come with the page as the server renders it now. */
  #reload() {
    const draft = this.querySelector("chat-log input[name=text]");
    const writing = draft instanceof HTMLInputElement && draft === document.activeElement && draft.value !== "";
    if (!writing || this.#papers) location.reload();
  }

  /**
   * @param {SubmitEvent} event
   * @param {HTMLFormElement} form
   */
  async #checkIn(event, form) {
    event.preventDefault();
    const button = form.querySelector("button");
    if (button?.getAttribute("aria-busy") === "true") return;
    button?.setAttribute("aria-busy", "true");
    try {
      const place = await ask("waiting.check_in", { consultation_id: this.getAttribute("consultation") });
      if (this.#state === "checking") this.#page.dataset.state = "waiting";
      const waiting = /** @type {any} */ (this.querySelector("waiting-place"));
      waiting?.update?.(place);
      for (const [step, how] of [["check-in", "done"], ["wait", "now"]]) {
        const item = this.querySelector(`[data-step="${step}"]`);
        item?.classList.toggle("done", how === "done");
        if (how === "now") item?.setAttribute("aria-current", "step");
        else item?.removeAttribute("aria-current");
      }
      const heading = this.querySelector("#place-title");
      if (heading instanceof HTMLElement) {
        heading.tabIndex = -1;
        heading.focus({ preventScroll: true });
      }
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      form.submit(); // the same by the page's own way, which says what is wrong
    } finally {
      button?.removeAttribute("aria-busy");
    }
  }
}

/** @param {Consultation} consultation */
function stateOf(consultation) {
  if (consultation.status === "ACTIVE" || consultation.called_at) return "called";
  if (!consultation.confirmed_at) return "unpaid";
  return consultation.checked_in_at ? "waiting" : "checking";
}

customElements.define("consultation-room", ConsultationRoom);
