// A window with nothing but the picture: it follows the page that plays. Click for full screen.

import {Connection} from "./connection.js";
import {Pictures} from "./pictures.js";
import {Watchdog} from "./watchdog.js";

const CREDIT = 72;
const connection = new Connection("output");
const pictures = new Pictures(document.getElementById("screen"), (n) => connection.send({t: "credit", n}));
const watchdog = new Watchdog(pictures);
let clock = {time: 0, playing: false, told: 0};

connection.on("hello", ({size}) => {
  pictures.resize(size);
  pictures.restart();
  pictures.waiting = false;
  connection.send({t: "credit", n: CREDIT});
});
connection.on("clock", ({time, playing, epoch}) => {
  const now = performance.now();
  const here = clock.time + (clock.playing ? (now - clock.told) / 1000 : 0);
  // small differences are the network's; only a jump moves the picture
  clock = {time: epoch === undefined && playing && Math.abs(here - time) < 0.03 ? here : time, playing, told: now};
  if (epoch !== undefined) { pictures.jump(); pictures.waiting = false; connection.send({t: "credit", n: CREDIT}); }
});
connection.on("epoch", (message) => pictures.heard(message));
connection.on("picture", (picture) => pictures.take(picture));
setInterval(() => pictures.settle(), 80);
document.body.onclick = () => (document.fullscreenElement ? document.exitFullscreen() : document.body.requestFullscreen().catch(() => null));

// The page that plays, on this machine: its clock comes sooner and steadier than the server's word of it.
let near = null;
if (typeof BroadcastChannel !== "undefined") {
  new BroadcastChannel("reactive").onmessage = ({data}) => { near = {...data, told: data.at - performance.timeOrigin}; };
}
// How late the projector shows a picture, as the page's slider says.
let delay = 0;
const heed = () => { try { delay = Number(localStorage.getItem("reactive.delay") ?? 0) / 1000 || 0; } catch { delay = 0; } };
addEventListener("storage", heed);
heed();

function tick() {
  requestAnimationFrame(tick);
  const now = performance.now(), from = near && now - near.told < 1000 ? near : clock;
  const passed = from.playing ? Math.min((now - from.told) / 1000, 2) + delay : 0;
  pictures.draw(from.time + passed);
  // the audience sees a moving picture whatever the machine does; the page that plays says what is the matter
  watchdog.step(from.time + passed, from.playing, now);
}
requestAnimationFrame(tick);
connection.open();

// what tests read
window.reactive = {pictures, watchdog, delay: () => delay};
