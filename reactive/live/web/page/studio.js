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
import {seenIn} from "./studio-pictures.js";

const byId = (id) => document.getElementById(id);
const STEPS = ["start", "choose", "feed", "timeline", "render"];
const make = (tag, properties = {}, ...children) => { const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made; };

// a finger drops nothing
const TOUCH = matchMedia("(hover: none)").matches;
const studio = {state: null, lanes: null, step: "start"};
const connection = new Connection("studio", false);
// what failed before is no news once something else was done
const attempt = async (work) => { try { const done = await work; settle(); return done; } catch (problem) { if (!(problem instanceof Refused)) throw problem; tell(problem.message); return null; } };
const act = (name, data) => attempt(command(name, data));

let quiet = 0;
function tell(text, good = false) {
  byId("notice-text").textContent = text;
  byId("notice").hidden = !text;
  byId("notice").classList.toggle("good", good);
  clearTimeout(quiet);
  if (good && text) quiet = setTimeout(() => tell(""), 6000);
}
// Words of a failure go; what can't be done with the project stays said.
function settle() {
  if (!byId("notice").classList.contains("good")) tell(studio.state?.failed?.text ?? "");
}
byId("notice-close").onclick = () => tell("");

// -- steps ------------------------------------------------------------------------------------------------------------
function go(step, focus = false) {
  if (studio.step === "timeline" && step !== "timeline" && studio.lanes?.shots && !studio.state.done.includes("timeline")) act("done", {step: "timeline"});
  if (step !== studio.step) settle();
  studio.step = step;
  for (const name of STEPS) {
    byId(name).hidden = name !== step;
    byId(`tab-${name}`).setAttribute("aria-selected", name === step);
    byId(`tab-${name}`).tabIndex = name === step ? 0 : -1;
  }
  if (focus) byId(`tab-${step}`).focus();
  if (step === "choose") showPresets();
  if (step === "feed") showLibrary();
  player.onStage(step === "timeline");
  if (step === "timeline") { timeline.fit(); timeline.play(listening.time); }
  if (step === "render") renderPage.open();
  document.querySelector("main").scrollTop = 0;
  showOnward();
}

// The button to the next step, always at the same place.
const ONWARD = {start: "Choose how it looks ›", choose: "Add your pictures ›", feed: "Look at the timeline ›", timeline: "Make the clip ›"};
function showOnward() {
  const {step, state, lanes} = studio, pictures = (state?.photos.length ?? 0) + (state?.films.length ?? 0);
  // a look can be chosen while the song is being heard
  byId("onward").hidden = !ONWARD[step] || !(lanes?.song || state?.song && state.doing && ["start", "choose"].includes(step));
  // over the lanes it would be in the way
  byId("onward").classList.toggle("flows", step === "timeline");
  byId("next").textContent = ONWARD[step] ?? "";
  const preset = presets?.find(({name}) => name === state?.preset)?.title;
  byId("onward-words").textContent = {choose: preset ? `“${preset}” is chosen${state?.done.includes("choose") ? "" : " to begin with"}.` : "", feed: pictures ? `${pictures} ${pictures === 1 ? "picture" : "pictures"} added.` : ""}[step] ?? "";
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
  byId("song-drop-title").textContent = `Copying ${file.name} …`;
  const taken = await attempt(upload(file, "song", (share) => { bar.value = share; }));
  bar.hidden = true;
  if (taken) tell("");
  showSong();
});

