// One playhead: the preview in a frame and the studio around it hear each other, and nobody else.

import assert from "node:assert/strict";
import test from "node:test";

import {Framed} from "./framed.js";
import {Player, addressOf} from "./studio-player.js";

function framed(port) {
  const told = [], did = [], parent = {postMessage: (data, origin) => told.push([data, origin])};
  const here = {parent, location: {hostname: "127.0.0.1"}, addEventListener(_, heard) { this.heard = heard; }};
  const made = new Framed({seek: (...all) => did.push(["seek", ...all]), toggle: () => did.push(["toggle"]), pause: () => did.push(["pause"])}, here);
  made.allow(port);
  return {made, told, did, here, parent, say: (data, more = {}) => here.heard({source: parent, origin: "http://127.0.0.1:8000", data, ...more})};
}

test("the preview goes where the studio's page says, and says where it is", () => {
  const {made, told, did, say} = framed(8000);
  say({say: "seek", time: 3.5, changes: true, n: 4});
  say({say: "toggle"});
  say({say: "pause"});
  assert.deepEqual(did, [["seek", 3.5, true], ["toggle"], ["pause"]]);
  made.tell(3.50001, true, true);
  made.tell(3.50002, true, true);
  assert.deepEqual(told, [[{say: "here", time: 3.5, playing: true, holds: true, n: 4}, "http://127.0.0.1:8000"]]);
});

test("other origins, other windows and other messages are not heard", () => {
  const {did, say} = framed(8000);
  say({say: "seek", time: 1, n: 1}, {origin: "http://127.0.0.1:8001"});
  say({say: "seek", time: 1, n: 1}, {origin: "null"});
  say({say: "seek", time: 1, n: 1}, {source: {}});
  for (const data of [null, "seek", {}, {say: "seek", time: "1", n: 1}, {say: "seek", time: Infinity, n: 1}, {say: "seek", time: 1}]) say(data);
  assert.deepEqual(did, []);
});

test("a preview that is in no studio's frame hears and tells nothing", () => {
  const {made, told, did, say} = framed(null);
  say({say: "seek", time: 1, n: 1});
  made.tell(1, true, true);
  assert.deepEqual([told, did], [[], []]);
});

function player() {
  const parts = {}, sent = [], followed = [], frame = {contentWindow: {postMessage: (data, origin) => sent.push([data, origin])}, removeAttribute() {}};
  const part = () => ({focus() {}, classList: {toggle(name, on) { this[name] = on; }, remove() {}}});
  globalThis.document = {getElementById: (id) => (id === "player-frame" ? frame : parts[id] ??= part())};
  globalThis.location = {hostname: "[::1]"};
  let heard = null;
  globalThis.addEventListener = (_, hear) => { heard = hear; };
  globalThis.fetch = async () => ({ok: true, json: async () => ({port: 8001, token: "abc", revision: 1})});
  const listening = {audio: {paused: true}, time: 2, lead(leader) { this.leader = leader; }, follow: (time) => followed.push(time)};
  const made = new Player((work) => work, listening);
  return {made, parts, sent, followed, frame, listening, say: (data, more = {}) => heard({source: frame.contentWindow, origin: "http://[::1]:8001", data, ...more})};
}

test("the studio's playhead leads the pictures, and follows them", async () => {
  const {made, sent, followed, frame, say, listening, parts} = player();
  await made.open();
  assert.equal(frame.src, "http://[::1]:8001/#abc");
  assert.equal(listening.leader, made);
  // where the playhead was, as soon as the page can go there
  say({say: "here", time: 0, playing: false, holds: true, n: 0});
  assert.deepEqual(sent, [[{say: "seek", time: 2, changes: false, n: 1}, "http://[::1]:8001"]]);
  say({say: "here", time: 0, playing: false, holds: true, n: 0});
  assert.deepEqual(followed, []);
  say({say: "here", time: 2, playing: false, holds: true, n: 1});
  made.seek(5, true);
  assert.deepEqual(sent.at(-1)[0], {say: "seek", time: 5, changes: true, n: 2});
  // said before it heard of that
  say({say: "here", time: 2.1, playing: true, holds: true, n: 1});
  say({say: "here", time: 5, playing: true, holds: true, n: 2});
  assert.deepEqual(followed, [2, 5]);
  assert.equal(made.plays, true);
  say({say: "controls", all: true});
  assert.equal(parts.timeline.classList.wholly, true);
  made.onStage(false);
  assert.equal(sent.at(-1)[0].say, "pause");
  assert.equal(listening.leader, null);
});

test("the studio hears its own frame at its own address only", async () => {
  const {made, sent, followed, say} = player();
  await made.open();
  const here = {say: "here", time: 1, playing: true, holds: true, n: 0};
  say(here, {origin: "http://[::1]:8002"});
  say(here, {source: {}});
  say({...here, time: "1"});
  assert.equal(made.holds, false);
  made.close();
  say(here);
  assert.deepEqual([sent, followed], [[], []]);
});

test("an address keeps the name with which the page was opened", () => {
  assert.deepEqual(addressOf("192.168.1.7", {port: 81, token: "x"}), {origin: "http://192.168.1.7:81", address: "http://192.168.1.7:81/#x"});
});
