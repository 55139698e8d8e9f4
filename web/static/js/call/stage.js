/** What a call shows: pictures, the line's word, one banner, help with devices, and which buttons are pressed. */

import { say, troubleWord } from "./words.js";

/** @typedef {"connecting" | "live" | "degraded" | "reconnecting" | "ended"} CallState */
/** @typedef {import("./words.js").Word} Word */
/** @typedef {import("./devices.js").Devices} Devices */

/** The first that is set is shown. */
const BANNERS = /** @type {const} */ (["fatal", "phone", "line", "sound", "asking", "picture", "other"]);
/** @typedef {typeof BANNERS[number]} BannerKind */

export class Stage {
  /** @type {HTMLElement} */ #root;
  /** The picture and its controls; the same hooks stand elsewhere on the page too, for the test of devices. */
  /** @type {HTMLElement} */ #scope;
  /** @type {Map<BannerKind, string>} */ #banners = new Map();
  #word = "";

  /** @param {HTMLElement} root */
  constructor(root) {
    this.#root = root;
    this.#scope = root;
  }

  /** Take over what stands in the element now. */
  adopt() {
    const scope = this.#root.querySelector(".stage");
    this.#scope = scope instanceof HTMLElement ? scope : this.#root;
  }

  /** The page's state, which others may set too. */
  get state() {
    return this.page.dataset.state ?? "";
  }

  /** The page's main, which carries state and route. */
  get page() {
    return this.#root.closest("main") ?? this.#root;
  }

  /** @param {CallState} state */
  setState(state) {
    if (this.page.dataset.state !== state) this.page.dataset.state = state;
    this.#root.dataset.state = state;
    const inCall = state !== "ended";
    this.#showJoin(!inCall);
    for (const action of ["leave", "mute", "camera", "share", "flip"]) this.#show(action, inCall);
    // Only what is held in a hand has a camera on either side.
    if (!matchMedia("(pointer: coarse)").matches) this.#show("flip", false);
    if (!("getDisplayMedia" in (navigator.mediaDevices ?? {}))) this.#show("share", false);
  }

  /** Nothing can be joined here any more. */
  closeForGood() {
    this.#showJoin(false);
  }

  /** It can be joined again. */
  reopen() {
    this.#showJoin(true);
  }

  /**
   * Why this page is out of the call, where the page speaks of endings.
   * @param {string} title
   * @param {string} why
   */
  ended(title, why) {
    const titles = this.page.querySelectorAll("[data-ended-title]");
    const whys = this.page.querySelectorAll("[data-ended-why]");
    for (const place of titles) place.textContent = title;
    for (const place of whys) place.textContent = why;
  }

  /** @param {"direct" | "turn" | "hop" | "livekit"} route */
  setRoute(route) {
    this.page.dataset.route = route;
    const path = this.#scope.querySelector("[data-path]");
    if (path) write(path, say(route === "turn" ? "pathTurn" : "pathDirect"));
  }