function showSong() {
  const {state, lanes} = studio;
  const song = lanes?.song, has = Boolean(state?.song);
  byId("song-drop").classList.toggle("small-now", has);
  byId("song-drop-title").textContent = has ? "Another song" : TOUCH ? "Choose your song" : "Drop your song here";
  for (const id of ["song-drop-words", "song-pick", "way", "glimpses"]) byId(id).hidden = has;
  byId("start-title").textContent = has ? song?.title ?? "Your song" : "Make a clip from your song";
  byId("start-words").textContent = song ? "This is what reactive heard." : has ? "" : "The pictures follow its beats, bars and parts. Everything is made on this machine.";
  byId("hearing").hidden = !state?.doing;
  byId("hearing-song").textContent = (state?.song ?? "").split("/").at(-1);
  if (state && !has) showGlimpses();
  showWork();
  byId("working").textContent = state?.doing && studio.step !== "start" ? `${state.doing} …` : "";
  byId("heard").hidden = !song;
  showOnward();
  showTimeline();
  byId("title").textContent = song?.title ?? "reactive studio";
  byId("title").title = state ? `in the folder ${state.folder}` : "";
  for (const [name, done] of [["start", Boolean(song)], ["choose", Boolean(song && state.done.includes("choose"))], ["timeline", Boolean(lanes?.shots && state.done.includes("timeline"))], ["feed", Boolean(state?.photos.length || state?.films.length)]]) byId(`tab-${name}`).classList.toggle("done", done);
  if (!song) return;
  byId("fact-length").textContent = clock(song.duration);
  byId("fact-tempo").textContent = song.heard ? `${Number(song.tempo.toFixed(1))} bpm` : "no steady beat";
  byId("fact-metre").textContent = song.grid.meter || "–";
  byId("fact-parts").textContent = song.sections.length;
  byId("listen-words").textContent = song.heard ? "Play a little: is there a click on every beat? Then go on." : "No steady beat was found: pictures follow its loudness and its hits. If there is one, tap along below.";
  gridBar.update(song.grid);
}

