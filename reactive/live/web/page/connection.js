// The WebSocket: logs in by the token in the address, and comes back by itself when the server does.

const HEAD = 24;

export class Connection {
  constructor(kind) {
    this.kind = kind;
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
        this.emit(message.t, message);
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
    if (this.ready) this.socket.send(JSON.stringify(data));
  }
}

function unpack(buffer) {
  const view = new DataView(buffer);
  return {
    epoch: view.getUint32(4, true),
    frame: view.getUint32(8, true),
    time: view.getFloat64(16, true),
    jpeg: new Blob([new Uint8Array(buffer, HEAD)], {type: "image/jpeg"}),
  };
}
