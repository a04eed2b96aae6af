// The grid under the lanes: tap, half, double, nudge, set the "one", take the second best reading, name the parts. What is corrected is kept with the song.

const byId = (id) => document.getElementById(id);
const FEWEST = 4, PAUSE = 1300, GAP = 3;

export class GridBar {
  // `now` is the song time that is heard.
  constructor(send, now) {
    this.send = send;
    this.now = now;
    this.taps = [];
    this.wait = 0;
    byId("tap").onclick = () => this.tap();
    byId("half").onclick = () => this.act("half");
    byId("double").onclick = () => this.act("double");
    byId("earlier").onclick = () => this.act("nudge", {ms: -10});
    byId("later").onclick = () => this.act("nudge", {ms: 10});
    byId("one").onclick = () => this.act("one", {time: this.now()});
    byId("second-best").onclick = () => this.act("second best");
    byId("as-heard").onclick = () => this.act("as heard");
    byId("part").onchange = () => this.showPart();
    byId("part-name").onchange = () => this.namePart();
    byId("meter").onchange = () => this.act("meter", {meter: byId("meter").value});
  }

  act(action, more = {}) {
    if (this.shown) this.send({t: "grid", action, ...more});
  }

  // A part is renamed alone, by its number, or with all that sound like it, by their letter.
  namePart() {
    const number = byId("part").selectedIndex, part = this.shown?.parts[number];
    if (part) this.act("part", {section: byId("part-like").checked ? part.label : String(number + 1), name: byId("part-name").value.trim()});
  }

  showPart() {
    const part = this.shown?.parts[byId("part").selectedIndex];
    byId("part-name").value = part?.name ?? "";
    byId("part-like-name").textContent = part?.label ?? "";
  }

  // Taps are song times; a pause ends them.
  tap() {
    if (!this.shown) return;
    const time = this.now(), last = this.taps.at(-1);
    if (this.taps.length && (time <= last || time - last > GAP)) this.taps = [];
    this.taps.push(time);
    this.taps = this.taps.slice(-32);
    const count = this.taps.length;
    const bpm = count > 1 ? 60 * (count - 1) / (time - this.taps[0]) : 0;
    byId("tempo").textContent = count < FEWEST ? `tap ${count}, ${FEWEST - count} more` : `tap ${count}: ${bpm.toFixed(1)} bpm`;
    clearTimeout(this.wait);
    this.wait = setTimeout(() => this.settle(), PAUSE);
  }

  settle() {
    const taps = this.taps;
    this.taps = [];
    if (taps.length >= FEWEST) this.act("tap", {taps});
    else this.update(this.shown);
  }

  update(grid) {
    this.shown = grid;
    byId("grid").hidden = !grid;
    if (!grid) return;
    if (!this.taps.length) {
      const shift = grid.offset ? `, ${grid.offset > 0 ? "+" : "−"}${Math.abs(grid.offset).toFixed(0)} ms` : "";
      byId("tempo").textContent = `${grid.tempo.toFixed(1)} bpm${shift}`;
    }
    byId("half").setAttribute("aria-pressed", grid.half);
    byId("double").setAttribute("aria-pressed", grid.double);
    byId("second-best").hidden = !grid.other;
    byId("second-best").textContent = grid.other;
    byId("as-heard").disabled = !grid.corrected;
    const parts = byId("part"), at = Math.max(parts.selectedIndex, 0);
    parts.replaceChildren(...grid.parts.map(({start, label, name}, index) => {
      const time = `${Math.floor(start / 60)}:${String(Math.floor(start % 60)).padStart(2, "0")}`;
      return new Option(`${index + 1} ${name} (${label}, ${time})`, String(index), false, index === at);
    }));
    if (document.activeElement !== byId("part-name")) this.showPart();
    const meter = byId("meter"), choices = grid.metres.includes(grid.meter) ? grid.metres : [grid.meter, ...grid.metres];
    if (meter.length !== choices.length || document.activeElement !== meter) {
      meter.replaceChildren(...choices.map((name) => new Option(name, name, false, name === grid.meter)));
    }
  }
}
