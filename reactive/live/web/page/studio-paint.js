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
  if (data.shots?.length && unreadable(data.shots, view)) sayZoom(context, view);
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
      place: LANES.shots, runs: shots, marked: true, image: (one) => data.image?.(one.photo || one.grounds[0]),
      look: (one, index) => [
        index === chosen ? "#eba25b" : one.changed || one.locked ? "#3d4a3f" : "#262d36",
        index === chosen ? "#14100b" : "#dfe3e8",
        `${one.locked ? "🔒 " : ""}${index + 1}`,
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

// pixels that a label and a prompt need
const LABEL = 15, WORDS = 44;

// One run; its label stays in view (`kept`), or stands at its start.
function paintRun(context, {place: [top, tall], runs, look, image, wrapped}, index, view, kept = true) {
  const run = runs[index], start = placed(view, run.start), x = kept ? Math.max(start, -4) : start;
  const to = kept ? Math.min(placed(view, run.end), view.width + 4) : placed(view, run.end), wide = Math.max(to - x - 1, 1);
  if (to < -4 || x > view.width + 4) return;
  const [fill, ink, text] = look(run, index);
  context.fillStyle = fill;
  if (wide > 8) { context.beginPath(); context.roundRect(x, top, wide, tall, 4); context.fill(); } else context.fillRect(x, top, wide, tall);
  const shown = wide > 5 && image?.(run);
  if (shown) cover(context, shown, x, top + 20, wide, tall - 20);
  if (wrapped && wide < WORDS && wide > 5 && text) lines(context, text, x, top, wide, tall);
  const inset = wide < 30 ? 2 : 7;
  if (wide < (wrapped ? WORDS : image ? LABEL : 30) || !text) return;
  context.save();
  context.beginPath();
  context.rect(x, top, wide - 2, tall);
  context.clip();
  context.font = `${wide < 30 ? 10 : 12}px ${FONT}`;
  context.textBaseline = "middle";
  context.fillStyle = ink;
  if (wrapped) wrap(context, text, x + 6, top + 14, wide - 10, Math.floor((tall - 8) / 16));
  else context.fillText(text, x + inset, image ? top + 11 : top + tall / 2 + 0.5);
  context.restore();
}

// A picture that fills a place, cut at its longer side.
function cover(context, image, x, y, wide, tall) {
  const scale = Math.max(wide / image.naturalWidth, tall / image.naturalHeight), across = wide / scale, down = tall / scale;
  context.drawImage(image, (image.naturalWidth - across) / 2, (image.naturalHeight - down) / 2, across, down, x + 1, y, Math.max(wide - 2, 1), tall - 1);
}

// Words that have no room: a line for each, as a page looks from afar.
function lines(context, text, x, top, wide, tall) {
  context.fillStyle = "rgb(174 183 194 / .3)";
  for (const [row, word] of text.split(" ").slice(0, Math.floor((tall - 14) / 8)).entries()) context.fillRect(x + 2, top + 9 + 8 * row, Math.max(1, (wide - 4) * Math.min(1, word.length / 9)), 2);
}

// Whether most of what is in view has words that can't be read.
export function unreadable(shots, view) {
  const right = view.left + view.span;
  let narrow = 0;
  for (let index = lastBefore(shots, view.left); index < shots.length && shots[index].start < right; index++) {
    const seconds = Math.min(shots[index].end, right) - Math.max(shots[index].start, view.left);
    if ((shots[index].end - shots[index].start) / view.span * view.width < WORDS) narrow += seconds;
  }
  return narrow > 0.5 * Math.min(view.span, (shots.at(-1)?.end ?? 0) - view.left);
}

function sayZoom(context, view) {
  const [top, tall] = LANES.prompts, text = "zoom in to read the words";
  context.font = `12px ${FONT}`;
  context.textBaseline = "middle";
  const wide = context.measureText(text).width + 22, x = (view.width - wide) / 2, y = top + tall / 2;
  context.fillStyle = "rgb(11 13 16 / .86)";
  context.beginPath();
  context.roundRect(x, y - 12, wide, 24, 12);
  context.fill();
  context.fillStyle = "#dfe3e8";
  context.fillText(text, x + 11, y + 0.5);
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
