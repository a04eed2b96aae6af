// The song is the clock: what is audible now is where the player is, less what lies between it and the loudspeaker.

export class Clock {
  constructor(audio) {
    this.audio = audio;
    this.context = null;
    this.delay = 0;
  }

  // Browsers tell the output's latency only once a person has started sound.
  wake() {
    if (this.context || typeof AudioContext === "undefined") return;
    try {
      this.context = new AudioContext({latencyHint: "playback"});
      this.context.resume().catch(() => null);
    } catch {
      this.context = null;
    }
  }

  get latency() {
    const told = this.context?.outputLatency ?? 0;
    return this.audio.paused || !(told > 0 && told < 1) ? 0 : told;
  }

  get time() {
    return this.audio.currentTime;
  }

  get audible() {
    return Math.max(this.audio.currentTime - this.latency, 0);
  }

  // What has to be drawn now to be seen with the sound, where the screen is late by `delay` seconds.
  get visible() {
    return this.audible + (this.audio.paused ? 0 : this.delay);
  }
}
