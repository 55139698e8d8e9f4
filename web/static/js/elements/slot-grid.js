/**
 * <slot-grid room="slots:{doctor}" offset doctor lead>: the server rendered the slots; this keeps them true.
 *
 * A slot that goes keeps its place: struck, "just taken" for 20 s, then "taken". Past ones become unbookable by
 * themselves, by the server's clock, `lead` minutes before they begin. Pressing a slot chooses it; the form beside books it.
 */

import { join, serverNow } from "../live.js";
import { clock, say, tell } from "../words.js";

/** @typedef {{ id: string, start_time: string, end_time: string, status: string, version: number }} Slot */

const JUST_MS = 20_000;
const GATHER_MS = 2_000;
const PASSING_MS = 5_000;

class SlotGrid extends HTMLElement {
  /** @type {(() => void)[]} */ #undo = [];
  /** @type {Set<string>} instants of what was lost within the last moment */ #lost = new Set();
  #choiceLost = false;
  /** @type {number | undefined} */ #gather;
  #chosen = "";

  connectedCallback() {
    const offset = this.getAttribute("offset");
    this.#undo.push(
      join(
        this.getAttribute("room") ?? "",
        { "slot.changed": ({ slot }) => this.#change(slot) },
        {
          since: offset === null ? null : Number(offset),
          onSnapshot: (/** @type {{ slots: Slot[] }} */ snapshot) => this.#compare(snapshot.slots),
        },
      ),
    );
    const passing = setInterval(() => this.#pass(), PASSING_MS);
    this.#undo.push(() => clearInterval(passing));
    const day = () => this.#day();
    window.addEventListener("hashchange", day);
    this.#undo.push(() => window.removeEventListener("hashchange", day));
    this.#day();
    const form = this.querySelector("[data-slots]");
    if (form instanceof HTMLFormElement) {
      const press = (/** @type {Event} */ event) => this.#press(event);
      form.addEventListener("submit", press);
      this.#undo.push(() => form.removeEventListener("submit", press));
    }
    const chosen = this.querySelector('.slot[aria-pressed="true"]');
    if (chosen instanceof HTMLButtonElement) this.#choose(chosen);
    this.#pass();
  }

  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
    clearTimeout(this.#gather);
  }

  /** @returns {HTMLElement[]} every slot of the page, soonest first */
  get #slots() {
    return /** @type {HTMLElement[]} */ ([...this.querySelectorAll("button.slot[name=slot_id], a.slot[data-slot]")]);
  }

