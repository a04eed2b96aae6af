// Renders: what to make, how long it will take, the queue, and finished clips in plain words.

import {Refused, clock, post} from "./studio-api.js";

const byId = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => { const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made; };
const STAGES = {hearing: "listening", loading: "loading the model", rendering: "painting", joining: "joining", judging: "looking at the clip"};

export function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds / 5) * 5)} seconds`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} minutes`;
  return `${(seconds / 3600).toFixed(1)} hours`;
}

export function room(bytes) {
  return bytes < 1e9 ? `${Math.max(1, Math.round(bytes / 1e6))} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

// What was measured, in words that a drummer reads.
export function judged({score, flashes, safe}) {
  if (!score) return safe ? "It stays within the flash limits." : `Careful: ${flashes}.`;
  const follows = score.correlation > 0.45 ? "moves clearly with the music" : score.correlation > 0.2 ? "moves with the music" : "moves freely, not with each hit";
  const dead = score.dead > 0.05 ? `never stands still for more than ${score.dead.toFixed(1)} s while it is loud` : "never stands still while it is loud";
  return `It ${follows}, ${dead}, ${safe ? "and passes the flash limits" : `but flashes too much: ${flashes}`}.`;
}

const PLACES = {youtube: "YouTube", "4k": "YouTube in 4K", tiktok: "TikTok", reels: "Reels", story: "Story", square: "Square post", canvas: "Spotify Canvas", stage: "Stage screen"};

function shaped({size: [width, height]}) {
  return width > height ? "16:9" : width < height ? "9:16" : "1:1";
}

// A place that clips are made for, in words.
export function described({about, size, fps, longest, loop}) {
  const most = !longest || longest > 3600 ? "" : `, at most ${longest < 90 ? `${longest} s` : `${Math.round(longest / 60)} minutes`}`;
  return `${about}: ${size.join(" × ")}, ${fps} frames a second${loop ? "" : most}.`;
}

// Several clips, one after the other.
export function summed(all) {
  const add = (name) => all.reduce((sum, one) => sum + one[name], 0), known = all.every(({seconds}) => seconds !== null), bytes = add("bytes");
  return {seconds: known ? add("seconds") : null, measured: all.every(({measured}) => measured), length: add("length"), bytes, free: all[0].free, fits: bytes < all[0].free};
}

// Time and space, before anything is made.
export function expected({seconds, measured, length, bytes, free, fits}) {
  const time = seconds === null ? `How long ${clock(length)} of clip take with this model is known after the first frames` : `Takes ${measured ? "" : "perhaps "}${span(seconds)} here for ${clock(length)} of clip`;
  return `${time}; needs ${room(bytes)} of ${room(free)} that are free${fits ? "" : ", which is too much"}.`;
}

// Of estimates from the smallest size on, the largest that takes hardly longer than the smallest, or no more than three quarters of a minute.
export function suggested(estimates) {
  const [{seconds: least}] = estimates;
  return estimates.findLastIndex(({seconds, fits}, index) => index === 0 || fits && seconds !== null && seconds <= Math.max(45, 1.5 * least));
}

export class RenderPage {
  constructor(attempt, studio) {
    this.attempt = attempt;
    this.studio = studio;
    this.shown = new Map();
    const form = byId("render-form");
    form.oninput = ({target}) => { if (target.name === "size") this.picked = true; this.estimate(); };
    form.onsubmit = (event) => { event.preventDefault(); this.begin(); };
  }

  // Shown: the places that clips are made for are asked for once.
  async open() {
    this.estimate();
    this.suggest();
    if (this.places) return;
    this.places = await fetch("/places").then((answer) => answer.json());
    byId("places").replaceChildren(...this.places.map(({name, about}) => {
      const box = make("input", {type: "checkbox", name: "place", value: name});
      return make("label", {title: about}, box, make("span", {}, PLACES[name] ?? name, " ", make("small", {textContent: shaped(this.places.find((one) => one.name === name))})));
    }));
  }

  // The size to begin with, unless a person has chosen one.
  async suggest() {
    if (this.sized || this.picked || !this.studio().lanes?.song) return;
    this.sized = true;
    const boxes = [...byId("size").querySelectorAll("input")];
    const told = await Promise.all(boxes.map(({value}) => post("/estimate", {settings: {...this.settings(), size: value, also: []}}))).catch(() => null);
    if (!told || this.picked) return;
    boxes[suggested(told)].checked = true;
    this.estimate();
  }

  chosen() {
    const names = new FormData(byId("render-form")).getAll("place");
    return (this.places ?? []).filter(({name}) => names.includes(name));
  }

  // One clip: where it goes, or none of these places.
  settings(place = "") {
    const form = new FormData(byId("render-form")), part = form.get("part");
    return {
      start: part === "try" ? Number(byId("from").value) : 0, duration: part === "try" ? 10 : null, size: form.get("size"),
      place, also: form.getAll("also"), crf: Number(form.get("crf")), flash_safe: byId("flash-safe").checked, model: byId("model").value.trim() || "ember",
    };
  }

  estimate() {
    const song = this.studio().lanes?.song;
    byId("from-part").hidden = new FormData(byId("render-form")).get("part") !== "try" || !song || song.duration <= 10;
    if (song) byId("from").max = Math.max(0, song.duration - 10).toFixed(1);
    const places = this.chosen();
    for (const id of ["size-part", "also-part"]) byId(id).hidden = places.length > 0;
    byId("places-words").hidden = !places.length;
    byId("places-words").textContent = places.map(described).join("\n");
    byId("from-value").textContent = clock(Number(byId("from").value));
    byId("begin").disabled = !song;
    const {duration, size, crf, model} = this.settings(), count = Math.max(places.length, 1);
    byId("begin").textContent = count > 1 ? `make ${count} clips` : duration ? `make ${duration} seconds` : "make the clip";
    byId("more-words").textContent = `${places.length ? "" : `${size.replace("x", " × ")}, `}${crf === 18 ? "good quality" : "smaller file"}, ${model === "ember" ? "small built-in model (ember)" : model}: change`;
    if (!song) { byId("estimate").textContent = "Choose a song first: step 1."; return; }
    clearTimeout(this.wait);
    this.wait = setTimeout(() => this.ask(), 150);
  }

  async ask() {
    const asked = this.asked = {}, places = this.chosen().map(({name}) => name);
    const told = await Promise.all((places.length ? places : [""]).map((place) => post("/estimate", {settings: this.settings(place)}))).catch((problem) => problem);
    if (asked !== this.asked) return;
    if (told instanceof Refused) { byId("estimate").textContent = told.message; byId("begin").disabled = true; return; }
    if (told instanceof Error) return;
    const all = summed(told);
    byId("estimate").textContent = expected(all);
    byId("begin").disabled = !all.fits;
  }

  async begin() {
    // a disabled button would lose the focus
    if (this.beginning) return;
    this.beginning = true;
    const places = this.chosen().map(({name}) => name);
    let begun = true;
    for (const place of places.length ? places : [""]) begun = begun && await this.attempt(post("/render", {what: "start", settings: this.settings(place)}));
    this.beginning = false;
    if (begun) setTimeout(() => byId("renders").scrollIntoView({block: "nearest", behavior: "smooth"}), 300);
  }

  update({renders}) {
    byId("no-renders").hidden = renders.length > 0;
    const list = byId("renders"), ids = new Set(renders.map(({id}) => id));
    for (const [id, row] of this.shown) if (!ids.has(id)) { row.item.remove(); this.shown.delete(id); }
    for (const render of [...renders].reverse()) {
      let row = this.shown.get(render.id);
      if (!row) {
        row = {item: make("li"), told: ""};
        row.item.dataset.id = render.id;
        this.shown.set(render.id, row);
        list.prepend(row.item);
      }
      const {progress, ...rest} = render, told = JSON.stringify(rest);
      if (told !== row.told) { row.told = told; this.build(row, render); }
      this.follow(row, render);
    }
    byId("tab-render").classList.toggle("done", renders.some(({state}) => state === "done"));
  }

  build(row, render) {
    const {id, state, name} = render, path = `/renders/${id}`, focused = row.item.contains(document.activeElement);
    const frame = make("div", {className: "frame"}), words = make("div"), buttons = make("div", {className: "row"});
    row.image = row.bar = row.line = null;
    words.append(make("b", {textContent: name}));
    const ask = (what, text = what) => { const button = make("button", {textContent: text}); button.onclick = () => this.attempt(post("/render", {what, id})); buttons.append(button); };
    const link = (href, text, first, title = "") => buttons.append(make("a", {href: `${href}?download`, textContent: text, title, className: first ? "link first" : "link"}));
    // a clip that took hours is not gone with one press
    const remove = () => {
      const button = make("button", {textContent: "remove"});
      button.onclick = () => {
        if (button.dataset.sure) { this.attempt(post("/render", {what: "remove", id})); return; }
        button.dataset.sure = "yes";
        button.textContent = "really remove it?";
        setTimeout(() => { delete button.dataset.sure; button.textContent = "remove"; }, 4000);
      };
      buttons.append(button);
    };
    if (state === "done") {
      // browsers play no ProRes
      if (name.endsWith(".mov")) { if (render.poster) frame.append(make("img", {src: `${path}/poster`, alt: ""})); } else {
        const video = make("video", {src: `${path}/clip`, controls: true, preload: "none", playsInline: true});
        if (render.poster) video.poster = `${path}/poster`;
        frame.append(video);
      }
      const {clip} = render.result;
      words.append(make("p", {textContent: `${clock(clip.duration)}, ${clip.size}, ${room(render.bytes)}`}), make("p", {textContent: judged(render.result)}));
      link(`${path}/clip`, "download", true);
      for (const [number, file] of (render.result.files ?? []).slice(1).entries()) link(`${path}/shape${number + 1}`, file.replace(/\.mp4$/, "").split(".").pop().split("-").pop());
      link(`${path}/recipe`, "recipe (JSON)", false, "A small file (JSON) of all settings, from which reactive makes the same clip again");
      remove();
    } else {
      row.image = make("img", {alt: "", hidden: true});
      row.placeholder = make("span", {textContent: {queued: "waits for its turn", running: "the first picture comes soon", paused: "paused", cancelled: "cancelled", failed: "failed"}[state]});
      frame.append(row.image, row.placeholder);
      row.line = make("p");
      words.append(row.line);
      if (state === "running" || state === "queued") {
        row.bar = make("progress", {max: 1, value: 0});
        row.bar.setAttribute("aria-label", "Rendered");
        if (state === "running") words.append(row.bar);
        if (render.stopping) row.line.textContent = "stopping …";
        else { ask("pause"); ask("cancel"); }
      } else {
        if (state === "failed") { row.line.textContent = render.problem; row.line.className = "alarm"; }
        ask("resume", state === "failed" ? "try again" : "go on");
        remove();
      }
    }
    words.append(buttons);
    row.item.replaceChildren(frame, words);
    if (focused) buttons.querySelector("a, button")?.focus();
  }

  follow(row, render) {
    const {state, progress = {}, id} = render;
    if (state === "queued") row.line.textContent = "Waits for its turn.";
    if (state !== "running" && state !== "paused") return;
    if (state === "running" && row.bar && !render.stopping) {
      const {stage, done = 0, total = 0, rate = 0} = progress;
      row.bar.value = stage === "rendering" && total ? done / total : 0;
      if (stage && stage !== "rendering") row.bar.removeAttribute("value");
      const left = rate > 0 && stage === "rendering" ? `, ${span((total - done) / rate)} left` : "";
      row.line.textContent = `${STAGES[stage] ?? "beginning"}${stage === "rendering" ? `: ${done} of ${total} frames${left}` : " …"}`;
    }
    const now = performance.now();
    if (now - (row.asked ?? 0) < 1500) return;
    row.asked = now;
    this.picture(row, id);
  }

  async picture(row, id) {
    const answer = await fetch(`/renders/${id}/picture`).catch(() => null);
    if (!answer || answer.status !== 200 || !row.image) return;
    const old = row.image.src;
    row.image.src = URL.createObjectURL(await answer.blob());
    row.image.hidden = false;
    row.placeholder.hidden = true;
    if (old) URL.revokeObjectURL(old);
  }
}
