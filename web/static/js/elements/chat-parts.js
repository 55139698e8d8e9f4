/** What <chat-log> shows: lines as bubbles, and files as links once they were checked. The templates draw the same. */

import { clock, icon, say } from "../words.js";

/** @typedef {{ id: string, name: string, state: "pending" | "clean" | "blocked" }} ChatFile */
/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} consultation_id
 * @property {number} number
 * @property {string} sender_role
 * @property {string} client_id
 * @property {string} text
 * @property {string} created_at
 * @property {ChatFile | null} [attachment]
 */

/**
 * A line that was sent.
 * @param {Message} message
 * @param {boolean} mine
 * @param {string} other the other side's name
 */
export function bubble(message, mine, other) {
  const item = line(message.text, mine);
  item.dataset.number = String(message.number);
  item.dataset.clientId = message.client_id;
  if (message.attachment) item.append(fileLine(message.attachment, message.consultation_id));
  const small = document.createElement("small");
  const time = document.createElement("time");
  time.dateTime = message.created_at;
  time.textContent = clock(message.created_at);
  small.append(mine ? "" : `${other} · `, time);
  item.append(small);
  return item;
}

/**
 * @param {string} text
 * @param {boolean} mine
 */
export function line(text, mine) {
  const item = document.createElement("li");
  item.classList.toggle("mine", mine);
  const said = document.createElement("span");
  said.className = "said";
  said.textContent = text;
  item.append(said);
  return item;
}

/**
 * @param {ChatFile} file
 * @param {string} consultation
 */
export function fileLine(file, consultation) {
  const place = document.createElement("span");
  place.className = "chat-file";
  place.dataset.file = file.id;
  let shown = document.createElement("span");
  if (file.state === "clean") {
    const link = document.createElement("a");
    link.href = `/api/v1/consultations/${consultation}/attachments/${file.id}`;
    link.download = "";
    link.textContent = file.name;
    shown = link;
  } else {
    shown.textContent = `${file.name} · ${say(file.state === "pending" ? "beingChecked" : "blockedFile")}`;
  }
  place.append(icon("file"), shown);
  return place;
}

/**
 * One mark, at the last of one's own lines that was read.
 * @param {Element} list
 * @param {number} number up to which the other side has read
 */
export function markRead(list, number) {
  for (const old of list.querySelectorAll("[data-read]")) old.remove();
  const mine = [...list.querySelectorAll("li.mine[data-number]")];
  const last = mine.filter((item) => Number(item.getAttribute("data-number")) <= number).at(-1);
  if (!last) return;
  const mark = document.createElement("span");
  mark.dataset.read = "";
  mark.textContent = ` · ${say("readByOther")}`;
  last.querySelector("small")?.append(mark);
}

// Over plain http on another address than this machine there is no randomUUID.
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16).padStart(8, "0")).join("");
}
