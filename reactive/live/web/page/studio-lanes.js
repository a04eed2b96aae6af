// The timeline: waveform, parts, phases, shots and prompts over the whole song, on one canvas. Only what is seen is drawn.

import {colourOf} from "/page/lanes.js";

const FONT = "system-ui, \"DejaVu Sans\", sans-serif";
const LANES = {ruler: [0, 22], wave: [22, 84], parts: [110, 22], phases: [136, 24], shots: [164, 64], prompts: [232, 84]};
const NEAREST = 1.5;

export class Timeline {
  constructor(canvas, {select, seek}) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.select = select;
    this.seek = seek;
    this.data = null;
    this.chosen = -1;
    this.left = 0;
    this.span = 60;
    this.now = 0;
    this.frames = [];
    new ResizeObserver(() => this.fit()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.wheel(event), {passive: false});
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => { this.pointers.clear(); this.held = null; });
    this.pointers = new Map();
    this.held = null;
  }

  set(data) {
    const fresh = !this.data || this.data.song.duration !== data.song.duration;
    this.data = data;
    this.duration = data.song.duration;
    if (fresh) this.span = this.duration;
    this.move(this.left, this.span);
  }

  fit() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.ratio = ratio;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.max(1, Math.round(this.width * ratio));
    this.canvas.height = Math.max(1, Math.round(this.height * ratio));
    this.soon();
  }

  move(left, span) {
    this.span = Math.min(Math.max(span, NEAREST), this.duration);
    this.left = Math.min(Math.max(left, 0), this.duration - this.span);
    this.soon();
  }

  // Around a place on the canvas; else around the shot that is chosen, if it is in view.
  zoom(factor, x = this.middle()) {
    const at = this.left + x / this.width * this.span, span = Math.min(Math.max(this.span * factor, NEAREST), this.duration);
    this.move(at - x / this.width * span, span);
  }

  middle() {
    const shot = this.data?.shots?.[this.chosen], x = shot ? this.x((shot.start + shot.end) / 2) : -1;
    return x >= 0 && x <= this.width ? x : this.width / 2;
  }

  wheel(event) {
    if (!this.data) return;
    event.preventDefault();
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (sideways || event.shiftKey) this.move(this.left + (sideways ? event.deltaX : event.deltaY) / this.width * this.span, this.span);
    else this.zoom(Math.exp(event.deltaY * 0.0016), event.offsetX);
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event.offsetX);
    this.held = {x: event.offsetX, left: this.left, moved: false};
  }

  drag(event) {
    if (!this.pointers.has(event.pointerId) || !this.held) return;
    const before = [...this.pointers.values()];
    this.pointers.set(event.pointerId, event.offsetX);
    const after = [...this.pointers.values()];
    if (after.length === 2) {
      // two fingers
      const was = Math.abs(before[0] - before[1]), is = Math.abs(after[0] - after[1]);
      if (was > 4 && is > 4) this.zoom(was / is, (after[0] + after[1]) / 2);
      this.held.moved = true;
      return;
    }
    if (Math.abs(event.offsetX - this.held.x) > 4) this.held.moved = true;
    if (this.held.moved) this.move(this.held.left - (event.offsetX - this.held.x) / this.width * this.span, this.span);
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (!this.data || !this.held || this.held.moved) { this.held = null; return; }
    this.held = null;
    const time = this.left + event.offsetX / this.width * this.span;
    if (event.offsetY >= LANES.shots[0]) this.choose(this.shotAt(time));
    else this.seek(time);
  }

  shotAt(time) {
    return lastBefore(this.data.shots ?? [], time);
  }

  choose(number) {
    const shots = this.data?.shots ?? [];
    if (!shots.length) return;
    this.chosen = Math.min(Math.max(number, 0), shots.length - 1);
    const {start, end} = shots[this.chosen];
    if (start < this.left || end > this.left + this.span) {
      const span = Math.max(this.span, Math.min(this.duration, (end - start) * 1.3));
      this.move((start + end) / 2 - span / 2, span);
    }
    this.soon();
    this.select(shots[this.chosen], this.chosen);
  }

  soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  play(now) {
    if (Math.abs(now - this.now) < 0.01) return;
    this.now = now;
    if (now < this.left || now > this.left + this.span) this.move(now - this.span * 0.1, this.span);
    this.soon();
  }

  draw() {
    if (!this.data || !this.width) return;
    const began = performance.now(), {context, ratio, width, height} = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#12151a";
    context.fillRect(0, 0, width, height);
    this.drawRuler();
    this.drawWave();
    const {song, phases, phase, shots, fps, frames} = this.data;
    this.runs(song.sections, (one) => one.start, (one) => one.end, LANES.parts, (one) => ["#1b2027", "#aeb7c2", one.name]);
    if (phase) {
      const end = (index) => (phase[index + 1]?.[0] ?? frames) / fps;
      this.runs(phase, (one) => one[0] / fps, (one, index) => end(index), LANES.phases, (one) => [colourOf(one[1]), "#0b0d10", phases[one[1]]]);
    }
    if (shots) {
      this.runs(shots, (one) => one.start, (one) => one.end, LANES.shots, (one, index) => [
        index === this.chosen ? "#eba25b" : one.changed || one.locked ? "#3d4a3f" : "#262d36",
        index === this.chosen ? "#14100b" : "#dfe3e8",
        `${one.locked ? "🔒 " : ""}${one.name.split(" / ")[1] ?? one.name}`,
      ], (one) => one.photo || one.grounds[0] || "");
      this.runs(shots, (one) => one.start, (one) => one.end, LANES.prompts, (one, index) => [
        index === this.chosen ? "#2c2519" : "#171b21", index === this.chosen ? "#f4d3b3" : "#aeb7c2", one.prompts[0] ?? "",
      ], null, true);
    }
    context.fillStyle = "#fff";
    context.fillRect(this.x(this.now) - 1, 0, 2, height);
    this.frames.push(performance.now() - began);
    if (this.frames.length > 600) this.frames.shift();
  }

  x(time) {
    return (time - this.left) / this.span * this.width;
  }

  drawRuler() {
    const {context} = this, {bars} = this.data.song, right = this.left + this.span;
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300], step = steps.find((one) => one / this.span * this.width > 64) ?? 600;
    context.font = `11px ${FONT}`;
    context.textBaseline = "middle";
    context.fillStyle = "#8791a0";
    for (let at = Math.ceil(this.left / step) * step; at < right; at += step) {
      context.fillText(`${Math.floor(at / 60)}:${String(at % 60).padStart(2, "0")}`, this.x(at) + 4, 11);
      context.fillRect(this.x(at), 4, 1, 14);
    }
    const from = Math.max(0, lastBefore(bars, this.left)), wide = bars.length > 1 ? (bars[1] - bars[0]) / this.span * this.width : 0;
    if (wide < 5) return;
    context.fillStyle = "rgb(255 255 255 / .09)";
    for (let index = from; index < bars.length && bars[index] < right; index++) context.fillRect(this.x(bars[index]), 22, 1, this.height - 22);
  }

  drawWave() {
    const {context, width} = this, {peaks, loudness, duration} = this.data.song, [top, tall] = LANES.wave;
    const scale = peaks.length / duration, middle = top + tall / 2, step = 2;
    for (let px = 0; px < width; px += step) {
      const from = (this.left + px / width * this.span) * scale, to = (this.left + (px + step) / width * this.span) * scale;
      let peak = 0, loud = 0;
      for (let index = Math.floor(from); index <= Math.floor(to); index++) {
        peak = Math.max(peak, peaks[index] ?? 0);
        loud = Math.max(loud, loudness[index] ?? 0);
      }
      const mix = (a, b) => Math.round(a + (b - a) * loud);
      context.fillStyle = `rgb(${mix(70, 240)} ${mix(98, 166)} ${mix(132, 92)})`;
      const reach = Math.max(0.5, peak * (tall / 2 - 5));
      context.fillRect(px, middle - reach, step - 0.5, 2 * reach);
    }
  }

  runs(list, start, end, [top, tall], look, below, wrapped) {
    const {context} = this, right = this.left + this.span;
    let index = 0, high = list.length - 1;
    while (index < high) {
      const half = (index + high + 1) >> 1;
      if (start(list[half]) <= this.left) index = half; else high = half - 1;
    }
    context.font = `12px ${FONT}`;
    context.textBaseline = "middle";
    let drawn = -1;
    for (; index < list.length && start(list[index]) < right; index++) {
      const x = Math.max(this.x(start(list[index])), -4), to = Math.min(this.x(end(list[index], index)), this.width + 4);
      // what is narrower than a pixel is not drawn over and over
      if (to - drawn < 1 && index !== this.chosen) continue;
      drawn = to;
      const [fill, ink, text] = look(list[index], index), wide = Math.max(to - x - 1, 1);
      context.fillStyle = fill;
      if (wide > 8) { context.beginPath(); context.roundRect(x, top, wide, tall, 4); context.fill(); } else context.fillRect(x, top, wide, tall);
      if (wide < 30 || !text) continue;
      context.save();
      context.beginPath();
      context.rect(x, top, wide - 4, tall);
      context.clip();
      context.fillStyle = ink;
      if (wrapped && wide > 70) this.wrap(text, x + 7, top + 14, wide - 14, Math.floor((tall - 8) / 16));
      else context.fillText(text, x + 7, below ? top + 20 : top + tall / 2 + 0.5);
      const more = below?.(list[index]);
      if (more) { context.globalAlpha = 0.65; context.fillText(more, x + 7, top + 44); }
      context.restore();
    }
  }

  wrap(text, x, y, wide, most) {
    const {context} = this;
    let rest = "", row = 0;
    for (const word of text.split(" ")) {
      const longer = rest ? `${rest} ${word}` : word;
      if (rest && longer.length * 6.3 > wide) {
        context.fillText(rest, x, y + 16 * row++);
        if (row >= most) return;
        rest = word;
      } else rest = longer;
    }
    context.fillText(rest, x, y + 16 * row);
  }
}

// The last entry that begins at or before a time; entries are times, or have a start.
function lastBefore(list, time) {
  let low = 0, high = list.length - 1;
  while (low < high) {
    const half = (low + high + 1) >> 1, at = list[half].start ?? list[half];
    if (at <= time) low = half; else high = half - 1;
  }
  return low;
}
