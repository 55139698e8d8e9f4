/** What the device check found, told to the doctor's queue together with how quickly the server answers. */

import { ask, CallFailed } from "../live.js";

/** @typedef {"ok" | "limited" | "none" | "unknown"} Works */

const SLOW_MS = 400;
const TRIES = 3;

export class Readiness {
  #consultation;
  /** @type {Record<"camera" | "microphone" | "speaker" | "network", Works>} */
  #found = { camera: "unknown", microphone: "unknown", speaker: "unknown", network: "unknown" };
  #told = "";

  /** @param {string} consultation */
  constructor(consultation) {
    this.#consultation = consultation;
  }

  /** @param {Partial<Record<"camera" | "microphone" | "speaker", Works>>} found */
  async tell(found) {
    Object.assign(this.#found, found);
    if (this.#found.network === "unknown") this.#found.network = await network();
    const told = JSON.stringify(this.#found);
    if (told === this.#told) return;
    this.#told = told;
    try {
      await ask("waiting.readiness", { consultation_id: this.#consultation, ...this.#found });
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      this.#told = ""; // told again with the next finding
    }
  }
}

/** How the connection is: the middle one of a few round trips. @returns {Promise<Works>} */
async function network() {
  const trips = [];
  for (let number = 0; number < TRIES; number += 1) {
    const before = performance.now();
    const answer = await fetch("/healthz", { cache: "no-store" }).catch(() => null);
    if (!answer) return "none";
    trips.push(performance.now() - before);
  }
  trips.sort((a, b) => a - b);
  return (trips[1] ?? 0) > SLOW_MS ? "limited" : "ok";
}
