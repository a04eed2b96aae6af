// The chosen preset's knobs: only those that were turned are kept.

import assert from "node:assert/strict";
import test from "node:test";

import {Knobs, shown} from "./studio-knobs.js";

const PRESET = {name: "drift", title: "Drift", knobs: [{name: "storm", words: "how wild", default: 0.5}, {name: "colour", words: "how colourful", default: 0.4}]};

function knobs() {
  const parts = {summary: {}, ".knob-list": {replaceChildren(...all) { this.children = all; }}}, saved = [];
  globalThis.document = {activeElement: null, createElement: (tag) => ({tag, append(...children) { this.children = children; }})};
  const place = {hidden: true, querySelector: (css) => parts[css]};
  return {place, parts, saved, made: new Knobs(place, (values) => saved.push(values))};
}

test("a preset's knobs stand where the project has them, or as usual", () => {
  const {place, parts, made} = knobs();
  made.show(PRESET, {storm: 0.9});
  assert.equal(place.hidden, false);
  assert.equal(made.sliders.get("storm").slider.value, 0.9);
  assert.equal(made.sliders.get("storm").value.textContent, "90 %");
  assert.equal(made.sliders.get("colour").value.textContent, "40 %, as usual");
  assert.equal(parts.summary.textContent, "Fine-tune “Drift”: storm changed");
  made.show(PRESET, {});
  assert.equal(made.sliders.get("storm").slider.value, 0.5);
  made.show({name: "plain", title: "Plain", knobs: []}, {});
  assert.equal(place.hidden, true);
});

test("only turned knobs are saved, and a double click turns one back", () => {
  const {saved, made} = knobs();
  made.show(PRESET, {});
  const {slider} = made.sliders.get("colour");
  slider.value = "0.75";
  slider.onchange();
  slider.ondblclick();
  assert.deepEqual(saved, [{colour: 0.75}, {}]);
});

test("percents", () => {
  assert.equal(shown(0.256, 0.5), "26 %");
  assert.equal(shown(0.5, 0.5), "50 %, as usual");
});
