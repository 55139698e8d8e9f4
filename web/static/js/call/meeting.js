/**
 * Who is in the call and in which epoch: joining, coming back, one connection to each of the others. It knows the socket
 * and the connections, and nothing of the page.
 */

import { call, on, onStateChange } from "../live.js";
import { Peer } from "./peer.js";

/** @typedef {import("./wire.js").JoinedCall} JoinedCall */
/** @typedef {import("./wire.js").PeerView} PeerView */
/** @typedef {import("./wire.js").PeersSignal} PeersSignal */
/** @typedef {import("./wire.js").DescribeSignal} DescribeSignal */
/** @typedef {import("./wire.js").CandidateSignal} CandidateSignal */
/** @typedef {import("./wire.js").MediaSignal} MediaSignal */
/** @typedef {import("./wire.js").MediaShown} MediaShown */
/** @typedef {import("./wire.js").Problem} Problem */
/** @typedef {import("./peer.js").Picture} Picture */
/**
 * @typedef {object} MeetingPorts
 * @property {() => void} changed somebody came, left, or a line changed
 * @property {(path: JoinedCall["path"]) => void} entered
 * @property {() => void} away joining does not work for a moment; it is tried again
 * @property {(code: string, reason: string) => void} refused
 * @property {() => void} takenOver another window of this person has the call
 * @property {() => void} over
 */

const REJOIN_MS = 3000;
const ASK_MS = 2000;
const EPOCH_WAIT_MS = 2000;
const LONGEST_EPOCH_WAIT_MS = 60000;
const ICE_FRESH_MS = 8 * 60 * 1000;
const MOST_EARLY_SIGNALS = 200;

/** The server's no. */
class Refused extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail ?? problem.title ?? "refused");
    this.problem = problem;
    this.code = (problem.type ?? "").replace("/problems/", "");
  }
}

export class Meeting {
  /** @type {Map<string, Peer>} */ peers = new Map();
  /** One page, one device: a reload or a second tab is another one. */
  #device = crypto.getRandomValues(new Uint32Array(4)).join("-");
  #consultation;
  #isDoctor;
  #ports;
  #in = false;
  /** Whether the server has let us in since then; nothing but the join is said before. */
  #entered = false;
  #me = "";
  #epoch = 0;
  #joined = 0;
  /** @type {RTCIceServer[]} */ #servers = [];
  #serversAt = 0;
  /** @type {Promise<void> | null} */ #entering = null;
  #wantsEpoch = false;
  #epochWait = EPOCH_WAIT_MS;
  #nextEpochAt = 0;
  #connected = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {(DescribeSignal | CandidateSignal)[]} of peers and epochs that we have not heard of yet */ #early = [];
  /** @type {PeersSignal | null} */ #earlyPeers = null;
  /** @type {{ audio: MediaStreamTrack | null, video: MediaStreamTrack | null, shown: MediaShown }} */
  #sends = { audio: null, video: null, shown: { audio: false, video: false, screen: false } };
  #told = "";
  /** @type {Picture} */ #picture = "full";
  /** @type {(() => void)[]} */ #undo = [];

