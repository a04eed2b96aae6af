// The pictures that have come: decoded, kept by song time, drawn when the audible sound reaches them.

const WINDOW = 3600;

export class Pictures {
  constructor(canvas, grant) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", {alpha: false});
    this.grant = grant;
    this.kept = [];
    this.epoch = 0;
    this.asked = 0;
    this.waiting = false;
    this.shown = null;
    this.dropped = 0;
    this.drawn = 0;
    this.offsets = [];
    this.owed = 0;
    // what stands on the canvas, and since when
    this.last = null;
    this.drawnAt = 0;
    // the song time of the next picture that is due, and from which time on the newest epoch looks different
    this.nextDue = null;
    this.since = 0;
  }

  resize(size) {
    [this.canvas.width, this.canvas.height] = size;
    this.context.imageSmoothingQuality = "high";
  }

  // A jump: nothing that was sent before it counts any more. Returns the number by which the answer is known.
  jump() {
    for (const picture of this.kept) picture.bitmap.close();
    this.kept = [];
    this.owed = 0;
    this.shown = null;
    this.nextDue = null;
    this.waiting = true;
    return ++this.asked;
  }

  // The server's answer to a jump, or news of an edit.
  heard({epoch, n, since}) {
    if (since !== undefined && epoch >= this.epoch) this.since = since;
    this.epoch = Math.max(this.epoch, epoch);
    if (n === this.asked) this.waiting = false;
    this.keep(this.kept);
  }

  restart() {
    this.epoch = 0;
    this.jump();
  }

  async take({epoch, frame, time, jpeg}) {
    const asked = this.asked;
    const bitmap = await createImageBitmap(jpeg).catch(() => null);
    if (!bitmap || this.waiting || asked !== this.asked || epoch < this.epoch) {
      bitmap?.close();
      // what was sent before a jump was not paid for by the credit given after it
      if (asked === this.asked && !this.waiting) this.back(1);
      return;
    }
    if (this.shown && epoch === this.shown.epoch && time <= this.shown.time) {
      bitmap.close();
      if (time < this.shown.time) this.dropped++;
      this.back(1);
      return;
    }
    const others = this.kept.filter((old) => old.frame !== frame);
    for (const old of this.kept) if (old.frame === frame) { old.bitmap.close(); this.back(1); }
    this.keep([...others, {epoch, frame, time, bitmap}]);
  }

  // Keep pictures in the order of the song. After an edit the old ones stay until the first new one that looks different:
  // what comes before it is as good as it was, and better than a picture that stands still.
  keep(pictures) {
    const fresh = pictures.filter(({epoch, time}) => epoch === this.epoch && time >= this.since - 1e-6);
    const from = Math.min(...fresh.map(({time}) => time));
    const stays = pictures.filter((old) => old.epoch >= this.epoch || old.time < from);
    for (const old of pictures) if (!stays.includes(old)) { old.bitmap.close(); this.back(1); }
    this.kept = stays.sort((a, b) => a.time - b.time);
  }

  // Draw the newest picture whose time has come. `now` is the song time to be seen.
  draw(now) {
    let index = -1;
    while (index + 1 < this.kept.length && this.kept[index + 1].time <= now + 0.0005) index++;
    if (index < 0) return false;
    const picture = this.kept[index];
    for (const passed of this.kept.slice(0, index)) {
      this.dropped++;
      passed.bitmap.close();
    }
    this.kept.splice(0, index + 1);
    this.back(index + 1);
    this.paint(picture.bitmap);
    this.last?.close();
    this.last = picture.bitmap;
    this.drawnAt = performance.now();
    this.shown = {epoch: picture.epoch, frame: picture.frame, time: picture.time};
    this.drawn++;
    return true;
  }

  // Note how late, in ms, every picture that was due since the last one is seen at song time `now`: the one that is drawn, and
  // those that never came. One is due each `period` seconds.
  measured(now, period) {
    const {time} = this.shown;
    for (let due = this.nextDue ?? time; due < time - period / 2; due += period) this.note((now - due) * 1000);
    this.note((now - time) * 1000);
    this.nextDue = time + period;
  }

  note(offset) {
    this.offsets.push(offset);
    if (this.offsets.length > WINDOW) this.offsets.shift();
  }

  // How late, in ms, the pictures are that are due by `now` and have not come.
  overdue(now, period) {
    const late = [];
    if (this.nextDue === null) return late;
    for (let due = this.nextDue; due < now - period && late.length < WINDOW; due += period) late.push((now - due) * 1000);
    return late;
  }

  paint(bitmap) {
    const {width, height} = this.canvas;
    // the largest centred window of the clip's shape, as the final clip is cropped
    const scale = Math.max(width / bitmap.width, height / bitmap.height);
    const w = width / scale, h = height / scale;
    this.context.drawImage(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, 0, 0, width, height);
  }

  // Draw the picture that stands there once more, through a lens; its edge never comes into view.
  through({zoom, degrees, x, y}) {
    if (!this.last) return false;
    const {width, height} = this.canvas, {context} = this, angle = -degrees * Math.PI / 180;
    const cosine = Math.abs(Math.cos(angle)), sine = Math.abs(Math.sin(angle));
    const across = (1 + 2 * Math.abs(x)) * cosine + (1 + 2 * Math.abs(y)) * sine * height / width;
    const down = (1 + 2 * Math.abs(y)) * cosine + (1 + 2 * Math.abs(x)) * sine * width / height;
    const scale = Math.max(zoom, across, down);
    context.save();
    context.translate(width * (0.5 + x), height * (0.5 + y));
    context.rotate(angle);
    context.scale(scale, scale);
    context.translate(-width / 2, -height / 2);
    this.paint(this.last);
    context.restore();
    return true;
  }

  back(count) {
    this.owed += count;
  }

  // Give the credits back, a few at a time.
  settle() {
    if (this.owed <= 0) return;
    this.grant(this.owed);
    this.owed = 0;
  }
}

export function percentile(values, share) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
