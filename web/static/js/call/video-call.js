/**
 * <video-call consultation="{id}" role="patient|doctor">: the call. It takes over the markup that the server rendered
 * inside it and sets data-state and data-route of the page. With `autojoin` it joins as soon as it is there.
 */

import { call, on, onStateChange } from "../live.js";
import { Devices } from "./devices.js";
import { showLevel } from "./meter.js";
import { Peer } from "./peer.js";
import { Gauge, measure, PictureRule, scoreOf, wordFor } from "./quality.js";
import { Stage } from "./stage.js";
import { say } from "./words.js";

/** @typedef {import("./wire.js").JoinedCall} JoinedCall */
/** @typedef {import("./wire.js").PeerView} PeerView */
/** @typedef {import("./wire.js").PeersSignal} PeersSignal */
/** @typedef {import("./wire.js").DescribeSignal} DescribeSignal */
/** @typedef {import("./wire.js").CandidateSignal} CandidateSignal */
/** @typedef {import("./wire.js").MediaSignal} MediaSignal */
/** @typedef {import("./wire.js").Problem} Problem */
/** @typedef {import("./quality.js").Counters} Counters */
/** @typedef {import("./quality.js").Sample} Sample */

const SAMPLE_MS = 2000;
const REPORT_MS = 10000;
const PHONE_MS = 60000;
const REJOIN_MS = 3000;
const ICE_FRESH_MS = 8 * 60 * 1000;
const MOST_EARLY_SIGNALS = 200;
const LONGEST_EPOCH_WAIT_MS = 60000;

/** The server's no. */
class Refused extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.detail ?? problem.title ?? "refused");
    this.problem = problem;
    this.code = (problem.type ?? "").replace("/problems/", "");
  }
}

class VideoCall extends HTMLElement {
  #devices = new Devices();
  /** One page, one device: a reload or a second tab is another one. */
  #device = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), String).join("-");
  /** @type {Stage | null} */ #stage = null;
  /** @type {Map<string, Peer>} */ #peers = new Map();
  /** @type {Map<string, Counters>} */ #counters = new Map();
  /** @type {(() => void)[]} */ #undo = [];
  #in = false;
  /** Whether the server has let us in since then; nothing but the join is said before. */
  #entered = false;
  #over = false;
  #ours = ""; // the last state that this element set
  #me = "";
  #epoch = 0;
  #joined = 0;
  /** @type {RTCIceServer[]} */ #servers = [];
  #serversAt = 0;
  /** @type {Promise<void> | null} */ #entering = null;
  /** @type {(DescribeSignal | CandidateSignal)[]} for peers and epochs that we have not heard of yet */ #early = [];
  #connected = true;
  #wantsEpoch = false;
  #wasLive = false;
  #met = false;
  #poor = false;
  #lastLive = 0;
  /** @type {number | null} */ #firstLive = null;
  #epochWait = SAMPLE_MS;
  #nextEpochAt = 0;
  /** @type {number | undefined} */ #rejoinTimer;
  #gauge = new Gauge();
  #rule = new PictureRule();
  #reportedAt = 0;
  #shown = "";
  #left = false;
  /** @type {(() => void) | null} */ #stopMeter = null;
  /** @type {MediaStreamTrack | null} */ #metered = null;

