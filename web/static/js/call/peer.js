/**
 * The connection to one of the others, in one epoch: perfect negotiation, and what is done when the line breaks.
 * Its transceivers exist from the first offer on, so a track that comes, goes or changes needs no new negotiation.
 */

/** @typedef {import("./wire.js").DescribeSignal} DescribeSignal */
/** @typedef {import("./wire.js").CandidateSignal} CandidateSignal */
/** @typedef {"connecting" | "live" | "lost"} Line */
/** @typedef {"full" | "small" | "none"} Picture */
/**
 * @typedef {object} PeerPorts
 * @property {(event: string, payload: object) => Promise<unknown>} send passes a signal to this peer
 * @property {() => Promise<RTCIceServer[]>} iceServers servers whose credentials still hold
 * @property {(peer: Peer) => void} changed the line or the remote tracks changed
 * @property {(peer: Peer) => void} hopeless the connection cannot be mended: a new epoch is needed
 */

const RESTARTS_MS = [2000, 5000, 10000];
const FIRST_RESTARTS_MS = [8000, 14000];
const HOPELESS_MS = 20000;
/** The polite side lets the other one try first, so that two do not restart at once. */
const POLITE_DELAY_MS = 400;
const ANSWER_MS = 4000;
const BATCH_MS = 20;
const BATCH = 20;

/** @type {Record<Picture, { active: boolean, maxBitrate: number, maxFramerate: number, scaleResolutionDownBy: number }>} */
const ENCODINGS = {
  full: { active: true, maxBitrate: 1_500_000, maxFramerate: 30, scaleResolutionDownBy: 1 },
  small: { active: true, maxBitrate: 120_000, maxFramerate: 12, scaleResolutionDownBy: 4 },
  none: { active: false, maxBitrate: 60_000, maxFramerate: 5, scaleResolutionDownBy: 4 },
};

export class Peer {
  /** @type {Line} */ line = "connecting";
  /** @type {{ audio: boolean, video: boolean, screen: boolean } | null} */ media = null;
  /** What arrives from the other side. */
  stream = new MediaStream();
  #connection;
  #ports;
  #making = false;
  #ignoring = false;
  #seq = 0;
  #heard = -1;
  #closed = false;
  /** @type {Promise<void>} signals are taken one after the other */ #queue = Promise.resolve();
  /** @type {RTCIceCandidateInit[]} came before the description that they belong to */ #early = [];
  /** @type {RTCIceCandidateInit[]} */ #batch = [];
  /** @type {number | undefined} */ #batchTimer;
  /** @type {number | undefined} */ #answerTimer;
  /** @type {number[]} */ #timers = [];
  /** @type {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null }} */ #tracks = { audio: null, video: null };
  #local = new MediaStream();
  /** @type {Picture} */ #picture = "full";

