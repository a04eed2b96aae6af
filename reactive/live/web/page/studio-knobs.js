// The chosen preset's own knobs, as sliders: where they stand when the clip begins.

const make = (tag, properties = {}, ...children) => { const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made; };

export class Knobs {
  // `save` gets the values of all knobs that are not where the preset has them.
  constructor(place, save) {
    this.place = place;
    this.save = save;
    this.sliders = new Map();
    this.preset = null;
  }

  show(preset, values) {
    this.place.hidden = !preset?.knobs?.length;
    if (this.place.hidden) return;
    if (preset.name !== this.preset) {
      this.preset = preset.name;
      this.build(preset);
    }
    for (const {name, default: usual} of preset.knobs) {
      const {slider, value} = this.sliders.get(name);
      // a slider that is being moved is not pulled back
      if (slider !== document.activeElement || values[name] === undefined) slider.value = values[name] ?? usual;
      value.textContent = shown(Number(slider.value), usual);
    }
    const turned = preset.knobs.filter(({name}) => values[name] !== undefined).map(({name}) => name);
    this.place.querySelector("summary").textContent = `Fine-tune “${this.title}”${turned.length ? `: ${turned.join(", ")} changed` : ""}`;
  }

  build({title, knobs}) {
    this.title = title;
    this.sliders.clear();
    this.place.querySelector(".knob-list").replaceChildren(...knobs.map(({name, words, default: usual}) => {
      const slider = make("input", {type: "range", min: 0, max: 1, step: 0.01, value: usual, title: "Double click: as the preset has it"}), value = make("output");
      slider.oninput = () => { value.textContent = shown(Number(slider.value), usual); };
      slider.onchange = () => this.send(knobs);
      slider.ondblclick = () => { slider.value = usual; slider.oninput(); this.send(knobs); };
      this.sliders.set(name, {slider, value});
      return make("label", {className: "knob"}, make("span", {textContent: name}), value, slider, make("small", {textContent: inPercent(words)}));
    }));
  }

  send(knobs) {
    this.save(Object.fromEntries(knobs.map(({name, default: usual}) => [name, Number(this.sliders.get(name).slider.value), usual]).filter(([, value, usual]) => Math.abs(value - usual) > 1e-6).map(([name, value]) => [name, value])));
  }
}

export function shown(value, usual) {
  const percent = `${Math.round(100 * value)} %`;
  return Math.abs(value - usual) < 1e-6 ? `${percent}, as usual` : percent;
}

// A preset's own words count to 1, the slider in percent.
export function inPercent(words) {
  return words.replace(/(?<![\d.])(?:0?\.\d+|1\.0+)(?![\d.]*\d)|(?<=[:,] )[01](?= )/g, (number) => `${Math.round(100 * Number(number))} %`);
}
