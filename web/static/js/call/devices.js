/**
 * The camera, the microphone and the screen of this side: asked for with every failure expected, muted so that it holds
 * on the wire, and all of them stopped when the call is over.
 */

/** @typedef {"audio" | "video"} Kind */
/** @typedef {"missing" | "denied" | "busy" | "insecure"} Trouble */

/** Constraints are wishes and not demands, so that any device that there is will do. */
const WISHES = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } },
};

/** @type {Record<string, Trouble>} */
const TROUBLES = {
  NotFoundError: "missing",
  DevicesNotFoundError: "missing",
  OverconstrainedError: "missing",
  NotAllowedError: "denied",
  SecurityError: "denied",
  NotReadableError: "busy",
  TrackStartError: "busy",
  AbortError: "busy",
};

/** Fires `change` whenever a track came, went, or was muted. */
export class Devices extends EventTarget {
  /** @type {MediaStreamTrack | null} */ microphone = null;
  /** @type {MediaStreamTrack | null} */ camera = null;
  /** @type {MediaStreamTrack | null} */ screen = null;
  /** What the person wants; it outlives devices, connections and epochs. */
  muted = false;
  cameraOff = false;
  facing = "user";
  /** @type {Record<Kind, Trouble | null>} */ trouble = { audio: null, video: null };
  /** @type {Record<Kind, string>} */ #chosen = { audio: recall("audio"), video: recall("video") };
  /** @type {Set<MediaStreamTrack>} every track that was ever asked for */ #all = new Set();
  /** Goes up at each close; what was asked for before that and comes after it is stopped at once. */
  #round = 0;
  #open = false;
  #asking = 0;

  #onPlugged = () => void this.#plugged();

