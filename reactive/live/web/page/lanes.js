// The lanes under the picture: the whole song, and a close view around the playhead.

const COLOURS = ["#6f9bd8", "#e7a35e", "#d9655f", "#7fc0a0", "#b58ad6", "#cfc06a", "#67bdc9", "#d68ab0"];
const CURVES = [["speed", "walk", "#eba25b"], ["zoom", "lens", "#62bfc6"], ["strength", "strength", "#b58ad6"]];
const VIEW = 12;

export function colourOf(phase) {
  return COLOURS[phase % COLOURS.length];
}

function loudnessColour(level) {
  const mix = (a, b) => Math.round(a + (b - a) * level);
  return `rgb(${mix(70, 240)} ${mix(98, 166)} ${mix(132, 92)})`;
}

export class Lanes {
  constructor(overview, detail) {
    this.overview = overview;
    this.detail = detail;
    this.data = null;
    this.loop = null;
    // cue points
    this.marks = [];
    this.still = document.createElement("canvas");
    this.last = -1;
    new ResizeObserver(() => this.fit()).observe(overview.parentElement);
  }

  set(data, fps) {
    this.data = data;
    this.fps = fps;
    this.fit();
  }

  fit() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const canvas of [this.overview, this.detail]) {
      canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    }
    this.ratio = ratio;
    this.drawStill();
    this.last = -1;
  }

  runAt(runs, frame) {
    let low = 0, high = runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (runs[middle][0] <= frame) low = middle; else high = middle - 1;
    }
    return runs[low];
  }

  at(time) {
    if (!this.data) return null;
    const frame = Math.min(Math.max(Math.floor(time * this.fps + 1e-3), 0), this.data.frames - 1);
    const phase = this.runAt(this.data.phase, frame)[1];
    return {frame, phase, prompt: this.data.prompts[this.runAt(this.data.prompt, frame)[1]]};
  }

  // Everything of the overview that does not move.
  drawStill() {
    const {width, height} = this.overview;
    this.still.width = width;
    this.still.height = height;
    const context = this.still.getContext("2d");
    context.fillStyle = "#12151a";
    context.fillRect(0, 0, width, height);
    if (!this.data) return;
    const {song} = this.data, scale = width / song.duration, r = this.ratio;
    const band = 7 * r, middle = (height - band) / 2;
    for (let x = 0; x < width; x++) {
      const from = Math.floor(x / width * song.peaks.length);
      const to = Math.max(from + 1, Math.floor((x + 1) / width * song.peaks.length));
      let peak = 0, loud = 0;
      for (let i = from; i < to; i++) {
        peak = Math.max(peak, song.peaks[i]);
        loud = Math.max(loud, song.loudness[i]);
      }
      const reach = Math.max(r * 0.5, peak * (middle - 3 * r));
      context.fillStyle = loudnessColour(loud);
      context.fillRect(x, middle - reach, 1, 2 * reach);
    }
    this.data.phase.forEach(([frame, phase], index) => {
      const end = this.data.phase[index + 1]?.[0] ?? this.data.frames;
      context.fillStyle = colourOf(phase);
      context.fillRect(frame / this.fps * scale, height - band, (end - frame) / this.fps * scale - r, band);
    });
    context.font = `${10 * r}px system-ui, "DejaVu Sans", sans-serif`;
    for (const [index, section] of song.sections.entries()) {
      const x = section.start * scale, end = (song.sections[index + 1]?.start ?? song.duration) * scale;
      context.fillStyle = "rgb(255 255 255 / .5)";
      if (section.start > 0) context.fillRect(x, 0, r, height - band - 2 * r);
      if (context.measureText(section.name).width >= end - x - 6 * r) continue;
      // a dark rim keeps it readable over the waveform
      context.lineWidth = 3 * r;
      context.lineJoin = "round";
      context.strokeStyle = "#12151a";
      context.strokeText(section.name, x + 5 * r, 12 * r);
      context.fillStyle = "rgb(255 255 255 / .8)";
      context.fillText(section.name, x + 5 * r, 12 * r);
    }
  }

  draw(time, force) {
    if (!this.data || (!force && Math.abs(time - this.last) < 0.02)) return;
    this.last = time;
    this.drawOverview(time);
    this.drawDetail(time);
  }

  drawOverview(time) {
    const context = this.overview.getContext("2d"), {width, height} = this.overview, r = this.ratio;
    const scale = width / this.data.song.duration;
    context.drawImage(this.still, 0, 0);
    context.fillStyle = "#fff";
    for (const {time: at} of this.marks) {
      context.beginPath();
      context.moveTo(at * scale - 4 * r, height);
      context.lineTo(at * scale + 4 * r, height);
      context.lineTo(at * scale, height - 9 * r);
      context.fill();
    }
    if (this.loop) {
      context.fillStyle = "rgb(98 191 198 / .2)";
      context.fillRect(this.loop[0] * scale, 0, (this.loop[1] - this.loop[0]) * scale, height);
    }
    context.fillStyle = "rgb(11 13 16 / .45)";
    context.fillRect(0, 0, time * scale, height - 7 * r);
    context.fillStyle = "#fff";
    context.fillRect(time * scale - r, 0, 2 * r, height);
  }

  drawDetail(time) {
    const context = this.detail.getContext("2d"), {width, height} = this.detail, r = this.ratio;
    const {song} = this.data;
    const view = Math.min(VIEW, song.duration), left = Math.min(Math.max(time - view * 0.3, 0), song.duration - view);
    const x = (seconds) => (seconds - left) / view * width;
    context.fillStyle = "#12151a";
    context.fillRect(0, 0, width, height);
    const wave = 54 * r, phaseTop = wave + 2 * r, phaseBand = 17 * r, promptTop = phaseTop + phaseBand + 2 * r, promptBand = 24 * r;
    const curveTop = promptTop + promptBand + 6 * r, curveBand = height - curveTop - 5 * r;
    this.grid(context, left, view, x, height, wave);
    this.wave(context, left, view, width, wave);
    this.band(context, this.data.phase, left, view, x, phaseTop, phaseBand, (value) => [colourOf(value), this.data.phases[value], "#0b0d10"]);
    this.band(context, this.data.prompt, left, view, x, promptTop, promptBand, (value) => ["#1f252d", this.data.prompts[value], "#dfe3e8"]);
    CURVES.forEach(([name, label, colour], index) => this.curve(context, name, label, colour, index, left, view, width, curveTop, curveBand));
    context.fillStyle = "#fff";
    context.fillRect(x(time) - r, 0, 2 * r, height);
  }

  grid(context, left, view, x, height, wave) {
    const r = this.ratio, {beats, bars} = this.data.song;
    context.fillStyle = "rgb(255 255 255 / .07)";
    for (const beat of beats) if (beat >= left && beat <= left + view) context.fillRect(x(beat), 0, r, wave);
    context.font = `${10 * r}px system-ui, "DejaVu Sans", sans-serif`;
    bars.forEach((bar, index) => {
      if (bar < left || bar > left + view) return;
      context.fillStyle = "rgb(255 255 255 / .16)";
      context.fillRect(x(bar), 0, r, height);
      context.fillStyle = "rgb(255 255 255 / .55)";
      context.fillText(String(index + 1), x(bar) + 4 * r, 11 * r);
    });
  }

  wave(context, left, view, width, wave) {
    const {song} = this.data, r = this.ratio, middle = wave / 2 + 3 * r;
    const perSecond = song.peaks.length / song.duration;
    const step = Math.max(1, r);
    for (let px = 0; px < width; px += step) {
      const at = (left + px / width * view) * perSecond, index = Math.floor(at);
      const a = song.peaks[index] ?? 0, b = song.peaks[index + 1] ?? a;
      const reach = Math.max(r * 0.5, (a + (b - a) * (at - index)) * (wave / 2 - 6 * r));
      context.fillStyle = loudnessColour(song.loudness[index] ?? 0);
      context.fillRect(px, middle - reach, step, 2 * reach);
    }
  }

  band(context, runs, left, view, x, top, height, look) {
    const r = this.ratio;
    context.font = `${11 * r}px system-ui, "DejaVu Sans", sans-serif`;
    context.textBaseline = "middle";
    runs.forEach(([frame, value], index) => {
      const start = frame / this.fps, end = (runs[index + 1]?.[0] ?? this.data.frames) / this.fps;
      if (end < left || start > left + view) return;
      const [fill, text, ink] = look(value), from = Math.max(x(start), 0), wide = x(end) - from - r;
      context.fillStyle = fill;
      context.beginPath();
      context.roundRect(from, top, Math.max(wide, r), height, 3 * r);
      context.fill();
      if (wide < 26 * r) return;
      context.save();
      context.clip();
      context.fillStyle = ink;
      context.fillText(text, from + 7 * r, top + height / 2 + r * 0.5);
      context.restore();
    });
    context.textBaseline = "alphabetic";
  }

  curve(context, name, label, colour, index, left, view, width, top, height) {
    const {values, low, high} = this.data.curves[name], r = this.ratio, span = high - low || 1;
    context.strokeStyle = colour;
    context.lineWidth = 1.4 * r;
    context.beginPath();
    const first = Math.max(0, Math.floor(left * this.fps)), last = Math.min(values.length - 1, Math.ceil((left + view) * this.fps));
    for (let frame = first; frame <= last; frame++) {
      const px = (frame / this.fps - left) / view * width, py = top + height - (values[frame] - low) / span * height;
      if (frame === first) context.moveTo(px, py); else context.lineTo(px, py);
    }
    context.stroke();
    context.font = `${10 * r}px system-ui, "DejaVu Sans", sans-serif`;
    const py = top + 11 * r + index * 13 * r;
    // a dark rim keeps it readable over the curves
    context.lineWidth = 3 * r;
    context.lineJoin = "round";
    context.strokeStyle = "#12151a";
    context.strokeText(label, width - 56 * r, py);
    context.fillStyle = colour;
    context.fillText(label, width - 56 * r, py);
  }
}