// What stands in the timeline's place before there is one.
function showTimeline() {
  const {state, lanes} = studio, ready = Boolean(lanes?.shots), song = Boolean(state?.song);
  for (const id of ["timeline-bar", "lane-box", "lane-words", "shot"]) byId(id).hidden = !ready;
  byId("timeline-empty").hidden = ready;
  byId("timeline-why").textContent = state?.doing ? `${state.doing} …` : song ? "This look can't be used with the song. Choose another one." : "Your song stands here from its first to its last bar, with all that is painted, once it is there.";
  byId("timeline-start").textContent = song ? "Choose how it looks ›" : "Choose a song ›";
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
let presets = null, presetsAsked = null;
function fetchPresets(fresh = false) {
  if (fresh || !presetsAsked) {
    presetsAsked = fetch("/presets").then((answer) => answer.json()).then((found) => {
      // the one of the project comes first, until the page is loaded anew
      const first = presets?.[0]?.name ?? studio.state?.preset;
      presets = found.sort((a, b) => (b.name === first) - (a.name === first));
      return presets;
    });
  }
  return presetsAsked;
}

// What comes out, before there is a song: some posters.
let glimpsed = false;
async function showGlimpses() {
  if (glimpsed) return;
  glimpsed = true;
  const found = (await fetchPresets()).filter(({poster}) => poster).slice(0, 6);
  byId("glimpses").replaceChildren(...found.map(({name, title, words}) => {
    const button = make("button", {type: "button", title: `${words} Choose this look`, onclick: () => act("preset", {name})}, make("img", {src: `/poster/${encodeURIComponent(name)}`, alt: "", loading: "lazy"}), make("span", {textContent: title}));
    button.dataset.preset = name;
    return button;
  }));
  markGlimpses();
}
// Chosen here by a press: the look is the clip's, and the song can come after it.
function markGlimpses() {
  for (const button of byId("glimpses").children) button.setAttribute("aria-pressed", Boolean(studio.state?.done.includes("choose")) && button.dataset.preset === studio.state.preset);
}
const knobs = new Knobs(byId("knobs"), (macros) => act("settings", {settings: {macros}}));
async function showPresets(fresh = false) {
  await fetchPresets(fresh);
  byId("presets").replaceChildren(...presets.map((preset) => {
    const image = make("img", {alt: "", loading: "lazy"});
    if (preset.poster) image.src = `/poster/${encodeURIComponent(preset.name)}`;
    const frame = make("span", {className: "frame"}, image);
    // most looks show them strongly, which needs no words
    if (!preset.problem && !(preset.own && preset.photographs === "strong")) frame.append(make("span", {className: "shows", textContent: preset.own ? `your photographs: ${preset.photographs}` : "paints without pictures of yours"}));
    const words = make("span", {className: "words"}, make("b", {textContent: preset.title}), make("span", {textContent: preset.problem || preset.words}));
    if (preset.music) words.append(make("small", {className: "music", textContent: preset.music}));
    // of presets that come with the program it is always the same
    const by = [preset.author && `by ${preset.author}`, preset.licence].filter(Boolean).join(" · ");
    if (!preset.ships) words.append(make("small", {textContent: by}));
    const button = make("button", {className: "poster", type: "button", title: preset.ships ? by : ""}, frame, words);
    button.setAttribute("role", "option");
    button.dataset.name = preset.name;
    button.disabled = Boolean(preset.problem);
    if (preset.moving) {
      button.onpointerenter = button.onfocus = () => { image.src = `/poster/${encodeURIComponent(preset.name)}?moving`; };
      button.onpointerleave = button.onblur = () => { image.src = `/poster/${encodeURIComponent(preset.name)}`; };
    }
    button.onclick = () => act("preset", {name: preset.name});
    return button;
  }));
  markPreset();
}
function markPreset() {
  markGlimpses();
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
const PICTURE_DROP = TOUCH ? "Your photographs and films" : "Drop photographs and films here";
byId("picture-drop-title").textContent = PICTURE_DROP;
dropPlace(byId("picture-drop"), byId("picture-file"), async (files) => {
  const bar = byId("picture-progress"), refused = [];
  bar.hidden = false;
  for (const [number, file] of files.entries()) {
    byId("picture-drop-title").textContent = `Copying ${file.name}${files.length > 1 ? `, ${number + 1} of ${files.length}` : ""} …`;
    await upload(file, "picture", (share) => { bar.value = (number + share) / files.length; }).catch((problem) => refused.push(problem.message));
  }
  bar.hidden = true;
  byId("picture-drop-title").textContent = PICTURE_DROP;
  tell(refused.join("\n"));
});

let shownPictures = "";
function showPictures() {
  const {state, lanes} = studio;
  const told = JSON.stringify([state.photos, state.films]);
  showWhere();
  if (told === shownPictures || byId("pictures").contains(document.activeElement) && document.activeElement.matches("input")) return;
  shownPictures = told;
  const item = ({file, name, caption}, film) => {
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
    row.append(make("span", {className: "where", role: "status"}));
    row.dataset.name = name;
    return row;
  };
  byId("caption-words").hidden = !state.photos.length;
  byId("pictures").replaceChildren(...state.photos.map((photo) => item(photo, false)), ...state.films.map((film) => item(film, true)));
  const chosen = presets?.find(({name}) => name === state.preset);
  byId("feed-words").textContent = chosen && !chosen.own && state.photos.length + state.films.length
    ? `“${chosen.title}” paints without pictures of yours. You can still give one to a single shot, or choose a look that shows your pictures.`
    : "Photographs and films of yours appear in the clip, lit and coloured by the look, and move with the song. You can also go on without.";
  showWhere();
  markLibrary();
}

// In which shots a picture is seen: after a caption too, while one still stands in it.
function showWhere() {
  const {state, lanes} = studio;
  for (const row of byId("pictures").children) {
    const {name} = row.dataset, caption = state.photos.find((photo) => photo.name === name)?.caption;
    row.querySelector(".where:last-child").textContent = lanes?.shots ? seenIn(lanes, name, caption) : "";
  }
}

// Library pictures that the clip has already.
function markLibrary() {
  const taken = new Set((studio.state?.photos ?? []).map(({name}) => name.replace(/\.[^.]+$/, "")));
  for (const row of byId("library").children) row.classList.toggle("taken", taken.has(row.dataset.name));
}

let library = null, libraryAsked = null;
function fetchLibrary() {
  return libraryAsked ??= fetch("/library").then((answer) => answer.json()).then((found) => { library = found; return found; });
}
let listed = false;
const SHELF = 24;
async function showLibrary() {
  if (!presets) fetchPresets().then(() => { shownPictures = ""; showPictures(); });
  if (listed) return;
  listed = true;
  await fetchLibrary();
  const list = () => {
    const wanted = byId("library-find").value.trim().toLowerCase(), found = library.filter(({name, caption}) => `${name} ${caption}`.toLowerCase().includes(wanted));
    const some = whole || wanted ? found : found.slice(0, SHELF);
    byId("library-all").hidden = some.length === found.length;
    byId("library-all").textContent = `show all ${found.length}`;
    byId("library").replaceChildren(...some.map((entry) => {
      const button = make("button", {title: `${entry.caption} (${entry.author}, ${entry.licence})`}, make("img", {src: `/thumb?library=${encodeURIComponent(entry.name)}`, alt: "", loading: "lazy"}), make("span", {textContent: entry.caption}));
      button.onclick = () => act("library", {name: entry.name});
      const row = make("li", {}, button);
      row.dataset.name = entry.name;
      return row;
    }));
    if (wanted && !found.length) byId("library").append(make("li", {className: "nothing quiet", textContent: "Nothing of that. Try one word, or add a picture of yours."}));
    markLibrary();
  };
  let whole = false;
  byId("library-all").onclick = () => { whole = true; list(); byId("library").children[SHELF]?.querySelector("button").focus(); };
  byId("library-find").oninput = list;
  list();
}

// -- timeline ---------------------------------------------------------------------------------------------------------
const card = new ShotCard(act, {
  part: (time) => studio.lanes?.song.sections.findLast(({start}) => start <= time + 0.05)?.name ?? "",
  seen: (shot) => showShot(shot, true), undo: () => back("undo"), thumb: thumbOf, shelved: fetchLibrary,
});
// A picture that stands still is that of the shot itself, no longer blended with the one before it.
const showShot = (shot, changes = false) => listening.seek(listening.leader && !player.plays ? Math.max(shot.start, shot.settled) : shot.start, changes);
const timeline = new Timeline(byId("lanes"), {select: (shot, number) => { card.show(shot, number); showShot(shot); }, seek: (time) => listening.seek(time)});
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
const player = new Player(attempt, listening);

// -- everything that comes from the server ------------------------------------------------------------------------------
const renderPage = new RenderPage(attempt, () => studio);
async function fetchLanes() {
  const answer = await fetch("/lanes");
  if (!answer.ok) { studio.lanes = null; return; }
  studio.lanes = await answer.json();
  listening.set(studio.lanes.song);
  await fetchLibrary();
  timeline.show(thumbOf);
  timeline.set(studio.lanes);
  card.update(studio.lanes, studio.state, timeline.chosen);
}

// The small picture of a photograph or film by its name: of the project, else of the library; null if it is a preset's own.
function thumbOf(name) {
  const own = [...studio.state.photos, ...studio.state.films].find((one) => one.name === name), shipped = name.replace(/^library:/, "").replace(/\.[^.]+$/, "");
  if (own) return `/thumb?file=${encodeURIComponent(own.file)}`;
  return library?.some((one) => one.name === shipped) ? `/thumb?library=${encodeURIComponent(shipped)}` : null;
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

let failed = false;
connection.on("project", (state) => {
  studio.state = {...state, at: performance.now()};
  saw(state.revision);
  byId("undo").disabled = !state.undo;
  byId("redo").disabled = !state.redo;
  if (state.failed || failed) { failed = Boolean(state.failed); tell(state.failed?.text ?? ""); }
  byId("undo").title = `Undo${state.undoes ? ` ${state.undoes}` : ""} (Ctrl+Z)`;
  byId("redo").title = `Redo${state.redoes ? ` ${state.redoes}` : ""} (Ctrl+Shift+Z)`;
  showSong();
  showPictures();
  markPreset();
  card.pictures(state);
  refresh();
});
connection.on("renders", (data) => renderPage.update(data));
connection.on("closed", () => { byId("working").textContent = "connecting …"; });
// Back or forth; and what that was.
async function back(name) {
  const {undoes, redoes} = studio.state ?? {}, what = name === "undo" ? undoes : redoes;
  card.done("");
  if (await act(name) && what) tell(`${name === "undo" ? "Undone" : "Done again"}: ${what}.`, true);
}
byId("undo").onclick = () => back("undo");
byId("redo").onclick = () => back("redo");
byId("shot-model").onclick = () => {
  go("render", true);
  document.querySelector("details.more").open = true;
  byId("model").focus();
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=text], textarea, select");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing) {
    event.preventDefault();
    back(event.shiftKey ? "redo" : "undo");
  }
  if (event.key === " " && !typing && !event.target.closest("button, summary, input, label")) { event.preventDefault(); listening.toggle(); }
  if (event.altKey && STEPS[event.key - 1]) { event.preventDefault(); go(STEPS[event.key - 1], true); }
  if (event.key.toLowerCase() === "t" && !typing && !byId("start").hidden && !event.ctrlKey && !event.altKey) gridBar.tap();
});
// what is dropped beside a place to drop is not opened by the browser
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
listening.onTime((time) => { if (!byId("timeline").hidden) timeline.play(time); });
window.studio = Object.assign(studio, {timeline, listening, player, go});
connection.open();
