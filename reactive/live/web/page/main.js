// The page: sound, pictures, lanes and instrument, wired together.

import {Clock} from "./clock.js";
import {Connection} from "./connection.js";
import {Framed} from "./framed.js";
import {GridBar} from "./gridbar.js";
import {Keep} from "./keep.js";
import {Keys} from "./keys.js";
import {Lanes} from "./lanes.js";
import {Marks} from "./marks.js";
import {Midi, nameOf} from "./midi.js";
import {Panel} from "./panel.js";
import {Pictures, percentile} from "./pictures.js";
import {Quantise} from "./quantise.js";
import {started, waitingRoom} from "./starting.js";
import {Songs} from "./songs.js";
import {Watchdog} from "./watchdog.js";

const byId = (id) => document.getElementById(id);
const CREDIT = 72, CREDIT_PAUSED = 28, TELL_MS = 100, CHANGE_MS = 10000;

const audio = byId("audio"), clock = new Clock(audio);
const connection = new Connection("page");
const pictures = new Pictures(byId("screen"), (n) => connection.send({t: "credit", n}));
const watchdog = new Watchdog(pictures);
const lanes = new Lanes(byId("overview"), byId("detail"));
const panel = new Panel(
  (change) => connection.send({t: "change", time: clock.time, ...change}),
  (command) => connection.send(command),
);
const send = (message) => connection.send(message);
const grid = new GridBar(send, () => (holder ? clock.audible : visible()));
const keep = new Keep(send);
const songs = new Songs(send);
const act = (name) => send({t: "act", name});
const quantise = new Quantise(act);
// after a new connection this page's own loop counts until the server knows it
let greeted = false, keys = null;
const marks = new Marks(act, send);
// in the studio, a change of a shot is seen from its beginning once it has arrived
let changed = null;
const framed = new Framed({
  seek: (time, changes) => { changed = changes ? {time, until: performance.now() + CHANGE_MS} : null; aloud(); jumpTo(time); },
  toggle: () => toggle(), pause: () => audio.pause(),
});
const midi = new Midi((text, good) => say(text, good), showMidi);
// an output window on this machine gets the clock directly
const nearby = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("reactive");
let unsaved = 0, problem = null, starting = false;
// seconds from one picture that is due to the next, as the server paces itself
let period = 1 / 24;
// which song of the list is shown, and whether it is over and pictures go on without it
let song = null, silent = false;
let facts = null, revision = -1, holder = false, loop = null, viewed = {time: 0, playing: false, told: 0};

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* a browser may keep nothing */ }
}
function remembered(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}
const fpsOf = ({fps: [top, bottom]}) => top / bottom;
const stamp = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

// Where the picture should be: by this page's sound, or as the page that plays says.
function visible() {
  if (holder || !viewed.told) return clock.visible;
  const passed = viewed.playing ? Math.min((performance.now() - viewed.told) / 1000, 2) : 0;
  return viewed.time + passed + clock.delay;
}

