// The preview within the studio: the stage's own page in a frame, at an address of its own; it can move to a window.

import {post} from "./studio-api.js";

const byId = (id) => document.getElementById(id);

export class Player {
  constructor(attempt, listening) {
    this.attempt = attempt;
    this.listening = listening;
    byId("open-preview").onclick = () => (byId("player").hidden ? this.open() : this.close());
    byId("player-close").onclick = () => { this.close(); byId("open-preview").focus(); };
    byId("player-window").onclick = () => this.close();
  }

  async open() {
    if (this.opening) return;
    this.opening = true;
    if (!this.listening.audio.paused) this.listening.toggle();
    this.show(true);
    byId("player-wait").hidden = false;
    byId("player-frame").hidden = byId("player-window").hidden = true;
    const opened = await this.attempt(post("/preview", {}));
    this.opening = false;
    byId("player-wait").hidden = true;
    // closed while it was set up
    if (!opened || byId("player").hidden) { this.show(false); return; }
    // by the name with which this page was opened, so that it works on a phone too
    const address = `http://${location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname}:${opened.port}/#${opened.token}`;
    byId("player-frame").src = address;
    byId("player-window").href = address;
    byId("player-frame").hidden = byId("player-window").hidden = false;
  }

  close() {
    byId("player-frame").removeAttribute("src");
    this.show(false);
  }

  show(open) {
    byId("player").hidden = !open;
    // the frame plays by itself
    for (const id of ["t-play", "t-time"]) byId(id).hidden = open;
    byId("open-preview").setAttribute("aria-expanded", open);
    byId("open-preview").textContent = open ? "close the pictures" : "watch it with pictures";
  }
}
