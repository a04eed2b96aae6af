// Actions on the next beat or bar, and loops of bars: what the server decides is shown here, and its buttons ask for it.

const byId = (id) => document.getElementById(id);
const NAMES = {phase: "phase", preset: "preset", freeze: "freeze", hold: "hold", black: "blackout", knobs: "snapshot", reset: "put back"};

export class Quantise {
  constructor(act) {
    this.act = act;
    this.coming = [];
    if (byId("quantise")) byId("quantise").onchange = () => act(`quantise.${byId("quantise").value}`);
    for (const button of document.querySelectorAll("[data-act]")) button.onclick = () => act(button.dataset.act);
  }

  update(state) {
    if (byId("quantise")) byId("quantise").value = state.quantise;
    this.coming = state.waiting;
    this.phases = state.phases;
    this.jump = state.jump ?? null;
    this.cues = state.cues;
    if (state.loop === undefined) return;
    this.loop = state.loop;
    this.press();
    byId("loop-in")?.setAttribute("aria-pressed", state.loop_start !== null);
    if (byId("loop-out")) byId("loop-out").disabled = state.loop_start === null;
    byId("loop-off").disabled = !state.loop && state.loop_start === null;
  }

  // Which button the loop comes from: one of so many bars, or else the section's.
  press(bars = this.bars) {
    this.bars = bars;
    const inside = this.loop && bars ? bars.filter((bar) => bar > this.loop[0] - 1e-3 && bar < this.loop[1] - 1e-3).length : 0;
    const numbered = document.querySelector(`[data-act="loop.${inside}"]`);
    for (const button of document.querySelectorAll('[data-act^="loop."]')) button.setAttribute("aria-pressed", button === numbered);
    byId("loop")?.setAttribute("aria-pressed", Boolean(this.loop) && !numbered);
  }

  // What is waiting at song time `now`, in words; a change without a time waits for the playhead's next jump.
  waiting(now) {
    const coming = this.coming.filter(({time}) => time === null || time > now);
    const jump = this.jump && this.jump[0] > now ? [`${this.cues?.find(({time}) => Math.abs(time - this.jump[1]) < 0.01)?.name ?? "jump"} in ${(this.jump[0] - now).toFixed(1)} s`] : [];
    return jump.concat(coming.map(({kind, name, value, time}) => {
      const what = kind === "phase" ? this.phases[value] ?? "phase" : kind === "preset" ? name : `${NAMES[kind]}${value || kind === "knobs" || kind === "reset" ? "" : " off"}`;
      return time === null ? `${what}: next` : `${what} in ${Math.max(time - now, 0).toFixed(1)} s`;
    })).join(", ");
  }

  show(now) {
    const text = byId("coming").dataset.hint || this.waiting(now);
    if (byId("coming").textContent !== text) byId("coming").textContent = text;
  }
}
