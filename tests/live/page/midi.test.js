// Learned MIDI controls as a file: what one browser saves, another one and the command line read.

import assert from "node:assert/strict";
import test from "node:test";

import {Midi, actionOf, fileText, readFile} from "./midi.js";

const MAP = {"control 1/7": "control-macro.storm", "control 2/1": "control-walk", "note 10/36": "next", "note 10/37": "black", "note 10/38": "loop-4", "bend 1": "volume", "control 1/9": "latency"};

test("a map is written as a file, with what only this browser has as comments", () => {
  assert.equal(fileText(MAP), [
    "# What a MIDI controller plays: controllers (cc) and notes, on any channel. `reactive preview --midi-map FILE` reads it.",
    "[cc]", "7 = \"macro.storm\"", "1 = \"walk\"", "[note]", "36 = \"next\"", "37 = \"blackout\"", "38 = \"loop.4\"",
    "# only in the browser where it was learned: bend 1 = volume", "# only in the browser where it was learned: control 1/9 = latency", "",
  ].join("\n"));
});

test("a file is read as it was written, on every channel", () => {
  assert.deepEqual(readFile(fileText(MAP)), {
    "control */7": "control-macro.storm", "control */1": "control-walk", "note */36": "next", "note */37": "black", "note */38": "loop-4",
  });
  assert.deepEqual(readFile('port = "nano"\r\n[cc]\r\n"2" = "camera" # a comment'), {"control */2": "control-camera"});
});

test("a wrong line is named, and nothing of its file is taken", () => {
  for (const text of ["[cc]\n200 = \"walk\"", "1 = \"walk\"", "[keys]\n1 = \"walk\"", "[cc]\n1 = walk"]) assert.throws(() => readFile(text), /line \d/);
  assert.throws(() => readFile("# nothing"), /no controllers/);
});

test("every action has one name", () => {
  assert.equal(actionOf("phase-2"), "phase.2");
  assert.equal(actionOf("song-next"), "next-song");
  assert.equal(actionOf("volume"), null);
});

test("a controller from a file moves its slider on any channel, a learned one on its own", async () => {
  const moved = [], kept = {};
  const slider = (name) => ({name, min: "0", max: "2", matches: () => true, dispatchEvent() { moved.push([name, this.value]); }});
  globalThis.window = {isSecureContext: false};
  globalThis.localStorage = {getItem: () => "{}", setItem: (name, value) => { kept[name] = value; }};
  globalThis.CSS = {escape: (text) => text};
  globalThis.Event = class {};
  globalThis.document = {addEventListener() {}, querySelector: (css) => slider(/"(.*)"/.exec(css)[1])};
  const said = [], midi = new Midi((text) => said.push(text), () => null);
  await midi.take({name: "my.toml", size: 30, text: async () => '[cc]\n7 = "walk"\n'});
  assert.deepEqual(said, ["1 control from my.toml."]);
  midi.hear([0xb3, 7, 127]);
  midi.map["control 4/7"] = "control-camera";
  midi.hear([0xb3, 7, 0]);
  assert.deepEqual(moved, [["control-walk", 2], ["control-camera", 0]]);
  await midi.take({name: "bad.toml", size: 30, text: async () => "[cc]\nx"});
  assert.match(said[1], /bad.toml can't be used: line 2/);
  assert.deepEqual(Object.keys(JSON.parse(kept["reactive.midi"])), ["control */7"]);
});
