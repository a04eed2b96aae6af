// The studio's page: five steps, each a place where something can be dropped, chosen, changed or begun.

import {Connection} from "./connection.js";
import {GridBar} from "./gridbar.js";
import {Refused, clock, command, dropPlace, post, saw, upload} from "./studio-api.js";
import {Listening} from "./studio-listening.js";
import {Timeline} from "./studio-lanes.js";
import {Knobs} from "./studio-knobs.js";
import {Player} from "./studio-player.js";
import {RenderPage} from "./studio-render.js";
import {ShotCard} from "./studio-shot.js";

const byId = (id) => document.getElementById(id);
const STEPS = ["start", "choose", "feed", "timeline", "render"];
const make = (tag, properties = {}, ...children) => { const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made; };

const studio = {state: null, lanes: null, step: "start"};
const connection = new Connection("studio", false);
const attempt = async (work) => { try { return await work; } catch (problem) { if (!(problem instanceof Refused)) throw problem; tell(problem.message); return null; } };
const act = (name, data) => attempt(command(name, data));

function tell(text, good = false) {
  byId("notice-text").textContent = text;
  byId("notice").hidden = !text;
  byId("notice").classList.toggle("good", good);
}
byId("notice-close").onclick = () => tell("");

// -- steps ------------------------------------------------------------------------------------------------------------
function go(step, focus = false) {
  studio.step = step;
  for (const name of STEPS) {
    byId(name).hidden = name !== step;
    byId(`tab-${name}`).setAttribute("aria-selected", name === step);
    byId(`tab-${name}`).tabIndex = name === step ? 0 : -1;
  }
  if (focus) byId(`tab-${step}`).focus();
  if (step === "choose") showPresets();
  if (step === "feed") showLibrary();
  if (step === "timeline") timeline.fit();
  if (step === "render") renderPage.open();
  document.querySelector("main").scrollTop = 0;
  showOnward();
}

// The button to the next step, always at the same place.
const ONWARD = {start: "Choose how it looks ›", choose: "Feed in your pictures ›", feed: "Look at the timeline ›", timeline: "Make the clip ›"};
function showOnward() {
  const {step, state, lanes} = studio, pictures = (state?.photos.length ?? 0) + (state?.films.length ?? 0);
  byId("onward").hidden = !ONWARD[step] || !lanes?.song;
  // over the lanes it would be in the way
  byId("onward").classList.toggle("flows", step === "timeline");
  byId("next").textContent = ONWARD[step] ?? "";
  const preset = presets?.find(({name}) => name === state?.preset)?.title;
  byId("onward-words").textContent = {choose: preset ? `“${preset}” is chosen.` : "", feed: pictures ? `${pictures} ${pictures === 1 ? "picture" : "pictures"} fed in.` : ""}[step] ?? "";
}
byId("next").onclick = () => go(STEPS[STEPS.indexOf(studio.step) + 1], true);
for (const [number, name] of STEPS.entries()) {
  const tab = byId(`tab-${name}`);
  tab.onclick = () => go(name);
  tab.onkeydown = ({key}) => {
    const to = {ArrowRight: number + 1, ArrowLeft: number - 1, Home: 0, End: STEPS.length - 1}[key];
    if (to !== undefined && STEPS[to]) go(STEPS[to], true);
  };
}

// -- the song ---------------------------------------------------------------------------------------------------------
const listening = new Listening();
const gridBar = new GridBar(({t, ...data}) => act("grid", data), () => listening.time);
dropPlace(byId("song-drop"), byId("song-file"), async ([file]) => {
  const bar = byId("song-progress");
  bar.hidden = false;
  byId("song-drop-title").textContent = `Taking ${file.name}`;
  const taken = await attempt(upload(file, "song", (share) => { bar.value = share; }));
  bar.hidden = true;
  if (taken) tell("");
  showSong();
});

