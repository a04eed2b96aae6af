// The page of a live input: the newest picture as soon as it is there, what is heard, and the instrument.

import {Connection} from "./connection.js";
import {Keys} from "./keys.js";
import {Marks} from "./marks.js";
import {Quantise} from "./quantise.js";
import {started, waitingRoom} from "./starting.js";

const byId = (id) => document.getElementById(id);
const CREDIT = 3;
const connection = new Connection("page");
const screen = byId("screen"), context = screen.getContext("2d", {alpha: false});
const levels = byId("levels"), drawing = levels.getContext("2d");
const change = (data) => connection.send({t: "change", ...data});
const act = (name) => connection.send({t: "act", name});
const quantise = new Quantise(act);
const marks = new Marks(act, (message) => connection.send(message));
let state = null, controls = {}, newest = null, drawn = 0, decoding = false, shownMacros = "";

let starting = false;
connection.on("starting", (message) => { starting = waitingRoom(message, byId("waiting")); });
connection.on("hello", (message) => {
  starting = false;
  started(byId("waiting"));
  byId("waiting").textContent = "listening";
  byId("title").textContent = message.title;
  document.title = `${message.title} · reactive`;
  byId("recipe").textContent = `${message.model}, ${message.imagined.join("×")}, ${message.steps} step${message.steps > 1 ? "s" : ""}`;
  [screen.width, screen.height] = message.size;
  controls = message.controls;
  keys.set(message.keys, byId("keys"));
  shownMacros = "";
  byId("presets-section").hidden = message.presets.length < 2;
  byId("presets").replaceChildren(...message.presets.map((name) => button(name, () => change({kind: "preset", name, value: 4}))));
  connection.send({t: "credit", n: CREDIT});
});
connection.on("state", (message) => {
  state = message;
  for (const kind of ["freeze", "hold", "black"]) byId(kind).setAttribute("aria-pressed", state[kind]);
  byId("phases").replaceChildren(...state.phases.map((name, number) => button(name, () => change({kind: "phase", value: number}))));
  for (const chip of byId("presets").children) chip.setAttribute("aria-pressed", chip.textContent === state.preset);
  quantise.update(state);
  quantise.show(0);
  marks.update(state);
  build();
});
connection.on("status", (message) => {
  byId("rate").textContent = message.rate.toFixed(1);
  byId("tempo").textContent = message.tempo ? message.tempo.toFixed(0) : "no beat";
  byId("latency").textContent = message.latency.picture ? `${Math.round(message.latency.whole * 1000)} ms` : "–";
  byId("caption").textContent = message.prompt;
  [...byId("phases").children].forEach((chip, number) => chip.classList.toggle("here", number === message.phase));
  if (message.failed) say(`It stopped: ${message.failed}. Start \`reactive preview\` again.`);
  else if (message.ended) say("The input has ended.");
  meter(message.levels);
});
connection.on("role", ({role}) => { if (role === "looker") location.replace("/look"); });
connection.on("picture", ({jpeg}) => { newest = jpeg; show(); });
connection.on("error", ({text}) => say(text));
connection.on("closed", () => { byId("waiting").hidden = false; if (!starting) byId("waiting").textContent = "the server is away; waiting for it"; });

// The newest picture wins; one that came while another was decoded takes its place.
async function show() {
  if (decoding) return connection.send({t: "credit", n: 1});
  decoding = true;
  while (newest) {
    const jpeg = newest;
    newest = null;
    const bitmap = await createImageBitmap(jpeg).catch(() => null);
    if (!bitmap) continue;
    const scale = Math.max(screen.width / bitmap.width, screen.height / bitmap.height);
    const w = screen.width / scale, h = screen.height / scale;
    context.drawImage(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, 0, 0, screen.width, screen.height);
    bitmap.close();
    drawn++;
    byId("waiting").hidden = true;
  }
  decoding = false;
  connection.send({t: "credit", n: 1});
}

function meter(values) {
  const names = Object.keys(values), width = levels.width / names.length;
  drawing.clearRect(0, 0, levels.width, levels.height);
  drawing.font = "11px system-ui";
  names.forEach((name, number) => {
    const height = values[name] * (levels.height - 18);
    drawing.fillStyle = "#e0a458";
    drawing.fillRect(number * width + 4, levels.height - 16 - height, width - 8, height);
    drawing.fillStyle = "#9a9a9a";
    drawing.fillText(name, number * width + 4, levels.height - 3);
  });
}

function button(text, press) {
  const made = document.createElement("button");
  made.textContent = text;
  made.onclick = press;
  return made;
}

// The preset's own knobs come first; they are built anew when there are others.
function build() {
  const told = JSON.stringify(state.macros);
  if (told !== shownMacros) {
    shownMacros = told;
    const knobs = Object.entries(state.macros).map(([name, meaning]) => [name, {
      label: name.replace("macro.", "").replaceAll("_", " "), low: 0, high: 1, step: 0.01, meaning,
    }]);
    byId("sliders").replaceChildren(...[...knobs, ...Object.entries(controls)].map(([name, control]) => {
      const label = document.createElement("label"), input = document.createElement("input");
      label.append(control.label, input);
      label.title = control.meaning;
      Object.assign(input, {type: "range", min: control.low, max: control.high, step: control.step, id: `control-${name}`});
      input.oninput = () => change({kind: "control", name, value: Number(input.value)});
      return label;
    }));
  }
  for (const [name, value] of Object.entries(state.controls)) {
    const input = byId(`control-${name}`);
    if (input && document.activeElement !== input) input.value = value;
  }
}

let quiet = 0;
function say(text) {
  byId("notice").hidden = false;
  byId("notice-text").textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => { byId("notice").hidden = true; }, 8000);
}
byId("notice-close").onclick = () => { byId("notice").hidden = true; };

const toggle = (kind) => { if (state) change({kind, value: state[kind] ? 0 : 1}); };
const full = () => (document.fullscreenElement ? document.exitFullscreen() : byId("stage").requestFullscreen().catch(() => null));
const ask = (t) => connection.send({t});
for (const kind of ["freeze", "hold", "black"]) byId(kind).onclick = () => toggle(kind);
for (const kind of ["tap", "one", "next"]) byId(kind).onclick = () => ask(kind);
byId("full").onclick = full;
const keys = new Keys({"full-screen": full}, act);
document.addEventListener("keydown", (event) => {
  if (event.target.matches("select, input[type=text]") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (["Enter", " "].includes(event.key) && event.target.matches("button, summary")) return;
  if (keys.press(event)) event.preventDefault();
});

window.reactive = {connection, get drawn() { return drawn; }, get state() { return state; }};
connection.open();
