// The timeline's pieces: painted once for a scale, placed without gaps, and shown from another scale while time is short.

import assert from "node:assert/strict";
import test from "node:test";

import {TILE, Tiles} from "./studio-tiles.js";

const WIDTH = 1440, DURATION = 600;

function tiles(ratio = 1) {
  globalThis.OffscreenCanvas = class {
    constructor(width, height) { Object.assign(this, {width, height}); }
    getContext() { return {setTransform() {}}; }
  };
  const painted = [], made = new Tiles((context, view) => painted.push(view));
  made.reset({duration: DURATION, width: WIDTH, height: 330, ratio});
  return {made, painted};
}

function drawn() {
  const calls = [];
  return {calls, drawImage: (image, ...numbers) => calls.push(numbers)};
}

// What was drawn covers the view from its left edge to its right one, without gaps; it may reach beyond.
function assertCovers(calls) {
  let edge = null;
  for (const [, , , , x, , wide] of calls) {
    if (edge === null) assert.ok(x < 0.51, `begins at ${x}`);
    else assert.ok(Math.abs(x - edge) < 0.51, `a gap at ${edge}: ${x}`);
    edge = x + wide;
  }
  assert.ok(edge > WIDTH - 0.51, `ends at ${edge}`);
}

test("a view is painted once, and scrolling paints only what comes in", () => {
  const {made, painted} = tiles(), span = 60;
  const move = (left) => { const context = drawn(); assert.equal(made.draw(context, {left, span, width: WIDTH, height: 330}), true); assertCovers(context.calls); };
  move(0);
  const first = painted.length;
  assert.equal(first, Math.ceil(WIDTH / TILE));
  move(0.3);
  move(1.2);
  assert.equal(painted.length, first);
  move(10);
  assert.equal(painted.length, first + 1);
  move(0);
  assert.equal(painted.length, first + 1);
});

test("each piece is a view of its own, at the scale of the whole", () => {
  const {made, painted} = tiles();
  made.draw(drawn(), {left: 100, span: 30, width: WIDTH, height: 330});
  for (const {left, span, width} of painted) {
    assert.equal(width, TILE);
    assert.ok(Math.abs(width / span - WIDTH / 30) < 1e-9);
    assert.ok(Math.abs(left / span - Math.round(left / span)) < 1e-9);
  }
});

test("without time the whole song, stretched, stands in, until there is time", () => {
  const {made} = tiles(2), late = {hurried: true, now: (() => { let now = 0; return () => now += 10; })()};
  made.draw(drawn(), {left: 0, span: DURATION, width: WIDTH, height: 330});
  const view = {left: 123.4, span: 20, width: WIDTH, height: 330}, context = drawn();
  assert.equal(made.draw(context, view, late), false);
  assertCovers(context.calls);
  const sharp = drawn();
  assert.equal(made.draw(sharp, view), true);
  assertCovers(sharp.calls);
});

test("zooming paints for steps of scale only, and is not sharp before it rests", () => {
  const {made, painted} = tiles();
  for (let span = 600; span > 5; span *= 0.97) {
    const context = drawn(), left = Math.max(0, 300 - span / 2);
    assert.equal(made.draw(context, {left, span, width: WIDTH, height: 330}, {zooming: true}), false);
    assertCovers(context.calls);
  }
  const scales = new Set(painted.map(({span}) => Math.round(Math.log2(600 / span) * 100)));
  assert.ok(scales.size <= 8, `${scales.size} scales`);
});

test("an evening of scrolling keeps a limited number of pieces, and the whole song among them", () => {
  const {made} = tiles(2);
  made.draw(drawn(), {left: 0, span: DURATION, width: WIDTH, height: 330});
  for (let left = 0; left < 590; left += 3) made.draw(drawn(), {left, span: 6, width: WIDTH, height: 330});
  assert.ok(made.kept.size <= made.most);
  const whole = [...made.kept.values()].filter(({scale}) => scale === made.whole);
  assert.equal(whole.length, Math.ceil(WIDTH / TILE));
});

test("a song's end leaves no piece beyond it, and a song shorter than a view has its own", () => {
  const {made} = tiles();
  assert.deepEqual(made.inside(TILE / 100, 550, 700), [5]);
  assert.deepEqual(made.inside(TILE / 100, 0, 100), [0]);
});
