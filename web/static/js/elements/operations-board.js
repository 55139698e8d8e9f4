/** <operations-board room>: the numbers of operations, as their room tells them; a change for the worse is said aloud. */

import { join, serverNow } from "../live.js";
import { clock } from "../words.js";

/** @typedef {{ id: string, connections: number, rooms: number, calls_waiting: number, shares_budgets: boolean }} ServerFigures */
/** @typedef {Record<string, number> & { redis_away: boolean, servers: ServerFigures[] }} Operations */

class OperationsBoard extends HTMLElement {
  /** @type {() => void} */ #leave = () => undefined;

  connectedCallback() {
    this.#leave = join(
      this.getAttribute("room") ?? "",
      { "operations.changed": ({ operations }) => this.#show(operations) },
      { onSnapshot: ({ operations }) => this.#show(operations) },
    );
  }

  disconnectedCallback() {
    this.#leave();
  }

  /** @param {Operations} operations */
  #show(operations) {
    for (const shown of this.querySelectorAll("[data-figure]"))
      if (shown instanceof HTMLElement) write(shown, operations[shown.dataset.figure ?? ""] ?? "");
    let trouble = operations.redis_away;
    for (const mark of this.querySelectorAll("[data-look]")) {
      if (!(mark instanceof HTMLElement)) continue;
      const name = mark.dataset.look ?? "";
      const isNeeded = (operations[name] ?? 0) >= (name === "outbox_lag_seconds" ? Number(this.dataset.lateSeconds) : 1);
      mark.hidden = !isNeeded;
      trouble ||= isNeeded;
    }
    const away = this.querySelector("[data-away]");
    if (away instanceof HTMLElement) away.hidden = !operations.redis_away;
    write(this.querySelector("[data-state]"), (trouble ? this.dataset.trouble : this.dataset.well) ?? "");
    const asOf = this.querySelector("[data-as-of]");
    if (asOf instanceof HTMLTimeElement) {
      asOf.dateTime = new Date(serverNow()).toISOString();
      write(asOf, clock(serverNow()));
    }
    this.#showServers(operations.servers);
  }

  /** @param {ServerFigures[]} servers */
  #showServers(servers) {
    const list = this.querySelector("[data-servers]");
    const template = this.querySelector("template[data-server]");
    if (!list || !(template instanceof HTMLTemplateElement)) return;
    // Rows are kept where they are: somebody may be reading them.
    while (list.childElementCount > servers.length) list.lastElementChild?.remove();
    while (list.childElementCount < servers.length) list.append(template.content.cloneNode(true));
    for (const [number, server] of servers.entries()) {
      const row = list.children[number];
      for (const name of /** @type {const} */ (["id", "connections", "rooms", "calls_waiting"]))
        write(row.querySelector(`[data-cell="${name}"]`), server[name]);
      const isOnly = servers.length === 1;
      show(row, "[data-only]", isOnly);
      show(row, "[data-together]", server.shares_budgets);
      show(row, "[data-alone]", !isOnly && !server.shares_budgets);
    }
  }
}

/**
 * Write only what is another than before: what did not change is not read aloud again.
 * @param {Element | null} where
 * @param {string | number} what
 */
function write(where, what) {
  if (where && where.textContent !== String(what)) where.textContent = String(what);
}

/**
 * @param {Element} row
 * @param {string} selector
 * @param {boolean} isShown
 */
function show(row, selector, isShown) {
  const found = row.querySelector(selector);
  if (found instanceof HTMLElement) found.hidden = !isShown;
}

customElements.define("operations-board", OperationsBoard);
