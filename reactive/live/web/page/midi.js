// A MIDI controller plays the page: any slider or button learns a knob, a pad or a key. What was learned stays in this browser.

const KEPT = "reactive.midi";
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
    if (this.map[source]) this.play(this.map[source], level, before);
  }

  bind(source) {
    // a control has one knob, and a knob one control
    for (const [old, name] of Object.entries(this.map)) if (name === this.chosen) delete this.map[old];
    this.map[source] = this.chosen;
    this.save();
    this.say(`Learned: ${source} plays “${nameOf(find(this.chosen)) ?? this.chosen}”.`, true);
    this.choose(null);
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

function find(name) {
  return document.querySelector(`[data-midi="${CSS.escape(name)}"]`);
}

export function nameOf(control) {
  return control?.getAttribute("aria-label") ?? (control?.closest("label") ?? control)?.firstChild?.textContent?.trim() ?? null;
}
