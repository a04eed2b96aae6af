// Where a photograph or film is seen, in words.

import {clock} from "./studio-api.js";

const MOST = 4;

export function seenIn({shots, pictures}, name, caption) {
  const numbers = shots.flatMap((shot, index) => (shot.photo === name || shot.grounds.includes(name) ? [index + 1] : []));
  if (numbers.length === 1) return `seen in shot ${numbers[0]}, at ${clock(shots[numbers[0] - 1].start)}`;
  if (numbers.length) return `seen in shots ${numbers.slice(0, MOST).join(", ")}${numbers.length > MOST ? ` and ${numbers.length - MOST} more` : ""}`;
  // films and pictures that shots are painted from
  const times = [...new Set((pictures?.[name] ?? []).map(([start]) => clock(start)))];
  if (times.length) return `seen at ${times.slice(0, MOST).join(", ")}${times.length > MOST ? ` and ${times.length - MOST} more` : ""}`;
  return caption ? "in no shot: no prompt speaks of this" : "in no shot yet";
}