  constructor() {
    super();
    navigator.mediaDevices?.addEventListener("devicechange", this.#onPlugged);
  }

  /** Stop hearing of what is plugged in. */
  forget() {
    navigator.mediaDevices?.removeEventListener("devicechange", this.#onPlugged);
  }

  /** What goes out as picture: the screen while it is shared. */
  get picture() {
    return this.screen ?? this.camera;
  }

  /** Whether the browser is asking the person. */
  get asking() {
    return this.#asking > 0;
  }

  /** What the other side is told. */
  get shown() {
    return { audio: this.microphone !== null && !this.muted, video: this.picture !== null, screen: this.screen !== null };
  }

  /** Ask for what is missing and wanted; never throws, the troubles say what did not come. */
  async open() {
    this.#open = true;
    /** @type {Kind[]} */
    const kinds = [];
    if (!this.microphone) kinds.push("audio");
    if (!this.camera && !this.cameraOff) kinds.push("video");
    if (!navigator.mediaDevices) {
      this.trouble = { audio: "insecure", video: "insecure" };
      this.#changed();
      return;
    }
    if (!kinds.length) return;
    const failure = await this.#acquire(kinds);
    if (failure && kinds.length === 2) {
      for (const kind of kinds) {
        if (failure === "denied" && !(await mayBeAskedAlone(kind))) this.trouble[kind] = "denied";
        else await this.#acquire([kind]);
      }
    }
  }

  /** Stop everything that was ever asked for, and whatever may still come. */
  close() {
    this.#open = false;
    this.#round += 1;
    for (const track of this.#all) track.stop();
    this.#all.clear();
    this.microphone = this.camera = this.screen = null;
    this.trouble = { audio: null, video: null };
    this.#changed();
  }

  /** @param {boolean} muted */
  async mute(muted) {
    this.muted = muted;
    if (this.microphone) this.microphone.enabled = !muted;
    this.#changed();
    if (!muted && !this.microphone && this.#open) await this.#acquire(["audio"]);
  }

  /**
   * Off stops the track, and with it the camera's light.
   * @param {boolean} off
   */
  async turnCamera(off) {
    this.cameraOff = off;
    if (off) {
      this.#stop(this.camera);
      this.camera = null;
      this.trouble.video = null;
      this.#changed();
    } else if (!this.camera && this.#open) {
      await this.#acquire(["video"]);
    }
  }

  /**
   * Use another device. Muted stays muted; a camera that is off stays off and only the choice is kept.
   * @param {Kind} kind
   * @param {string} deviceId
   */
  async choose(kind, deviceId) {
    this.#chosen[kind] = deviceId;
    remember(kind, deviceId);
    if (this.#open && !(kind === "video" && this.cameraOff)) await this.#acquire([kind]);
  }

  /** The phone's other camera. */
  async flip() {
    this.facing = this.facing === "user" ? "environment" : "user";
    this.#chosen.video = "";
    if (this.#open && !this.cameraOff) {
      // Many phones open only one camera at a time.
      this.#stop(this.camera);
      this.camera = null;
      await this.#acquire(["video"]);
    }
  }

  /**
   * Share the screen in the camera's place; when it ends, from here or from the browser's own bar, the camera is back.
   * @returns {Promise<boolean>} false if the person changed their mind
   */
  async share() {
    const round = this.#round;
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false });
    } catch (error) {
      if (error instanceof DOMException && error.name === "NotAllowedError") return false;
      throw error;
    }
    const track = stream.getVideoTracks()[0];
    if (!track) return false;
    this.#all.add(track);
    if (round !== this.#round) {
      this.#stop(track);
      return false;
    }
    track.contentHint = "detail";
    this.#stop(this.screen);
    this.screen = track;
    track.addEventListener("ended", () => {
      if (this.screen === track) this.endShare();
    });
    this.#changed();
    return true;
  }

  /** Back to the camera, or to no picture if it was off. */
  endShare() {
    this.#stop(this.screen);
    this.screen = null;
    this.#changed();
  }

  /**
   * @param {Kind} kind
   * @returns {Promise<MediaDeviceInfo[]>}
   */
  async list(kind) {
    const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
    return all.filter((device) => device.kind === `${kind}input` && device.deviceId);
  }

  /**
   * Fill a list with the devices of a kind; with only one there is nothing to choose.
   * @param {HTMLSelectElement} select
   * @param {Kind} kind
   */
  async fill(select, kind) {
    const devices = await this.list(kind);
    const current = (kind === "audio" ? this.microphone : this.camera)?.getSettings().deviceId;
    const options = devices.map(
      (device, index) => new Option(device.label || String(index + 1), device.deviceId, false, device.deviceId === current),
    );
    select.replaceChildren(...options);
    select.hidden = devices.length < 2;
  }

  /**
   * @param {Kind[]} kinds
   * @returns {Promise<Trouble | null>} why nothing came
   */
  async #acquire(kinds) {
    const round = this.#round;
    this.#asking += 1;
    this.#changed();
    try {
      const stream = await this.#ask(kinds);
      for (const track of stream.getTracks()) {
        this.#all.add(track);
        const kind = track.kind === "audio" ? "audio" : "video";
        if (round !== this.#round || (kind === "video" && this.cameraOff)) this.#stop(track);
        else this.#take(kind, track);
      }
      return null;
    } catch (error) {
      const trouble = TROUBLES[error instanceof Error ? error.name : ""] ?? "busy";
      if (round === this.#round) for (const kind of kinds) this.trouble[kind] = trouble;
      return trouble;
    } finally {
      this.#asking -= 1;
      this.#changed();
    }
  }

  /**
   * @param {Kind[]} kinds
   * @returns {Promise<MediaStream>}
   */
  async #ask(kinds) {
    try {
      return await navigator.mediaDevices.getUserMedia(this.#constraints(kinds));
    } catch (error) {
      const name = error instanceof Error ? error.name : "";
      const chosen = kinds.some((kind) => this.#chosen[kind]);
      if (name !== "OverconstrainedError" && !(chosen && name === "NotFoundError")) throw error;
      // The chosen device is gone, or can do nothing that we wish for: whatever there is.
      for (const kind of kinds) this.#chosen[kind] = "";
      return await navigator.mediaDevices.getUserMedia(Object.fromEntries(kinds.map((kind) => [kind, true])));
    }
  }

  /**
   * @param {Kind[]} kinds
   * @returns {MediaStreamConstraints}
   */
  #constraints(kinds) {
    /** @type {MediaStreamConstraints} */
    const constraints = {};
    for (const kind of kinds) {
      const device = this.#chosen[kind] ? { deviceId: { exact: this.#chosen[kind] } } : {};
      const side = kind === "video" && !this.#chosen.video ? { facingMode: this.facing } : {};
      constraints[kind] = { ...WISHES[kind], ...side, ...device };
    }
    return constraints;
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack} track
   */
  #take(kind, track) {
    this.trouble[kind] = null;
    const old = kind === "audio" ? this.microphone : this.camera;
    if (kind === "audio") {
      // Before anybody can send it: what was muted with the old device is muted with the new one.
      track.enabled = !this.muted;
      track.contentHint = "speech";
      this.microphone = track;
    } else {
      this.camera = track;
    }
    this.#stop(old);
    track.addEventListener("ended", () => void this.#unplugged(kind, track));
  }

  /**
   * The device went away by itself: take another, muted as before, or say that there is none.
   * @param {Kind} kind
   * @param {MediaStreamTrack} track
   */
  async #unplugged(kind, track) {
    this.#all.delete(track);
    if (track !== this.microphone && track !== this.camera) return;
    if (kind === "audio") this.microphone = null;
    else this.camera = null;
    this.#chosen[kind] = "";
    this.#changed();
    if (this.#open) await this.#acquire([kind]);
  }

  /** Something was plugged in: use it if it was missing and the browser need not ask. */
  async #plugged() {
    if (!this.#open) return;
    for (const kind of /** @type {Kind[]} */ (["audio", "video"])) {
      const missing = this.trouble[kind] === "missing" || this.trouble[kind] === "busy";
      if (missing && (await permission(kind)) === "granted") await this.#acquire([kind]);
    }
    this.dispatchEvent(new Event("devices"));
  }

  /** @param {MediaStreamTrack | null} track */
  #stop(track) {
    if (!track) return;
    track.stop();
    this.#all.delete(track);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * After both were refused together, whether one alone may still come: it is allowed, or only the other is forbidden.
 * Somebody who closed the question without an answer is not asked again.
 * @param {Kind} kind
 */
async function mayBeAskedAlone(kind) {
  const own = await permission(kind);
  const other = await permission(kind === "audio" ? "video" : "audio");
  return own === "granted" || (own === "prompt" && other === "denied");
}

/**
 * @param {Kind} kind
 * @returns {Promise<PermissionState>}
 */
async function permission(kind) {
  try {
    const name = /** @type {PermissionName} */ (kind === "audio" ? "microphone" : "camera");
    return (await navigator.permissions.query({ name })).state;
  } catch {
    return "granted"; // the browser does not say: asking is the only way to know
  }
}

/**
 * The device that was chosen before, on this page's test or in the last call. It is a wish like the others.
 * @param {Kind} kind
 */
function recall(kind) {
  try {
    return sessionStorage.getItem(`device ${kind}`) ?? "";
  } catch {
    return ""; // the browser keeps nothing for this page
  }
}

/**
 * @param {Kind} kind
 * @param {string} deviceId
 */
function remember(kind, deviceId) {
  try {
    sessionStorage.setItem(`device ${kind}`, deviceId);
  } catch {
    // The browser keeps nothing for this page: the choice lasts as long as the page.
  }
}
