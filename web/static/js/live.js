/**
 * One socket for the page: rooms kept true by numbers, acknowledged calls, the server's time.
 *
 * A member's rule: number <= mine, drop; = mine + 1, apply; greater, subscribe again with `since`.
 */

import { io } from "../vendor/socket.io-client.js";

/** @typedef {{ type?: string, title?: string, detail?: string, status?: number, request_id?: string, [more: string]: unknown }} Problem */
/** @typedef {{ room: string, offset?: number | null, type: string, data: any, at?: string }} LiveEvent */
/** @typedef {(data: any, event: LiveEvent) => void} Handler */
/** @typedef {"connecting" | "connected" | "offline" | "ended"} ConnectionState */
/**
 * @typedef {object} Member
 * @property {string} room
 * @property {Record<string, Handler>} handlers
 * @property {((snapshot: any) => void) | undefined} onSnapshot
 * @property {((problem: Problem) => void) | undefined} onRefused
 * @property {number | null} offset
 * @property {boolean} asking
 * @property {LiveEvent[]} early events that overtook the acknowledgement of their subscription
 * @property {boolean} gone
 */

const CALL_MS = 8_000;
const RETRY_MS = 2_000;
const SAMPLES_FROM_NOW = Date.parse(document.documentElement.dataset.now ?? "");

/** Why a call did not work: the server's problem, or `timeout` when nobody answered. */
export class CallFailed extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail ?? problem.title ?? "call failed");
    this.name = "CallFailed";
    this.problem = problem;
  }

  /** The problem's code, `slot-taken`; `timeout` without an answer. */
  get code() {
    return (this.problem.type ?? "").replace("/problems/", "");
  }
}

/** Where the page hears of its connection: `state` events; `connection.state`, `connection.since`. */
class Connection extends EventTarget {
  /** @type {ConnectionState} */ state = "connecting";
  /** When it became so, by the server's clock. */
  since = 0;

  /** @param {ConnectionState} state */
  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.since = serverNow();
    this.dispatchEvent(new Event("state"));
  }
}

// Milliseconds that the server's clock is ahead of this page's own counter; the device's clock is never asked.
let ahead = Number.isNaN(SAMPLES_FROM_NOW) ? Date.now() - performance.now() : SAMPLES_FROM_NOW - performance.now();
let sampled = false;

export const connection = new Connection();

/** The server's time now, in milliseconds since 1970. */
export function serverNow() {
  return ahead + performance.now();
}

/** @param {unknown} at */
function hearTime(at) {
  const told = typeof at === "string" ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(told)) return;
  const sample = told - performance.now();
  // A message is always late, never early: of one connection's samples the greatest is the truest.
  ahead = sampled ? Math.max(ahead, sample) : sample;
  sampled = true;
}

/** @type {import("socket.io-client").Socket | null} */
let socket = null;
/** @type {Set<Member>} */
const members = new Set();
/** @type {Set<{ type: string, handler: Handler }>} */
const listeners = new Set();
let retryAfterMs = 0;
let mayReturn = true;

function open() {
  if (socket) return socket;
  const made = io({ transports: ["websocket"], withCredentials: true, reconnectionDelay: 500, reconnectionDelayMax: 5_000 });
  socket = made;
  made.on("connect", () => {
    sampled = false;
    retryAfterMs = 0;
    connection.become("connected");
    for (const member of members) void subscribe(member);
  });
  made.on("disconnect", (reason) => {
    for (const member of members) member.asking = false;
    connection.become(mayReturn ? "offline" : "ended");
    if (reason === "io server disconnect" && mayReturn) setTimeout(() => made.connect(), retryAfterMs || RETRY_MS);
  });
  made.on("connect_error", () => {
    connection.become("offline");
    // Refused by the server itself: the client does not come back by its own.
    if (!made.active && mayReturn) setTimeout(() => made.connect(), RETRY_MS * (1 + Math.random()));
  });
  made.on("event", (/** @type {LiveEvent} */ event) => {
    hearTime(event.at);
    for (const member of [...members]) if (member.room === event.room) receive(member, event);
    for (const { type, handler } of [...listeners]) if (type === event.type) handler(event.data, event);
  });
  made.on("resync", (/** @type {{ room: string }} */ { room }) => {
    for (const member of members) if (member.room === room) void subscribe(member);
  });
  made.on("bye", (/** @type {{ code: string, retry?: boolean, after_ms?: number }} */ bye) => {
    mayReturn = bye.retry !== false;
    retryAfterMs = bye.after_ms ?? 0;
    if (!mayReturn) made.io.reconnection(false);
  });
  const comeBack = () => {
    if (mayReturn && !made.connected && document.visibilityState === "visible") made.connect();
  };
  window.addEventListener("online", comeBack);
  document.addEventListener("visibilitychange", comeBack);
  return made;
}