// -- news from the server
connection.on("starting", (message) => { starting = waitingRoom(message, byId("waiting")); });
let leaving = false;
connection.on("hello", (message) => {
  if (leaving) return;
  facts = message;
  greeted = true;
  starting = false;
  started(byId("waiting"));
  byId("title").textContent = message.title;
  document.title = `${message.title} · reactive`;
  byId("recipe").textContent = `${message.model}, ${message.imagined.join("×")}, ${message.steps} step${message.steps > 1 ? "s" : ""}`;
  byId("length").textContent = `/ ${stamp(message.duration)}`;
  byId("badge").hidden = !message.draft;
  byId("badge").textContent = "draft: not the final picture";
  byId("waiting").textContent = "press play";
  pictures.resize(message.size);
  pictures.restart();
  panel.hello(message);
  framed.allow(message.framed_by);
  keys.set(message.keys, byId("keys"));
  if (song !== message.song) {
    const first = song === null;
    song = message.song;
    audio.src = `/song?${song}`;
    aloud();
    if (!first) { loop = lanes.loop = null; revision = -1; byId("waiting").hidden = false; byId("waiting").textContent = ""; }
  }
  else if (audio.error || audio.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) {
    // the server was away while the player wanted more of the song
    const there = audio.currentTime;
    audio.load();
    audio.currentTime = there;
  }
});
connection.on("role", ({role}) => {
  if (role === "looker") { leaving = true; return location.replace("/look"); }
  const before = holder;
  holder = role === "holder";
  byId("take-over").hidden = holder;
  if (!holder) { audio.pause(); connection.send({t: "credit", n: CREDIT}); pictures.waiting = false; }
  byId("play").disabled = !holder;
  if (holder && (!before || pictures.waiting)) { jumpTo(clock.time); tellLoop(); }
  greeted = false;
});
connection.on("state", async (state) => {
  if (leaving) return;
  panel.update(state);
  grid.update(state.grid);
  songs.update(state);
  quantise.update(state);
  marks.update(state);
  lanes.marks = state.cues;
  if (!greeted && !drag && JSON.stringify(loop) !== JSON.stringify(state.loop)) {
    loop = lanes.loop = state.loop;
    // the loop of the pictures after the end was taken away elsewhere
    if (silent && !loop) silent = audio.muted = false;
    lanes.draw(visible(), true);
  }
  byId("crossfade").hidden = state.presets.length < 2;
  if (unsaved && !state.changes) say(`The server was started anew; ${unsaved} change${unsaved > 1 ? "s" : ""} not saved as a take are gone.`);
  unsaved = 0;
  if (state.problem && state.problem.text !== problem) say(state.problem.text);
  if (!state.problem && problem && byId("notice-text").textContent === problem) byId("notice").hidden = true;
  problem = state.problem?.text ?? null;
  if (state.revision !== revision) {
    const first = revision < 0;
    revision = state.revision;
    if (changed && !first && performance.now() < changed.until) { jumpTo(changed.time); changed = null; }
    const answer = await fetch("/lanes").catch(() => null);
    if (answer?.ok) { lanes.set(await answer.json(), fpsOf(facts)); quantise.press(lanes.data.song.bars); lanes.draw(visible(), true); }
  }
});
// a tap by OSC or MIDI counts at the moment that is heard here, as a tap on the page does
connection.on("tap", () => grid.tap());
connection.on("begin", ({playing}) => {
  aloud();
  jumpTo(0);
  if (playing && audio.paused) toggle();
});
// after the last song the picture goes on over its last bars, without sound
connection.on("go on", ({a, b}) => {
  silent = audio.muted = true;
  setLoop([a, b]);
  jumpTo(a);
  if (audio.paused) toggle();
  say("The song is over; pictures go on without sound. Click the waveform, or press Home, to hear it again.", true);
});
function aloud() {
  if (!silent) return;
  silent = audio.muted = false;
  setLoop(null);
}
audio.onended = () => { if (holder) connection.send({t: "ended"}); };
connection.on("one", () => byId("one").click());
// start and stop from a controller or another program
connection.on("play", ({playing}) => { if (playing === audio.paused) toggle(); });

