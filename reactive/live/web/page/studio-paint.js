// What the timeline shows, painted into any context: a view is the time at its left edge, its span in seconds, its width and height.

import {colourOf} from "./lanes.js";

const FONT = "system-ui, \"DejaVu Sans\", sans-serif";
export const LANES = {ruler: [0, 22], wave: [22, 84], parts: [110, 22], phases: [136, 24], shots: [164, 64], prompts: [232, 84]};

export function placed(view, time) {
  return (time - view.left) / view.span * view.width;
}

// Everything that stays as long as the song's data stay; the chosen shot, the playhead and labels at the left edge are laid over it.
export function paint(context, data, view) {
  context.fillStyle = "#12151a";
  context.fillRect(0, 0, view.width, view.height);
  paintRuler(context, data.song, view);
  paintWave(context, data.song, view);
  for (const lane of lanesOf(data)) paintRuns(context, lane, view);
}

// The chosen shot, and the first run of each lane, so that its label stays in view.
export function paintOver(context, data, view, chosen) {
  for (const lane of lanesOf(data, chosen)) {
    const first = lastBefore(lane.runs, view.left);
    if (lane.runs[first] && lane.runs[first].start < view.left) paintRun(context, lane, first, view);
    if (lane.marked && chosen >= 0 && chosen < lane.runs.length) paintRun(context, lane, chosen, view);
  }
}

// Lanes of runs: what begins and ends, how it looks, and its texts.
function lanesOf(data, chosen = -1) {
  const {song, phases, phase, shots, fps, frames} = data;
  const lanes = [{place: LANES.parts, runs: song.sections, look: (one) => ["#1b2027", "#aeb7c2", one.name]}];
  if (phase) {
    data.phaseRuns ??= phase.map(([frame, number], index) => ({start: frame / fps, end: (phase[index + 1]?.[0] ?? frames) / fps, number}));
    lanes.push({place: LANES.phases, runs: data.phaseRuns, look: (one) => [colourOf(one.number), "#0b0d10", phases[one.number]]});
  }
  if (shots) {
    lanes.push({
      place: LANES.shots, runs: shots, marked: true, below: (one) => one.photo || one.grounds[0] || "",
      look: (one, index, wide) => [
        index === chosen ? "#eba25b" : one.changed || one.locked ? "#3d4a3f" : "#262d36",
        index === chosen ? "#14100b" : "#dfe3e8",
        `${one.locked ? "🔒 " : ""}${shortened(one.name.split(" / ")[1] ?? one.name, wide)}`,
      ],
    }, {
      place: LANES.prompts, runs: shots, marked: true, wrapped: true,
      look: (one, index) => [index === chosen ? "#2c2519" : "#171b21", index === chosen ? "#f4d3b3" : "#aeb7c2", one.prompts[0] ?? ""],
    });
  }
  return lanes;
}

function paintRuler(context, {bars}, view) {
  const right = view.left + view.span, pixels = view.width / view.span;
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300].find((one) => one * pixels > 64) ?? 600;
  context.font = `11px ${FONT}`;
  context.textBaseline = "middle";
  context.fillStyle = "#8791a0";
  // a label may begin to the left of a view that shows its end
  for (let at = Math.max(0, Math.floor(view.left / step) * step); at < right; at += step) {
    context.fillText(`${Math.floor(at / 60)}:${String(at % 60).padStart(2, "0")}`, placed(view, at) + 4, 11);
    context.fillRect(placed(view, at), 4, 1, 14);
  }
  const wide = bars.length > 1 ? (bars[1] - bars[0]) * pixels : 0;
  if (wide < 5) return;
  context.fillStyle = "rgb(255 255 255 / .09)";
  for (let index = lastBefore(bars, view.left); index < bars.length && bars[index] < right; index++) context.fillRect(placed(view, bars[index]), 22, 1, view.height - 22);
}