/**
 * Hear a room until the returned function is called.
 * @param {string} room
 * @param {Record<string, Handler>} handlers by the event's type
 * @param {{ onSnapshot?: (snapshot: any) => void, onRefused?: (problem: Problem) => void, since?: number | null }} [options]
 *   `since` is the number that what the page shows is true at
 * @returns {() => void}
 */
export function join(room, handlers, { onSnapshot, onRefused, since = null } = {}) {
  /** @type {Member} */
  const member = { room, handlers, onSnapshot, onRefused, offset: since, asking: false, early: [], gone: false };
  members.add(member);
  const opened = open();
  if (opened.connected) void subscribe(member);
  return () => {
    member.gone = true;
    members.delete(member);
    const others = [...members].some((one) => one.room === room);
    if (!others && opened.connected) opened.emit("unsubscribe", { room }, () => undefined);
  };
}

/**
 * Hear events of one type whatever room they come from: signals of a call, what concerns the person.
 * @param {string} type
 * @param {Handler} handler
 * @returns {() => void}
 */
export function on(type, handler) {
  const listener = { type, handler };
  listeners.add(listener);
  open();
  return () => void listeners.delete(listener);
}

/**
 * Hear when the connection comes and goes.
 * @param {(state: ConnectionState) => void} told
 * @returns {() => void}
 */
export function onStateChange(told) {
  const listener = () => told(connection.state);
  connection.addEventListener("state", listener);
  return () => connection.removeEventListener("state", listener);
}

/**
 * Call the server and wait for its acknowledgement, as it is: `ok` may be false. Throws CallFailed without an answer.
 * @param {string} event
 * @param {object} payload
 * @param {{ timeoutMs?: number }} [options]
 * @returns {Promise<any>}
 */
export async function call(event, payload, { timeoutMs = CALL_MS } = {}) {
  let answer;
  try {
    answer = await open().timeout(timeoutMs).emitWithAck(event, payload);
  } catch {
    throw new CallFailed({ type: "/problems/timeout", title: "No answer." });
  }
  hearTime(answer?.at);
  return answer;
}

/**
 * The same, where a refusal is thrown too: CallFailed with the server's problem.
 * @param {string} event
 * @param {object} payload
 * @param {{ timeoutMs?: number }} [options]
 * @returns {Promise<any>}
 */
export async function ask(event, payload, options = {}) {
  const answer = await call(event, payload, options);
  if (answer?.ok !== true) throw new CallFailed(answer?.error ?? { type: "/problems/internal" });
  return answer;
}

/** @param {Member} member */
async function subscribe(member) {
  if (member.asking || member.gone) return;
  member.asking = true;
  const asked = socket?.id;
  try {
    const since = member.offset === null ? {} : { since: member.offset };
    const answer = await ask("subscribe", { room: member.room, ...since });
    if (member.gone || socket?.id !== asked) return;
    if (answer.events) for (const event of answer.events) apply(member, event);
    else member.onSnapshot?.(answer.snapshot);
    // Also downwards: after a restore the database knows better than this page.
    member.offset = answer.offset ?? member.offset;
    member.asking = false;
    for (const event of member.early.splice(0)) receive(member, event);
  } catch (error) {
    member.asking = false;
    if (member.gone || !(error instanceof CallFailed)) throw error;
    const refused = error.problem.status !== undefined && error.problem.status < 500 && error.problem.status !== 429;
    if (refused) {
      members.delete(member);
      member.onRefused?.(error.problem);
    } else if (socket?.connected && socket.id === asked) {
      setTimeout(() => void subscribe(member), RETRY_MS * (1 + Math.random()));
    }
  }
}

/**
 * @param {Member} member
 * @param {LiveEvent} event
 */
function receive(member, event) {
  if (typeof event.offset !== "number") {
    hand(member, event); // typing, presence, candidates: what may be lost has no number
  } else if (member.asking || member.offset === null) {
    member.early.push(event);
  } else if (event.offset === member.offset + 1) {
    apply(member, event);
  } else if (event.offset > member.offset) {
    void subscribe(member);
  }
}

/**
 * @param {Member} member
 * @param {LiveEvent} event
 */
function apply(member, event) {
  if (typeof event.offset === "number") {
    if (member.offset !== null && event.offset <= member.offset) return;
    member.offset = event.offset;
  }
  hand(member, event);
}

/**
 * @param {Member} member
 * @param {LiveEvent} event
 */
function hand(member, event) {
  member.handlers[event.type]?.(event.data, event);
}
