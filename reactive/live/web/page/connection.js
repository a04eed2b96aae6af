// The WebSocket: logs in by the token in the address, and comes back by itself when the server does.

import {FROM_PAGE, FROM_SERVER, HEAD, VERSION, fault} from "./protocol.js";

export class Connection {
  // The studio's page has messages of its own, which the preview's protocol does not know.
  constructor(kind, known = true) {
    this.kind = kind;
    this.known = known;
    this.handlers = new Map();
    this.socket = null;
    this.wait = 250;
  }

  on(type, handler) {
    this.handlers.set(type, handler);
  }

  emit(type, data) {
    this.handlers.get(type)?.(data);
  }

  async open() {
    const token = location.hash.slice(1);
    if (token) {
      // the token leaves the address bar, so that it is not passed on with it
      history.replaceState(null, "", location.pathname);
      await fetch("/login", {
        method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({token}),
      }).catch(() => null);
    }
    this.connect();
  }

  connect() {
    const socket = new WebSocket(`ws://${location.host}/ws?kind=${this.kind}`);
    socket.binaryType = "arraybuffer";
    let opened = false;
    socket.onopen = () => { opened = true; this.wait = 250; };
    socket.onmessage = ({data}) => {
      if (typeof data === "string") {
        const message = JSON.parse(data);
        const wrong = this.known && fault(FROM_SERVER, message);
        if (wrong) this.emit("error", {text: `The server sent what this page does not know (${wrong}). Reload the page.`});
        else this.emit(message.t, message);
      } else {
        this.emit("picture", unpack(data));
      }
    };
    socket.onclose = () => {
      this.emit("closed", opened);
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(this.wait * 1.6, 4000);
    };
    this.socket = socket;
  }

  get ready() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  send(data) {
    const wrong = fault(FROM_PAGE, data);
    if (wrong) throw new TypeError(wrong);
    if (this.ready) this.socket.send(JSON.stringify(data));
  }
}

export function unpack(buffer) {
  const view = new DataView(buffer), version = view.getUint8(HEAD.version);
  if (version !== VERSION) throw new RangeError(`version ${version} of pictures is not known`);
  return {
    epoch: view.getUint32(HEAD.epoch, true),
    frame: view.getUint32(HEAD.frame, true),
    time: view.getFloat64(HEAD.time, true),
    jpeg: new Blob([new Uint8Array(buffer, HEAD.size)], {type: "image/jpeg"}),
  };
}
