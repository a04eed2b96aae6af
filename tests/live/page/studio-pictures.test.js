// Where pictures are seen, and numbers of knobs, in words.

import assert from "node:assert/strict";
import test from "node:test";

import {inPercent} from "./studio-knobs.js";
import {seenIn} from "./studio-pictures.js";

const shot = (start, ground, photo = "") => ({start, grounds: ground ? [ground] : [], photo});
const LANES = {shots: [shot(0, "sea.jpg"), shot(65, "door.jpg"), shot(70, "", "sea.jpg"), ...[80, 90, 95, 99].map((at) => shot(at, "sea.jpg"))], pictures: {"film.mp4": [[12, 14], [12.4, 15], [80, 81]]}};

test("a picture's shots are counted as the timeline counts them", () => {
  assert.equal(seenIn(LANES, "door.jpg", "a door"), "seen in shot 2, at 1:05");
  assert.equal(seenIn(LANES, "sea.jpg", ""), "seen in shots 1, 3, 4, 5 and 2 more");
  assert.equal(seenIn(LANES, "film.mp4"), "seen at 0:12, 1:20");
});

test("a caption that no prompt speaks of is said to be one", () => {
  assert.equal(seenIn(LANES, "moon.jpg", "the moon"), "in no shot: no prompt speaks of this");
  assert.equal(seenIn(LANES, "moon.jpg", ""), "in no shot yet");
});

test("knobs speak in percent, as their values do", () => {
  assert.equal(inPercent("how far it moves, and below 0.25 no cuts on single hits"), "how far it moves, and below 25 % no cuts on single hits");
  assert.equal(inPercent("how colourful it is: 0 is grey, 1 twice as colourful"), "how colourful it is: 0 % is grey, 100 % twice as colourful");
  assert.equal(inPercent("cuts on 1 beat of 4, version 1.2.5"), "cuts on 1 beat of 4, version 1.2.5");
});
