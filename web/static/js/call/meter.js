/** A microphone's level on a <meter>, so that a person sees that they are heard. */

/**
 * Show how loud a track is, 0 to 1, ten times a second.
 * @param {MediaStreamTrack} track
 * @param {HTMLMeterElement} meter
 * @returns {() => void} stops
 */
export function showLevel(track, meter) {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  const source = context.createMediaStreamSource(new MediaStream([track]));
  source.connect(analyser);
  const wave = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(wave);
    let power = 0;
    for (const value of wave) power += value * value;
    // -60 dB, a quiet room, is nothing; -10 dB, a loud voice, is all.
    const decibel = 10 * Math.log10(power / wave.length + 1e-9);
    meter.value = Math.min(1, Math.max(0, (decibel + 60) / 50));
  }, 100);
  return () => {
    clearInterval(timer);
    source.disconnect();
    void context.close();
    meter.value = 0;
  };
}
