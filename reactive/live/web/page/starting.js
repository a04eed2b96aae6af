// While the preview starts, its waiting room says what is being done; the seconds are counted here.

let timer = 0;

// Show a message of the waiting room. Returns true: what is away for a moment now is about to come.
export function waitingRoom({doing, passed, failed}, place) {
  clearInterval(timer);
  const began = performance.now() - passed * 1000;
  const show = () => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    if (!place.dataset.starting) return clearInterval(timer);
    place.textContent = failed ? `The preview could not start: ${failed}` : `${doing} … ${seconds ? `${seconds} s` : ""}`;
  };
  place.hidden = false;
  place.dataset.starting = "yes";
  show();
  if (!failed) timer = setInterval(show, 500);
  return true;
}

// The preview is there.
export function started(place) {
  clearInterval(timer);
  delete place.dataset.starting;
}