  /**
   * @param {BannerKind} kind
   * @param {string | null} sentence
   */
  banner(kind, sentence) {
    if (sentence) this.#banners.set(kind, sentence);
    else this.#banners.delete(kind);
    const banner = this.#scope.querySelector("[data-banner]");
    if (!(banner instanceof HTMLElement)) return;
    const first = BANNERS.find((one) => this.#banners.has(one));
    banner.hidden = first === undefined;
    banner.dataset.kind = first ?? "";
    // Written only when it changes: screen readers say it once.
    const text = first ? (this.#banners.get(first) ?? "") : "";
    if (textOf(banner) !== text) write(banner, text);
  }

  /**
   * @param {"good" | "fair" | "poor" | "gone"} word
   * @param {number} bars of four
   * @param {number | null} score
   */
  quality(word, bars, score) {
    const quality = this.#scope.querySelector("[data-quality]");
    if (!(quality instanceof HTMLElement)) return;
    quality.hidden = false;
    quality.dataset.quality = score === null ? "" : String(score);
    for (const [index, bar] of [...quality.querySelectorAll("rect")].entries()) bar.classList.toggle("on", index < bars);
    if (word === this.#word) return;
    this.#word = word;
    quality.classList.toggle("fair", word === "fair");
    quality.classList.toggle("poor", word === "poor" || word === "gone");
    write(quality, say(word));
  }

  /** @param {Devices} devices */
  devices(devices) {
    this.#press("mute", devices.muted || !devices.microphone);
    this.#press("camera", devices.cameraOff || !devices.camera);
    this.#press("share", devices.screen !== null);
    const self = this.#scope.querySelector("video[data-self]");
    if (self instanceof HTMLVideoElement) {
      playTrack(self, devices.camera);
      const figure = self.closest("figure");
      if (figure) figure.dataset.off = String(devices.camera === null);
    }
    this.banner("asking", devices.asking && !devices.microphone && !devices.camera ? say("asking") : null);
    const word = devices.asking ? null : troubleWord(devices.trouble.audio, devices.trouble.video);
    this.#help(word);
  }

  /**
   * The pictures of the others: the first in the markup's own video, more beside it.
   * @param {MediaStream[]} streams
   */
  async remote(streams) {
    const videos = /** @type {HTMLVideoElement[]} */ ([...this.#scope.querySelectorAll("video[data-remote]")]);
    const template = videos[0];
    if (!template) return;
    while (videos.length < streams.length) {
      const video = document.createElement("video");
      video.dataset.remote = "";
      video.autoplay = video.playsInline = true;
      videos.at(-1)?.after(video);
      videos.push(video);
    }
    for (const video of videos.splice(Math.max(1, streams.length))) video.remove();
    for (const [index, video] of videos.entries()) {
      const stream = streams[index] ?? null;
      if (video.srcObject !== stream) video.srcObject = stream;
      if (stream) await this.#play(video);
    }
  }

  /** Turn the sound on, on a person's press. */
  async soundOn() {
    for (const video of this.#scope.querySelectorAll("video[data-remote]")) {
      if (!(video instanceof HTMLVideoElement)) continue;
      video.muted = false;
      await video.play().catch(() => undefined); // a browser that still refuses shows the button again below
    }
    this.#soundBlocked([...this.#scope.querySelectorAll("video")].some((video) => "remote" in video.dataset && video.muted));
  }

  /**
   * What the other side sends, as it says.
   * @param {{ audio: boolean, video: boolean, screen: boolean } | null} media
   */
  other(media) {
    const stage = this.#scope;
    if (!(stage instanceof HTMLElement)) return;
    stage.dataset.otherAudio = media ? String(media.audio) : "";
    stage.dataset.otherVideo = media ? String(media.video) : "";
    stage.dataset.otherScreen = media ? String(media.screen) : "";
    const sentences = [];
    if (media && !media.audio) sentences.push(say("otherMuted"));
    if (media && !media.video) sentences.push(say("otherCameraOff"));
    if (media?.screen) sentences.push(say("otherScreen"));
    this.banner("other", sentences.join(" ") || null);
  }

  /** @param {number} seconds since the two first met */
  time(seconds) {
    const place = this.#scope.querySelector("[data-call-time]");
    if (!place) return;
    const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
    place.textContent = `${two(Math.floor(seconds / 60))}:${two(Math.floor(seconds % 60))}`;
  }

  /** @param {boolean} on */
  dim(on) {
    for (const video of this.#scope.querySelectorAll("video[data-remote]")) video.classList.toggle("dimmed", on);
  }

  clear() {
    for (const video of this.#scope.querySelectorAll("video")) {
      if ("remote" in video.dataset || "self" in video.dataset) video.srcObject = null;
    }
    this.#soundBlocked(false);
    this.#help(null);
    this.#banners.clear();
    this.banner("other", null);
    this.dim(false);
  }

  /** @param {HTMLVideoElement} video */
  async #play(video) {
    try {
      await video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return; // replaced meanwhile
      video.muted = true; // the picture may play without sound
      this.#soundBlocked(true);
      await video.play().catch(() => undefined); // with the press on the button
    }
  }

  /** @param {boolean} blocked */
  #soundBlocked(blocked) {
    this.#show("sound-on", blocked);
    this.banner("sound", blocked ? say("soundBlocked") : null);
  }

  /** @param {Word | null} word */
  #help(word) {
    const help = this.#scope.querySelector("[data-device-help]");
    if (!(help instanceof HTMLElement)) return;
    help.hidden = word === null;
    if (word) write(help, say(word));
    if (!help.querySelector("[data-action=retry-devices]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button quiet small";
      button.dataset.action = "retry-devices";
      button.textContent = say("tryAgain");
      help.append(button);
    }
  }

  /** @param {boolean} visible */
  #showJoin(visible) {
    for (const button of this.page.querySelectorAll("[data-action=join]")) {
      if (button instanceof HTMLElement) button.hidden = !visible;
    }
  }

  /**
   * @param {string} action
   * @param {boolean} visible
   */
  #show(action, visible) {
    for (const button of this.#scope.querySelectorAll(`[data-action="${action}"]`)) {
      if (!(button instanceof HTMLElement)) continue;
      button.hidden = !visible;
      const item = button.parentElement;
      if (item instanceof HTMLLIElement) item.hidden = !visible;
    }
  }

  /**
   * @param {string} action
   * @param {boolean} pressed
   */
  #press(action, pressed) {
    this.#scope.querySelector(`[data-action="${action}"]`)?.setAttribute("aria-pressed", String(pressed));
  }
}

/**
 * @param {HTMLVideoElement} video
 * @param {MediaStreamTrack | null} track
 */
function playTrack(video, track) {
  const shown = video.srcObject instanceof MediaStream ? (video.srcObject.getTracks()[0] ?? null) : null;
  if (shown === track) return;
  video.srcObject = track ? new MediaStream([track]) : null;
  if (track) void video.play().catch(() => undefined); // replaced before it began
}

/**
 * The place for words beside a sign: an element marked for it, else the text after the last child element.
 * @param {Element} element
 */
function placeFor(element) {
  const marked = element.querySelector("[data-words]");
  if (marked) return marked;
  const texts = [...element.childNodes].filter((node) => node instanceof Text && node.data.trim() !== "");
  if (texts[0]) return texts[0];
  const sign = element.querySelector("svg");
  const text = document.createTextNode("");
  if (sign) sign.after(text);
  else element.prepend(text);
  return text;
}

/** @param {Element} element */
function textOf(element) {
  return placeFor(element).textContent ?? "";
}

/**
 * @param {Element} element
 * @param {string} sentence
 */
function write(element, sentence) {
  const place = placeFor(element);
  if (place.textContent !== sentence) place.textContent = sentence;
}
