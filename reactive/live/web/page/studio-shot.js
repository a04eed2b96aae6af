// One shot under the timeline: what it shows, its seed and photograph, when it begins, and whether it stays.

import {clock} from "./studio-api.js";

const byId = (id) => document.getElementById(id);

export class ShotCard {
  // `part` names the part of the song at a time; `seen` is told of a shot whose change has been made; `undo` takes the last one
  // back; `thumb` is the address of a photograph's small picture, `shelved` fetches the library.
  constructor(act, {part, seen, undo, thumb, shelved}) {
    this.act = act;
    this.part = part;
    Object.assign(this, {seen, undo, thumb, shelved});
    this.changing = false;
    this.shot = null;
    this.photos = [];
    this.library = null;
    this.told = "";
    const prompt = byId("shot-prompt");
    prompt.oninput = () => { byId("shot-apply").disabled = prompt.value.trim() === this.shot.prompts[0]; };
    prompt.onkeydown = (event) => {
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); this.apply(); }
      if (event.key === "Escape") { prompt.value = this.shot.prompts[0]; byId("lanes").focus(); }
    };
    byId("shot-apply").onclick = () => this.apply();
    byId("shot-roll").onclick = () => this.roll();
    byId("shot-lock").onclick = () => this.lock();
    byId("shot-earlier").onclick = () => this.change({beats: this.shot.moved - 1});
    byId("shot-later").onclick = () => this.change({beats: this.shot.moved + 1});
    byId("shot-split").onclick = () => this.change({split: true});
    byId("shot-merge").onclick = () => this.change({merge: true});
    byId("shot-reset").onclick = () => this.change({reset: true, lock: false});
    byId("model").addEventListener("input", () => this.words());
    byId("shot-find").oninput = () => this.shelf();
    byId("shot-library").ontoggle = () => this.fetchShelf();
    byId("shot-seed").onchange = () => {
      const text = byId("shot-seed").value.trim();
      this.change({seed: /^\d{1,15}$/.test(text) ? Number(text) : null});
    };
  }

  async change(data) {
    if (!this.shot) return;
    this.changing = true;
    this.done("");
    if (await this.act("shot", {names: [this.shot.name], ...data})) this.done(told(data)); else this.changing = false;
  }

  // What was just done, beside the button, and the way back.
  done(text) {
    const back = Object.assign(document.createElement("button"), {className: "text", textContent: "undo", onclick: () => { this.changing = true; this.undo(); }});
    byId("shot-done").replaceChildren(...(text ? [text, back] : []));
  }

  apply() {
    const text = byId("shot-prompt").value.trim();
    // a disabled button would lose the focus
    if (document.activeElement === byId("shot-apply")) byId("shot-prompt").focus();
    byId("shot-apply").disabled = true;
    if (text !== this.shot.prompts[0]) this.change({prompt: text});
  }

  roll() {
    if (!this.shot?.locked) this.change({roll: true});
  }

  lock() {
    if (this.shot) this.change({lock: !this.shot.locked});
  }

  show(shot, number = this.number) {
    const another = shot?.name !== this.shot?.name;
    this.shot = shot ?? null;
    this.number = number;
    if (another) this.done("");
    byId("shot-none").hidden = Boolean(shot);
    byId("shot-part").hidden = !shot;
    if (!shot) return;
    const [part] = shot.name.split(" / ");
    byId("shot-name").textContent = `Shot ${number + 1}`;
    byId("shot-name").title = shot.name;
    byId("shot-when").textContent = `of the ${this.part(shot.start) || part}, ${clock(shot.start)} to ${clock(shot.end)} (${(shot.end - shot.start).toFixed(1)} s)`;
    const mark = shot.locked ? "kept as it is" : shot.changed ? "changed" : "";
    byId("shot-mark").textContent = mark;
    byId("shot-mark").hidden = !mark;
    if (another || document.activeElement !== byId("shot-prompt")) byId("shot-prompt").value = shot.prompts[0] ?? "";
    byId("shot-apply").disabled = byId("shot-prompt").value.trim() === shot.prompts[0];
    byId("shot-seed").value = String(shot.seed);
    byId("shot-lock").setAttribute("aria-pressed", shot.locked);
    byId("shot-lock").textContent = shot.locked ? "kept as it is" : "keep as it is";
    for (const id of ["shot-roll", "shot-earlier", "shot-later", "shot-split", "shot-merge", "shot-seed", "shot-prompt"]) byId(id).disabled = shot.locked;
    byId("shot-reset").disabled = !shot.changed && !shot.locked;
    this.choices();
    byId("shot-said").textContent = `Shot ${number + 1}, ${shot.name}, ${shot.prompts[0] ?? ""}${mark ? `, ${mark}` : ""}`;
  }

  // The photographs of the project, then none of them; one of the library that only this shot has comes first.
  choices() {
    const {shot, photos} = this;
    if (!shot) return;
    const own = photos.map(({file, name, caption}) => ({name, title: caption || name, at: `/thumb?file=${encodeURIComponent(file)}`, data: {photo: file}}));
    const other = shot.photo && !photos.some(({name}) => name === shot.photo) ? [{name: shot.photo, title: shot.photo, at: this.thumb(shot.photo), text: shot.photo, data: null}] : [];
    const none = {name: "", title: "The look chooses the photograph, if it shows one", text: shot.grounds.length ? "the look's own choice" : "none", data: {photo: ""}};
    this.tiles(byId("shot-photos"), [...other, ...own, none], (one) => one.name === shot.photo);
    for (const button of byId("shot-photos").children) button.classList.toggle("shown", !shot.photo && button.dataset.name !== "" && shot.grounds[0] === button.dataset.name);
    for (const button of document.querySelectorAll("#shot-shelf button")) {
      button.setAttribute("aria-pressed", button.dataset.name === stem(shot.photo));
      button.disabled = shot.locked;
    }
  }

  tiles(place, wanted, chosen) {
    const kind = JSON.stringify(wanted.map(({name, at, text}) => [name, at, text]));
    if (place.dataset.kind !== kind) {
      place.dataset.kind = kind;
      place.replaceChildren(...wanted.map(({name, title, at, text}) => {
        const button = Object.assign(document.createElement("button"), {type: "button", title});
        button.dataset.name = name;
        button.setAttribute("aria-label", at ? title : text);
        button.append(at ? Object.assign(document.createElement("img"), {src: at, alt: "", loading: "lazy"}) : text);
        return button;
      }));
    }
    for (const [index, button] of [...place.children].entries()) {
      const {data} = wanted[index];
      button.setAttribute("aria-pressed", chosen(wanted[index]));
      button.disabled = this.shot.locked;
      button.onclick = () => { if (data) this.change(data); };
    }
  }

  async fetchShelf() {
    if (this.library || !byId("shot-library").open) return;
    this.library = await this.shelved();
    this.shelf();
  }

  shelf() {
    if (!this.library || !this.shot) return;
    const wanted = byId("shot-find").value.trim().toLowerCase();
    const found = this.library.filter(({name, caption}) => `${name} ${caption}`.toLowerCase().includes(wanted));
    this.tiles(byId("shot-shelf"), found.map(({name, caption}) => ({name, title: caption, at: `/thumb?library=${encodeURIComponent(name)}`, data: {library: name}})), ({name}) => name === stem(this.shot.photo));
  }

  pictures({photos, settings}) {
    this.photos = photos;
    this.model = settings.model;
    this.words();
    this.choices();
  }

  // What words do with ember is said while both the preview and the clip are painted by it.
  words() {
    byId("shot-words").hidden = this.model !== "ember" || byId("model").value.trim() !== "ember";
  }

  update(lanes, state, number) {
    const shot = lanes.shots?.[number];
    this.show(shot ?? null, number);
    if (this.changing && shot && lanes.revision > this.revision) { this.changing = false; this.seen(shot); }
    this.revision = lanes.revision;
  }
}

const stem = (name) => name.replace(/\.[^.]+$/, "");

// What a change was, in words that stand beside the button.
export function told(data) {
  if (data.roll) return "Painted anew. The photograph stays.";
  if (data.reset) return "Its changes are taken back.";
  if (data.prompt !== undefined) return "The words are changed.";
  if (data.photo !== undefined || data.library !== undefined) return data.photo === "" ? "The look chooses the photograph again." : "It has this photograph now.";
  if (data.beats !== undefined) return "It begins elsewhere now.";
  if (data.split) return "It is two shots now.";
  if (data.merge) return "It is one shot with the next now.";
  if (data.lock !== undefined) return data.lock ? "It stays as it is now." : "It can be changed again.";
  return "Painted by that number.";
}