  /**
   * @param {{ consultation: string, isDoctor: boolean }} where
   * @param {MeetingPorts} ports
   */
  constructor({ consultation, isDoctor }, ports) {
    this.#consultation = consultation;
    this.#isDoctor = isDoctor;
    this.#ports = ports;
    /** @type {Record<string, (data: any) => void>} */
    const handlers = {
      "video.peers": (/** @type {PeersSignal} */ data) => this.#hearPeers(data),
      "video.describe": (/** @type {DescribeSignal} */ data) => this.#signal(data),
      "video.candidate": (/** @type {CandidateSignal} */ data) => this.#signal(data),
      "video.media": (/** @type {MediaSignal} */ data) => this.#mediaOf(data),
      "video.taken_over": () => this.#ports.takenOver(),
      "video.ended": () => this.#ports.over(),
    };
    for (const [type, handler] of Object.entries(handlers)) {
      const hear = (/** @type {any} */ data, /** @type {{ room: string }} */ { room }) => {
        if (this.#in && room === `consultation:${consultation}`) handler(data);
      };
      this.#undo.push(on(type, hear));
    }
    this.#undo.push(onStateChange((state) => this.#socket(state === "connected")));
  }

  /** The lines that have media now. */
  get live() {
    return [...this.peers.values()].filter((peer) => peer.line === "live");
  }

  /** Whether the server has let us in. */
  get isEntered() {
    return this.#entered;
  }

  /** Come in, in a new epoch. */
  async join() {
    this.#in = true;
    this.#wantsEpoch = true;
    this.#epochWait = EPOCH_WAIT_MS;
    await this.#enter();
  }

  /** Let go of everybody. */
  stop() {
    this.#in = this.#entered = false;
    clearTimeout(this.#timer);
    for (const peer of this.peers.values()) peer.close();
    this.peers.clear();
    this.#early = [];
    this.#earlyPeers = null;
    this.#told = "";
  }

  /** Tell the server that we are out. */
  async leave() {
    this.stop();
    await ask("video.leave", {}).catch(() => undefined); // it notices by the closed socket too
  }

  /** Hear nothing any more. */
  close() {
    for (const undo of this.#undo.splice(0)) undo();
  }

  /**
   * Send these tracks, and tell the others what that is whenever they know it otherwise.
   * @param {MediaStreamTrack | null} audio
   * @param {MediaStreamTrack | null} video
   * @param {MediaShown} shown
   */
  send(audio, video, shown) {
    this.#sends = { audio, video, shown };
    for (const peer of this.peers.values()) void peer.send(audio, video);
    this.#tellMedia();
  }

  /** @param {Picture} picture */
  show(picture) {
    this.#picture = picture;
    for (const peer of this.peers.values()) void peer.show(picture);
  }

  /** The device is in another network: look for new ways at once. */
  networkChanged() {
    for (const peer of this.peers.values()) void peer.restart();
  }

  /**
   * Numbers for operations; a lost report is no loss.
   * @param {object} numbers
   */
  report(numbers) {
    void this.#tell("video.quality", numbers).catch(() => undefined);
  }

  /** Join, or join again: with the epoch that we are in if its media may go on, else in a new one. */
  async #enter() {
    this.#entering ??= this.#enterOnce().finally(() => {
      this.#entering = null;
    });
    await this.#entering;
  }

