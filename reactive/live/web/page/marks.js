// Cue points and snapshots of the song. The server keeps them; here they are shown, named, and asked for.

const byId = (id) => document.getElementById(id);
const stamp = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

function button(text, label, press, midi = null) {
  const made = document.createElement("button");
  made.textContent = text;
  if (label) made.title = label, made.setAttribute("aria-label", label);
  if (midi) made.dataset.midi = midi;
  made.onclick = press;
  return made;
}

export class Marks {
  constructor(act, send) {
    this.act = act;
    this.send = send;
    this.shown = "";
    // a live input has snapshots only
    this.song = Boolean(byId("cue-set"));
    if (this.song) byId("cue-set").onclick = () => act("cue");
    byId("reset").onclick = () => act("reset");
    byId("store").onclick = () => act(`store.${this.free}`);
    if (this.song) byId("glide").onchange = () => act(`glide.${byId("glide").value}`);
  }

  update({cues = [], snapshots, glide = 0}) {
    if (this.song) byId("glide").value = glide;
    this.free = snapshots.indexOf(null) + 1;
    byId("store").disabled = !this.free;
    const told = JSON.stringify([cues, snapshots]);
    if (told === this.shown) return;
    this.shown = told;
    if (this.song) byId("cues").replaceChildren(...cues.map(({name, time}, index) => this.row("cue", index + 1, name, stamp(time), [])));
    byId("snapshots").replaceChildren(...snapshots.flatMap((name, index) => (name === null ? [] : [
      this.row("snapshot", index + 1, name, "", [button("store", `Store ${name} again`, () => this.act(`store.${index + 1}`))]),
    ])));
  }

  row(what, number, name, more, extra) {
    const row = document.createElement("li"), go = button(name, null, () => this.act(`${what}.${number}`), `${what}-${number}`);
    go.setAttribute("aria-label", `${what === "cue" ? "Go to" : "Recall"} ${name}`);
    go.className = "name";
    if (more) go.append(Object.assign(document.createElement("span"), {className: "quiet", textContent: more}));
    row.append(Object.assign(document.createElement("span"), {className: "quiet", textContent: number}), go, ...extra,
      button("✎", `Rename ${name}`, () => this.edit(row, go, what, number, name)),
      button("×", `Delete ${name}`, () => this.send({t: "mark", what, number})));
    return row;
  }

  edit(row, go, what, number, name) {
    const input = Object.assign(document.createElement("input"), {type: "text", value: name, maxLength: 40, autocomplete: "off"});
    input.setAttribute("aria-label", "Name");
    const back = () => input.replaceWith(go);
    input.onkeydown = ({key}) => {
      if (key === "Escape") back();
      if (key === "Enter" && input.value.trim()) this.send({t: "mark", what, number, name: input.value.trim()});
      if (key === "Enter" && input.value.trim() === name) back();
    };
    input.onblur = back;
    go.replaceWith(input);
    input.select();
  }
}
