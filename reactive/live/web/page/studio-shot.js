// One shot under the timeline: what it shows, its seed and photograph, when it begins, and whether it stays.

import {clock} from "./studio-api.js";

const byId = (id) => document.getElementById(id);

export class ShotCard {
  // `part` names the part of the song at a time; `seen` is told of a shot whose change has been made.
  constructor(act, part, seen) {
    this.act = act;
    this.part = part;
    this.seen = seen;
    this.changing = false;
    this.shot = null;
    this.photos = [];
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
    byId("shot-photo").onchange = () => this.change({photo: byId("shot-photo").value});
    byId("shot-seed").onchange = () => {
      const text = byId("shot-seed").value.trim();
      this.change({seed: /^\d{1,15}$/.test(text) ? Number(text) : null});
    };
  }

  async change(data) {
    if (!this.shot) return;
    this.changing = true;
    if (!await this.act("shot", {names: [this.shot.name], ...data})) this.changing = false;
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

  show(shot) {
    const another = shot?.name !== this.shot?.name;
    this.shot = shot ?? null;
    byId("shot-none").hidden = Boolean(shot);
    byId("shot-part").hidden = !shot;
    if (!shot) return;
    const [part, name] = shot.name.split(" / ");
    byId("shot-name").textContent = name ? name[0].toUpperCase() + name.slice(1) : part;
    byId("shot-name").title = shot.name;
    byId("shot-when").textContent = `of the ${this.part(shot.start) || part}, ${clock(shot.start)} to ${clock(shot.end)} (${(shot.end - shot.start).toFixed(1)} s)`;
    const mark = shot.locked ? "locked" : shot.changed ? "changed" : "";
    byId("shot-mark").textContent = mark;
    byId("shot-mark").hidden = !mark;
    if (another || document.activeElement !== byId("shot-prompt")) byId("shot-prompt").value = shot.prompts[0] ?? "";
    byId("shot-apply").disabled = byId("shot-prompt").value.trim() === shot.prompts[0];
    byId("shot-seed").value = String(shot.seed);
    byId("shot-lock").setAttribute("aria-pressed", shot.locked);
    byId("shot-lock").textContent = shot.locked ? "locked" : "lock";
    for (const id of ["shot-roll", "shot-earlier", "shot-later", "shot-split", "shot-merge", "shot-photo", "shot-seed", "shot-prompt"]) byId(id).disabled = shot.locked;
    byId("shot-reset").disabled = !shot.changed && !shot.locked;
    this.choices();
    byId("shot-said").textContent = `${shot.name}, ${shot.prompts[0] ?? ""}${mark ? `, ${mark}` : ""}`;
  }

  choices() {
    const chosen = this.photos.find(({name}) => name === this.shot?.photo)?.file ?? "";
    byId("shot-photo").replaceChildren(new Option(this.shot?.grounds[0] ? "the preset's own choice" : "none", ""), ...this.photos.map(({file, name, caption}) => new Option(caption || name, file)));
    byId("shot-photo").value = chosen;
    byId("shot-photo").parentElement.hidden = !this.photos.length;
  }

  pictures({photos}) {
    this.photos = photos;
    if (this.shot) this.choices();
  }

  update(lanes, state, number) {
    const shot = lanes.shots?.[number];
    this.show(shot ?? null);
    if (this.changing && shot && lanes.revision > this.revision) { this.changing = false; this.seen(shot); }
    this.revision = lanes.revision;
  }
}