  async #enterOnce() {
    clearTimeout(this.#timer);
    const fresh = this.#wantsEpoch;
    try {
      const payload = { consultation_id: this.#consultation, device: this.#device };
      const answer = await ask("video.join", fresh ? payload : { ...payload, resume: this.#epoch });
      if (!this.#in) return void (await this.leave()); // left while joining
      this.#hearJoined(/** @type {JoinedCall} */ (answer), fresh);
    } catch (error) {
      if (!this.#in) return;
      const code = error instanceof Refused ? error.code : "";
      const status = error instanceof Refused ? (error.problem.status ?? 500) : 500;
      if (code === "call-taken-over") {
        this.#ports.takenOver();
      } else if (status < 500 && status !== 429) {
        this.#ports.refused(code, error instanceof Error ? error.message : "");
      } else {
        this.#ports.away();
        this.#timer = setTimeout(() => void this.#enter(), REJOIN_MS);
      }
    }
  }

  /**
   * @param {JoinedCall} joined
   * @param {boolean} fresh whether a new epoch was asked for
   */
  #hearJoined(joined, fresh) {
    this.#entered = true;
    if (fresh) this.#wantsEpoch = false;
    this.#me = joined.id;
    this.#servers = joined.ice_servers;
    this.#serversAt = performance.now();
    this.#joined = joined.joined ?? (fresh ? joined.epoch : this.#joined);
    this.#told = "";
    this.#ports.entered(joined.path);
    this.#meet(joined.epoch, joined.peers, null);
    const early = this.#earlyPeers;
    this.#earlyPeers = null;
    if (early && early.epoch > joined.epoch) this.#hearPeers(early);
    this.#tellMedia();
    if (!fresh) for (const peer of this.peers.values()) void peer.retry();
    if (this.#wantsEpoch) this.#timer = setTimeout(() => void this.#enter(), ASK_MS);
  }

  /** @param {PeersSignal} data */
  #hearPeers(data) {
    // It may overtake the answer to our joining, without which we do not know our own epoch.
    if (this.#entered) this.#meet(data.epoch, data.peers, data.left ?? "");
    else this.#earlyPeers = data;
  }

  /**
   * Who is in the call: connect to those who are new or came in again, let go of those who left.
   * @param {number} epoch
   * @param {PeerView[]} views
   * @param {string | null} left who has just left, as the server said of its own accord; null in an answer to us
   */
  #meet(epoch, views, left) {
    if (epoch < this.#epoch && left !== null) return;
    this.#epoch = epoch;
    for (const [id, peer] of this.peers) {
      // A server that lost its memory may not know of somebody whose media never stopped.
      const gone = id === left || peer.line !== "live";
      if (gone && !views.some((view) => view.id === id)) this.#drop(peer);
    }
    for (const view of views) {
      const pairEpoch = Math.max(this.#joined, view.epoch ?? epoch);
      const known = this.peers.get(view.id);
      if (known && known.epoch >= pairEpoch) {
        known.media = view.media ?? known.media;
        continue;
      }
      if (known) this.#drop(known);
      if (view.here !== false) this.#connect(view, pairEpoch);
    }
    this.#ports.changed();
    for (const signal of this.#early.splice(0)) this.#signal(signal);
  }

  /**
   * @param {PeerView} view
   * @param {number} epoch
   */
  #connect(view, epoch) {
    const polite = !this.#isDoctor && (view.role === "doctor" || this.#me > view.id);
    const peer = new Peer({ id: view.id, role: view.role, epoch, polite, servers: this.#servers }, {
      send: (event, payload) => this.#tell(event, payload),
      iceServers: () => this.#freshServers(),
      changed: () => {
        if (peer.line === "live") this.#epochWait = EPOCH_WAIT_MS;
        this.#ports.changed();
      },
      hopeless: () => this.#hopeless(),
    });
    peer.media = view.media ?? null;
    this.peers.set(view.id, peer);
    void peer.send(this.#sends.audio, this.#sends.video);
    void peer.show(this.#picture);
  }

  /** @param {Peer} peer */
  #drop(peer) {
    peer.close();
    this.peers.delete(peer.id);
  }

  /** @param {DescribeSignal | CandidateSignal} signal */
  #signal(signal) {
    const peer = this.peers.get(signal.from);
    if (!peer || signal.epoch > peer.epoch) {
      // It came before we were told of its sender, or the telling was lost: keep it, and ask.
      if (signal.epoch < this.#epoch) return;
      if (this.#early.length < MOST_EARLY_SIGNALS) this.#early.push(signal);
      if (!this.#entering) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => void this.#enter(), ASK_MS);
      }
    } else if ("description" in signal) {
      peer.described(signal);
    } else {
      peer.candidates(signal);
    }
  }

  /** @param {MediaSignal} signal */
  #mediaOf(signal) {
    const peer = this.peers.get(signal.from);
    if (!peer) return;
    peer.media = { audio: signal.audio, video: signal.video, screen: signal.screen };
    this.#ports.changed();
  }

  #tellMedia() {
    if (!this.#entered) return;
    const text = JSON.stringify(this.#sends.shown);
    if (text === this.#told) return;
    this.#told = text;
    void this.#tell("video.media", this.#sends.shown).catch(() => {
      this.#told = ""; // said again after the next join
    });
  }

  /**
   * Send a signal; an answer from a newer epoch, or that we are not known, means that we missed something.
   * @param {string} event
   * @param {object} payload
   */
  async #tell(event, payload) {
    try {
      const answer = /** @type {{ epoch?: number }} */ (await ask(event, payload));
      if (this.#in && (answer.epoch ?? 0) > this.#epoch && !this.#entering) void this.#enter();
      return answer;
    } catch (error) {
      if (this.#entered && !this.#entering && error instanceof Refused) {
        if (error.code === "call-taken-over") this.#ports.takenOver();
        else if (error.code === "not-in-call") void this.#enter();
      }
      throw error;
    }
  }

  /** Servers whose credentials still hold: they live ten minutes, a call longer. */
  async #freshServers() {
    if (this.#servers.length && performance.now() - this.#serversAt > ICE_FRESH_MS) {
      const answer = /** @type {{ ice_servers: RTCIceServer[] }} */ (await ask("video.ice", {}));
      this.#servers = answer.ice_servers;
      this.#serversAt = performance.now();
    }
    return this.#servers;
  }

  /** A connection cannot be mended: begin a new epoch, less often each time that this did not help. */
  #hopeless() {
    this.#wantsEpoch = true;
    if (!this.#connected) return; // when the socket is back
    const now = performance.now();
    const wait = Math.max(0, this.#nextEpochAt - now);
    this.#nextEpochAt = now + wait + this.#epochWait;
    this.#epochWait = Math.min(2 * this.#epochWait, LONGEST_EPOCH_WAIT_MS);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#enter(), wait);
  }

  /**
   * The socket came or went. Its loss never touches a connection.
   * @param {boolean} connected
   */
  #socket(connected) {
    const back = connected && !this.#connected;
    this.#connected = connected;
    if (back && this.#in) void this.#enter();
  }
}

/**
 * A call over the socket. Throws Refused when the server says no, and what the socket throws when nothing comes back.
 * @param {string} event
 * @param {object} payload
 * @returns {Promise<unknown>}
 */
async function ask(event, payload) {
  const answer = /** @type {{ ok?: boolean, error?: Problem } | undefined} */ (await call(event, payload));
  if (answer?.ok === false) throw new Refused(answer.error ?? {});
  return answer;
}
