// A MIDI controller plays the page: any slider or button learns a knob, a pad or a key. What was learned stays in this browser.

const KEPT = "reactive.midi";
const MAX_BYTES = 64_000;
const [NOTE_OFF, NOTE_ON, CONTROL, BEND] = [0x80, 0x90, 0xb0, 0xe0];

export class Midi {
  constructor(say, told) {
    this.say = say;
    this.told = told;
    this.access = null;
    this.learning = false;
    this.chosen = null;
    this.levels = new Map();
    this.map = this.load();
    document.addEventListener("click", (event) => this.catch(event), true);
    document.addEventListener("pointerdown", (event) => this.catch(event), true);
    document.addEventListener("focusin", (event) => { if (this.learning) this.choose(event.target); });
    this.told(this);
  }

  get possible() {
    return window.isSecureContext && typeof navigator.requestMIDIAccess === "function";
  }

  // Asks nobody where the browser was allowed before.
  async resume() {
    if (!this.possible || !Object.keys(this.map).length) return;
    const allowed = await navigator.permissions?.query({name: "midi"}).catch(() => null);
    if (allowed?.state === "granted") await this.connect();
  }

  async connect() {
    if (this.access) return true;
    this.access = await navigator.requestMIDIAccess({sysex: false}).catch(() => null);
    if (!this.access) return false;
    const listen = () => {
      for (const input of this.access.inputs.values()) input.onmidimessage = ({data}) => this.hear(data);
      this.told(this);
    };
    this.access.onstatechange = listen;
    listen();
    return true;
  }

  async learn(on = !this.learning) {
    if (on && !this.possible) return this.say("This browser hears no MIDI here: it needs Web MIDI, and this page on the machine itself.");
    if (on && !await this.connect()) return this.say("The browser was not allowed to hear MIDI. Allow it in the address bar, then try again.");
    this.learning = on;
    this.choose(null);
    document.body.classList.toggle("learning", on);
    this.told(this);
  }

  // While learning, a click chooses a control instead of using it.
  catch(event) {
    if (!this.learning || event.target.closest("[data-always]")) return;
    event.preventDefault();
    event.stopPropagation();
    this.choose(event.target);
  }

  choose(target) {
    const control = target?.closest("[data-midi]") ?? target?.querySelector?.(":scope > [data-midi]") ?? null;
    if (target && !control) return;
    for (const old of document.querySelectorAll(".chosen")) old.classList.remove("chosen");
    this.chosen = control?.dataset.midi ?? null;
    control?.classList.add("chosen");
    this.told(this);
  }

  hear([status, number, value = 0]) {
    const kind = status & 0xf0, channel = status & 0x0f;
    if (![NOTE_OFF, NOTE_ON, CONTROL, BEND].includes(kind)) return;
    const note = kind === NOTE_ON || kind === NOTE_OFF;
    const level = kind === NOTE_OFF ? 0 : kind === BEND ? (value * 128 + number) / 16383 : value / 127;
    const source = kind === BEND ? `bend ${channel + 1}` : `${note ? "note" : "control"} ${channel + 1}/${number}`;
    if (this.learning) {
      if (this.chosen && level > 0) this.bind(source);
      return;
    }
    const before = this.levels.get(source) ?? 0;
    this.levels.set(source, level);
    // what came from a file is heard on every channel
    const name = this.map[source] ?? this.map[source.replace(/ \d+\//, " */")];
    if (name) this.play(name, level, before);
  }

  bind(source) {
    // a control has one knob, and a knob one control
    for (const [old, name] of Object.entries(this.map)) if (name === this.chosen) delete this.map[old];
    this.map[source] = this.chosen;
    this.save();
    this.say(`Learned: ${source} plays “${nameOf(find(this.chosen)) ?? this.chosen}”.`, true);
    this.choose(null);
  }

  // What was learned, as the file that `reactive preview --midi-map` and other browsers read.
  get text() {
    return fileText(this.map);
  }

  async take(file) {
    try {
      if (file.size > MAX_BYTES) throw new Error("it is larger than a file of MIDI controls");
      const taken = readFile(await file.text());
      this.map = {...this.map, ...taken};
      this.save();
      this.told(this);
      const count = Object.keys(taken).length;
      this.say(`${count} control${count > 1 ? "s" : ""} from ${file.name}.`, true);
      if (this.possible) await this.connect();
    } catch (problem) {
      this.say(`${file.name} can't be used: ${problem.message}.`);
    }
  }

  forget() {
    this.map = {};
    this.save();
    this.told(this);
  }

  play(name, level, before) {
    const control = find(name);
    if (!control || control.disabled) return;
    if (control.matches("input[type=range]")) {
      const low = Number(control.min), high = Number(control.max);
      control.value = low + (high - low) * level;
      control.dispatchEvent(new Event("input"));
    } else if (level >= 0.5 && before < 0.5) {
      control.click();
    }
  }

  load() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
      return Object.fromEntries(Object.entries(kept).filter(([, name]) => typeof name === "string"));
    } catch {
      return {};
    }
  }

