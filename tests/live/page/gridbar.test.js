// The grid under the lanes: taps are gathered, and a pause sends them.

import assert from "node:assert/strict";
import test, {mock} from "node:test";

import {GridBar} from "./gridbar.js";

const GRID = {tempo: 120, offset: -12, half: false, double: true, corrected: true, meter: "4/4", metres: ["4/4", "3/4"], other: "", parts: [{start: 0, label: "A", name: "intro"}, {start: 65, label: "B", name: "verse"}]};

function bar() {
  const parts = new Map(), sent = [];
  globalThis.Option = class { constructor(text) { this.text = text; } };
  globalThis.document = {
    activeElement: null,
    getElementById(id) {
      if (!parts.has(id)) parts.set(id, {setAttribute(name, value) { this[name] = value; }, replaceChildren(...children) { this.children = children; }, length: 2, selectedIndex: 1});
      return parts.get(id);
    },
  };
  const now = {time: 0}, grid = new GridBar((message) => sent.push(message), () => now.time);
  return {grid, sent, now, part: (id) => document.getElementById(id)};
}

test("it shows the tempo, how far the grid was moved, and what is pressed", () => {
  const {grid, part} = bar();
  grid.update(GRID);
  assert.equal(part("tempo").textContent, "120.0 bpm, −12 ms");
  assert.equal(part("double")["aria-pressed"], true);
  grid.update(null);
  assert.equal(part("grid").hidden, true);
});

test("the second best reading is a button while there is one", () => {
  const {grid, sent, part} = bar();
  grid.update(GRID);
  assert.equal(part("second-best").hidden, true);
  grid.update({...GRID, other: "or 60 bpm"});
  assert.equal(part("second-best").hidden, false);
  assert.equal(part("second-best").textContent, "or 60 bpm");
  part("second-best").onclick();
  assert.deepEqual(sent, [{t: "grid", action: "second best"}]);
});

test("a part is renamed by its letter, or alone by its number", () => {
  const {grid, sent, part} = bar();
  grid.update(GRID);
  assert.deepEqual(part("part").children.map(({text}) => text), ["1 intro (A, 0:00)", "2 verse (B, 1:05)"]);
  assert.equal(part("part-name").value, "verse");
  part("part-like").checked = true;
  part("part-name").value = " chorus ";
  part("part-name").onchange();
  part("part-like").checked = false;
  part("part-name").value = "";
  part("part-name").onchange();
  assert.deepEqual(sent, [{t: "grid", action: "part", section: "B", name: "chorus"}, {t: "grid", action: "part", section: "2", name: ""}]);
});

test("four taps or more are sent after a pause; fewer are forgotten", () => {
  mock.timers.enable({apis: ["setTimeout"]});
  const {grid, sent, now, part} = bar();
  grid.update(GRID);
  for (const time of [0, 0.5, 1]) { now.time = time; grid.tap(); }
  mock.timers.tick(2000);
  assert.deepEqual(sent, []);
  for (const time of [4, 4.5, 5, 5.5]) { now.time = time; grid.tap(); }
  assert.equal(part("tempo").textContent, "tap 4: 120.0 bpm");
  mock.timers.tick(2000);
  assert.deepEqual(sent, [{t: "grid", action: "tap", taps: [4, 4.5, 5, 5.5]}]);
  mock.timers.reset();
});

test("without a grid nothing is sent", () => {
  const {grid, sent} = bar();
  grid.act("half");
  grid.tap();
  assert.deepEqual(sent, []);
  grid.update(GRID);
  grid.act("nudge", {ms: 10});
  assert.deepEqual(sent, [{t: "grid", action: "nudge", ms: 10}]);
});
