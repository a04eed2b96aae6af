// Within the studio's page: one playhead for both. Only the page that frames this one, at the studio's own address, is heard and told.

export class Framed {
  // `does` what the studio may ask for: seek(time, changes), toggle() and pause().
  constructor(does, here = window) {
    this.does = does;
    this.here = here;
    this.within = here.parent !== here;
    this.origin = null;
    this.heard = 0;
    this.told = "";
    here.addEventListener("message", (event) => this.hear(event));
  }

  // The studio's port, as this page's own server says; null: nobody is heard.
  allow(port) {
    this.origin = this.within && Number.isInteger(port) ? `http://${this.here.location.hostname}:${port}` : null;
    this.told = "";
  }

  hear({source, origin, data}) {
    if (this.origin === null || source !== this.here.parent || origin !== this.origin) return;
    if (data?.say === "seek" && Number.isFinite(data.time) && Number.isInteger(data.n)) {
      this.heard = data.n;
      this.does.seek(data.time, data.changes === true);
    }
    if (data?.say === "toggle") this.does.toggle();
    if (data?.say === "pause") this.does.pause();
  }

  // Where the playhead is; the number of the last jump shows the studio which of its own it was told after.
  tell(time, playing, holds) {
    this.send({say: "here", time: Math.round(time * 1000) / 1000, playing, holds, n: this.heard});
  }

  send(message) {
    const told = JSON.stringify(message);
    if (this.origin === null || told === this.told) return;
    this.told = told;
    this.here.parent.postMessage(message, this.origin);
  }
}