  save() {
    try {
      localStorage.setItem(KEPT, JSON.stringify(this.map));
    } catch {
      this.say("The browser keeps nothing for this page, so what was learned lasts until it is closed.");
    }
  }
}

// Names of the page, and those of actions in files: "control-macro.storm" and "macro.storm", "loop-4" and "loop.4".
const RENAMED = {black: "blackout", "song-next": "next-song", "song-previous": "previous-song"};
const PLAIN = ["next", "play", "freeze", "hold", "crossfade", "tap", "one", "cue", "reset", "loop", "loop-in", "loop-out", "loop-off"];
const NUMBERED = /^(phase|song|loop|cue|snapshot|store)-(\d{1,3})$/;

export function actionOf(name) {
  if (RENAMED[name]) return RENAMED[name];
  if (name.startsWith("control-")) return name.slice("control-".length);
  if (PLAIN.includes(name)) return name;
  const numbered = NUMBERED.exec(name);
  return numbered ? `${numbered[1]}.${numbered[2]}` : null;
}

function controlOf(action) {
  const renamed = Object.entries(RENAMED).find(([, one]) => one === action)?.[0];
  if (renamed) return renamed;
  if (PLAIN.includes(action)) return action;
  const numbered = NUMBERED.exec(action.replace(".", "-"));
  return numbered && !action.startsWith("macro.") ? numbered[0] : `control-${action}`;
}

export function fileText(map) {
  const tables = {cc: [], note: []}, others = [];
  for (const [source, name] of Object.entries(map)) {
    const found = /^(note|control) (?:\d+|\*)\/(\d+)$/.exec(source), action = actionOf(name);
    if (found && action) tables[found[1] === "note" ? "note" : "cc"].push(`${found[2]} = ${JSON.stringify(action)}`);
    else others.push(`# only in the browser where it was learned: ${source} = ${name}`);
  }
  const lines = ["# What a MIDI controller plays: controllers (cc) and notes, on any channel. `reactive preview --midi-map FILE` reads it."];
  for (const [kind, entries] of Object.entries(tables)) if (entries.length) lines.push(`[${kind}]`, ...entries);
  return `${[...lines, ...others].join("\n")}\n`;
}

// The lines of such a file; an error says which one is wrong.
export function readFile(text) {
  const map = {};
  let kind = "";
  for (const [number, line] of text.split(/\r?\n/).entries()) {
    const plain = line.trim();
    if (!plain || plain.startsWith("#") || /^port\s*=/.test(plain)) continue;
    const table = /^\[(cc|note)\]\s*(?:#.*)?$/.exec(plain), entry = /^"?(\d{1,3})"?\s*=\s*"([^"\\]{1,64})"\s*(?:#.*)?$/.exec(plain);
    if (table) kind = table[1];
    else if (entry && kind && Number(entry[1]) < 128) map[`${kind === "note" ? "note" : "control"} */${Number(entry[1])}`] = controlOf(entry[2]);
    else throw new Error(`line ${number + 1} is no controller, "1 = \"walk\"" below [cc] or [note]`);
  }
  if (!Object.keys(map).length) throw new Error("there are no controllers in it");
  return map;
}

function find(name) {
  return document.querySelector(`[data-midi="${CSS.escape(name)}"]`);
}

export function nameOf(control) {
  return control?.getAttribute("aria-label") ?? (control?.closest("label") ?? control)?.firstChild?.textContent?.trim() ?? null;
}