connection.on("epoch", (message) => {
  pictures.heard(message);
  if (message.n === pictures.asked && Math.abs(message.time - clock.time) > 0.3 && message.time < clock.time) {
    // a long feedback shot grows from its start
    audio.currentTime = message.time;
    say("This shot grows out of itself, so it starts from its beginning.", true);
  }
});
connection.on("clock", ({time, playing, epoch}) => {
  if (holder) return;
  viewed = {time, playing, told: performance.now()};
  if (epoch !== undefined) { pictures.jump(); pictures.waiting = false; connection.send({t: "credit", n: CREDIT}); }
});
connection.on("picture", async (picture) => {
  await pictures.take(picture);
  // a hidden page gets no animation frames, but what has passed must not fill it up
  if (document.hidden) pictures.draw(visible());
});
// the loop is kept by the server, whose word reaches a hidden page too
// The sound has passed the edge a little by then: it lands as much later, and stays in step.
connection.on("back", ({time, edge, once}) => {
  if (!holder || !loop && !once) return;
  const past = clock.time - edge;
  if (!(past > 0 && past < 1) || audio.paused) jumpTo(time);
  else jumpTo(time + (once ? past : past % Math.max(edge - time, 0.05)));
});
let noted = null;
connection.on("status", (status) => {
  if (document.hidden) tell();
  if (facts) period = status.stride[0] / status.stride[1] / fpsOf(facts);
  byId("rate").textContent = status.rate.toFixed(1);
  byId("ahead").textContent = `${status.ahead.toFixed(1)} s`;
  byId("share").textContent = status.stride[0] === 1 ? "every frame" : `${status.stride[1]} in ${status.stride[0]}`;
  if (status.failed) say(`The engine stopped: ${status.failed}. Start \`reactive preview\` again.`);
  else if (status.outputs?.some(({failed}) => failed)) {
    const {kind, failed} = status.outputs.find((output) => output.failed), text = `The output ${kind} stopped: ${failed}. Everything else goes on.`;
    if (text !== noted) say(noted = text);
  } else if (status.note && status.note !== noted) say(`On this machine ${noted = status.note}`);
  showBehind(status);
});
connection.on("error", ({text}) => { panel.settled(); keep.open ? keep.fail(text) : say(text); });
connection.on("reloaded", () => { if (!framed.within) say("The preset was reloaded.", true); });
connection.on("keep?", (plan) => keep.ask(plan));
connection.on("kept", ({path}) => { keep.close(); say(`Saved in ${path}. The song begins with it now.`, true); });
connection.on("saved", ({path}) => say(`Saved as ${path}. Render it with: reactive run SONG --take ${path.split(/[\\/]/).pop()}`, true));
connection.on("closed", () => {
  byId("waiting").hidden = false;
  if (!starting) byId("waiting").textContent = "the server is away; waiting for it";
  byId("behind").hidden = true;
  if (panel.state?.changes && !panel.state.saved) unsaved = panel.state.changes;
  revision = -1;
});

// A shot that grows tick by tick may be more than this machine can follow; then it is said, and can be made beforehand.
let preparing = false;
function showBehind({late, shot, prepared}) {
  const done = preparing && prepared === null;
  preparing = prepared !== null;
  const tells = preparing || (late && shot !== null);
  byId("behind").hidden = !tells;
  byId("prepare").hidden = byId("behind-share").hidden = preparing;
  byId("behind-share").hidden = !preparing;
  if (preparing) {
    byId("behind-share").value = prepared;
    byId("behind-text").textContent = `pre-rendering this shot: ${Math.round(prepared * 100)} %`;
  } else if (tells) {
    byId("behind-text").textContent = `This shot (${stamp(shot[0])} to ${stamp(shot[1])}) grows out of itself, faster than this machine can follow.`;
  }
  if (done && !late) say("The shot is ready: press play.", true);
}
function prepare() {
  audio.pause();
  connection.send({t: "prepare", time: clock.time});
}
byId("prepare").onclick = prepare;

function showMidi({possible, learning, chosen, map, access}) {
  const count = Object.keys(map).length, inputs = access ? [...access.inputs.values()].map(({name}) => name) : [];
  byId("midi-learn").setAttribute("aria-pressed", learning);
  byId("midi-learn").textContent = learning ? "done" : "learn";
  byId("midi-forget").disabled = !count;
  byId("midi-save").hidden = !count;
  byId("midi-state").textContent = !possible ? "This browser hears no MIDI on this page."
    : learning && chosen ? `Now move a knob or hit a pad for “${nameOf(document.querySelector(".chosen"))}”.`
    : learning ? `Choose a slider or a button${inputs.length ? "" : "; no MIDI input is connected yet"}.`
    : count ? `${count} control${count > 1 ? "s" : ""} learned${inputs.length ? `, from ${inputs.join(", ")}` : ""}.`
    : "A knob, pad or key can play any slider or button.";
}
byId("midi-learn").onclick = () => midi.learn();
byId("midi-forget").onclick = () => midi.forget();
byId("midi-save").onclick = () => { byId("midi-save").href = `data:application/toml;charset=utf-8,${encodeURIComponent(midi.text)}`; };
byId("midi-file").onchange = ({target}) => { const [file] = target.files; target.value = ""; if (file) midi.take(file); };

let quiet = 0;
function say(text, good = false) {
  byId("notice").hidden = false;
  byId("notice").classList.toggle("good", good);
  byId("notice-text").textContent = text;
  clearTimeout(quiet);
  if (good) quiet = setTimeout(() => { byId("notice").hidden = true; }, 6000);
}
byId("notice-close").onclick = () => { byId("notice").hidden = true; };

