// A picture that stands still moves on by the lens, and it is said.

import assert from "node:assert/strict";
import test from "node:test";

import {ALARM, LATE, Watchdog, lensOf} from "./watchdog.js";

test("the lens begins where the picture stood and never shows its edge", () => {
  assert.deepEqual(lensOf(0, null, 0, 0), {zoom: 1, degrees: 0, x: 0, y: 0});
  for (let passed = 0; passed < 60; passed += 0.25) {
    const {zoom, x, y} = lensOf(passed, null, 0, 0);
    assert.ok(zoom >= 1 && zoom <= 1.12 + 1e-9);
    assert.ok(2 * Math.max(Math.abs(x), Math.abs(y)) <= zoom - 1 + 1e-9);
  }
});

test("it follows the timeline's own lens from where it began to stand", () => {
  const curves = {rotate: {values: [0, 10]}, zoom: {values: [0, 0.5]}};
  assert.equal(lensOf(5, curves, 0, 1).degrees, 10);
  assert.ok(lensOf(5, curves, 0, 1).zoom > lensOf(5, null, 0, 1).zoom);
});

test("only a picture that stands for long, while the song plays, moves, and says so", () => {
  let moved = 0;
  const watchdog = new Watchdog({drawnAt: 0, through: () => { moved++; return true; }});
  watchdog.step(0, true, 0);
  watchdog.step(0.5, true, 500);
  assert.deepEqual([moved, watchdog.says], [0, null]);
  watchdog.step(2, true, (LATE + 0.5) * 1000);
  assert.deepEqual([moved, watchdog.says.alarm], [1, false]);
  watchdog.step(4, true, (ALARM + 0.5) * 1000);
  assert.deepEqual([moved, watchdog.says.alarm], [2, true]);
  watchdog.step(4, false, 9000);
  assert.deepEqual([moved, watchdog.says], [2, null]);
});
