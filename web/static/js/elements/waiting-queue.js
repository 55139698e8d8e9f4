/**
 * <waiting-queue room offset>: the doctor's day, kept true by the queue's room. Rows are the server's own markup from
 * the <template>s inside; nothing is put in another order while a pointer or the focus is in the list.
 */

import { join, serverNow } from "../live.js";
import { aim, devices, face, fill, isHeld, isWaiting, moment } from "./queue-parts.js";

/** @typedef {import("./queue-parts.js").Entry} Entry */

const MINUTE_MS = 60_000;

const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  timeZone: document.documentElement.dataset.zone ?? "UTC",
});

class WaitingQueue extends HTMLElement {
  /** @type {Map<string, Entry>} */ #entries = new Map();
  /** @type {(() => void)[]} */ #undo = [];
  #seen = 0;
  #arranging = false;

  connectedCallback() {
    this.#adopt();
    this.#delay(this.getAttribute("back-at") ?? "");
    const since = Number(this.getAttribute("offset"));
    const room = this.getAttribute("room") ?? "";
    const leave = join(
      room,
      {
        "queue.changed": ({ entry }) => this.#take(entry),
        "queue.notice": ({ notice }) => this.#delay(notice?.back_at ?? ""),
      },
      {
        since: Number.isNaN(since) ? null : since,
        onSnapshot: ({ entries, notice }) => {
          this.#takeAll(entries);
          this.#delay(notice?.back_at ?? "");
        },
      },
    );
    const ticking = setInterval(() => this.#tick(), MINUTE_MS / 4);
    const settle = () => requestAnimationFrame(() => this.#show());
    for (const type of ["pointerleave", "focusout"]) {
      for (const place of [this.#list("waiting"), this.#part("next")]) place?.addEventListener(type, settle);
    }
    this.#undo.push(leave, () => clearInterval(ticking));
    this.#tick();
  }

  disconnectedCallback() {
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** What the server rendered is what there is. */
  #adopt() {
    this.#seen = Number(this.querySelector("[data-count=seen]")?.textContent ?? 0);
    for (const list of ["waiting", "coming"]) {
      for (const [index, row] of this.#rows(list).entries()) {
        const { id = "", name = "", start = "", since = null } = row.dataset;
        const let_go_first = row.hasAttribute("data-skipped");
        const position = since ? index + 1 : null;
        this.#keep({ consultation_id: id, patient_name: name, start_time: start, checked_in_at: since, position, let_go_first });
      }
    }
    const inCall = this.#part("now");
    const id = inCall?.querySelector("a")?.getAttribute("href")?.split("/").at(-1);
    if (inCall && !inCall.hidden && id) {
      const name = inCall.querySelector("[data-name-here]")?.textContent ?? "";
      const called = !(inCall.querySelector("[data-only-called]") instanceof HTMLElement && inCall.querySelector("[data-only-called][hidden]"));
      this.#keep({ consultation_id: id, patient_name: name, called_at: "", status: called ? "PENDING" : "ACTIVE" });
    }
  }

  /** @param {Partial<Entry> & { consultation_id: string }} known */
  #keep(known) {
    const bare = { patient_name: "", start_time: "", status: "PENDING", checked_in_at: null, position: null, called_at: null, listed: true, let_go_first: false, readiness: undefined };
    this.#entries.set(known.consultation_id, { ...bare, ...known });
  }

  /** @param {Entry[]} entries */
  #takeAll(entries) {
    this.#entries = new Map(entries.map((entry) => [entry.consultation_id, entry]));
    this.#show();
  }

  /** @param {Entry} entry */
  #take(entry) {
    const before = this.#entries.get(entry.consultation_id);
    if (entry.listed) this.#entries.set(entry.consultation_id, entry);
    else this.#entries.delete(entry.consultation_id);
    if (before && entry.status === "COMPLETED") this.#seen += 1;
    this.#show();
    this.#tell(before, entry);
  }

  /**
   * @param {Entry | undefined} before
   * @param {Entry} entry
   */
  #tell(before, entry) {
    const name = entry.patient_name;
    const waited = before !== undefined && isWaiting(before);
    if (entry.listed && isWaiting(entry) && !waited) this.#say("arrived", { name, place: this.#placeOf(entry) });
    else if (entry.listed && waited && !entry.checked_in_at) this.#say("left", { name });
    else if (entry.listed && !before) this.#say("booked", { name, time: clock.format(new Date(entry.start_time)) });
    else if (!entry.listed && before && entry.status !== "COMPLETED") this.#say("gone", { name });
  }