  /**
   * @param {{ id: string, role: string, epoch: number, polite: boolean, servers: RTCIceServer[] }} who
   * @param {PeerPorts} ports
   */
  constructor(who, ports) {
    this.id = who.id;
    this.role = who.role;
    this.epoch = who.epoch;
    this.polite = who.polite;
    this.#ports = ports;
    const connection = new RTCPeerConnection({ iceServers: who.servers, bundlePolicy: "max-bundle" });
    this.#connection = connection;
    connection.addEventListener("negotiationneeded", () => void this.#offer());
    connection.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.candidate) this.#gather(candidate);
    });
    connection.addEventListener("connectionstatechange", () => this.#observe());
    connection.addEventListener("track", ({ track }) => {
      this.stream.addTrack(track);
      this.#ports.changed(this);
    });
    this.#plan(FIRST_RESTARTS_MS);
    if (!this.polite) {
      for (const kind of ["audio", "video"]) connection.addTransceiver(kind, { direction: "sendrecv", streams: [this.#local] });
    }
  }

  /**
   * Send these from now on, in the same negotiation.
   * @param {MediaStreamTrack | null} audio
   * @param {MediaStreamTrack | null} video
   */
  async send(audio, video) {
    this.#tracks = { audio, video };
    await Promise.all(this.#connection.getTransceivers().map((transceiver) => this.#load(transceiver)));
  }

  /**
   * How much of the picture goes out.
   * @param {Picture} picture
   */
  async show(picture) {
    this.#picture = picture;
    const sender = this.#connection.getTransceivers().find((one) => one.receiver.track.kind === "video")?.sender;
    const parameters = sender?.getParameters();
    const encoding = parameters?.encodings?.[0];
    if (!sender || !parameters || !encoding) return;
    Object.assign(encoding, ENCODINGS[picture]);
    await sender.setParameters(parameters).catch(() => undefined); // a newer negotiation made them stale; set again there
  }

  /** @returns {Promise<RTCStatsReport>} */
  stats() {
    return this.#connection.getStats();
  }

  /**
   * An offer or answer of the other side. Older ones, and those of another epoch, are dropped.
   * @param {DescribeSignal} signal
   */
  described(signal) {
    if (signal.epoch !== this.epoch || signal.seq <= this.#heard) return;
    this.#heard = signal.seq;
    this.#later(() => this.#takeDescription(signal.description));
  }

  /** @param {CandidateSignal} signal */
  candidates(signal) {
    if (signal.epoch !== this.epoch) return;
    this.#later(async () => {
      for (const candidate of signal.candidates) {
        if (this.#connection.remoteDescription) await this.#addCandidate(candidate);
        else this.#early.push(candidate);
      }
    });
  }

  /** The network changed, or the signaling is back: if the line is not up, try now. */
  async retry() {
    if (this.line !== "live") await this.restart();
  }

  /** Look for new ways to the other side, with credentials that still hold. */
  async restart() {
    const connection = this.#connection;
    // The polite side has nothing to restart before the first offer has come.
    if (this.#closed || (this.polite && !connection.remoteDescription)) return;
    try {
      connection.setConfiguration({ ...connection.getConfiguration(), iceServers: await this.#ports.iceServers() });
    } catch {
      // The signaling is away; the restart goes out when it is back.
    }
    if (this.#closed) return;
    if (connection.signalingState === "have-local-offer") await this.#describe();
    else connection.restartIce();
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#clear();
    clearTimeout(this.#batchTimer);
    clearTimeout(this.#answerTimer);
    this.#connection.close();
  }

  async #offer() {
    const connection = this.#connection;
    if (this.#closed || (this.polite && !connection.remoteDescription)) return;
    try {
      this.#making = true;
      await connection.setLocalDescription();
      await this.#describe();
    } catch (error) {
      if (!this.#closed && !isPassing(error)) throw error;
    } finally {
      this.#making = false;
    }
  }

  /** Send what is described here; an offer again if no answer comes, because a signal may be lost. */
  async #describe() {
    const description = this.#connection.localDescription;
    if (!description || this.#closed) return;
    clearTimeout(this.#answerTimer);
    if (description.type === "offer") {
      this.#answerTimer = setTimeout(() => {
        if (this.#connection.signalingState === "have-local-offer") void this.#describe();
      }, ANSWER_MS);
    }
    this.#seq += 1;
    const { type, sdp } = description;
    await this.#say("video.describe", { seq: this.#seq, description: { type, sdp } });
  }

  /** @param {RTCSessionDescriptionInit} description */
  async #takeDescription(description) {
    const connection = this.#connection;
    const offered = description.type === "offer";
    const collision = offered && (this.#making || connection.signalingState !== "stable");
    this.#ignoring = !this.polite && collision;
    if (this.#ignoring) return;
    if (!offered && connection.signalingState !== "have-local-offer") return; // an answer that came twice
    await connection.setRemoteDescription(description);
    clearTimeout(this.#answerTimer);
    for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate);
    if (offered) {
      await Promise.all(connection.getTransceivers().map((transceiver) => this.#load(transceiver)));
      await connection.setLocalDescription();
      await this.#describe();
    }
    await this.show(this.#picture);
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #addCandidate(candidate) {
    try {
      await this.#connection.addIceCandidate(candidate);
    } catch (error) {
      // Candidates of an offer that was ignored, or of an older ICE generation, have nothing to belong to.
      if (!this.#ignoring && !isPassing(error)) throw error;
    }
  }

  /**
   * Put this side's track into a transceiver, whoever made it.
   * @param {RTCRtpTransceiver} transceiver
   */
  async #load(transceiver) {
    if (transceiver.direction === "stopped") return;
    const track = transceiver.receiver.track.kind === "audio" ? this.#tracks.audio : this.#tracks.video;
    if (transceiver.direction !== "sendrecv") {
      transceiver.direction = "sendrecv";
      transceiver.sender.setStreams?.(this.#local);
    }
    if (transceiver.sender.track !== track) await transceiver.sender.replaceTrack(track);
  }

  /** @param {RTCIceCandidate} candidate */
  #gather(candidate) {
    this.#batch.push(candidate.toJSON());
    if (this.#batch.length === 1) this.#batchTimer = setTimeout(() => this.#flush(), BATCH_MS);
  }

  #flush() {
    while (this.#batch.length && !this.#closed) {
      void this.#say("video.candidate", { candidates: this.#batch.splice(0, BATCH) });
    }
  }

  #observe() {
    const state = this.#connection.connectionState;
    if (this.#closed) return;
    if (state === "connected") {
      this.#clear();
      this.#become("live");
    } else if ((state === "disconnected" || state === "failed") && this.line === "live") {
      this.#plan(RESTARTS_MS);
    } else if (state === "failed") {
      void this.restart();
    }
  }

  /**
   * From now on until the line is up again: restarts at these times, and then no more hope.
   * @param {number[]} restarts
   */
  #plan(restarts) {
    this.#clear();
    const delay = this.polite ? POLITE_DELAY_MS : 0;
    const first = this.line === "connecting";
    for (const [index, after] of restarts.entries()) {
      const step = () => {
        if (index === 0 && !first) this.#become("lost");
        void this.restart();
      };
      this.#timers.push(setTimeout(step, after + delay));
    }
    this.#timers.push(setTimeout(() => this.#ports.hopeless(this), HOPELESS_MS + 8 * delay));
  }

  #clear() {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
  }

  /** @param {Line} line */
  #become(line) {
    if (this.line === line) return;
    this.line = line;
    this.#ports.changed(this);
  }

  /**
   * @param {string} event
   * @param {object} payload
   */
  async #say(event, payload) {
    try {
      await this.#ports.send(event, { to: this.id, epoch: this.epoch, ...payload });
    } catch {
      // Without signaling the media go on; when it is back, `retry` says again what matters.
    }
  }

  /** @param {() => Promise<void>} step */
  #later(step) {
    this.#queue = this.#queue.then(async () => {
      if (this.#closed) return;
      try {
        await step();
      } catch (error) {
        if (!this.#closed) console.warn("a signal could not be used", error);
      }
    });
  }
}

/**
 * Errors that come of two things happening at once, which the next description or restart puts right.
 * @param {unknown} error
 */
function isPassing(error) {
  return error instanceof DOMException && ["InvalidStateError", "OperationError", "AbortError"].includes(error.name);
}
