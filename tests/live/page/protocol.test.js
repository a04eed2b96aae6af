// The checks that the server's models write for the page.

import assert from "node:assert/strict";
import test from "node:test";

import {FROM_PAGE, FROM_SERVER, fault} from "./protocol.js";

test("a message with all that it must have is right", () => {
  assert.equal(fault(FROM_PAGE, {t: "clock", time: 1.5, playing: true}), null);
  assert.equal(fault(FROM_PAGE, {t: "keep"}), null);
  assert.equal(fault(FROM_SERVER, {t: "epoch", epoch: 1, n: -1, since: 0.5}), null);
});

test("what is missing or of another kind is named", () => {
  assert.equal(fault(FROM_PAGE, {t: "seek", n: 1, credit: 4}), "seek: time is missing");
  assert.equal(fault(FROM_PAGE, {t: "credit", n: "4"}), "credit: n is no number");
  assert.equal(fault(FROM_SERVER, {t: "back", time: null}), "back: time is no number");
  assert.equal(fault(FROM_SERVER, {t: "keep?", preset: "a", own: false, path: null, says: {}, leaves: [], warning: "", name: ""}),
    "keep?: says is no array");
});

test("a message of no known type is told", () => {
  for (const message of [{t: "nothing"}, {}, null, {t: "toString"}]) assert.match(fault(FROM_SERVER, message), /^no message/);
});

test("a type of two forms is right in either", () => {
  const live = {t: "status", rate: 1, latency: {}, tempo: null, levels: {}, phase: 0, prompt: "", ended: false, failed: null};
  assert.equal(fault(FROM_SERVER, live), null);
  assert.notEqual(fault(FROM_SERVER, {...live, tempo: "fast"}), null);
});
