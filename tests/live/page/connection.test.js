// The WebSocket's end in the page: what comes is checked and passed on, and it connects again by itself.

import assert from "node:assert/strict";
import test, {mock} from "node:test";

import {Connection, unpack} from "./connection.js";

class Socket {
  static OPEN = 1;
  static made = [];

  constructor(address) {
    this.address = address;
    this.readyState = Socket.OPEN;
    this.sent = [];
    Socket.made.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }
}

function connected() {
  Socket.made = [];
  globalThis.WebSocket = Socket;
  globalThis.location = {host: "here:1", hash: "", pathname: "/"};
  const connection = new Connection("page"), told = [];
  for (const type of ["back", "error", "picture", "closed"]) connection.on(type, (data) => told.push([type, data]));
  connection.connect();
  return {connection, told, socket: Socket.made[0]};
}

test("messages reach their handler, and those that the page does not know become an error", () => {
  const {told, socket} = connected();
  assert.equal(socket.address, "ws://here:1/ws?kind=page");
  socket.onmessage({data: JSON.stringify({t: "back", time: 2, edge: 4})});
  socket.onmessage({data: JSON.stringify({t: "back", time: "2", edge: 4})});
  assert.deepEqual(told[0], ["back", {t: "back", time: 2, edge: 4}]);
  assert.equal(told[1][0], "error");
  assert.match(told[1][1].text, /back: time is no number/);
});

test("what the protocol does not have is not sent", () => {
  const {connection, socket} = connected();
  connection.send({t: "credit", n: 3});
  assert.throws(() => connection.send({t: "credit"}), /n is missing/);
  assert.deepEqual(socket.sent, [{t: "credit", n: 3}]);
});

test("it comes back, later each time", () => {
  mock.timers.enable({apis: ["setTimeout"]});
  const {connection, told, socket} = connected();
  socket.onclose();
  assert.deepEqual(told.at(-1), ["closed", false]);
  mock.timers.tick(249);
  assert.equal(Socket.made.length, 1);
  mock.timers.tick(1);
  assert.equal(Socket.made.length, 2);
  assert.ok(connection.wait > 250);
  Socket.made[1].onopen();
  assert.equal(connection.wait, 250);
  mock.timers.reset();
});

test("a picture's head is read as the server packs it", async () => {
  // struct "<B3xIIxxxxd": version 1, epoch 3, frame 77, 1.25 s
  const bytes = Uint8Array.from([1, 0, 0, 0, 3, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf4, 0x3f, 9, 8]);
  const {epoch, frame, time, jpeg} = unpack(bytes.buffer);
  assert.deepEqual([epoch, frame, time], [3, 77, 1.25]);
  assert.deepEqual([...new Uint8Array(await jpeg.arrayBuffer())], [9, 8]);
  bytes[0] = 2;
  assert.throws(() => unpack(bytes.buffer), /version 2/);
});
