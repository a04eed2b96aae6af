// The timeline: waveform, parts, phases, shots and prompts over the whole song, on one canvas.

import {LANES, lastBefore, paint, paintOver, placed} from "./studio-paint.js";
import {Tiles} from "./studio-tiles.js";

const NEAREST = 1.5;
// pixels below which a chosen shot is brought nearer, and how wide it then is
const READABLE = 40, NEAR = 150;
// for so long after a move the next one may follow: pictures come first, sharpness second
const SETTLED_MS = 150;

export class Timeline {
  constructor(canvas, {select, seek}) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", {alpha: false});
    this.tiles = new Tiles((context, view) => paint(context, this.data, view));
    this.select = select;
    this.seek = seek;
    this.data = null;
    this.chosen = -1;
    this.left = 0;
    this.span = 60;
    this.now = 0;
    this.moved = -Infinity;
    this.drawnSpan = 0;
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

  // Where the picture of a name is found, as a small one.
  show(address) {
    this.address = address;
    this.images ??= new Map();
  }

  // A small picture that a shot shows, or null until it is loaded.
  image(name) {
    const at = name && this.address?.(name);
    if (!at) return null;
    let image = this.images.get(at);
    if (!image) {
      image = new Image();
      this.images.set(at, image);
      image.onload = () => { clearTimeout(this.loading); this.loading = setTimeout(() => this.renew(), 60); };
      image.src = at;
    }
    return image.complete && image.naturalWidth ? image : null;
  }

  set(data) {
    data.image = (name) => this.image(name);
    const fresh = !this.data || this.data.song.duration !== data.song.duration;
    this.data = data;
    this.duration = data.song.duration;
    if (fresh) this.span = this.duration;
    this.place(this.left, this.span);
    this.renew();
  }

  fit() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    if (ratio !== this.ratio || this.canvas.clientWidth !== this.width || this.canvas.clientHeight !== this.height) {
      this.ratio = ratio;
      this.width = this.canvas.clientWidth;
      this.height = this.canvas.clientHeight;
      this.canvas.width = Math.max(1, Math.round(this.width * ratio));
      this.canvas.height = Math.max(1, Math.round(this.height * ratio));
      this.renew();
    }
    this.soon();
  }

  // What was painted of other data, or at another size, is forgotten.
  renew() {
    if (this.data && this.width) this.tiles.reset({duration: this.duration, width: this.width, height: this.height, ratio: this.ratio});
    this.soon();
  }

  move(left, span) {
    this.moved = performance.now();
    this.place(left, span);
  }

  place(left, span) {
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
    if ((end - start) / this.span * this.width < READABLE) {
      // near enough to read what is painted
      const span = Math.min((end - start) * this.width / NEAR, this.duration);
      this.move((start + end) / 2 - span / 2, span);
    } else if (start < this.left || end > this.left + this.span) {
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
    const view = {left: this.left, span: this.span, width, height}, zooming = this.drawnSpan !== this.span && began - this.moved < SETTLED_MS;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#12151a";
    if (this.left + this.span > this.duration) context.fillRect(0, 0, width, height);
    const sharp = this.tiles.draw(context, view, {zooming, hurried: began - this.moved < SETTLED_MS});
    this.drawnSpan = this.span;
    paintOver(context, this.data, view, this.chosen);
    context.fillStyle = "#fff";
    context.fillRect(this.x(this.now) - 1, 0, 2, height);
    this.frames.push(performance.now() - began);
    if (this.frames.length > 600) this.frames.shift();
    if (!sharp) this.soon();
  }

  x(time) {
    return placed(this, time);
  }
}
