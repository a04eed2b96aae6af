// The set list: the songs of the evening, and what follows when one is over.

const byId = (id) => document.getElementById(id);

export class Songs {
  constructor(send) {
    this.send = send;
    this.shown = "";
    byId("song-next").onclick = () => this.step(1);
    byId("song-previous").onclick = () => this.step(-1);
    byId("ending").onchange = () => send({t: "ending", ending: byId("ending").value});
  }

  step(step) {
    if (this.state?.songs.length > 1) this.send({t: "song", step});
  }

  update(state) {
    this.state = state;
    const {songs, song, ready, ending, endings} = state, told = JSON.stringify([songs, song, ready]);
    const only = songs.length < 2;
    byId("song-list").hidden = byId("song-row").hidden = only;
    byId("song-next").disabled = song >= songs.length - 1;
    byId("song-previous").disabled = song <= 0;
    if (!byId("ending").options.length) {
      byId("ending").append(...Object.entries(endings).filter(([name]) => !only || name !== "next").map(([name, meaning]) => new Option(meaning, name)));
    }
    byId("ending").value = ending;
    if (told === this.shown) return;
    this.shown = told;
    byId("song-list").replaceChildren(...songs.map((title, number) => {
      const row = document.createElement("li"), button = document.createElement("button");
      button.textContent = title;
      button.dataset.midi = `song-${number}`;
      if (number === song) button.setAttribute("aria-current", "true");
      if (number === ready) row.append(Object.assign(document.createElement("span"), {className: "quiet", textContent: "ready"}));
      button.onclick = () => this.send({t: "song", number});
      row.prepend(button);
      return row;
    }));
    byId("song-list").querySelector("[aria-current]")?.scrollIntoView({block: "nearest"});
  }
}
