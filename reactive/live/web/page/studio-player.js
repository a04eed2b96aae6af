// The preview within the studio: the stage's own page in a frame, at an address of its own; it can move to a window.
// Both have one playhead: where the timeline is clicked the pictures go, and where they are the timeline is.
// What windows say to each other is no message of the protocol: it has `say` where those have `t`.

import {post} from "./studio-api.js";

const byId = (id) => document.getElementById(id);

export class Player {
  constructor(attempt, listening) {
    this.attempt = attempt;
    this.listening = listening;
    this.frame = byId("player-frame");
    this.origin = null;
    this.jumps = 0;
    this.holds = this.wanted = null;
    this.plays = false;
    byId("open-preview").onclick = () => this.open();
    byId("player-close").onclick = () => { this.close(); byId("open-preview").focus(); };
    byId("player-window").onclick = () => this.close();
    addEventListener("message", (event) => this.hear(event));
  }

  async open() {
    if (this.opening) return;
    this.opening = true;
    if (!this.listening.audio.paused) this.listening.toggle();
    this.show(true);
    byId("player-close").focus();
    byId("player-wait").hidden = false;
    this.frame.hidden = byId("player-window").hidden = true;
    const opened = await this.attempt(post("/preview", {}));
    this.opening = false;
    byId("player-wait").hidden = true;
    // closed while it was set up
    if (!opened || byId("player").hidden) { this.show(false); return; }
    // by the name with which this page was opened, so that it works on a phone too
    const {origin, address} = addressOf(location.hostname, opened);
    this.origin = origin;
    this.holds = this.plays = false;
    this.wanted = {time: this.listening.time, changes: false};
    this.frame.src = address;
    byId("player-window").href = address;
    this.frame.hidden = byId("player-window").hidden = false;
    this.listening.lead(this);
  }

  close() {
    this.origin = null;
    this.frame.removeAttribute("src");
    this.listening.lead(null);
    this.show(false);
  }

  // Messages of the frame's own page, at its own address, and no other's.
  hear({source, origin, data}) {
    if (this.origin === null || source !== this.frame.contentWindow || origin !== this.origin) return;
    if (data?.say === "controls" && typeof data.all === "boolean") byId("timeline").classList.toggle("wholly", data.all);
    if (data?.say !== "here" || !Number.isFinite(data.time)) return;
    this.plays = data.playing === true;
    if (data.holds === true && !this.holds) {
      this.holds = true;
      if (this.wanted) { this.seek(this.wanted.time, this.wanted.changes); return; }
    }
    // said before it heard of the last jump
    if (this.holds && data.n !== this.jumps) return;
    if (this.holds || data.playing) this.listening.follow(data.time);
  }

  get opened() {
    return this.origin !== null;
  }

  // To a time, which is shown again once a change that was just made has arrived there.
  seek(time, changes = false) {
    if (!this.opened) return;
    if (!this.holds) { this.wanted = {time, changes}; return; }
    this.send({say: "seek", time, changes, n: ++this.jumps});
  }

  toggle() {
    this.send({say: "toggle"});
  }

  // The timeline is shown or left: elsewhere the song is heard without pictures.
  onStage(shown) {
    if (!this.opened) return;
    if (!shown) this.send({say: "pause"});
    this.listening.lead(shown ? this : null);
    if (shown) this.seek(this.listening.time);
  }

  send(message) {
    if (this.opened) this.frame.contentWindow?.postMessage(message, this.origin);
  }

  show(open) {
    byId("player").hidden = !open;
    byId("timeline").classList.toggle("watching", open);
    byId("timeline").classList.remove("wholly");
    // the frame plays by itself
    for (const id of ["t-play", "open-preview"]) byId(id).hidden = open;
  }
}

export function addressOf(host, {port, token}) {
  const origin = `http://${host}:${port}`;
  return {origin, address: `${origin}/#${token}`};
}
