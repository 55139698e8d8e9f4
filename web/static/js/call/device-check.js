/**
 * <device-check>: camera, microphone and sound before the call. What is tried here is let go of as soon as the call
 * begins, the page goes, or a minute has passed; which devices were chosen is kept for the call.
 */

import { Devices } from "./devices.js";
import { showLevel } from "./meter.js";
import { say, troubleWord } from "./words.js";

/** @typedef {import("./words.js").Word} Word */
/** @typedef {import("./devices.js").Trouble} Trouble */

const LONGEST_TEST_MS = 60000;
const TONE_HZ = [523, 659];
const TONE_SECONDS = 0.35;

class DeviceCheck extends HTMLElement {
  #devices = new Devices();
  /** @type {(() => void)[]} */ #undo = [];
  /** @type {(() => void) | null} */ #stopMeter = null;
  /** @type {MediaStreamTrack | null} */ #metered = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #testing = false;

  connectedCallback() {
    const onClick = (/** @type {Event} */ event) => this.#press(event);
    const onChange = (/** @type {Event} */ event) => this.#choose(event);
    const onDevices = () => this.#show();
    const stop = () => this.#stop();
    this.addEventListener("click", onClick);
    this.addEventListener("change", onChange);
    this.#devices.addEventListener("change", onDevices);
    window.addEventListener("pagehide", stop);
    const page = this.closest("main");
    const watch = new MutationObserver(() => {
      if (!["checking", "waiting"].includes(page?.dataset.state ?? "")) this.#stop();
    });
    if (page) watch.observe(page, { attributes: true, attributeFilter: ["data-state"] });
    this.#undo.push(
      () => this.removeEventListener("click", onClick),
      () => this.removeEventListener("change", onChange),
      () => this.#devices.removeEventListener("change", onDevices),
      () => window.removeEventListener("pagehide", stop),
      () => watch.disconnect(),
    );
  }

  disconnectedCallback() {
    this.#stop();
    this.#devices.forget();
    for (const undo of this.#undo.splice(0)) undo();
  }

  async #test() {
    this.#testing = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stop(), LONGEST_TEST_MS);
    await this.#devices.open();
    if (this.#testing) await this.#list();
  }

  #stop() {
    if (!this.#testing) return;
    this.#testing = false;
    clearTimeout(this.#timer);
    this.#devices.close();
  }

  #show() {
    const { camera, microphone, trouble, asking } = this.#devices;
    const video = this.querySelector("video[data-preview]");
    if (video instanceof HTMLVideoElement) {
      const shown = video.srcObject instanceof MediaStream ? video.srcObject.getTracks()[0] : undefined;
      if (shown !== (camera ?? undefined)) {
        video.srcObject = camera ? new MediaStream([camera]) : null;
        if (camera) void video.play().catch(() => undefined); // replaced before it began
      }
      const figure = video.closest("figure");
      if (figure) figure.hidden = camera === null;
    }
    if (microphone !== this.#metered) {
      this.#stopMeter?.();
      this.#metered = microphone;
      const meter = this.querySelector("meter[data-level]");
      this.#stopMeter = microphone && meter instanceof HTMLMeterElement ? showLevel(microphone, meter) : null;
    }
    // What a test found stays to be read after it has let go of the devices.
    if (!this.#testing) return;
    this.#tell("camera", camera !== null, trouble.video, asking);
    this.#tell("microphone", microphone !== null, trouble.audio, asking);
    this.#help(asking ? null : troubleWord(trouble.audio, trouble.video));
    if (!asking) {
      const found = { camera: camera ? "ok" : "none", microphone: microphone ? "ok" : "none" };
      this.dispatchEvent(new CustomEvent("devices-checked", { bubbles: true, detail: found }));
    }
  }

  /**
   * @param {"camera" | "microphone"} which
   * @param {boolean} works
   * @param {Trouble | null} trouble
   * @param {boolean} asking
   */
  #tell(which, works, trouble, asking) {
    const pill = this.querySelector(`[data-check="${which}"] .pill`);
    if (!pill) return;
    const failed = !works && !asking && trouble !== null;
    pill.classList.toggle("good", works);
    pill.classList.toggle("wait", failed);
    const words = pill.querySelector("[data-words]") ?? pill;
    if (works) words.textContent = say("checkWorks");
    else if (failed) words.textContent = say("checkFailed");
    else words.textContent = say("checkAsking");
  }

  /** @param {Word | null} word */
  #help(word) {
    const help = this.querySelector("[data-device-help]");
    if (!(help instanceof HTMLElement)) return;
    help.hidden = word === null;
    const words = help.querySelector("[data-words]");
    if (words && word) words.textContent = say(word);
  }

  async #list() {
    for (const kind of /** @type {const} */ (["audio", "video"])) {
      const select = this.querySelector(`select[data-device="${kind}"]`);
      if (select instanceof HTMLSelectElement) await this.#devices.fill(select, kind);
    }
  }

  /** @param {Event} event */
  #choose(event) {
    const select = event.target;
    if (!(select instanceof HTMLSelectElement)) return;
    const kind = select.dataset.device;
    if (kind === "audio" || kind === "video") void this.#devices.choose(kind, select.value);
  }

  /** @param {Event} event */
  #press(event) {
    const button = event.target instanceof Element ? event.target.closest("[data-action]") : null;
    const action = button instanceof HTMLElement ? button.dataset.action : "";
    if (action === "test-devices") void this.#test();
    else if (action === "test-sound") {
      playTone();
      const answers = this.querySelector("[data-heard]");
      if (answers instanceof HTMLElement) answers.hidden = false;
    } else if (action === "heard" || action === "not-heard") {
      const found = { speaker: action === "heard" ? "ok" : "none" };
      this.dispatchEvent(new CustomEvent("devices-checked", { bubbles: true, detail: found }));
      const answers = this.querySelector("[data-heard]");
      if (answers instanceof HTMLElement) answers.hidden = true;
    }
  }
}

/** Two soft tones, one after the other. */
function playTone() {
  const context = new AudioContext();
  const gain = new GainNode(context, { gain: 0 });
  gain.connect(context.destination);
  for (const [index, frequency] of TONE_HZ.entries()) {
    const at = context.currentTime + index * TONE_SECONDS;
    const tone = new OscillatorNode(context, { frequency });
    tone.connect(gain);
    gain.gain.linearRampToValueAtTime(0.25, at + 0.03);
    gain.gain.linearRampToValueAtTime(0, at + TONE_SECONDS);
    tone.start(at);
    tone.stop(at + TONE_SECONDS);
    if (index === TONE_HZ.length - 1) tone.addEventListener("ended", () => void context.close());
  }
}

customElements.define("device-check", DeviceCheck);