// -- the transport
function tell() {
  if (!holder) return;
  // while the server is away nobody else keeps the loop
  if (!connection.ready && loop && !audio.paused && clock.time >= loop[1]) audio.currentTime = loop[0];
  const time = clock.audible, playing = !audio.paused && !audio.seeking;
  connection.send({t: "clock", time, playing});
  nearby?.postMessage({time, playing, at: performance.timeOrigin + performance.now()});
}
function jumpTo(time) {
  if (!holder) return;
  const there = Math.min(Math.max(time, 0), facts?.duration ?? 0);
  if (Math.abs(audio.currentTime - there) > 1e-3) audio.currentTime = there;
  const credit = audio.paused ? CREDIT_PAUSED : CREDIT;
  connection.send({t: "seek", time: there, playing: !audio.paused, n: pictures.jump(), credit});
  lanes.draw(there, true);
}
function tellLoop() {
  connection.send({t: "loop", a: loop?.[0] ?? null, b: loop?.[1] ?? null});
}
function setLoop(section) {
  loop = lanes.loop = section;
  tellLoop();
  lanes.draw(visible(), true);
}
async function toggle() {
  if (!holder) return;
  clock.wake();
  if (!audio.paused) return audio.pause();
  if (audio.ended) jumpTo(0);
  await audio.play().catch((problem) => say(`The browser does not play the song (${problem.message}). Reload the page.`));
}
audio.onplay = () => { byId("play-shape").setAttribute("d", "M6 4.5h4v15H6zM14 4.5h4v15h-4z"); byId("play").setAttribute("aria-label", "Pause"); connection.send({t: "credit", n: CREDIT - CREDIT_PAUSED}); tell(); };
audio.onpause = () => { pictures.nextDue = null; byId("play-shape").setAttribute("d", "M7 4.5v15l13-7.5z"); byId("play").setAttribute("aria-label", "Play"); tell(); };
audio.onseeked = tell;
setInterval(tell, TELL_MS);
setInterval(() => { if (!audio.paused || pictures.owed > 8 || !holder) pictures.settle(); }, 80);

byId("play").onclick = toggle;
byId("volume").oninput = () => { audio.volume = Number(byId("volume").value); };
byId("latency").oninput = () => {
  clock.delay = Number(byId("latency").value) / 1000;
  byId("latency-value").textContent = `${byId("latency").value} ms`;
  // the output window heeds it too, and so does the next visit
  remember("reactive.delay", byId("latency").value);
};
byId("latency").value = remembered("reactive.delay") ?? 0;
byId("latency").oninput();
byId("crossfade").onclick = () => panel.crossfade();
byId("take-over").onclick = () => connection.send({t: "take over"});
const fullScreen = () => (document.fullscreenElement ? document.exitFullscreen() : byId("stage").requestFullscreen().catch(() => null));
const openOutput = () => window.open("/page/output.html", "reactive-output", "width=960,height=540");
byId("full").onclick = fullScreen;
document.body.classList.toggle("framed", framed.within);
byId("all-controls").onclick = () => {
  const all = document.body.classList.toggle("all");
  byId("all-controls").setAttribute("aria-pressed", all);
  framed.send({say: "controls", all});
  lanes.fit();
};
byId("output").onclick = openOutput;

// -- the waveform: click to go there, Shift and drag to repeat
const overview = byId("overview");
const timeAt = (event) => {
  const box = overview.getBoundingClientRect();
  return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * (facts?.duration ?? 0);
};
let drag = null;
overview.onpointerdown = (event) => {
  overview.setPointerCapture(event.pointerId);
  drag = {from: timeAt(event), loop: event.shiftKey, moved: false};
  if (!drag.loop) { aloud(); jumpTo(drag.from); }
};
overview.onpointermove = (event) => {
  if (!drag) return;
  drag.moved = true;
  if (drag.loop) { lanes.loop = [drag.from, timeAt(event)].sort((a, b) => a - b); lanes.draw(visible(), true); }
};
overview.onpointerup = (event) => {
  if (!drag) return;
  const to = timeAt(event), {from} = drag;
  if (drag.loop) setLoop(Math.abs(to - from) > 0.25 ? [Math.min(from, to), Math.max(from, to)] : null);
  else if (Math.abs(to - from) > 0.05) jumpTo(to);
  drag = null;
};

