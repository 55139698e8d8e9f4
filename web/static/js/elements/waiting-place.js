/** <waiting-place>: the place in the line, when it is one's turn, the span around it, and what the doctor tells all. */

import { connection, join, onStateChange, serverNow } from "../live.js";
import { clock, say, tell } from "../words.js";

/** @typedef {{ minutes: number, reason: "late" | "emergency" | "technical" | "break", back_at: string }} Notice */
/**
 * @typedef {object} Place
 * @property {number | null} position
 * @property {string | null} [estimated_start]
 * @property {string | null} [earliest]
 * @property {string | null} [latest]
 * @property {Notice | null} [notice]
 */

const MINUTE_MS = 60_000;
// A span that is wider tells nobody anything; the template says the same.
const WIDEST_MS = 90 * MINUTE_MS;
const TELL_FROM_MS = 3 * MINUTE_MS;
const LONGEST_LINE = 4;

class WaitingPlace extends HTMLElement {
  /** @type {(() => void)[]} */ #undo = [];
  /** @type {Place} */ #place = { position: null };
  #told = 0;

  connectedCallback() {
    const offset = this.getAttribute("offset");
    const position = Number(this.getAttribute("position")) || null;
    this.#place = {
      position,
      estimated_start: this.getAttribute("at"),
      earliest: this.getAttribute("earliest"),
      latest: this.getAttribute("latest"),
    };
    this.#told = Date.parse(this.#place.estimated_start ?? "");
    this.#line();
    this.#undo.push(
      join(
        this.getAttribute("room") ?? "",
        { "waiting.position": (place) => this.update(place) },
        // The room's snapshot holds no place; who was away asks for it.
        { since: offset === null ? null : Number(offset), onSnapshot: () => void this.#ask() },
      ),
      onStateChange((state) => this.toggleAttribute("data-stale", state !== "connected")),
    );
    this.toggleAttribute("data-stale", connection.state === "offline");
    const passing = setInterval(() => this.#estimate(), MINUTE_MS / 2);
    this.#undo.push(() => clearInterval(passing));
  }

  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** @param {Place} place */
  update(place) {
    const before = this.#place;
    this.#place = place;
    const status = this.querySelector("[data-status]");
    if (place.position !== before.position) {
      const heading = this.querySelector("[data-place]");
      if (heading) heading.textContent = placeWords(place.position);
      tell(status, this.#beforeWords(place.position), "");
      this.#line();
      this.#title();
    }
    this.#notice(place.notice ?? null);
    this.#estimate();
    const at = Date.parse(place.estimated_start ?? "");
    const moved = Math.abs(at - this.#told) >= TELL_FROM_MS;
    if (Number.isNaN(this.#told)) this.#told = at;
    else if (moved && place.position === before.position) {
      this.#told = at;
      const span = this.#span();
      if (span) tell(status, say("turnMoved", { from: clock(span[0]), to: clock(span[1]) }), "");
    } else if (moved) {
      this.#told = at;
    }
  }

  async #ask() {
    if (this.closest("main")?.dataset.state !== "waiting") return;
    const answer = await fetch(`/api/v1/consultations/${this.getAttribute("consultation")}/waiting`, { headers: { Accept: "application/json" } }).catch(() => null);
    if (answer?.ok) this.update(await answer.json());
  }

  /** @returns {[number, number] | null} */
  #span() {
    const from = Date.parse(this.#place.earliest ?? "");
    const to = Date.parse(this.#place.latest ?? "");
    if (Number.isNaN(from) || Number.isNaN(to) || to - from > WIDEST_MS) return null;
    return [Math.max(serverNow(), from), Math.max(serverNow(), to)];
  }

  /** @param {Notice | null} notice */
  #notice(notice) {
    const place = this.querySelector("[data-notice]");
    if (!(place instanceof HTMLElement)) return;
    place.hidden = notice === null;
    if (!notice) return;
    const words = say(notice.reason, { doctor: this.#doctor, minutes: notice.minutes, time: clock(notice.back_at) });
    const told = place.querySelector("[data-notice-words]");
    if (told?.textContent === words) return;
    write(told, words);
    tell(this.querySelector("[data-status]"), words, "");
  }

  #estimate() {
    const span = this.#span();
    const likely = this.querySelector("[data-likely]");
    if (likely instanceof HTMLElement) likely.hidden = span === null;
    const at = Math.max(serverNow(), Date.parse(this.#place.estimated_start ?? ""));
    write(this.querySelector("[data-about]"), span ? say("about", { time: clock(at) }) : "");
    write(this.querySelector("[data-span]"), span ? say("between", { from: clock(span[0]), to: clock(span[1]) }) : "");
    write(this.querySelector("[data-why]"), span ? say("guess") : say("unsure", { doctor: this.#doctor }));
  }

  get #doctor() {
    return this.getAttribute("doctor") ?? "";
  }

  /** @param {number | null} position */
  #beforeWords(position) {
    const knows = say("doctorKnows", { doctor: this.#doctor });
    if (position === null) return knows;
    if (position === 1) return `${say("stayNear")} ${knows}`;
    return `${position === 2 ? say("before1") : say("beforeMore", { count: position - 1 })} ${knows}`;
  }

  #title() {
    if (this.closest("main")?.dataset.state === "waiting") document.title = say("titleWaiting", { place: placeWords(this.#place.position) });
  }

  /** The drops of the line: the doctor, who is before, oneself. */
  #line() {
    const line = this.querySelector("[data-line]");
    const position = this.#place.position;
    if (!line) return;
    if (position === null) {
      line.replaceChildren();
      return;
    }
    const doctor = drop("Dr", say("lineDoctor"), "with");
    const way = document.createElement("li");
    way.className = "way";
    way.setAttribute("aria-hidden", "true");
    const first = Math.max(1, position - LONGEST_LINE + 1);
    const people = [];
    for (let number = first; number <= position; number += 1) {
      const mine = number === position;
      people.push(drop(String(number), mine ? say("lineYou") : number === 1 ? say("lineNext") : "", mine ? "you" : ""));
    }
    line.replaceChildren(doctor, way, ...people);
  }
}

/** @param {number | null} position */
export function placeWords(position) {
  if (position === null) return say("checkedIn");
  const known = /** @type {const} */ (["place1", "place2", "place3", "place4", "place5"])[position - 1];
  return known ? say(known) : say("placeMore", { count: position });
}

/**
 * @param {string} mark
 * @param {string} words
 * @param {string} style
 */
function drop(mark, words, style) {
  const item = document.createElement("li");
  item.className = style;
  item.dataset.mark = mark;
  item.textContent = words;
  return item;
}

/**
 * @param {Element | null} element
 * @param {string} sentence
 */
function write(element, sentence) {
  if (element && element.textContent !== sentence) element.textContent = sentence;
}

customElements.define("waiting-place", WaitingPlace);