function showSong() {
  const {state, lanes} = studio;
  const song = lanes?.song, has = Boolean(state?.song);
  byId("song-drop").classList.toggle("small-now", has);
  byId("song-drop-title").textContent = has ? "Drop another song to replace it" : "Drop your song here";
  byId("song-drop-words").hidden = has;
  byId("hearing").hidden = !state?.doing;
  showWork();
  byId("working").textContent = state?.doing && studio.step !== "start" ? `${state.doing} …` : "";
  byId("heard").hidden = !song;
  showOnward();
  showTimeline();
  byId("title").textContent = song?.title ?? state?.folder ?? "reactive";
  for (const [name, done] of [["start", Boolean(song)], ["choose", Boolean(song && studio.chose)], ["feed", Boolean(state?.photos.length || state?.films.length)]]) byId(`tab-${name}`).classList.toggle("done", done);
  if (!song) return;
  byId("fact-title").textContent = song.title;
  byId("fact-length").textContent = clock(song.duration);
  byId("fact-tempo").textContent = song.heard ? `${song.tempo.toFixed(1)} beats a minute` : "no steady beat";
  byId("fact-metre").textContent = song.grid.meter || "–";
  byId("fact-parts").textContent = song.sections.length;
  gridBar.update(song.grid);
}

// What stands in the timeline's place before there is one.
function showTimeline() {
  const {state, lanes} = studio, ready = Boolean(lanes?.shots), song = Boolean(state?.song);
  for (const id of ["timeline-bar", "lanes", "shot"]) byId(id).hidden = !ready;
  byId("timeline-empty").hidden = ready;
  byId("timeline-why").textContent = state?.doing ? `${state.doing} …` : song ? "This preset can't be used with the song. Choose another one." : "The whole song stands here, with its shots and prompts, once it is dropped.";
  byId("timeline-start").textContent = song ? "Choose how it looks ›" : "Drop a song ›";
  byId("timeline-start").hidden = Boolean(state?.doing);
  if (ready && studio.step === "timeline") timeline.fit();
}
byId("timeline-start").onclick = () => go(studio.state?.song ? "choose" : "start", true);

// What is being done, and for how long: hearing a long song takes a while.
function showWork() {
  const {doing, passed = 0, at = 0} = studio.state ?? {}, seconds = Math.floor(passed + (performance.now() - at) / 1000);
  byId("hearing-text").textContent = doing ? `${doing} …${seconds > 2 ? ` ${seconds} s` : ""}` : "";
}
setInterval(() => { if (studio.state?.doing) showWork(); }, 1000);

// -- presets ----------------------------------------------------------------------------------------------------------
let presets = null;
const knobs = new Knobs(byId("knobs"), (macros) => act("settings", {settings: {macros}}));
async function showPresets(fresh = false) {
  if (!presets || fresh) presets = await fetch("/presets").then((answer) => answer.json());
  byId("presets").replaceChildren(...presets.map((preset) => {
    const image = make("img", {alt: "", loading: "lazy"});
    if (preset.poster) image.src = `/poster/${encodeURIComponent(preset.name)}`;
    const words = make("span", {className: "words"}, make("b", {textContent: preset.title}), make("span", {textContent: preset.problem || preset.words}));
    if (preset.music) words.append(make("small", {className: "music", textContent: preset.music}));
    words.append(make("small", {textContent: [preset.author && `by ${preset.author}`, preset.licence, preset.own && "shows your pictures"].filter(Boolean).join(" · ")}));
    const button = make("button", {className: "poster", type: "button"}, make("span", {className: "frame"}, image), words);
    button.setAttribute("role", "option");
    button.dataset.name = preset.name;
    button.disabled = Boolean(preset.problem);
    if (preset.moving) {
      button.onpointerenter = button.onfocus = () => { image.src = `/poster/${encodeURIComponent(preset.name)}?moving`; };
      button.onpointerleave = button.onblur = () => { image.src = `/poster/${encodeURIComponent(preset.name)}`; };
    }
    button.onclick = () => { studio.chose = true; act("preset", {name: preset.name}); };
    return button;
  }));
  markPreset();
}
function markPreset() {
  knobs.show(presets?.find(({name}) => name === studio.state?.preset), studio.state?.settings.macros ?? {});
  showOnward();
  for (const button of byId("presets").children) button.setAttribute("aria-selected", button.dataset.name === studio.state?.preset);
}
byId("presets").onkeydown = (event) => {
  const all = [...byId("presets").children], at = all.indexOf(document.activeElement);
  const to = {ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1}[event.key];
  if (at < 0 || to === undefined || !all[to]) return;
  event.preventDefault();
  all[to].focus();
};
dropPlace(byId("bundle-drop"), byId("bundle-file"), async ([file]) => {
  const made = await attempt(upload(file, "bundle", () => {}));
  if (!made) return;
  await showPresets(true);
  tell(made.fresh ? `The preset ${made.preset} is installed.` : `The preset ${made.preset} was installed already.`, true);
});

