/** How good the line is: from what the browser counts every two seconds to a number, a word and how much picture fits. */

/** @typedef {import("./peer.js").Picture} Picture */
/**
 * @typedef {object} Sample what happened since the sample before; shares are 0 to 1
 * @property {number} loss of what arrives
 * @property {number} outLoss of what we send, as the other side reports it
 * @property {number} rttMs
 * @property {number} jitterMs
 * @property {number} concealed share of sound that was made up
 * @property {number} frozenMs time the picture stood still
 * @property {number} inKbps
 * @property {number} outKbps
 * @property {number | null} roomKbps what the browser thinks it can send
 * @property {"direct" | "turn"} route
 * @property {number} spanMs
 */
/**
 * @typedef {object} Counters
 * @property {number} at
 * @property {number} lost
 * @property {number} received
 * @property {number} concealed
 * @property {number} samples
 * @property {number} frozen
 * @property {number} bytesIn
 * @property {number} bytesOut
 */

const CLIMB_MS = 15000;
const FALL_MS = 6000;
const LONGEST_CLIMB_MS = 120000;
const SMALL_BELOW_KBPS = 150;
const NONE_BELOW_KBPS = 60;
const MUCH_LOSS = 0.08;
const LITTLE_LOSS = 0.03;

/**
 * @param {RTCStatsReport} report
 * @param {Counters | null} before
 * @param {number} now milliseconds
 * @returns {{ counters: Counters, sample: Sample | null }}
 */
export function measure(report, before, now) {
  /** @type {Counters} */
  const counters = { at: now, lost: 0, received: 0, concealed: 0, samples: 0, frozen: 0, bytesIn: 0, bytesOut: 0 };
  let jitter = 0;
  let outLoss = 0;
  let rtt = 0;
  /** @type {number | null} */ let room = null;
  /** @type {"direct" | "turn"} */ let route = "direct";
  for (const entry of report.values()) {
    if (entry.type === "inbound-rtp") {
      counters.lost += Math.max(0, entry.packetsLost ?? 0);
      counters.received += entry.packetsReceived ?? 0;
      counters.concealed += (entry.concealedSamples ?? 0) - (entry.silentConcealedSamples ?? 0);
      counters.samples += entry.totalSamplesReceived ?? 0;
      counters.frozen += entry.totalFreezesDuration ?? 0;
      counters.bytesIn += entry.bytesReceived ?? 0;
      jitter = Math.max(jitter, entry.jitter ?? 0);
    } else if (entry.type === "outbound-rtp") {
      counters.bytesOut += entry.bytesSent ?? 0;
    } else if (entry.type === "remote-inbound-rtp") {
      outLoss = Math.max(outLoss, entry.fractionLost ?? 0);
      rtt = Math.max(rtt, entry.roundTripTime ?? 0);
    } else if (entry.type === "transport" && entry.selectedCandidatePairId) {
      const pair = report.get(entry.selectedCandidatePairId);
      if (!pair) continue;
      if (pair.currentRoundTripTime !== undefined) rtt = Math.max(rtt, pair.currentRoundTripTime);
      if (pair.availableOutgoingBitrate !== undefined) room = pair.availableOutgoingBitrate / 1000;
      const ends = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
      if (ends.some((end) => end?.candidateType === "relay")) route = "turn";
    }
  }
  if (!before || now <= before.at) return { counters, sample: null };
  const spanMs = now - before.at;
  const since = (/** @type {keyof Counters} */ name) => Math.max(0, counters[name] - before[name]);
  const packets = since("lost") + since("received");
  const samples = since("samples");
  return {
    counters,
    sample: {
      loss: packets ? since("lost") / packets : 0,
      outLoss,
      rttMs: rtt * 1000,
      jitterMs: jitter * 1000,
      concealed: samples ? Math.min(1, since("concealed") / samples) : 0,
      frozenMs: Math.min(spanMs, since("frozen") * 1000),
      inKbps: (since("bytesIn") * 8) / spanMs,
      outKbps: (since("bytesOut") * 8) / spanMs,
      roomKbps: room,
      route,
      spanMs,
    },
  };
}

/**
 * 0 (nothing gets through) to 100 (as in one room).
 * @param {Sample} sample
 * @param {boolean} expected whether the other side says that it sends something
 */
export function scoreOf(sample, expected) {
  if (expected && sample.inKbps === 0) return 0;
  const worse =
    Math.min(60, Math.max(sample.loss, sample.outLoss) * 500) +
    Math.min(30, Math.max(0, sample.rttMs - 150) / 10) +
    Math.min(15, Math.max(0, sample.jitterMs - 30) / 4) +
    Math.min(30, sample.concealed * 300) +
    Math.min(40, (sample.frozenMs / sample.spanMs) * 60);
  return Math.max(0, Math.round(100 - worse));
}

/**
 * @param {number} score
 * @returns {{ word: "good" | "fair" | "poor", bars: number }}
 */
export function wordFor(score) {
  if (score >= 70) return { word: "good", bars: score >= 85 ? 4 : 3 };
  if (score >= 40) return { word: "fair", bars: 2 };
  return { word: "poor", bars: 1 };
}

/** Falls at once and climbs only after 15 s: what it shows is the worst of the last 15 s. */
export class Gauge {
  /** @type {{ at: number, score: number }[]} */ #recent = [];

  /**
   * @param {number} score
   * @param {number} now milliseconds
   */
  add(score, now) {
    this.#recent.push({ at: now, score });
    this.#recent = this.#recent.filter(({ at }) => now - at < CLIMB_MS);
    return Math.min(...this.#recent.map((one) => one.score));
  }

  clear() {
    this.#recent = [];
  }
}

/** How much picture we send: less after 6 bad seconds, more after 15 good ones, later each time that was too early. */
export class PictureRule {
  /** @type {Picture} */ picture = "full";
  /** @type {number | null} */ #badSince = null;
  /** @type {number | null} */ #goodSince = null;
  #climbed = 0;
  #wait = CLIMB_MS;

  /**
   * @param {Sample} sample
   * @param {number} now milliseconds
   * @returns {Picture}
   */
  add(sample, now) {
    const room = sample.roomKbps ?? Infinity;
    const tight = room < (this.picture === "full" ? SMALL_BELOW_KBPS : NONE_BELOW_KBPS);
    const bad = this.picture !== "none" && (tight || sample.outLoss > MUCH_LOSS);
    // With no picture going out the browser's guess of the room does not grow, so only loss and delay count then.
    const roomy = this.picture === "none" || room >= SMALL_BELOW_KBPS;
    const good = this.picture !== "full" && roomy && sample.outLoss < LITTLE_LOSS && sample.rttMs < 500;
    this.#badSince = bad ? (this.#badSince ?? now - sample.spanMs) : null;
    this.#goodSince = good ? (this.#goodSince ?? now) : null;
    if (this.#badSince !== null && now - this.#badSince >= FALL_MS) {
      const early = now - this.#climbed < 2 * CLIMB_MS;
      this.#wait = early ? Math.min(2 * this.#wait, LONGEST_CLIMB_MS) : CLIMB_MS;
      this.#move(this.picture === "full" && room >= NONE_BELOW_KBPS ? "small" : "none");
    } else if (this.#goodSince !== null && now - this.#goodSince >= this.#wait) {
      this.#climbed = now;
      this.#move(this.picture === "none" ? "small" : "full");
    }
    return this.picture;
  }

  /** @param {Picture} picture */
  #move(picture) {
    this.picture = picture;
    this.#badSince = this.#goodSince = null;
  }
}
