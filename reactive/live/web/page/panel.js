// The instrument: sliders, phases, prompt, presets, take. Every change goes to the server with the song's time.

import {colourOf} from "./lanes.js";

const byId = (id) => document.getElementById(id);

export class Panel {
  constructor(change, command) {
    this.change = change;
    this.command = command;
    this.state = null;
    this.busy = false;
    this.pending = new Map();
    this.prompt = byId("prompt");
    this.editing = null;
    this.held = null;
    for (const kind of ["freeze", "hold", "black"]) {
      byId(kind).onclick = () => this.toggle(kind);
    }
    byId("next").onclick = () => this.next();
    byId("save-take").onclick = () => command({t: "save take"});
    byId("undo").onclick = () => command({t: "undo"});
    byId("forget").onclick = () => command({t: "forget"});
    byId("fade").oninput = () => { byId("fade-value").textContent = `${byId("fade").value} s`; };
    this.prompt.onfocus = () => { this.editing = this.shownPrompt; };
    this.prompt.onblur = () => { if (this.prompt.value.trim() === this.editing) this.editing = null; };
    this.prompt.oninput = () => {
      this.editing ??= this.shownPrompt;
      const text = this.prompt.value.trim();
      byId("prompt-apply").disabled = !text || text === this.editing;
    };
    this.prompt.onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.applyPrompt();
      if (event.key === "Escape") { this.editing = null; this.prompt.blur(); }
    };
    byId("prompt-apply").onclick = () => this.applyPrompt();
  }

  hello({controls}) {
    this.own = controls;
    this.shownMacros = "";
    this.shownPresets = this.shownPhases = "";
    this.build(controls);
  }

  // Rows of buttons are made anew only when they change, so that the keyboard does not lose its place.
  presets(state) {
    const told = JSON.stringify(state.presets);
    if (told === this.shownPresets) return;
    this.shownPresets = told;
    byId("presets-row").hidden = state.presets.length < 2;
    byId("presets").replaceChildren(...state.presets.map((name, number) => {
      const button = document.createElement("button");
      button.textContent = name.split(/[\\/]/).slice(-2).filter((part) => part !== "preset.toml").pop().replace(/\.toml$/, "");
      button.title = name;
      button.dataset.midi = `preset-${number}`;
      button.onclick = () => this.fadeTo(number);
      return button;
    }));
  }

  phases(state) {
    const told = JSON.stringify(state.phases);
    if (told === this.shownPhases) return;
    this.shownPhases = told;
    byId("phases").replaceChildren(...state.phases.map((name, number) => {
      const button = document.createElement("button"), dot = document.createElement("i");
      dot.style.background = colourOf(number);
      button.append(name);
      button.prepend(dot);
      button.title = number < 9 ? `begin here (${number + 1})` : "begin here";
      button.setAttribute("aria-label", name);
      button.dataset.midi = `phase-${number}`;
      button.onclick = () => this.jump(number);
      return button;
    }));
  }

  build(controls) {
    byId("sliders").replaceChildren(...Object.entries(controls).map(([name, control]) => {
      const label = document.createElement("label"), input = document.createElement("input"), output = document.createElement("output");
      label.append(control.label, input, output);
      label.title = `${control.meaning}; double-click to reset`;
      Object.assign(input, {type: "range", min: control.low, max: control.high, step: control.step, id: `control-${name}`});
      input.dataset.midi = `control-${name}`;
      input.value = control.rest;
      input.oninput = () => { this.show(name, Number(input.value)); this.turn(name, Number(input.value)); };
      // what a hand holds is not moved under it
      input.onpointerdown = () => { this.held = name; };
      input.onpointerup = input.onpointercancel = () => { this.held = null; };
      input.ondblclick = () => { input.value = control.rest; input.oninput(); };
      return label;
    }));
    this.controls = controls;
  }

  // A preset's own knobs come first.
  macros(state) {
    const told = JSON.stringify(state.macros);
    if (told === this.shownMacros) return;
    this.shownMacros = told;
    const knobs = Object.entries(state.macros).map(([name, meaning]) => [name, {
      label: name.replace("macro.", "").replaceAll("_", " "), rest: state.controls[name], low: 0, high: 1, step: 0.01, meaning, macro: true,
    }]);
    this.build({...Object.fromEntries(knobs), ...this.own});
  }

  show(name, value) {
    const input = byId(`control-${name}`), control = this.controls[name];
    const output = input.parentElement.querySelector("output");
    output.textContent = control.macro ? value.toFixed(2) : name === "seed" ? `+${value}` : name === "strength" ? `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(2)}` : `×${value.toFixed(2)}`;
    input.parentElement.classList.toggle("moved", value !== control.rest);
  }

  // While the server folds a change in, later ones wait, and of each slider only the last.
  turn(name, value) {
    this.pending.set(name, value);
    this.flush();
  }

  flush() {
    if (this.busy || !this.pending.size) return;
    const [name, value] = this.pending.entries().next().value;
    this.pending.delete(name);
    this.busy = true;
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.settled(), 3000);
    this.change({kind: "control", name, value});
  }

  settled() {
    this.busy = false;
    clearTimeout(this.patience);
    setTimeout(() => this.flush(), 60);
  }

  update(state) {
    this.state = state;
    this.settled();
    this.macros(state);
    for (const [name, value] of Object.entries(state.controls)) {
      const input = byId(`control-${name}`);
      if (!input) continue;
      if (!this.pending.has(name) && this.held !== name) input.value = value;
      this.show(name, Number(input.value));
    }
    for (const kind of ["freeze", "hold", "black"]) byId(kind).setAttribute("aria-pressed", state[kind]);
    this.presets(state);
    [...byId("presets").children].forEach((button, number) => button.setAttribute("aria-pressed", state.presets[number] === state.preset));
    this.phases(state);
    const {changes, saved} = state;
    for (const id of ["save-take", "undo", "forget"]) byId(id).disabled = !changes;
    byId("take-state").textContent = changes
      ? `${changes} change${changes > 1 ? "s" : ""} recorded, ${saved ? "saved" : "not saved"}.`
      : "Everything you change is recorded along the song.";
    this.phase = undefined;
  }

  follow({phase, prompt}) {
    if (phase !== this.phase) {
      this.phase = phase;
      [...byId("phases").children].forEach((button, number) => button.classList.toggle("here", number === phase));
    }
    this.shownPrompt = prompt;
    if (this.editing === null && document.activeElement !== this.prompt && this.prompt.value !== prompt) {
      this.prompt.value = prompt;
      byId("prompt-apply").disabled = true;
    }
  }

  applyPrompt() {
    const text = this.prompt.value.trim(), old = this.editing ?? this.shownPrompt;
    if (!text || text === old) return;
    this.change({kind: "prompt", name: old, text});
    this.editing = null;
    byId("prompt-apply").disabled = true;
    this.prompt.blur();
  }

  toggle(kind) {
    if (this.state) this.change({kind, value: this.state[kind] ? 0 : 1});
  }

  jump(number) {
    if (this.state && number < this.state.phases.length) this.change({kind: "phase", value: number});
  }

  next() {
    if (this.state && this.phase !== undefined) this.jump((this.phase + 1) % this.state.phases.length);
  }

  fadeTo(number) {
    const name = this.state?.presets[number];
    if (name !== undefined) this.change({kind: "preset", name, value: Number(byId("fade").value)});
  }

  // To the next preset that is loaded.
  crossfade() {
    const presets = this.state?.presets ?? [];
    if (presets.length > 1) this.fadeTo((presets.indexOf(this.state.preset) + 1) % presets.length);
  }
}
