// The timeline's lanes from afar: shots are counted through the song, pictures and words show as far as there is room.

import assert from "node:assert/strict";
import test from "node:test";

import {paint, paintOver, unreadable} from "./studio-paint.js";
import {told} from "./studio-shot.js";

const SHOTS = Array.from({length: 60}, (_, index) => ({name: `section 1 / shot ${index + 1}`, start: index, end: index + 1, prompts: ["a white door in the sea"], grounds: [index % 2 ? "sea.jpg" : ""], photo: ""}));
const SONG = {bars: [], sections: [{start: 0, end: 60, name: "verse"}], peaks: [0.5], loudness: [0.5], duration: 60};

function painted(view) {
  const texts = [], images = [], context = new Proxy({fillText: (text) => texts.push(text), drawImage: (image, ...numbers) => images.push(numbers), measureText: () => ({width: 100})}, {
    get: (own, name) => own[name] ?? (() => {}), set: () => true,
  });
  const data = {song: SONG, shots: SHOTS, image: (name) => (name ? {naturalWidth: 40, naturalHeight: 30} : null)};
  paint(context, data, {...view, height: 330});
  paintOver(context, data, {...view, height: 330}, -1);
  return {texts, images};
}

test("the whole song shows pictures, and says how its words are read", () => {
  const {texts, images} = painted({left: 0, span: 60, width: 720});
  assert.equal(images.length, 30);
  assert.ok(texts.includes("zoom in to read the words"));
  assert.ok(!texts.join(" ").includes("door"));
});

test("from near, shots have their number in the song and their words", () => {
  const {texts} = painted({left: 40, span: 6, width: 720});
  for (const number of ["41", "42", "46"]) assert.ok(texts.includes(number), number);
  assert.ok(texts.join(" ").includes("white door"));
  assert.ok(!texts.includes("zoom in to read the words"));
});

test("words can't be read where most of what is in view is narrow", () => {
  assert.equal(unreadable(SHOTS, {left: 0, span: 60, width: 720}), true);
  assert.equal(unreadable(SHOTS, {left: 0, span: 10, width: 720}), false);
});

test("what was changed is said in plain words", () => {
  assert.equal(told({roll: true}), "Painted anew. The photograph stays.");
  assert.equal(told({photo: ""}), "The look chooses the photograph again.");
  assert.equal(told({library: "sea"}), "It has this photograph now.");
  assert.equal(told({lock: false}), "It can be changed again.");
  assert.equal(told({reset: true, lock: false}), "Its changes are taken back.");
});