  /** @param {Entry} entry */
  #placeOf(entry) {
    const index = this.#waiting.findIndex((one) => one.consultation_id === entry.consultation_id);
    const places = (this.dataset.places ?? "").split("|");
    return places[index] ?? fill(this.dataset.place ?? "", { number: String(index + 1) });
  }

  /**
   * @param {"arrived" | "booked" | "gone" | "left"} what
   * @param {Record<string, string>} values
   */
  #say(what, values) {
    const status = this.querySelector("[data-status]");
    if (status) status.textContent = fill(this.dataset[what] ?? "", values);
  }

  /** Those who wait, in the order of the line. */
  get #waiting() {
    const waiting = [...this.#entries.values()].filter(isWaiting);
    return waiting.sort((a, b) => (a.position ?? 0) - (b.position ?? 0) || moment(a.checked_in_at) - moment(b.checked_in_at));
  }

  /** @param {string} backAt */
  #delay(backAt) {
    const told = this.querySelector("[data-delay-told]");
    const end = this.querySelector("[data-delay-end]");
    const over = !backAt || moment(backAt) <= serverNow();
    if (told instanceof HTMLElement) {
      told.hidden = over;
      const words = told.querySelector("span");
      if (words) {
        words.dataset.words ??= words.textContent ?? "";
        if (!over) words.textContent = fill(words.dataset.words, { time: clock.format(new Date(backAt)) });
      }
    }
    if (end instanceof HTMLElement) end.hidden = over;
    this.setAttribute("back-at", backAt);
  }

  #show() {
    if (this.#arranging) return; // moving a row out of a list takes its focus, which would come back here
    this.#arranging = true;
    const all = [...this.#entries.values()];
    const waiting = this.#waiting;
    const coming = all.filter((entry) => entry.status === "PENDING" && !entry.checked_in_at && !entry.called_at);
    coming.sort((a, b) => moment(a.start_time) - moment(b.start_time));
    const now = all.find((entry) => entry.status === "ACTIVE") ?? all.find((entry) => entry.called_at !== null && entry.status === "PENDING");
    this.#arrange("waiting", waiting);
    this.#arrange("coming", coming);
    this.#showNow(now);
    this.#showNext(now ? undefined : waiting[0]);
    const first = this.#shownNext();
    for (const row of this.#rows("waiting")) {
      const callable = row.querySelector("[data-callable]");
      if (callable instanceof HTMLElement) callable.hidden = row.dataset.id === first;
      const skippable = row.querySelector("[data-skippable]");
      if (skippable instanceof HTMLElement) skippable.hidden = row.dataset.id === waiting.at(-1)?.consultation_id;
      row.toggleAttribute("aria-current", row.dataset.id === first);
    }
    this.#hide("nobody", waiting.length > 0);
    this.#hide("waiting", waiting.length === 0);
    this.#hide("no-coming", coming.length > 0);
    for (const [name, count] of Object.entries({ waiting: waiting.length, seen: this.#seen, coming: coming.length })) {
      const place = this.querySelector(`[data-count=${name}]`);
      if (place) place.textContent = String(count);
    }
    document.title = fill(this.dataset.title ?? "", { count: String(waiting.length) });
    this.#tick();
    this.#arranging = false;
  }

  /**
   * @param {string} name
   * @param {Entry[]} wanted
   */
  #arrange(name, wanted) {
    const list = this.#list(name);
    if (!list) return;
    const rows = new Map(this.#rows(name).map((row) => [row.dataset.id ?? "", row]));
    for (const [id, row] of rows) {
      if (wanted.some((entry) => entry.consultation_id === id)) continue;
      row.remove();
      rows.delete(id);
    }
    const ordered = wanted.map((entry) => {
      const row = rows.get(entry.consultation_id) ?? this.#row(name);
      this.#fill(row, entry);
      return row;
    });
    if (isHeld(list)) {
      // What is under the hand stays where it is; who is new stands at the end until the hand has gone.
      for (const row of ordered) if (!row.isConnected) list.append(row);
      return;
    }
    for (const [index, row] of ordered.entries()) {
      if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
    }
  }

  /**
   * @param {HTMLElement} row
   * @param {Entry} entry
   */
  #fill(row, entry) {
    const since = entry.checked_in_at ?? "";
    const { id, name, start } = row.dataset;
    const skipped = row.querySelector("[data-skipped-only]");
    if (skipped instanceof HTMLElement) skipped.hidden = !entry.let_go_first;
    if (entry.readiness !== undefined) devices(row.querySelector("[data-devices]"), entry, this.dataset.devices ?? "");
    if (id === entry.consultation_id && name === entry.patient_name && start === entry.start_time && (row.dataset.since ?? "") === since) return;
    Object.assign(row.dataset, { id: entry.consultation_id, name: entry.patient_name, start: entry.start_time, since });
    this.#write(row, entry);
    const link = row.querySelector("a");
    if (link) link.href = `/consultations/${entry.consultation_id}`;
    const time = clock.format(new Date(entry.start_time));
    const reason = row.querySelector(".reason");
    const words = this.#template("waiting")?.querySelector(".reason")?.textContent ?? "";
    if (reason) reason.textContent = fill(words, { time });
    aim(row, entry);
  }

  /**
   * Name, face and time wherever a part shows them.
   * @param {HTMLElement} part
   * @param {Entry} entry
   */
  #write(part, entry) {
    for (const place of part.querySelectorAll("[data-name-here]")) place.textContent = entry.patient_name;
    for (const place of part.querySelectorAll("[data-face]")) place.replaceChildren(face(entry.patient_name, part.matches("li")));
    for (const place of part.querySelectorAll("[data-clock]")) {
      if (entry.start_time) place.textContent = clock.format(new Date(entry.start_time));
    }
  }

  /** @param {Entry | undefined} entry */
  #showNow(entry) {
    const part = this.#part("now");
    if (!part) return;
    part.hidden = entry === undefined;
    if (!entry) return;
    this.#write(part, entry);
    const link = part.querySelector("[data-open]");
    if (link instanceof HTMLAnchorElement) link.href = `/consultations/${entry.consultation_id}`;
    const called = part.querySelector("[data-only-called]");
    if (called instanceof HTMLElement) called.hidden = entry.status !== "PENDING";
    aim(part, entry);
  }

  /** @param {Entry | undefined} entry */
  #showNext(entry) {
    const part = this.#part("next");
    if (!part || (!part.hidden && part.dataset.id === entry?.consultation_id)) return;
    const button = part.querySelector("button");
    if (!part.hidden && isHeld(part)) {
      // Never another patient under a finger: who is gone cannot be called, and the next one comes when it has left.
      const shown = this.#entries.get(part.dataset.id ?? "");
      if (button) button.disabled = !shown || !isWaiting(shown);
      return;
    }
    part.hidden = entry === undefined;
    if (!entry) return;
    part.dataset.id = entry.consultation_id;
    this.#write(part, entry);
    if (button) button.disabled = false;
    else {
      const made = this.#template("call")?.cloneNode(true);
      if (made) part.querySelector(".row")?.replaceChildren(made);
    }
    aim(part, entry);
  }

  #shownNext() {
    const part = this.#part("next");
    return part && !part.hidden ? part.dataset.id : undefined;
  }

  #tick() {
    const now = serverNow();
    for (const row of this.#rows("waiting")) {
      const place = row.querySelector("[data-waited]");
      const minutes = Math.max(0, Math.floor((now - moment(row.dataset.since)) / MINUTE_MS));
      if (place && place.textContent !== String(minutes)) place.textContent = String(minutes);
    }
    const backAt = this.getAttribute("back-at");
    if (backAt && moment(backAt) <= now) this.#delay("");
    const time = this.querySelector("[data-now-clock]");
    if (time) time.textContent = clock.format(new Date(now));
  }

  /** @param {string} name */
  #row(name) {
    const row = this.#template(name)?.querySelector("li")?.cloneNode(true);
    if (!(row instanceof HTMLElement)) throw new Error(`no template for ${name}`);
    return row;
  }

  /** @param {string} name */
  #template(name) {
    const template = this.querySelector(`template[data-row=${name}]`);
    return template instanceof HTMLTemplateElement ? template.content : null;
  }

  /** @param {string} name */
  #list(name) {
    const list = this.querySelector(`ol[data-${name}]`);
    return list instanceof HTMLElement ? list : null;
  }

  /** @param {string} name */
  #part(name) {
    const part = this.querySelector(`section[data-${name}]`);
    return part instanceof HTMLElement ? part : null;
  }

  /** @param {string} name */
  #rows(name) {
    return /** @type {HTMLElement[]} */ ([...(this.#list(name)?.children ?? [])]);
  }

  /**
   * @param {string} name
   * @param {boolean} hidden
   */
  #hide(name, hidden) {
    const part = this.querySelector(`[data-${name}]:not(section)`);
    if (part instanceof HTMLElement) part.hidden = hidden;
  }
}

customElements.define("waiting-queue", WaitingQueue);
