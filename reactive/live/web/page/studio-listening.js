// The song as it is heard: play, seek, and a click on every beat, so that the grid can be judged by ear.

import {clock} from "./studio-api.js";

const byId = (id) => document.getElementById(id);
const SHAPES = {false: "M7 4.5v15l13-7.5z", true: "M7 5h3.6v14H7zM13.4 5H17v14h-3.6z"};
const AHEAD = 0.12;

export class Listening {
  constructor() {
    this.audio = byId("audio");
    this.wave = byId("wave");
    this.song = null;
    this.listeners = [];
    this.clicked = -1;
    // the player of pictures whose playhead is this one, and where it is
    this.leader = null;
    this.place = 0;
    for (const id of ["play", "t-play"]) byId(id).onclick = () => this.toggle();
    for (const kind of ["play", "pause", "ended"]) this.audio.addEventListener(kind, () => this.show());
    this.audio.addEventListener("seeked", () => { this.clicked = this.time; this.draw(); });
    this.wave.onpointerdown = (event) => this.song && this.seek(event.offsetX / this.wave.clientWidth * this.song.duration);
    this.wave.onkeydown = ({key}) => {
      if (key === "ArrowRight") this.seek(this.time + 5);
      if (key === "ArrowLeft") this.seek(this.time - 5);
    };
    new ResizeObserver(() => this.draw()).observe(this.wave);
    this.step = () => { this.tick(); if (!this.audio.paused) requestAnimationFrame(this.step); };
  }

  onTime(listener) {
    this.listeners.push(listener);
  }

  get time() {
    return this.leader ? this.place : this.audio.currentTime;
  }

  // Pictures play the song from now on, or no longer; the playhead stays where it is.
  lead(leader) {
    if (leader === this.leader) return;
    const {time} = this;
    if (leader && !this.audio.paused) this.audio.pause();
    this.place = time;
    this.leader = leader;
    if (!leader && this.song) this.seek(time);
  }

  follow(time) {
    if (!this.leader) return;
    this.place = time;
    this.tick();
  }

  set(song) {
    if (!this.song || this.song.title !== song.title || this.song.duration !== song.duration) {
      this.audio.src = `/song?${encodeURIComponent(song.title)}`;
    }
    this.song = song;
    this.wave.setAttribute("aria-valuemax", Math.round(song.duration));
    this.draw();
  }

  // `changes`: something was just changed there.
  seek(time, changes = false) {
    if (!this.song) return;
    const there = Math.min(Math.max(time, 0), this.song.duration - 0.01);
    if (this.leader) { this.place = there; this.leader.seek(there, changes); } else this.audio.currentTime = there;
    this.tick();
  }

  toggle() {
    if (!this.song) return;
    if (this.leader) { this.leader.toggle(); return; }
    if (!this.audio.paused) { this.audio.pause(); return; }
    this.sound ??= new AudioContext();
    this.sound.resume();
    this.clicked = this.time;
    this.audio.play().catch(() => null);
  }

  show() {
    const playing = !this.audio.paused;
    for (const id of ["play", "t-play"]) {
      byId(id).setAttribute("aria-label", playing ? "Pause" : "Play");
      byId(`${id}-shape`).setAttribute("d", SHAPES[playing]);
    }
    if (playing) requestAnimationFrame(this.step);
  }

  tick() {
    const {time} = this, text = `${clock(time)}.${Math.floor(time % 1 * 10)}`;
    byId("time").textContent = byId("t-time").textContent = text;
    this.wave.setAttribute("aria-valuenow", Math.round(time));
    this.wave.setAttribute("aria-valuetext", text);
    if (!this.audio.paused && byId("clicks").checked && !byId("start").hidden) this.click(time);
    this.draw();
    for (const listener of this.listeners) listener(time);
  }

  // Beats of the next moment are sounded at their own times.
  click(time) {
    const {beats, bars} = this.song, until = time + AHEAD;
    for (const beat of beats) {
      if (beat <= this.clicked || beat < time || beat > until) continue;
      const strong = bars.some((bar) => Math.abs(bar - beat) < 0.004), at = this.sound.currentTime + (beat - time);
      const tone = this.sound.createOscillator(), gain = this.sound.createGain();
      tone.frequency.value = strong ? 1560 : 1040;
      gain.gain.setValueAtTime(strong ? 0.3 : 0.18, at);
      gain.gain.exponentialRampToValueAtTime(0.001, at + 0.05);
      tone.connect(gain).connect(this.sound.destination);
      tone.start(at);
      tone.stop(at + 0.06);
    }
    this.clicked = Math.max(this.clicked, until);
  }

  draw() {
    if (!this.song || !this.wave.clientWidth) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2), width = this.wave.clientWidth, height = this.wave.clientHeight;
    if (this.wave.width !== Math.round(width * ratio)) { this.wave.width = Math.round(width * ratio); this.wave.height = Math.round(height * ratio); }
    const context = this.wave.getContext("2d"), {peaks, loudness, duration, sections, beats, bars} = this.song;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#0f1216";
    context.fillRect(0, 0, width, height);
    const room = height - 16;
    for (let x = 0; x < width; x += 2) {
      const from = Math.floor(x / width * peaks.length), to = Math.max(from + 1, Math.floor((x + 2) / width * peaks.length));
      let peak = 0, loud = 0;
      for (let index = from; index < to; index++) { peak = Math.max(peak, peaks[index]); loud = Math.max(loud, loudness[index]); }
      const mix = (a, b) => Math.round(a + (b - a) * loud), reach = Math.max(0.5, peak * (room / 2 - 2));
      context.fillStyle = `rgb(${mix(70, 240)} ${mix(98, 166)} ${mix(132, 92)})`;
      context.fillRect(x, 16 + room / 2 - reach, 1.5, 2 * reach);
    }
    context.font = "11px system-ui, \"DejaVu Sans\", sans-serif";
    for (const [index, {start, name}] of sections.entries()) {
      const x = start / duration * width, end = (sections[index + 1]?.start ?? duration) / duration * width;
      context.fillStyle = "rgb(255 255 255 / .3)";
      if (start) context.fillRect(x, 0, 1, height);
      context.fillStyle = "#aeb7c2";
      if (context.measureText(name).width < end - x - 6) context.fillText(name, x + 5, 11);
    }
    // ticks of the grid where they can be told apart
    const marks = beats.length / width < 0.15 ? beats : bars.length / width < 0.15 ? bars : [];
    context.fillStyle = "rgb(98 191 198 / .55)";
    for (const mark of marks) context.fillRect(mark / duration * width, height - 5, 1, 5);
    context.fillStyle = "#fff";
    context.fillRect(this.time / duration * width - 1, 0, 2, height);
  }
}
