/**
 * <video-call consultation="{id}" data-side="patient|doctor">: the call. It takes over the markup that the server rendered
 * inside it and sets data-state and data-route of the page's main. With `autojoin` it joins as soon as it is there;
 * `data-phone` is the number that is shown when video does not work.
 */

import { Devices } from "./devices.js";
import { Meeting } from "./meeting.js";
import { showLevel } from "./meter.js";
import { Gauge, measure, PictureRule, scoreOf, wordFor } from "./quality.js";
import { Stage } from "./stage.js";
import { say } from "./words.js";

/** @typedef {import("./quality.js").Counters} Counters */
/** @typedef {import("./quality.js").Sample} Sample */

const SAMPLE_MS = 2000;
const REPORT_MS = 10000;
const PHONE_MS = 60000;

class VideoCall extends HTMLElement {
  #devices = new Devices();
  #stage = new Stage(this);
  /** @type {Meeting | null} */ #meeting = null;
  /** @type {Map<string, Counters>} */ #counters = new Map();
  /** @type {(() => void)[]} */ #undo = [];
  #in = false;
  #over = false;
  #hidden = false;
  #ours = ""; // the last state that this element set
  #wasLive = false;
  #met = false;
  #lastLive = 0;
  /** @type {number | null} */ #firstLive = null;
  #gauge = new Gauge();
  #rule = new PictureRule();
  #poor = false;
  #reportedAt = 0;
  /** @type {(() => void) | null} */ #stopMeter = null;
  /** @type {MediaStreamTrack | null} */ #metered = null;