// -- pictures ---------------------------------------------------------------------------------------------------------
dropPlace(byId("picture-drop"), byId("picture-file"), async (files) => {
  const bar = byId("picture-progress"), refused = [];
  bar.hidden = false;
  for (const [number, file] of files.entries()) {
    await upload(file, "picture", (share) => { bar.value = (number + share) / files.length; }).catch((problem) => refused.push(problem.message));
  }
  bar.hidden = true;
  tell(refused.join("\n"));
});

let shownPictures = "";
function showPictures() {
  const {state, lanes} = studio;
  const places = lanes?.pictures ?? {};
  const told = JSON.stringify([state.photos, state.films, places]);
  if (told === shownPictures || byId("pictures").contains(document.activeElement) && document.activeElement.matches("input")) return;
  shownPictures = told;
  const item = ({file, name, caption}, film) => {
    const spans = places[name] ?? [];
    const out = make("button", {className: "out", textContent: "×", title: "Take it out of the clip"});
    out.setAttribute("aria-label", `Take ${name} out`);
    out.onclick = () => act("remove", {file});
    const row = make("li", {}, make("img", {src: `/thumb?file=${encodeURIComponent(file)}`, alt: caption || name, loading: "lazy"}), out);
    if (film) row.append(make("span", {className: "where", textContent: name}));
    else {
      const input = make("input", {type: "text", value: caption, placeholder: "what does it show?", maxLength: 300});
      input.setAttribute("aria-label", `What ${name} shows`);
      input.onchange = () => act("caption", {file, text: input.value});
      row.append(input);
    }
    const times = [...new Set(spans.map(([start]) => clock(start)))], first = times.slice(0, 3).join(", ");
    row.append(make("span", {className: "where", textContent: times.length ? `seen at ${first}${times.length > 3 ? ` and ${times.length - 3} more` : ""}` : lanes?.pictures ? "not seen yet" : ""}));
    return row;
  };
  byId("pictures").replaceChildren(...state.photos.map((photo) => item(photo, false)), ...state.films.map((film) => item(film, true)));
  const chosen = presets?.find(({name}) => name === state.preset);
  byId("feed-words").textContent = chosen && !chosen.own && state.photos.length + state.films.length
    ? `“${chosen.title}” paints without fed-in pictures. You can still give one to a single shot, or choose a preset that shows your pictures.`
    : "Photographs and films lie beneath the painted pictures. This step can be left out.";
}

