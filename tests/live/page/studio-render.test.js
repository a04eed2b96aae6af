// What the studio says of a clip before and after it is made.

import assert from "node:assert/strict";
import test from "node:test";

import {described, expected, judged, room, span, suggested, summed} from "./studio-render.js";

const ONE = {seconds: 20, measured: false, length: 10, bytes: 2e6, free: 5e9, fits: true};

test("time and space are told before, also where a model was never timed", () => {
  assert.equal(expected(ONE), "Takes perhaps 20 seconds here for 0:10 of clip; needs 2 MB of 5.0 GB that are free.");
  assert.equal(expected({...ONE, measured: true, seconds: 600}), "Takes 10 minutes here for 0:10 of clip; needs 2 MB of 5.0 GB that are free.");
  assert.equal(expected({...ONE, seconds: null}), "How long 0:10 of clip take with this model is known after the first frames; needs 2 MB of 5.0 GB that are free.");
  assert.match(expected({...ONE, bytes: 9e9, fits: false}), /which is too much/);
});

test("several clips are added up, and are unknown if one of them is", () => {
  assert.deepEqual(summed([ONE, {...ONE, bytes: 4.9e9}]), {seconds: 40, measured: false, length: 20, bytes: 4.902e9, free: 5e9, fits: true});
  assert.equal(summed([ONE, {...ONE, bytes: 4.999e9}]).fits, false);
  assert.equal(summed([ONE, {...ONE, seconds: null}]).seconds, null);
});

test("the size to begin with is the largest that takes hardly longer", () => {
  const sizes = (...all) => all.map((seconds) => ({seconds, fits: true}));
  assert.equal(suggested(sizes(12, 20, 29)), 2);
  assert.equal(suggested(sizes(12, 25, 80)), 1);
  assert.equal(suggested(sizes(100, 140, 280)), 1);
  assert.equal(suggested(sizes(18, 50, 80)), 0);
  assert.equal(suggested(sizes(null, null, null)), 0);
  assert.equal(suggested([...sizes(12), {seconds: 20, fits: false}, {seconds: 29, fits: false}]), 0);
});

test("a place is described by its size, rate and length", () => {
  const reels = {about: "Instagram Reels, upright", size: [1080, 1920], fps: "30", longest: 900, loop: ""};
  assert.equal(described(reels), "Instagram Reels, upright: 1080 × 1920, 30 frames a second, at most 15 minutes.");
  assert.equal(described({...reels, longest: 60}), "Instagram Reels, upright: 1080 × 1920, 30 frames a second, at most 60 s.");
  assert.equal(described({...reels, longest: 43200}), "Instagram Reels, upright: 1080 × 1920, 30 frames a second.");
});

test("a score is said in plain words", () => {
  assert.equal(judged({score: {correlation: 0.5, dead: 0.3}, flashes: "", safe: true}), "It moves clearly with the music, never stands still for more than 0.3 s while it is loud, and passes the flash limits.");
  assert.equal(judged({score: null, flashes: "", safe: true}), "It stays within the flash limits.");
  assert.match(judged({score: {correlation: 0, dead: 0}, flashes: "5 flashes a second", safe: false}), /moves freely.*flashes too much: 5 flashes a second/);
});

test("times and sizes are rounded to what a person needs", () => {
  assert.deepEqual([1, 62, 600, 9000].map(span), ["1 seconds", "60 seconds", "10 minutes", "2.5 hours"]);
  assert.deepEqual([10, 2.4e6, 3.21e9].map(room), ["1 MB", "2 MB", "3.2 GB"]);
});