  connectedCallback() {
    const stage = this.#stage;
    stage.adopt();
    this.#ours = stage.state;
    const where = { consultation: this.getAttribute("consultation") ?? "", isDoctor: (this.dataset.side ?? this.getAttribute("role")) === "doctor" };
    const meeting = new Meeting(where, {
      changed: () => this.#show(),
      entered: (path) => {
        stage.setRoute(path);
        stage.banner("fatal", null);
      },
      away: () => {
        if (!this.#meeting?.live.length) stage.banner("fatal", say("cannotJoin"));
      },
      refused: (code, reason) => this.#finish("titleRefused", code === "call-full" ? say("full") : reason),
      takenOver: () => this.#finish("titleTakenOver", say("takenOver")),
      over: () => this.end(),
    });
    this.#meeting = meeting;
    this.#listen(document, "click", (event) => this.#press(/** @type {MouseEvent} */ (event)));
    this.#listen(this, "change", (event) => this.#choose(event));
    this.#listen(this.#devices, "change", () => this.#devicesChanged());
    this.#listen(this.#devices, "devices", () => void this.#listDevices());
    this.#listen(window, "online", () => this.#networkChanged());
    const network = /** @type {any} */ (navigator).connection;
    if (network) {
      let type = network.type;
      this.#listen(network, "change", () => {
        if (network.type !== type) this.#networkChanged(); // it fires for every guess of the speed too
        type = network.type;
      });
    }
    this.#listen(window, "pagehide", () => this.#hide());
    this.#listen(window, "pageshow", () => {
      if (this.#hidden) void this.join(); // back from the browser's memory
    });
    // Whoever else says that the consultation is over (the room's events) says it on the page.
    const watch = new MutationObserver(() => this.#pageChanged());
    watch.observe(stage.page, { attributes: true, attributeFilter: ["data-state"] });
    const timers = [setInterval(() => void this.#sample(), SAMPLE_MS), setInterval(() => this.#tick(), 1000)];
    this.#undo.push(() => watch.disconnect(), () => meeting.close(), () => timers.forEach((timer) => clearInterval(timer)));
    if (this.hasAttribute("autojoin")) void this.join();
  }

  disconnectedCallback() {
    this.#hide();
    this.#hidden = false;
    this.#devices.forget();
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** Come into the call. The devices are asked for meanwhile: who has none, or says no, joins all the same. */
  async join() {
    if (this.#in || this.#over || !this.#meeting) return;
    this.#in = true;
    this.#hidden = this.#wasLive = this.#met = this.#poor = false;
    this.#lastLive = performance.now();
    this.#stage.clear();
    this.#setState("connecting");
    this.#stage.banner("line", say("connecting"));
    void this.#devices.open().then(() => this.#listDevices());
    await this.#meeting.join();
  }

  /** Go out of the call. It can be joined again while the consultation lasts. */
  async leave() {
    if (!this.#in) return;
    this.#finish(null, say("youLeft"));
    await this.#meeting?.leave();
  }

  /** The consultation is over: everything stops, for good. */
  end() {
    this.#over = true;
    this.#stop();
    this.#setState("ended");
    this.#stage.closeForGood();
  }

  /**
   * Out of a consultation that goes on.
   * @param {import("./words.js").Word | null} title where the page's own words for an ending would be wrong
   * @param {string} why
   */
  #finish(title, why) {
    this.#stop();
    this.#setState("ended");
    // After whoever else on the page hears of the new state.
    if (title) queueMicrotask(() => this.#stage.ended(say(title), why));
    this.#stage.banner("fatal", why);
  }

  #stop() {
    this.#in = false;
    this.#meeting?.stop();
    this.#counters.clear();
    this.#gauge.clear();
    this.#rule = new PictureRule();
    this.#meeting?.show("full");
    this.#devices.close();
    this.#stage.clear();
  }

  /** The page goes away, for now or for good. */
  #hide() {
    if (!this.#in) return;
    this.#stop();
    this.#hidden = true;
    void this.#meeting?.leave();
  }

  #pageChanged() {
    const { state } = this.#stage;
    if (state === this.#ours) return;
    if (state === "ended") this.end();
    else if (this.#in) this.#show();
    else {
      this.#over = false; // the consultation was opened again
      this.#stage.reopen();
      this.#ours = state;
    }
  }

  #networkChanged() {
    if (this.#in) this.#meeting?.networkChanged();
  }

  /** Say on the page how the call is: live is what has media, whatever the socket does. */
  #show() {
    const stage = this.#stage;
    const meeting = this.#meeting;
    if (!this.#in || !meeting) return;
    const peers = [...meeting.peers.values()];
    const live = meeting.live;
    if (!peers.length) this.#wasLive = false;
    if (live.length) this.#showLive();
    else if (this.#wasLive) this.#showLost();
    else {
      this.#setState("connecting");
      if (peers.length) stage.banner("line", say("connecting"));
      else if (meeting.isEntered) stage.banner("line", say(this.#met ? "left" : "waiting"));
    }
    this.#met = this.#met || peers.length > 0;
    stage.dim(this.#wasLive && !live.length);
    stage.other((live[0] ?? peers[0])?.media ?? null);
    // While a line is broken its last picture stays: a connection that has no track yet must not replace it.
    const streams = peers.filter((peer) => peer.stream.getTracks().length).map((peer) => peer.stream);
    if (streams.length || !this.#wasLive) void stage.remote(streams);
  }

  #showLive() {
    if (!this.#wasLive) this.dispatchEvent(new CustomEvent("call-live", { bubbles: true }));
    this.#wasLive = true;
    this.#lastLive = performance.now();
    this.#firstLive ??= this.#lastLive;
    const voiceOnly = this.#rule.picture === "none";
    this.#setState(voiceOnly || this.#poor ? "degraded" : "live");
    this.#stage.banner("line", null);
    this.#stage.banner("phone", null);
    this.#stage.banner("picture", voiceOnly ? say("voiceOnly") : null);
  }

  #showLost() {
    this.#setState("reconnecting");
    this.#stage.banner("line", say("reconnecting"));
    this.#stage.quality("gone", 0, 0);
    this.#gauge.clear();
    this.#poor = false;
  }

  /** @param {import("./stage.js").CallState} state */
  #setState(state) {
    this.#ours = state;
    this.#stage.setState(state);
  }

  #tick() {
    const now = performance.now();
    if (!this.#in || !this.#meeting) return;
    if (this.#firstLive !== null) this.#stage.time((now - this.#firstLive) / 1000);
    // Alone in the call is waiting; only a line that does not come up is a reason to go on by phone.
    if (this.#meeting.live.length || !this.#meeting.peers.size) this.#lastLive = now;
    if (now - this.#lastLive >= PHONE_MS) this.#stage.banner("phone", say("phone", { phone: this.dataset.phone ?? "" }));
  }

  async #sample() {
    if (!this.#in || !this.#meeting) return;
    const now = performance.now();
    /** @type {{ score: number, sample: Sample } | null} */
    let worst = null;
    for (const peer of this.#meeting.live) {
      const key = `${peer.id} ${peer.epoch}`;
      const { counters, sample } = measure(await peer.stats(), this.#counters.get(key) ?? null, now);
      this.#counters.set(key, counters);
      const expected = peer.media !== null && (peer.media.audio || peer.media.video);
      const score = sample ? scoreOf(sample, expected) : 100;
      if (sample && peer.line === "live" && (!worst || score < worst.score)) worst = { score, sample };
    }
    if (!worst || !this.#in) return;
    const shown = this.#gauge.add(worst.score, now);
    const { word, bars } = wordFor(shown);
    this.#stage.quality(word, bars, shown);
    this.#stage.setRoute(worst.sample.route);
    this.#poor = word === "poor";
    const before = this.#rule.picture;
    const picture = this.#rule.add(worst.sample, now);
    if (picture !== before) this.#meeting.show(picture);
    this.#show();
    if (now - this.#reportedAt >= REPORT_MS) this.#report(shown, worst.sample, now);
  }

  /**
   * @param {number} score
   * @param {Sample} sample
   * @param {number} now
   */
  #report(score, sample, now) {
    this.#reportedAt = now;
    this.#meeting?.report({
      score,
      loss: sample.loss,
      rtt_ms: sample.rttMs,
      jitter_ms: sample.jitterMs,
      concealed: sample.concealed,
      frozen_ms: sample.frozenMs,
      in_kbps: sample.inKbps,
      out_kbps: sample.outKbps,
      picture: this.#rule.picture,
      route: sample.route,
    });
  }

  #devicesChanged() {
    const devices = this.#devices;
    this.#stage.devices(devices);
    this.#meter();
    if (this.#in) this.#meeting?.send(devices.microphone, devices.picture, devices.shown);
  }

  #meter() {
    const track = this.#devices.microphone;
    if (track === this.#metered) return;
    this.#stopMeter?.();
    this.#stopMeter = null;
    this.#metered = track;
    const meter = this.querySelector(".stage meter[data-level]");
    if (track && meter instanceof HTMLMeterElement) this.#stopMeter = showLevel(track, meter);
  }

  /** Fill the lists of devices, where the page has them: select[data-device="audio|video"]. */
  async #listDevices() {
    for (const kind of /** @type {const} */ (["audio", "video"])) {
      const select = this.querySelector(`.stage select[data-device="${kind}"]`);
      if (!(select instanceof HTMLSelectElement)) continue;
      await this.#devices.fill(select, kind);
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
    const action = button.dataset.action ?? "";
    // "join" may stand elsewhere on the page (the deep block of the waiting room); the rest is the stage's own.
    if (!this.contains(button) && !(action === "join" && this.#stage.page.contains(button))) return;
    const devices = this.#devices;
    /** @type {Record<string, () => Promise<unknown>>} */
    const actions = {
      join: () => this.join(),
      leave: () => this.leave(),
      mute: () => devices.mute(devices.microphone ? !devices.muted : false),
      camera: () => devices.turnCamera(devices.camera !== null),
      flip: () => devices.flip(),
      share: () => this.#share(),
      "sound-on": () => this.#stage.soundOn(),
      "retry-devices": () => devices.open(),
    };
    const act = actions[action];
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
      this.#stage.banner("asking", null);
    } catch {
      this.#stage.banner("asking", say("shareFailed"));
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

customElements.define("video-call", VideoCall);