let library = null;
async function showLibrary() {
  if (!presets) fetch("/presets").then((answer) => answer.json()).then((found) => { presets = found; shownPictures = ""; showPictures(); });
  if (library) return;
  library = await fetch("/library").then((answer) => answer.json());
  const list = () => {
    const wanted = byId("library-find").value.trim().toLowerCase();
    byId("library").replaceChildren(...library.filter(({name, caption}) => `${name} ${caption}`.toLowerCase().includes(wanted)).map((entry) => {
      const button = make("button", {title: `${entry.caption} (${entry.author}, ${entry.licence})`}, make("img", {src: `/thumb?library=${encodeURIComponent(entry.name)}`, alt: "", loading: "lazy"}), make("span", {textContent: entry.caption}));
      button.onclick = () => act("library", {name: entry.name});
      return make("li", {}, button);
    }));
  };
  byId("library-find").oninput = list;
  list();
}

// -- timeline ---------------------------------------------------------------------------------------------------------
const card = new ShotCard(act, (time) => studio.lanes?.song.sections.findLast(({start}) => start <= time + 0.05)?.name ?? "");
const timeline = new Timeline(byId("lanes"), {select: (shot) => card.show(shot), seek: (time) => listening.seek(time)});
byId("zoom-in").onclick = () => timeline.zoom(0.6);
byId("zoom-out").onclick = () => timeline.zoom(1 / 0.6);
byId("zoom-all").onclick = () => timeline.move(0, timeline.duration);
byId("lanes").onkeydown = (event) => {
  const keys = {
    ArrowRight: () => timeline.choose(timeline.chosen + 1), ArrowLeft: () => timeline.choose(timeline.chosen - 1),
    Home: () => timeline.choose(0), End: () => timeline.choose(Infinity), "+": () => timeline.zoom(0.6), "-": () => timeline.zoom(1 / 0.6),
    0: () => timeline.move(0, timeline.duration), r: () => card.roll(), l: () => card.lock(), Enter: () => byId("shot-prompt").focus(),
  };
  const does = event.ctrlKey || event.metaKey ? null : keys[event.key];
  if (does) { event.preventDefault(); does(); }
};
const player = new Player(attempt, tell, listening);

// -- everything that comes from the server ------------------------------------------------------------------------------
const renderPage = new RenderPage(attempt, () => studio);
async function fetchLanes() {
  const answer = await fetch("/lanes");
  if (!answer.ok) { studio.lanes = null; return; }
  studio.lanes = await answer.json();
  listening.set(studio.lanes.song);
  timeline.set(studio.lanes);
  card.update(studio.lanes, studio.state, timeline.chosen);
}

let fetching = null, wanted = false;
async function refresh() {
  if (fetching) { wanted = true; return; }
  do {
    wanted = false;
    fetching = studio.state.heard ? fetchLanes().catch(() => null) : Promise.resolve();
    if (!studio.state.heard) studio.lanes = null;
    await fetching;
  } while (wanted);
  fetching = null;
  showSong();
  showPictures();
}

connection.on("project", (state) => {
  studio.state = {...state, at: performance.now()};
  saw(state.revision);
  byId("undo").disabled = !state.undo;
  byId("redo").disabled = !state.redo;
  if (state.failed) tell(state.failed.text);
  showSong();
  showPictures();
  markPreset();
  card.pictures(state);
  refresh();
});
connection.on("renders", (data) => renderPage.update(data));
connection.on("closed", () => { byId("working").textContent = "connecting …"; });
byId("undo").onclick = () => act("undo");
byId("redo").onclick = () => act("redo");

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=text], textarea, select");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing) {
    event.preventDefault();
    act(event.shiftKey ? "redo" : "undo");
  }
  if (event.key === " " && !typing && !event.target.closest("button, summary, input, label")) { event.preventDefault(); listening.toggle(); }
  if (event.altKey && STEPS[event.key - 1]) { event.preventDefault(); go(STEPS[event.key - 1], true); }
  if (event.key.toLowerCase() === "t" && !typing && !byId("start").hidden && !event.ctrlKey && !event.altKey) gridBar.tap();
});
// what is dropped beside a place to drop is not opened by the browser
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
listening.onTime((time) => { if (!byId("timeline").hidden) timeline.play(time); });
window.studio = Object.assign(studio, {timeline, listening, go});
connection.open();
