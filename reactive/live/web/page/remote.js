// The remote control for phones: big buttons, each of which is an action of the server; or, with a link that only looks, none.

import {Connection} from "./connection.js";
import {Pictures} from "./pictures.js";
import {Quantise} from "./quantise.js";
import {started, waitingRoom} from "./starting.js";

const byId = (id) => document.getElementById(id);
const CREDIT = 48;
const connection = new Connection(location.pathname === "/look" ? "look" : "remote");
const pictures = new Pictures(byId("screen"), (n) => connection.send({t: "credit", n}));
const act = (name) => connection.send({t: "act", name});
const quantise = new Quantise(act);
let clock = {time: 0, playing: false, told: 0}, live = false, state = null, lanes = null, revision = -1, fps = 24, starting = false, prompt = "", looker = true;

const stamp = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
const now = () => clock.time + (clock.playing ? Math.min((performance.now() - clock.told) / 1000, 2) : 0);

connection.on("starting", (message) => { starting = waitingRoom(message, byId("waiting")); });
connection.on("hello", (message) => {
  starting = false;
  started(byId("waiting"));
  byId("waiting").textContent = "waiting for a picture";
  byId("waiting").hidden = false;
  live = message.live === true;
  fps = message.fps ? message.fps[0] / message.fps[1] : 24;
  for (const part of document.querySelectorAll(".song")) part.hidden = live;
  for (const part of document.querySelectorAll(".live")) part.hidden = !live;
  byId("title").textContent = message.title;
  document.title = `${message.title} · reactive`;
  pictures.resize(message.size);
  pictures.restart();
  pictures.waiting = false;
  revision = -1;
  lanes = null;
  connection.send({t: "credit", n: CREDIT});
});
connection.on("role", ({role}) => {
  looker = role === "looker";
  byId("controls").hidden = looker;
  byId("looks").hidden = !looker;
});
connection.on("state", async (message) => {
  state = message;
  quantise.update(state);
  for (const [id, on] of [["black", state.black], ["hold", state.hold]]) byId(id).setAttribute("aria-pressed", on);
  for (const unit of ["off", "beat", "bar"]) document.querySelector(`[data-act="quantise.${unit}"]`).setAttribute("aria-pressed", state.quantise === unit);
  fill("phases", state.phases.map((name, number) => [name, `phase.${number}`]));
  fill("snapshots", state.snapshots.flatMap((name, index) => (name === null ? [] : [[name, `snapshot.${index + 1}`]])));
  byId("store").disabled = !state.snapshots.includes(null);
  if (live) return;
  fill("cues", state.cues.map(({name}, index) => [name, `cue.${index + 1}`]));
  byId("songs").hidden = state.songs.length < 2;
  if (state.revision === revision) return;
  revision = state.revision;
  const answer = await fetch("/lanes").catch(() => null);
  if (answer?.ok) { lanes = await answer.json(); quantise.press(lanes.song.bars); }
});
connection.on("status", (message) => {
  if (!live) return;
  prompt = message.prompt;
  here(message.phase);
});
connection.on("clock", ({time, playing, epoch}) => {
  clock = {time, playing, told: performance.now()};
  byId("play").textContent = playing ? "pause" : "play";
  if (epoch !== undefined) { pictures.jump(); pictures.waiting = false; connection.send({t: "credit", n: CREDIT}); }
});
connection.on("epoch", (message) => pictures.heard(message));
connection.on("picture", async (picture) => {
  await pictures.take(picture);
  if (live) pictures.draw(picture.time + 1);
});
connection.on("error", ({text}) => say(text));
connection.on("closed", () => { byId("waiting").hidden = false; if (!starting) byId("waiting").textContent = "the server is away; waiting for it"; });
setInterval(() => pictures.settle(), 80);

// Rows are made anew only when they change, so that a finger does not lose its button.
function fill(id, entries) {
  const told = JSON.stringify(entries);
  if (byId(id).dataset.told === told) return;
  byId(id).dataset.told = told;
  byId(id).replaceChildren(...entries.map(([text, action]) => {
    const button = document.createElement("button");
    button.textContent = text;
    button.onclick = () => act(action);
    return button;
  }));
}
function here(phase) {
  [...byId("phases").children].forEach((button, number) => button.classList.toggle("here", number === phase));
}
byId("store").onclick = () => act(`store.${state.snapshots.indexOf(null) + 1}`);

let quiet = 0;
function say(text) {
  byId("notice").hidden = false;
  byId("notice-text").textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => { byId("notice").hidden = true; }, 8000);
}
byId("notice-close").onclick = () => { byId("notice").hidden = true; };

const runAt = (runs, frame) => runs.findLast(([first]) => first <= frame)?.[1];
function tick() {
  requestAnimationFrame(tick);
  if (!live && pictures.draw(now())) byId("waiting").hidden = true;
  if (live && pictures.drawn) byId("waiting").hidden = true;
}
setInterval(() => {
  if (!live && lanes) {
    const frame = Math.floor(now() * fps + 1e-3);
    prompt = lanes.prompts[runAt(lanes.prompt, frame)] ?? "";
    here(runAt(lanes.phase, frame));
    byId("time").textContent = stamp(now());
  }
  const coming = state ? quantise.waiting(now()) : "";
  byId("now").textContent = coming || prompt;
  byId("now").classList.toggle("coming", Boolean(coming));
}, 100);
requestAnimationFrame(tick);
connection.open();

// what tests read
window.reactive = {connection, pictures, get state() { return state; }, get looker() { return looker; }, get clock() { return clock; }, act};
