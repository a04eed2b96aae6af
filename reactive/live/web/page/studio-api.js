// What the page asks of the server: commands with the revision that it saw, uploads with progress. All of one origin.

let revision = 0;

export function saw(number) {
  revision = number;
}

export class Refused extends Error {}

export async function post(path, data) {
  const response = await fetch(path, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({t: path.slice(1), revision, ...data}),
  });
  const told = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(told?.error?.text ?? "The studio could not do that. Reload the page and try again.");
  if (told.revision !== undefined) revision = told.revision;
  return told;
}

// One command after the other, so that each names the revision that the one before it made.
let line = Promise.resolve();
export function command(name, data = {}) {
  const next = line.then(() => post("/do", {do: name, ...data}));
  line = next.catch(() => null);
  return next;
}

export function upload(file, as, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/upload?as=${as}&name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = ({loaded, total}) => progress(total ? loaded / total : 0);
    request.onload = () => {
      let told = null;
      try { told = JSON.parse(request.responseText); } catch { /* a plain sentence */ }
      if (request.status === 200) {
        if (told.revision !== undefined) revision = told.revision;
        resolve(told);
      } else reject(new Refused(told?.error?.text ?? (request.responseText || "The file could not be taken.")));
    };
    request.onerror = () => reject(new Refused("The connection to the studio was lost. Try again."));
    request.send(file);
  });
}

// A place to drop files on, which is a file chooser too.
export function dropPlace(place, input, take) {
  const over = (on) => place.classList.toggle("over", on);
  place.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  place.addEventListener("dragleave", () => over(false));
  place.addEventListener("drop", (event) => { event.preventDefault(); over(false); take([...event.dataTransfer.files]); });
  input.addEventListener("change", () => { const files = [...input.files]; input.value = ""; if (files.length) take(files); });
}

export function clock(seconds) {
  const whole = Math.max(0, seconds);
  return `${Math.floor(whole / 60)}:${String(Math.floor(whole % 60)).padStart(2, "0")}`;
}
