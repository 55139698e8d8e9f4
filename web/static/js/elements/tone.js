/** The sound and the vibration of being called; a browser that holds sound back keeps silent, and the words stand. */

const NOTES_HZ = [659, 784, 988];
const NOTE_SECONDS = 0.22;
const ROUNDS = 3;
const ROUND_SECONDS = 1.6;

/** Play three rounds of three notes and let the phone vibrate. */
export function soundTheCall() {
  // A page that nobody has touched may do neither, and says so on the console; so it is not tried.
  if (navigator.userActivation && !navigator.userActivation.hasBeenActive) return;
  navigator.vibrate?.([300, 150, 300, 150, 300]);
  if (!("AudioContext" in window)) return;
  const audio = new AudioContext();
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, hertz] of NOTES_HZ.entries()) {
      const at = audio.currentTime + round * ROUND_SECONDS + index * NOTE_SECONDS;
      const tone = new OscillatorNode(audio, { frequency: hertz, type: "sine" });
      const gain = new GainNode(audio, { gain: 0 });
      gain.gain.setTargetAtTime(0.2, at, 0.02);
      gain.gain.setTargetAtTime(0, at + NOTE_SECONDS * 0.7, 0.05);
      tone.connect(gain).connect(audio.destination);
      tone.start(at);
      tone.stop(at + NOTE_SECONDS * 2);
    }
  }
  setTimeout(() => void audio.close(), ROUNDS * ROUND_SECONDS * 1_000 + 1_000);
}
