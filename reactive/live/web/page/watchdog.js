// When no new picture comes while the song plays, the last one goes on moving by the lens: a pure function of the
// song's time since it began to stand still. And it is said.

export const LATE = 1, ALARM = 3;
// the camera's slow way round: seconds, how much closer it goes, and which share of the margin it uses up sideways
const ROUND = 24, CLOSER = 0.12, ASIDE = 0.7;
const LEAD_IN = 0.5;

// The lens of the standing picture `passed` seconds of the song after it began to stand: zoom, degrees, shifts in widths
// and heights. `curves` are the timeline's own lens by frame, or null; `from` and `to` the frames then and now.
export function lensOf(passed, curves, from, to) {
  const angle = 2 * Math.PI * passed / ROUND, eased = Math.min(1, passed / LEAD_IN);
  const read = (name, frame) => curves?.[name]?.values[Math.max(frame, 0)] ?? 0;
  const change = (name) => (read(name, to) - read(name, from)) * eased;
  const pulse = Math.exp(Math.log((1 + read("zoom", to)) / (1 + read("zoom", from))) * eased);
  const zoom = Math.max(1, (1 + CLOSER * (1 - Math.cos(angle)) / 2) * (Number.isFinite(pulse) ? pulse : 1));
  const margin = ASIDE * (zoom - 1) / 2;
  return {
    zoom, degrees: change("rotate"),
    x: margin * Math.sin(angle * 1.5) + change("x"), y: margin * Math.sin(angle) + change("y"),
  };
}

export class Watchdog {
  constructor(pictures) {
    this.pictures = pictures;
    this.stood = this.longest = this.still = this.stillest = 0;
    this.moving = null;
    this.since = null;
    this.moved = 0;
  }

  // Once an animation frame: `time` of the song, whether it plays, the clock in milliseconds, the lens by frame, fps.
  step(time, playing, now, curves = null, fps = 24) {
    if (!playing) {
      this.since = this.moving = null;
      this.stood = 0;
      return;
    }
    this.since ??= now;
    const last = Math.max(this.since, this.pictures.drawnAt);
    this.stood = (now - last) / 1000;
    this.longest = Math.max(this.longest, this.stood);
    this.stillest = Math.max(this.stillest, (now - Math.max(last, this.moved)) / 1000);
    if (this.stood < LATE) {
      this.moving = null;
      return;
    }
    // a jump of the song begins the movement anew
    if (this.moving === null || time < this.moving || time - this.moving > this.stood + 1) this.moving = time;
    const frame = (seconds) => Math.floor(seconds * fps + 1e-3);
    if (this.pictures.through(lensOf(time - this.moving, curves, frame(this.moving), frame(time)))) this.moved = now;
  }

  // What the page says of it: nothing, or a text and whether it is serious.
  get says() {
    if (this.stood < LATE) return null;
    const seconds = this.stood.toFixed(this.stood < 10 ? 1 : 0);
    return this.stood < ALARM
      ? {text: `late: no new picture for ${seconds} s; the last one moves on`, alarm: false}
      : {text: `This machine is behind: no new picture for ${seconds} s. The last one moves on with the song.`, alarm: true};
  }
}
