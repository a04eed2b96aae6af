// Actions on the next beat or bar, and loops of bars: what the server decides is shown here, and its buttons ask for it.

const byId = (id) => document.getElementById(id);
const NAMES = {phase: "phase", preset: "preset", freeze: "freeze", hold: "hold", black: "blackout"};

export class Quantise {
  constructor(act) {
    this.act = act;
    this.coming = [];
    byId("quantise").onchange = () => act(`quantise.${byId("quantise").value}`);
    for (const button of document.querySelectorAll("[data-act]")) button.onclick = () => act(button.dataset.act);
  }

  update(state) {
    byId("quantise").value = state.quantise;
    this.coming = state.waiting;
    this.phases = state.phases;
    if (state.loop === undefined) return;
    byId("loop").setAttribute("aria-pressed", Boolean(state.loop));
    byId("loop-in").setAttribute("aria-pressed", state.loop_start !== null);
    byId("loop-out").disabled = state.loop_start === null;
    byId("loop-off").disabled = !state.loop && state.loop_start === null;
  }

  // What is waiting at song time `now`, in words; a change without a time waits for the playhead's next jump.
  waiting(now) {
    const coming = this.coming.filter(({time}) => time === null || time > now);
    return coming.map(({kind, name, value, time}) => {
      const what = kind === "phase" ? this.phases[value] ?? "phase" : kind === "preset" ? name : `${NAMES[kind]}${value ? "" : " off"}`;
      return time === null ? `${what}: next` : `${what} in ${Math.max(time - now, 0).toFixed(1)} s`;
    }).join(", ");
  }

  show(now) {
    const text = this.waiting(now);
    if (byId("coming").textContent !== text) byId("coming").textContent = text;
  }
}
