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
    this.waiting = true;
    return ++this.asked;
  }

  // The server's answer to a jump, or news of an edit.
  heard({epoch, n}) {
    this.epoch = Math.max(this.epoch, epoch);
    if (n === this.asked) this.waiting = false;
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
    // an edit: from its first new picture on the old ones are of no use
    const stays = this.kept.filter((old) => old.frame !== frame && (old.epoch === epoch || old.time < time));
    for (const old of this.kept) if (!stays.includes(old)) old.bitmap.close();
    this.back(this.kept.length - stays.length);
    stays.push({epoch, frame, time, bitmap});
    stays.sort((a, b) => a.time - b.time);
    this.kept = stays;
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
    picture.bitmap.close();
    this.shown = {epoch: picture.epoch, frame: picture.frame, time: picture.time};
    this.drawn++;
    return true;
  }

  measured(offset) {
    this.offsets.push(offset);
    if (this.offsets.length > WINDOW) this.offsets.shift();
  }

  paint(bitmap) {
    const {width, height} = this.canvas;
    // the largest centred window of the clip's shape, as the final clip is cropped
    const scale = Math.max(width / bitmap.width, height / bitmap.height);
    const w = width / scale, h = height / scale;
    this.context.drawImage(bitmap, (bitmap.width - w) / 2, (bitmap.height - h) / 2, w, h, 0, 0, width, height);
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
