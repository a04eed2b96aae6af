// Pictures are kept by song time and drawn when the sound reaches them; every credit comes back once.

import assert from "node:assert/strict";
import test from "node:test";

import {Pictures, percentile} from "./pictures.js";

function made() {
  globalThis.createImageBitmap = async (jpeg) => ({jpeg, width: 4, height: 2, close() { this.closed = true; }});
  const context = {drawImage() {}, save() {}, restore() {}, translate() {}, rotate() {}, scale() {}};
  const granted = [];
  const pictures = new Pictures({getContext: () => context, width: 4, height: 2}, (n) => granted.push(n));
  return {pictures, granted};
}
const picture = (frame, epoch = 0) => ({epoch, frame, time: frame / 10, jpeg: frame});

test("pictures come in any order and are drawn in that of the song, each when its time has come", async () => {
  const {pictures, granted} = made();
  for (const frame of [3, 1, 2]) await pictures.take(picture(frame));
  assert.equal(pictures.draw(0.05), false);
  assert.equal(pictures.draw(0.1), true);
  assert.equal(pictures.shown.frame, 1);
  pictures.draw(0.35);
  assert.equal(pictures.shown.frame, 3);
  assert.equal(pictures.dropped, 1);
  pictures.settle();
  pictures.settle();
  assert.deepEqual(granted, [3]);
});

test("after an edit old pictures stay until the first new one that looks different", async () => {
  const {pictures} = made();
  for (const frame of [1, 2, 3, 4]) await pictures.take(picture(frame));
  pictures.heard({epoch: 1, n: -1, since: 0.3});
  assert.equal(pictures.kept.length, 4);
  await pictures.take(picture(3, 1));
  assert.deepEqual(pictures.kept.map(({frame, epoch}) => [frame, epoch]), [[1, 0], [2, 0], [3, 1]]);
});

test("nothing that was sent before a jump is shown after it", async () => {
  const {pictures} = made();
  await pictures.take(picture(1));
  const asked = pictures.jump();
  await pictures.take(picture(2));
  assert.deepEqual(pictures.kept, []);
  pictures.heard({epoch: 1, n: asked});
  await pictures.take(picture(2, 0));
  await pictures.take(picture(5, 1));
  assert.deepEqual(pictures.kept.map(({frame}) => frame), [5]);
});

test("lateness counts the pictures that never came", () => {
  const {pictures} = made();
  pictures.shown = {time: 1};
  pictures.measured(1.01, 0.1);
  pictures.shown = {time: 1.3};
  pictures.measured(1.3, 0.1);
  assert.deepEqual(pictures.offsets.map(Math.round), [10, 200, 100, 0]);
  assert.deepEqual(pictures.overdue(1.65, 0.1).map(Math.round), [250, 150]);
});

test("a percentile is one of the values", () => {
  assert.equal(percentile([], 0.5), null);
  assert.equal(percentile([3, 1, 2], 0.5), 2);
  assert.equal(percentile([3, 1, 2], 1), 3);
});
