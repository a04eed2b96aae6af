// What is audible now: where the player is, less what lies between it and the loudspeaker.

import assert from "node:assert/strict";
import test from "node:test";

import {Clock} from "./clock.js";

test("the sound that is heard lies behind the player by the output's latency", () => {
  const clock = new Clock({currentTime: 2, paused: false});
  assert.equal(clock.audible, 2);
  clock.context = {outputLatency: 0.25};
  assert.equal(clock.audible, 1.75);
  clock.delay = 0.1;
  assert.ok(Math.abs(clock.visible - 1.85) < 1e-12);
});

test("a song that stands has no latency, and none is below its beginning", () => {
  const audio = {currentTime: 0.1, paused: true}, clock = new Clock(audio);
  clock.context = {outputLatency: 0.25};
  clock.delay = 0.1;
  assert.equal(clock.visible, 0.1);
  audio.paused = false;
  assert.equal(clock.audible, 0);
});

test("latencies that can't be are ignored", () => {
  const clock = new Clock({currentTime: 2, paused: false});
  for (const outputLatency of [-1, 3, Number.NaN, undefined]) {
    clock.context = {outputLatency};
    assert.equal(clock.audible, 2);
  }
});
