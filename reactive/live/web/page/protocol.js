// What goes over the WebSocket, as the server's models say it. Written by `python -m reactive.live.web.protocol`: change it there.

// Of each message, one or more forms; of each field, the kinds of value that it may have, "?" if it may be left out.
export const FROM_SERVER = {
  "hello": [
    {"title": ["string"], "duration": ["number"], "fps": ["array"], "size": ["array"], "imagined": ["array"], "model": ["string"], "steps": ["number"], "draft": ["boolean"], "controls": ["object"], "song": ["number"], "keys": ["object"], "framed_by": ["number", "null"]},
    {"live": ["boolean"], "title": ["string"], "size": ["array"], "imagined": ["array"], "model": ["string"], "steps": ["number"], "draft": ["boolean"], "controls": ["object"], "presets": ["array"], "keys": ["object"]},
  ],
  "state": [
    {"revision": ["number"], "presets": ["array"], "preset": ["string"], "problem": ["object", "null"], "grid": ["object", "null"], "phases": ["array"], "controls": ["object"], "macros": ["object"], "freeze": ["boolean"], "hold": ["boolean"], "black": ["boolean"], "changes": ["number"], "saved": ["boolean"], "songs": ["array"], "song": ["number"], "ready": ["number", "null"], "ending": ["string"], "endings": ["object"], "quantise": ["string"], "loop": ["array", "null"], "loop_start": ["number", "null"], "waiting": ["array"], "jump": ["array", "null"], "cues": ["array"], "snapshots": ["array"], "glide": ["number"]},
    {"revision": ["number"], "preset": ["string"], "phases": ["array"], "controls": ["object"], "macros": ["object"], "freeze": ["boolean"], "hold": ["boolean"], "black": ["boolean"], "quantise": ["string"], "snapshots": ["array"], "waiting": ["array"]},
  ],
  "status": [
    {"rate": ["number"], "ahead": ["number"], "stride": ["array"], "behind": ["number"], "late": ["boolean"], "prepared": ["number", "null"], "quality": ["number"], "shot": ["array", "null"], "failed": ["string", "null"], "note": ["string", "null"], "kept": ["number"], "outputs": ["array", "?"]},
    {"rate": ["number"], "latency": ["object"], "tempo": ["number", "null"], "levels": ["object"], "phase": ["number"], "prompt": ["string"], "ended": ["boolean"], "failed": ["string", "null"], "outputs": ["array", "?"]},
  ],
  "error": [
    {"what": ["string"], "where": ["string"], "remedy": ["string"], "text": ["string"], "about": ["string", "null", "?"]},
  ],
  "role": [
    {"role": ["string"], "pages": ["number"]},
  ],
  "epoch": [
    {"epoch": ["number"], "n": ["number"], "time": ["number", "null", "?"], "since": ["number", "null", "?"]},
  ],
  "clock": [
    {"time": ["number"], "playing": ["boolean"], "epoch": ["number", "null", "?"]},
  ],
  "back": [
    {"time": ["number"], "edge": ["number"], "once": ["boolean", "?"]},
  ],
  "play": [
    {"playing": ["boolean"]},
  ],
  "begin": [
    {"playing": ["boolean"]},
  ],
  "go on": [
    {"a": ["number"], "b": ["number"]},
  ],
  "tap": [
    {"time": ["number"]},
  ],
  "one": [
    {"time": ["number"]},
  ],
  "reloaded": [
    {},
  ],
  "keep?": [
    {"preset": ["string"], "own": ["boolean"], "path": ["string", "null"], "says": ["array"], "leaves": ["array"], "warning": ["string"], "name": ["string"]},
  ],
  "kept": [
    {"path": ["string"]},
  ],
  "saved": [
    {"path": ["string"], "changes": ["number"]},
  ],
  "starting": [
    {"doing": ["string"], "passed": ["number"], "failed": ["string", "null"]},
  ],
};

export const FROM_PAGE = {
  "credit": [
    {"n": ["number"]},
  ],
  "clock": [
    {"time": ["number"], "playing": ["boolean", "?"]},
  ],
  "seek": [
    {"time": ["number"], "n": ["number"], "credit": ["number"], "playing": ["boolean", "?"]},
  ],
  "loop": [
    {"a": ["number", "null", "?"], "b": ["number", "null", "?"]},
  ],
  "act": [
    {"name": ["string"]},
  ],
  "mark": [
    {"what": ["string"], "number": ["number"], "name": ["string", "null", "?"]},
  ],
  "take over": [
    {},
  ],
  "change": [
    {"kind": ["string"], "time": ["number", "null", "?"], "name": ["string", "null", "?"], "value": ["number", "null", "?"], "text": ["string", "null", "?"]},
  ],
  "undo": [
    {},
  ],
  "forget": [
    {},
  ],
  "prepare": [
    {"time": ["number"]},
  ],
  "save take": [
    {},
  ],
  "grid": [
    {"action": ["string"], "ms": ["number", "null", "?"], "time": ["number", "null", "?"], "taps": ["array", "null", "?"], "meter": ["string", "null", "?"], "section": ["string", "null", "?"], "name": ["string", "null", "?"]},
  ],
  "keep?": [
    {},
  ],
  "keep": [
    {"name": ["string", "null", "?"]},
  ],
  "next": [
    {},
  ],
  "tap": [
    {},
  ],
  "one": [
    {},
  ],
  "song": [
    {"number": ["number", "null", "?"], "step": ["number", "null", "?"]},
  ],
  "ended": [
    {},
  ],
  "ending": [
    {"ending": ["string"]},
  ],
};

// Places of the numbers in a picture's head, and its length.
export const HEAD = {"version": 0, "epoch": 4, "frame": 8, "time": 16, "size": 24};
export const VERSION = 1;

function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

function faultOf(form, message) {
  for (const [name, kinds] of Object.entries(form)) {
    if (message[name] === undefined) {
      if (!kinds.includes("?")) return `${name} is missing`;
    } else if (!kinds.includes(kindOf(message[name]))) return `${name} is no ${kinds[0]}`;
  }
  return null;
}

// What is wrong with a message, or null.
export function fault(messages, message) {
  const forms = Object.hasOwn(messages, message?.t) ? messages[message.t] : null;
  if (!forms) return `no message ${message?.t} is known`;
  const faults = forms.map((form) => faultOf(form, message));
  return faults.includes(null) ? null : `${message.t}: ${faults[0]}`;
}