// Colours of 32 steps of loudness: parsing a new colour for each column costs more than drawing it.
const LOUD = Array.from({length: 32}, (_, step) => {
  const mix = (a, b) => Math.round(a + (b - a) * step / 31);
  return `rgb(${mix(70, 240)} ${mix(98, 166)} ${mix(132, 92)})`;
});

function paintWave(context, {peaks, loudness, duration}, view) {
  const [top, tall] = LANES.wave, scale = peaks.length / duration, middle = top + tall / 2, step = 2, columns = LOUD.map(() => []);
  for (let px = 0; px < view.width; px += step) {
    const from = (view.left + px / view.width * view.span) * scale, to = (view.left + (px + step) / view.width * view.span) * scale;
    let peak = 0, loud = 0;
    for (let index = Math.max(0, Math.floor(from)); index <= to && index < peaks.length; index++) {
      peak = Math.max(peak, peaks[index]);
      loud = Math.max(loud, loudness[index]);
    }
    columns[Math.round(loud * 31)].push(px, Math.max(0.5, peak * (tall / 2 - 5)));
  }
  for (const [step32, found] of columns.entries()) {
    if (!found.length) continue;
    context.fillStyle = LOUD[step32];
    for (let at = 0; at < found.length; at += 2) context.fillRect(found[at], middle - found[at + 1], step - 0.5, 2 * found[at + 1]);
  }
}

function paintRuns(context, lane, view) {
  const right = view.left + view.span;
  let drawn = -Infinity;
  for (let index = lastBefore(lane.runs, view.left); index < lane.runs.length && lane.runs[index].start < right; index++) {
    const to = placed(view, lane.runs[index].end);
    // what is narrower than a pixel is not drawn over and over
    if (to - drawn < 1) continue;
    drawn = to;
    paintRun(context, lane, index, view, false);
  }
}

// One run; its label stays in view (`kept`), or stands at its start.
function paintRun(context, {place: [top, tall], runs, look, below, wrapped}, index, view, kept = true) {
  const run = runs[index], start = placed(view, run.start), x = kept ? Math.max(start, -4) : start;
  const to = kept ? Math.min(placed(view, run.end), view.width + 4) : placed(view, run.end), wide = Math.max(to - x - 1, 1);
  if (to < -4 || x > view.width + 4) return;
  const [fill, ink, text] = look(run, index, wide);
  context.fillStyle = fill;
  if (wide > 8) { context.beginPath(); context.roundRect(x, top, wide, tall, 4); context.fill(); } else context.fillRect(x, top, wide, tall);
  if (wide < (wrapped ? 60 : 30) || !text) return;
  context.save();
  context.beginPath();
  context.rect(x, top, wide - 4, tall);
  context.clip();
  context.font = `12px ${FONT}`;
  context.textBaseline = "middle";
  context.fillStyle = ink;
  if (wrapped && wide > 70) wrap(context, text, x + 7, top + 14, wide - 14, Math.floor((tall - 8) / 16));
  else context.fillText(text, x + 7, below ? top + 20 : top + tall / 2 + 0.5);
  const more = below?.(run);
  if (more && wide >= 60) { context.globalAlpha = 0.65; context.fillText(more, x + 7, top + 44); }
  context.restore();
}

// "shot 12" is "12" where the word leaves no room for its number.
function shortened(name, wide) {
  return wide < 62 ? name.replace(/^shot (?=\d)/, "") : name;
}

function wrap(context, text, x, y, wide, most) {
  let rest = "", row = 0;
  for (const word of text.split(" ")) {
    const longer = rest ? `${rest} ${word}` : word;
    if (rest && longer.length * 6.3 > wide) {
      context.fillText(rest, x, y + 16 * row++);
      if (row >= most) return;
      rest = word;
    } else rest = longer;
  }
  context.fillText(rest, x, y + 16 * row);
}

// The last entry that begins at or before a time; entries are times, or have a start.
export function lastBefore(list, time) {
  let low = 0, high = list.length - 1;
  while (low < high) {
    const half = (low + high + 1) >> 1, at = list[half].start ?? list[half];
    if (at <= time) low = half; else high = half - 1;
  }
  return low;
}