  /** Mark the day that was pressed in the row of days. */
  #day() {
    for (const link of this.querySelectorAll(".days a")) {
      if (location.hash && link.getAttribute("href") === location.hash) link.setAttribute("aria-current", "date");
      else link.removeAttribute("aria-current");
    }
  }

  /** @param {string} id */
  #find(id) {
    return this.#slots.find((slot) => idOf(slot) === id);
  }

  /** @param {Slot} slot */
  #change(slot) {
    const shown = this.#find(slot.id);
    if (!shown || Number(shown.dataset.version ?? 0) > slot.version) return;
    shown.dataset.version = String(slot.version);
    if (slot.status === "BOOKED") this.#take(shown, true);
    else this.#give(shown);
  }

  /** @param {Slot[]} slots everything that the room knows now */
  #compare(slots) {
    const known = new Map(slots.map((slot) => [slot.id, slot]));
    const last = slots.at(-1)?.start_time ?? "";
    for (const shown of this.#slots) {
      const slot = known.get(idOf(shown));
      const start = shown.dataset.start ?? "";
      if (slot) {
        shown.dataset.version = String(slot.version);
        if (slot.status === "BOOKED") this.#take(shown, false);
        else this.#give(shown);
      } else if (!this.#isPast(shown) && Date.parse(start) <= Date.parse(last)) {
        this.#take(shown, false); // withdrawn: no room speaks of it any more
      }
    }
  }

  /**
   * @param {HTMLElement} slot
   * @param {boolean} justNow
   */
  #take(slot, justNow) {
    if (isGone(slot)) return;
    const wasChosen = this.#chosen !== "" && this.#chosen === idOf(slot);
    setGone(slot, true);
    this.#write(slot, justNow ? "justTaken" : "taken");
    if (wasChosen) {
      this.#clearChoice();
      this.#choiceLost = true;
    }
    if (!justNow) return;
    slot.classList.add("just-gone");
    setTimeout(() => {
      slot.classList.remove("just-gone");
      if (isGone(slot)) this.#write(slot, "taken");
    }, JUST_MS);
    this.#lost.add(slot.dataset.start ?? "");
    clearTimeout(this.#gather);
    this.#gather = setTimeout(() => this.#sayLost(), this.#lost.size > 1 || this.#choiceLost ? 300 : GATHER_MS / 2);
    this.#count();
  }

  /** @param {HTMLElement} slot */
  #give(slot) {
    if (!isGone(slot) || this.#isPast(slot)) return;
    setGone(slot, false);
    slot.classList.remove("just-gone");
    this.#write(slot, null);
    this.#count();
  }

  /** @param {HTMLElement} slot */
  #isPast(slot) {
    const lead = Number(this.getAttribute("lead") ?? 0) * 60_000;
    return Date.parse(slot.dataset.start ?? "") <= serverNow() + lead;
  }

  /** What has begun, or begins sooner than the doctor's notice allows, can no longer be booked. */
  #pass() {
    let changed = false;
    for (const slot of this.#slots) {
      if (isGone(slot) || !this.#isPast(slot)) continue;
      changed = true;
      setGone(slot, true);
      this.#write(slot, "past");
      if (this.#chosen === idOf(slot)) this.#clearChoice();
    }
    if (changed) this.#count();
  }

  #sayLost() {
    const lost = [...this.#lost].sort();
    this.#lost.clear();
    const status = this.querySelector("[data-status]");
    const open = this.#slots.filter((slot) => !isGone(slot));
    const free = open.find((slot) => (slot.dataset.start ?? "") > (lost[0] ?? "")) ?? open[0];
    const next = free ? clock(free.dataset.start ?? "") : "";
    const time = clock(lost[0] ?? "");
    const sentence =
      lost.length === 1
        ? say(free ? "slotLostNext" : "slotLost", { time, next })
        : say(free ? "slotsLostNext" : "slotsLost", { count: lost.length, next });
    tell(status, this.#choiceLost ? `${sentence} ${say("choiceLost")}` : sentence);
    this.#choiceLost = false;
  }

  /** @param {Event} event */
  #press(event) {
    const button = /** @type {SubmitEvent} */ (event).submitter;
    if (!(button instanceof HTMLButtonElement) || !this.querySelector("[data-chosen]")) return;
    event.preventDefault();
    this.#choose(button);
  }

  /** @param {HTMLButtonElement} button */
  #choose(button) {
    const before = this.#find(this.#chosen);
    if (before && !isGone(before)) {
      before.setAttribute("aria-pressed", "false");
      this.#write(before, null);
    }
    this.#chosen = button.value;
    button.setAttribute("aria-pressed", "true");
    this.#write(button, "chosen");
    const from = clock(button.dataset.start ?? "");
    this.#panel(`${button.dataset.day}, ${from}–${clock(button.dataset.end ?? "")}`, `${button.dataset.day}, ${from}`);
  }

  #clearChoice() {
    this.#chosen = "";
    this.#panel(say("chooseTime"), "");
  }

  /**
   * @param {string} when
   * @param {string} short
   */
  #panel(when, short) {
    const form = this.querySelector("[data-chosen]");
    if (!(form instanceof HTMLElement)) return;
    form.hidden = this.#chosen === "";
    const id = this.querySelector("[data-chosen-id]");
    if (id instanceof HTMLInputElement) id.value = this.#chosen;
    write(this.querySelector("[data-chosen-when]"), when);
    write(this.querySelector("[data-chosen-short]"), short);
  }

  /**
   * The small word under the time, and the slot's accessible name.
   * @param {HTMLElement} slot
   * @param {import("../words.js").Word | null} word null: it is free
   */
  #write(slot, word) {
    let small = slot.querySelector("small");
    if (word === null) {
      small?.remove();
    } else {
      if (!small) {
        small = document.createElement("small");
        slot.append(" ", small);
      }
      small.textContent = say(word);
    }
    const label = slot.getAttribute("aria-label");
    const time = clock(slot.dataset.start ?? "");
    if (label) slot.setAttribute("aria-label", `${time} ${say(word ?? "freeState")}${label.slice(label.indexOf(", "))}`);
  }

  #count() {
    for (const line of this.querySelectorAll("[data-free-of]")) {
      const day = line.getAttribute("data-free-of") ?? "";
      const slots = [...this.querySelectorAll(`[data-day="${CSS.escape(day)}"] .slot`)];
      write(line, say("free", { count: slots.filter((slot) => !isGone(/** @type {HTMLElement} */ (slot))).length }));
    }
  }
}

/** @param {HTMLElement} slot */
function idOf(slot) {
  return slot instanceof HTMLButtonElement ? slot.value : (slot.dataset.slot ?? "");
}

/** @param {HTMLElement} slot */
function isGone(slot) {
  return slot instanceof HTMLButtonElement ? slot.disabled : slot.getAttribute("aria-disabled") === "true";
}

/**
 * A button is disabled; a link loses its address but keeps its place. Focus stays where it is.
 * @param {HTMLElement} slot
 * @param {boolean} gone
 */
function setGone(slot, gone) {
  if (slot instanceof HTMLButtonElement) {
    slot.disabled = gone;
    if (gone) slot.removeAttribute("aria-pressed");
    else slot.setAttribute("aria-pressed", "false");
  } else if (gone) {
    slot.dataset.href = slot.getAttribute("href") ?? "";
    slot.removeAttribute("href");
    slot.setAttribute("aria-disabled", "true");
    slot.setAttribute("role", "link");
  } else {
    slot.setAttribute("href", slot.dataset.href ?? "");
    slot.removeAttribute("aria-disabled");
    slot.removeAttribute("role");
  }
}

/**
 * @param {Element | null} element
 * @param {string} sentence
 */
function write(element, sentence) {
  if (element && element.textContent !== sentence) element.textContent = sentence;
}

customElements.define("slot-grid", SlotGrid);