  connectedCallback() {
    const stage = new Stage(this);
    this.#stage = stage;
    this.#ours = stage.state;
    this.#listen(document, "click", (event) => this.#press(/** @type {MouseEvent} */ (event)));
    this.#listen(this, "change", (event) => this.#choose(event));
    this.#listen(this.#devices, "change", () => this.#devicesChanged());
    this.#listen(this.#devices, "devices", () => void this.#listDevices());
    this.#listen(window, "online", () => this.#networkChanged());
    const network = /** @type {any} */ (navigator).connection;
    let kind = network?.type;
    if (network) {
      this.#listen(network, "change", () => {
        // It fires for every guess of the speed too.
        if (network.type !== kind) this.#networkChanged();
        kind = network.type;
      });
    }
    this.#listen(window, "pagehide", () => this.#hide());
    this.#listen(window, "pageshow", (event) => {
      if (/** @type {PageTransitionEvent} */ (event).persisted && this.#left && !this.#over) void this.join();
    });
    // Whoever else says that the consultation is over (the room's events) says it on the page.
    const watch = new MutationObserver(() => {
      if (stage.state === "ended" && this.#ours !== "ended") this.end();
      else if (stage.state !== this.#ours) this.#reopened();
    });
    watch.observe(stage.page, { attributes: true, attributeFilter: ["data-state"] });
    this.#undo.push(() => watch.disconnect());
    /** @type {Record<string, (data: any) => void>} */
    const handlers = {
      "video.peers": (/** @type {PeersSignal} */ data) => this.#meet(data.epoch, data.peers, data.left ?? ""),
      "video.describe": (/** @type {DescribeSignal} */ data) => this.#signal(data),
      "video.candidate": (/** @type {CandidateSignal} */ data) => this.#signal(data),
      "video.media": (/** @type {MediaSignal} */ data) => this.#mediaOf(data),
      "video.taken_over": () => this.#takenOver(),
      "video.ended": () => this.end(),
    };
    for (const [type, handler] of Object.entries(handlers)) {
      this.#undo.push(
        on(type, (/** @type {any} */ data, /** @type {any} */ event) => {
          const room = event?.room;
          if (this.#in && (room === undefined || room === `consultation:${this.consultation}`)) handler(data);
        }),
      );
    }
    this.#undo.push(onStateChange((/** @type {string} */ state) => this.#socket(state === "connected")));
    const sampler = setInterval(() => void this.#sample(), SAMPLE_MS);
    const seconds = setInterval(() => this.#tick(), 1000);
    this.#undo.push(() => [sampler, seconds].forEach(clearInterval));
    if (this.hasAttribute("autojoin")) void this.join();
  }

  disconnectedCallback() {
    this.#hide();
    for (const undo of this.#undo.splice(0)) undo();
  }

  get consultation() {
    return this.getAttribute("consultation") ?? "";
  }

  /** Come into the call. The devices are asked for meanwhile: who has none, or says no, joins all the same. */
  async join() {
    if (this.#in || this.#over) return;
    this.#in = true;
    this.#left = false;
    this.#wasLive = this.#met = this.#poor = false;
    this.#lastLive = performance.now();
    this.#wantsEpoch = true;
    this.#stage?.clear();
    this.#setState("connecting");
    this.#stage?.banner("line", say("connecting"));
    void this.#devices.open().then(() => this.#listDevices());
    await this.#enter();
  }

  /** Go out of the call. It can be joined again while the consultation lasts. */
  async leave() {
    if (!this.#in) return;
    this.#stop();
    this.#setState("ended");
    this.#stage?.banner("fatal", say("youLeft"));
    await ask("video.leave", {}).catch(() => undefined); // the server notices by the closed socket too
  }

  /** The consultation is over: everything stops, for good. */
  end() {
    const was = this.#in;
    this.#over = true;
    this.#stop();
    this.#setState("ended");
    this.#stage?.closeForGood();
    if (was) this.#stage?.banner("fatal", say("over"));
  }

  /** Someone else moved the page to another state, as when a consultation is opened again. */
  #reopened() {
    if (this.#in) this.#show();
    else {
      this.#over = false;
      this.#ours = this.#stage?.state ?? "";
    }
  }

  #stop() {
    this.#in = this.#entered = false;
    clearTimeout(this.#rejoinTimer);
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
    this.#counters.clear();
    this.#early = [];
    this.#gauge.clear();
    this.#rule = new PictureRule();
    this.#shown = "";
    this.#devices.close();
    this.#meter();
    this.#stage?.clear();
  }

  /** The page goes away, for now or for good. */
  #hide() {
    if (!this.#in) return;
    this.#stop();
    this.#left = true;
    void ask("video.leave", {}).catch(() => undefined); // nobody is here to hear of it
  }

  #takenOver() {
    this.#stop();
    this.#setState("ended");
    this.#stage?.banner("fatal", say("takenOver"));
  }

  /** Join, or join again: with the epoch that we are in if its media may go on, else in a new one. */
  async #enter() {
    this.#entering ??= this.#enterOnce().finally(() => {
      this.#entering = null;
    });
    await this.#entering;
  }

  async #enterOnce() {
    clearTimeout(this.#rejoinTimer);
    const fresh = this.#wantsEpoch;
    try {
      const payload = { consultation_id: this.consultation, device: this.#device };
      const answer = await ask("video.join", fresh ? payload : { ...payload, resume: this.#epoch });
      const joined = /** @type {JoinedCall} */ (answer);
      if (!this.#in) {
        await ask("video.leave", {}).catch(() => undefined); // left while joining; the closed socket says it too
        return;
      }
      this.#entered = true;
      if (fresh) this.#wantsEpoch = false;
      this.#me = joined.id;
      this.#servers = joined.ice_servers;
      this.#serversAt = performance.now();
      this.#joined = joined.joined ?? (fresh ? joined.epoch : this.#joined);
      this.#stage?.setRoute(joined.path);
      this.#stage?.banner("fatal", null);
      this.#shown = "";
      this.#meet(joined.epoch, joined.peers, null);
      this.#tellMedia();
      if (!fresh) for (const peer of this.#peers.values()) void peer.retry();
      if (this.#wantsEpoch) this.#rejoinTimer = setTimeout(() => void this.#enter(), SAMPLE_MS);
    } catch (error) {
      if (!this.#in) return;
      const code = error instanceof Refused ? error.code : "";
      if (code === "call-taken-over") return this.#takenOver();
      if (error instanceof Refused && (error.problem.status ?? 500) < 500 && code !== "rate-limited") {
        this.#stop();
        this.#setState("ended");
        this.#stage?.banner("fatal", code === "call-full" ? say("full") : say("refused", { reason: error.message }));
        return;
      }
      if (!this.#peers.size) this.#stage?.banner("fatal", say("cannotJoin"));
      this.#rejoinTimer = setTimeout(() => void this.#enter(), REJOIN_MS);
    }
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
    const hadOthers = this.#peers.size > 0;
    for (const [id, peer] of this.#peers) {
      // A server that lost its memory may not know of somebody whose media never stopped.
      const gone = id === left || peer.line !== "live";
      if (gone && !views.some((view) => view.id === id)) this.#drop(peer);
    }
    for (const view of views) {
      const pairEpoch = Math.max(this.#joined, view.epoch ?? epoch);
      const known = this.#peers.get(view.id);
      if (known && known.epoch >= pairEpoch) {
        known.media = view.media ?? known.media;
        continue;
      }
      if (known) this.#drop(known);
      if (view.here !== false) this.#connect(view, pairEpoch);
    }
    if (hadOthers && !this.#peers.size && !views.length) this.#stage?.banner("line", say("left"));
    this.#wasLive = this.#wasLive && (views.length > 0 || this.#peers.size > 0);
    this.#show();
    for (const signal of this.#early.splice(0)) this.#signal(signal);
  }

  /**
   * @param {PeerView} view
   * @param {number} epoch
   */
  #connect(view, epoch) {
    const doctor = this.getAttribute("role") === "doctor";
    const polite = doctor ? false : view.role === "doctor" || this.#me > view.id;
    const peer = new Peer({ id: view.id, role: view.role, epoch, polite, servers: this.#servers }, {
      send: (event, payload) => this.#tell(event, payload),
      iceServers: () => this.#freshServers(),
      changed: () => this.#show(),
      hopeless: () => this.#hopeless(),
    });
    peer.media = view.media ?? null;
    this.#peers.set(view.id, peer);
    void peer.send(this.#devices.microphone, this.#devices.picture);
    void peer.show(this.#rule.picture);
  }

  /** @param {Peer} peer */
  #drop(peer) {
    peer.close();
    this.#peers.delete(peer.id);
    this.#counters.delete(peer.id);
  }

  /** @param {DescribeSignal | CandidateSignal} signal */
  #signal(signal) {
    const peer = this.#peers.get(signal.from);
    if (!peer || signal.epoch > peer.epoch) {
      // It came before we were told of its sender, or the telling was lost: keep it, and ask.
      if (signal.epoch < this.#epoch) return;
      if (this.#early.length < MOST_EARLY_SIGNALS) this.#early.push(signal);
      if (!this.#entering) {
        clearTimeout(this.#rejoinTimer);
        this.#rejoinTimer = setTimeout(() => void this.#enter(), SAMPLE_MS);
      }
    } else if ("description" in signal) {
      peer.described(signal);
    } else {
      peer.candidates(signal);
    }
  }

  /** @param {MediaSignal} signal */
  #mediaOf(signal) {
    const peer = this.#peers.get(signal.from);
    if (!peer) return;
    peer.media = { audio: signal.audio, video: signal.video, screen: signal.screen };
    this.#show();
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
        if (error.code === "call-taken-over") this.#takenOver();
        else if (error.code === "not-in-call") void this.#enter();
      }
      throw error;
    }
  }

  /** Servers whose credentials still hold: they live ten minutes, a call longer. */
  async #freshServers() {
    if (this.#servers.length && performance.now() - this.#serversAt > ICE_FRESH_MS) {
      const answer = /** @type {{ ice_servers: RTCIceServer[] }} */ (await this.#tell("video.ice", {}));
      this.#servers = answer.ice_servers;
      this.#serversAt = performance.now();
    }
    return this.#servers;
  }

  /** A connection cannot be mended: begin a new epoch, less often each time that this did not help. */
  #hopeless() {
    this.#wantsEpoch = true;
    const now = performance.now();
    if (!this.#connected) return; // when the socket is back
    const wait = Math.max(0, this.#nextEpochAt - now);
    this.#nextEpochAt = now + wait + this.#epochWait;
    this.#epochWait = Math.min(2 * this.#epochWait, LONGEST_EPOCH_WAIT_MS);
    clearTimeout(this.#rejoinTimer);
    this.#rejoinTimer = setTimeout(() => void this.#enter(), wait);
  }

  /**
   * The socket came or went. Its loss never touches what the call shows; only media does.
   * @param {boolean} connected
   */
  #socket(connected) {
    const back = connected && !this.#connected;
    this.#connected = connected;
    if (back && this.#in) void this.#enter();
  }

  #networkChanged() {
    if (this.#in) for (const peer of this.#peers.values()) void peer.restart();
  }

  /** Say on the page how the call is: live is what has media, whatever the socket does. */
  #show() {
    const stage = this.#stage;
    if (!stage || !this.#in) return;
    const peers = [...this.#peers.values()];
    const live = peers.filter((peer) => peer.line === "live");
    if (live.length) {
      if (!this.#wasLive) this.dispatchEvent(new CustomEvent("call-live", { bubbles: true }));
      this.#wasLive = true;
      this.#lastLive = performance.now();
      this.#firstLive ??= this.#lastLive;
      this.#epochWait = SAMPLE_MS;
      const voiceOnly = this.#rule.picture === "none";
      this.#setState(voiceOnly || this.#poor ? "degraded" : "live");
      stage.banner("line", null);
      stage.banner("phone", null);
      stage.banner("picture", voiceOnly ? say("voiceOnly") : null);
    } else if (this.#wasLive) {
      this.#setState("reconnecting");
      stage.banner("line", say("reconnecting"));
      stage.quality("gone", 0, 0);
      this.#gauge.clear();
      this.#poor = false;
    } else {
      this.#setState("connecting");
      if (peers.length) stage.banner("line", say("connecting"));
      else if (this.#epoch) stage.banner("line", say(this.#met ? "left" : "waiting"));
    }
    this.#met = this.#met || peers.length > 0;
    stage.dim(this.#wasLive && !live.length);
    stage.other((live[0] ?? peers[0])?.media ?? null);
    // While a line is broken its last picture stays; a connection that has no track yet must not replace it.
    const streams = peers.filter((peer) => peer.stream.getTracks().length).map((peer) => peer.stream);
    if (streams.length || !this.#wasLive) void stage.remote(streams);
  }
  /** @param {import("./stage.js").CallState} state */
  #setState(state) {
    this.#ours = state;
    this.#stage?.setState(state);
  }

  #tick() {
    if (this.#in && this.#firstLive !== null) this.#stage?.time((performance.now() - this.#firstLive) / 1000);
  }

  async #sample() {
    if (!this.#in) return;
    const now = performance.now();
    const waiting = this.#peers.size > 0 && ![...this.#peers.values()].some((peer) => peer.line === "live");
    if (!waiting) this.#lastLive = now;
    else if (now - this.#lastLive >= PHONE_MS) this.#stage?.banner("phone", say("phone", { phone: this.dataset.phone ?? "" }));
    /** @type {{ score: number, sample: Sample } | null} */
    let worst = null;
    for (const peer of this.#peers.values()) {
      if (peer.line !== "live") continue;
      const { counters, sample } = measure(await peer.stats(), this.#counters.get(peer.id) ?? null, now);
      this.#counters.set(peer.id, counters);
      const expected = peer.media !== null && (peer.media.audio || peer.media.video);
      if (!sample || this.#peers.get(peer.id) !== peer) continue;
      const score = scoreOf(sample, expected);
      if (!worst || score < worst.score) worst = { score, sample };
    }
    if (!worst || !this.#in) return;
    const shown = this.#gauge.add(worst.score, now);
    const { word, bars } = wordFor(shown);
    this.#stage?.quality(word, bars, shown);
    this.#stage?.setRoute(worst.sample.route);
    this.#poor = word === "poor";
    const before = this.#rule.picture;
    const picture = this.#rule.add(worst.sample, now);
    if (picture !== before) for (const peer of this.#peers.values()) void peer.show(picture);
    this.#show();
    if (now - this.#reportedAt >= REPORT_MS) this.#report(shown, worst.sample, now);
  }

  /**
   * Numbers for operations, and nothing else.
   * @param {number} score
   * @param {Sample} sample
   * @param {number} now
   */
  #report(score, sample, now) {
    this.#reportedAt = now;
    const report = {
      score,
      loss: sample.loss,
      rtt_ms: sample.rttMs,
      jitter_ms: sample.jitterMs,
      concealed: Math.max(0, sample.concealed),
      frozen_ms: sample.frozenMs,
      in_kbps: sample.inKbps,
      out_kbps: sample.outKbps,
      picture: this.#rule.picture,
      route: sample.route,
    };
    void this.#tell("video.quality", report).catch(() => undefined); // a lost report is no loss
  }

  #devicesChanged() {
    this.#stage?.devices(this.#devices);
    this.#meter();
    if (!this.#in) return;
    for (const peer of this.#peers.values()) void peer.send(this.#devices.microphone, this.#devices.picture);
    this.#tellMedia();
  }

  /** Tell the others what we send, whenever that is something else than they know. */
  #tellMedia() {
    if (!this.#entered) return;
    const media = this.#devices.shown;
    const text = JSON.stringify(media);
    if (text === this.#shown) return;
    this.#shown = text;
    void this.#tell("video.media", media).catch(() => {
      this.#shown = ""; // said again after the next join
    });
  }

  #meter() {
    const track = this.#devices.microphone;
    if (track === this.#metered) return;
    this.#stopMeter?.();
    this.#stopMeter = null;
    this.#metered = track;
    const meter = this.querySelector("meter[data-level]");
    if (track && meter instanceof HTMLMeterElement) this.#stopMeter = showLevel(track, meter);
  }

  /** Fill the lists of devices, where the page has them: select[data-device="audio|video"]. */
  async #listDevices() {
    for (const kind of /** @type {const} */ (["audio", "video"])) {
      const select = this.querySelector(`select[data-device="${kind}"]`);
      if (!(select instanceof HTMLSelectElement)) continue;
      const devices = await this.#devices.list(kind);
      const current = (kind === "audio" ? this.#devices.microphone : this.#devices.camera)?.getSettings().deviceId;
      select.replaceChildren(
        ...devices.map((device, index) => {
          const label = device.label || `${index + 1}`;
          return new Option(label, device.deviceId, false, device.deviceId === current);
        }),
      );
      select.hidden = devices.length < 2;
    }
  }

  /** @param {Event} event */
  #choose(event) {
    const select = event.target;
    if (!(select instanceof HTMLSelectElement)) return;
    const kind = select.dataset.device;
    if (kind === "audio" || kind === "video") void this.#devices.choose(kind, select.value);
  }

  /** @param {MouseEvent} event */
  #press(event) {
    const button = event.target instanceof Element ? event.target.closest("[data-action]") : null;
    if (!(button instanceof HTMLElement) || button.hasAttribute("disabled")) return;
    const action = button.dataset.action;
    // "join" may stand elsewhere on the page (the deep block of the waiting room); the rest is the stage's own.
    if (!this.contains(button) && !(action === "join" && this.#stage?.page.contains(button))) return;
    const devices = this.#devices;
    /** @type {Record<string, () => Promise<unknown>>} */
    const actions = {
      join: () => this.join(),
      leave: () => this.leave(),
      mute: () => devices.mute(devices.microphone ? !devices.muted : false),
      camera: () => devices.turnCamera(devices.camera !== null),
      flip: () => devices.flip(),
      share: () => this.#share(),
      "sound-on": () => this.#stage?.soundOn() ?? Promise.resolve(),
      "retry-devices": () => devices.open(),
    };
    const act = actions[action ?? ""];
    if (!act || (action !== "join" && !this.#in)) return;
    event.preventDefault();
    void act();
  }

  async #share() {
    if (this.#devices.screen) {
      this.#devices.endShare();
      return;
    }
    try {
      await this.#devices.share();
      this.#stage?.banner("asking", null);
    } catch {
      this.#stage?.banner("asking", say("shareFailed"));
    }
  }

  /**
   * @param {EventTarget} target
   * @param {string} type
   * @param {(event: Event) => void} handler
   */
  #listen(target, type, handler) {
    target.addEventListener(type, handler);
    this.#undo.push(() => target.removeEventListener(type, handler));
  }
}

/**
 * A call over the socket. Throws Refused when the server says no, and what the socket throws when nothing comes back.
 * @param {string} event
 * @param {object} payload
 * @returns {Promise<unknown>}
 */
async function ask(event, payload) {
  const answer = /** @type {{ ok?: boolean, error?: Problem }} */ (await call(event, payload));
  if (answer?.ok === false) throw new Refused(answer.error ?? {});
  return answer;
}

customElements.define("video-call", VideoCall);