// -- keys
function neighbour(marks, time, direction) {
  if (direction > 0) return marks.find((mark) => mark > time + 0.05) ?? time;
  return [...marks].reverse().find((mark) => mark < time - 0.25) ?? 0;
}
const byArrow = (marks, direction) => { if (lanes.data) jumpTo(neighbour(marks(lanes.data.song), clock.time, direction)); };
const barsOf = ({bars}) => bars, startsOf = ({sections}) => sections.map(({start}) => start);
keys = new Keys({
  play: toggle, start: () => { aloud(); jumpTo(0); },
  "bar-back": () => byArrow(barsOf, -1), "bar-on": () => byArrow(barsOf, 1), "section-back": () => byArrow(startsOf, -1), "section-on": () => byArrow(startsOf, 1),
  next: () => panel.next(), crossfade: () => panel.crossfade(), freeze: () => panel.toggle("freeze"), hold: () => panel.toggle("hold"), blackout: () => panel.toggle("black"),
  tap: () => grid.tap(), one: () => byId("one").click(), half: () => grid.act("half"), double: () => grid.act("double"), earlier: () => byId("earlier").click(), later: () => byId("later").click(),
  undo: () => send({t: "undo"}), "save-take": () => send({t: "save take"}), "save-preset": () => byId("keep").click(), "pre-render": prepare,
  "midi-learn": () => midi.learn(), "output-window": openOutput, "full-screen": fullScreen, "next-song": () => songs.step(1), "previous-song": () => songs.step(-1),
}, act, (text) => { byId("coming").dataset.hint = text ?? ""; });
document.addEventListener("keydown", (event) => {
  const {target, key} = event;
  const typing = keep.open || target.matches("textarea, select, input:not([type=range])");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat && !key.startsWith("Arrow")) return;
  // Space plays wherever the focus is; Enter presses what has it
  if (key === "Enter" && target.matches("button, summary")) return;
  if (key.startsWith("Arrow") && target.matches("input")) return;
  if (key === "Escape" && midi.learning) midi.learn(false);
  else if (!keys.press(event)) return;
  event.preventDefault();
});

// -- every animation frame
let drawnLanes = 0;
function tick(now) {
  requestAnimationFrame(tick);
  const time = visible(), playing = holder ? !audio.paused : viewed.playing;
  if (facts) framed.tell(time, playing, holder);
  if (pictures.draw(time)) {
    byId("waiting").hidden = true;
    if (holder && playing && !audio.seeking) pictures.measured(time, period);
  }
  watchdog.step(time, playing, now, lanes.data?.curves, facts ? fpsOf(facts) : 24);
  if (now - drawnLanes < 45) return;
  drawnLanes = now;
  lanes.draw(time, false);
  byId("time").textContent = stamp(time);
  quantise.show(time);
  overview.setAttribute("aria-valuemax", facts?.duration ?? 0);
  overview.setAttribute("aria-valuenow", time.toFixed(1));
  const here = lanes.at(time);
  if (here) { panel.follow(here); byId("caption").textContent = here.prompt; }
}
setInterval(() => {
  byId("dropped").textContent = pictures.dropped;
  const owing = audio.paused ? [] : pictures.overdue(visible(), period);
  const recent = [...pictures.offsets, ...owing].slice(-240), middle = percentile(recent, 0.5);
  byId("offset").textContent = middle === null ? "–" : `${middle.toFixed(0)} / ${percentile(recent.map(Math.abs), 0.95).toFixed(0)} ms`;
}, 500);
setInterval(() => {
  const {says} = watchdog, badge = byId("late");
  badge.hidden = says === null;
  badge.classList.toggle("alarm", Boolean(says?.alarm));
  if (says && badge.textContent !== says.text) badge.textContent = says.text;
}, 200);

// what tests and benchmarks read
window.reactive = {audio, clock, connection, pictures, watchdog, lanes, panel, grid, midi, percentile, seek: jumpTo, toggle, setLoop};
requestAnimationFrame(tick);
connection.open();
midi.resume();
