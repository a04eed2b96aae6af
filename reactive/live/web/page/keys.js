// The keys, as the server's file has them: one key, or two one after the other, does one action.

const LABELS = {
  play: "play, pause", start: "to the start", "bar-back": "a bar back", "bar-on": "a bar on", "section-back": "a section back", "section-on": "a section on",
  next: "next phase", phase: "a phase", crossfade: "cross-fade to the next preset", freeze: "freeze", hold: "hold", blackout: "blackout",
  quantise: "at once, on the beat, on the bar", loop: "loop this section", "loop.": "loop of so many bars", "loop-in": "the loop begins here", "loop-out": "the loop ends here", "loop-off": "no loop",
  cue: "set a cue point", "cue.": "go to a cue point", "snapshot.": "recall a snapshot", "store.": "store a snapshot", "glide.": "beats of a recall", reset: "put everything back",
  tap: "tap the tempo", one: "set the “one”", half: "half", double: "double", earlier: "grid 10 ms earlier", later: "grid 10 ms later", undo: "undo", "save-take": "save take",
  "save-preset": "save into the preset", "pre-render": "pre-render the shot", "midi-learn": "MIDI learn", "next-song": "next song", "previous-song": "previous song", "song.": "a song",
  "output-window": "output window", "full-screen": "full screen",
};
const SHORT = {ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", PageUp: "Page ↑", PageDown: "Page ↓"};

export const labelOf = (action) => LABELS[action.replace(/\..*/, ".")] ?? LABELS[action.replace(/\..*/, "")] ?? LABELS[action] ?? action;
const shortOf = (key) => key.split(" ").map((one) => one.split("+").map((part) => SHORT[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join(" ")).join(", ");

// The name of the key of an event. With Shift it goes by the place on the keyboard, where a digit is another character.
export function keyOf({key, code, shiftKey}) {
  if (key === " ") return shiftKey ? "Shift+Space" : "Space";
  if (shiftKey && /^(Digit|Key)./.test(code)) return `Shift+${code.replace(/^(Digit|Key)/, "")}`;
  if (key.length === 1) return key.toLowerCase();
  return shiftKey ? `Shift+${key}` : key;
}

export class Keys {
  // `own` are the page's own actions by name; all others go to `act`.
  constructor(own, act, told = () => null) {
    this.own = own;
    this.act = act;
    this.told = told;
    this.map = {};
    this.first = null;
  }

  set(map, list) {
    this.map = map;
    this.leaders = new Set(Object.keys(map).filter((key) => key.includes(" ")).map((key) => key.split(" ")[0]));
    const groups = new Map();
    for (const [key, action] of Object.entries(map)) groups.set(labelOf(action), [...groups.get(labelOf(action)) ?? [], shortOf(key)]);
    list.replaceChildren(...[...groups].flatMap(([label, keys]) => {
      const term = document.createElement("dt"), meaning = document.createElement("dd");
      term.textContent = keys.length > 4 ? `${keys[0]} … ${keys.at(-1)}` : keys.join("  ");
      meaning.textContent = label;
      return [term, meaning];
    }));
  }

  // Does what the key does; returns whether it does anything.
  press(event) {
    const key = keyOf(event);
    // a modifier alone is half of a key
    if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return false;
    const name = this.first ? `${this.first} ${key}` : key, waiting = this.first;
    this.first = null;
    const action = this.map[name] ?? this.map[key];
    if (!waiting && !action && this.leaders?.has(key)) {
      this.first = key;
      const ways = Object.entries(this.map).filter(([other]) => other.startsWith(`${key} `));
      this.told(`${labelOf(ways[0][1])}: press ${ways.map(([other]) => other.split(" ")[1]).join(" ")}`);
      return true;
    }
    this.told(null);
    if (!action) return waiting !== null;
    if (action in this.own) this.own[action](event);
    else this.act(action);
    return true;
  }
}
