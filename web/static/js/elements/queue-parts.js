/** What <waiting-queue> shows of a patient: the face, the pills of the devices, where the forms of a row aim. */

import { icon } from "../words.js";

/**
 * @typedef {object} Entry
 * @property {string} consultation_id
 * @property {string} patient_name
 * @property {string} start_time
 * @property {string} status
 * @property {string | null} checked_in_at
 * @property {number | null} position in the line, from 1
 * @property {boolean} let_go_first whether somebody who came later was let go first
 * @property {string | null} called_at
 * @property {boolean} listed
 * @property {Record<string, string> | null} [readiness] absent where only the page knows
 */

const TINTS = ["", "two", "three", "four", "five"];
const TITLES = new Set(["dr", "mr", "mrs", "ms", "prof", "डॉ", "श्री", "श्रीमती"]);

/** @param {Entry} entry */
export function isWaiting(entry) {
  return entry.status === "PENDING" && entry.checked_in_at !== null && entry.called_at === null;
}

/** @param {Element} part */
export function isHeld(part) {
  return part.matches(":hover") || part.contains(document.activeElement);
}

/** @param {string | null | undefined} at */
export function moment(at) {
  return at ? Date.parse(at) : 0;
}

/**
 * Let the forms of a part act on this patient.
 * @param {HTMLElement} part
 * @param {Entry} entry
 */
export function aim(part, entry) {
  for (const form of part.querySelectorAll("form[data-call], form[data-act]")) {
    if (form instanceof HTMLFormElement) form.action = `/consultations/${entry.consultation_id}/${form.dataset.act ?? "call"}`;
  }
}

/**
 * What the patient's device check found, where it is worth a thought.
 * @param {Element | null} place
 * @param {Entry} entry
 * @param {string} words `camera.none=no camera|…`, in the page's language
 */
export function devices(place, entry, words) {
  if (!place) return;
  const found = Object.entries(entry.readiness ?? {}).map(([part, how]) => `${part}.${how}=`);
  const said = words.split("|").filter((pair) => found.some((start) => pair.startsWith(start)));
  place.replaceChildren(
    ...said.map((pair) => {
      const pill = document.createElement("span");
      pill.className = "pill wait";
      pill.append(icon("warning"), pair.slice(pair.indexOf("=") + 1));
      return pill;
    }),
  );
}

/**
 * The face of a person without a picture, as the server draws it.
 * @param {string} name
 * @param {boolean} isSmall
 */
export function face(name, isSmall) {
  const parts = name.replaceAll(".", " ").split(/\s+/).filter((part) => part && !TITLES.has(part.toLowerCase()));
  const [first = "·"] = parts;
  const letters = [...first][0] + (parts.length > 1 ? ([...(parts.at(-1) ?? "")][0] ?? "") : "");
  const sum = new TextEncoder().encode(name).reduce((total, byte) => total + byte, 0);
  const drop = document.createElement("span");
  drop.className = `avatar ${isSmall ? "small" : ""} ${TINTS[sum % TINTS.length]}`;
  drop.setAttribute("aria-hidden", "true");
  drop.textContent = letters.toUpperCase();
  return drop;
}

/**
 * @param {string} sentence
 * @param {Record<string, string>} values
 */
export function fill(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}
