// Pieces of the timeline, painted once for a scale (pixels a second); moving the view only places them, zooming stretches them.

export const TILE = 512;
const MAX_BYTES = 64e6;
// of a frame, for pieces that are missing while the view moves
const BUDGET_MS = 3;

export class Tiles {
  // `paint(context, view)` paints a view: its left edge and span in seconds, its width and height in pixels.
  constructor(paint) {
    this.paint = paint;
    this.kept = new Map();
  }

  // Forget everything: the data, the size, or the pixels of a point have changed.
  reset({duration, width, height, ratio}) {
    Object.assign(this, {duration, width, height, ratio});
    this.whole = width / duration;
    this.most = Math.max(24, Math.floor(MAX_BYTES / (TILE * height * ratio * ratio * 4)));
    this.kept.clear();
  }

  // Draw a view; return whether all of it is sharp. What is missing, and would take too long, is shown from another scale.
  draw(context, view, {zooming = false, hurried = false, now = () => performance.now()} = {}) {
    const scale = view.width / view.span, began = now();
    const wanted = zooming ? this.whole * 2 ** Math.round(Math.log2(scale / this.whole)) : scale;
    let sharp = !zooming;
    for (const index of this.inside(wanted, view.left, view.left + view.span)) {
      let tile = this.find(wanted, index);
      if (!tile && (!hurried || now() - began < BUDGET_MS)) tile = this.make(wanted, index);
      if (tile) this.place(context, view, tile);
      else {
        this.fill(context, view, wanted, index);
        sharp = false;
      }
    }
    return sharp;
  }

  inside(scale, from, to) {
    const seconds = TILE / scale, first = Math.max(0, Math.floor(from / seconds + 1e-9)), found = [];
    for (let index = first; index * seconds < Math.min(to, this.duration) - 1e-9; index++) found.push(index);
    return found;
  }

  find(scale, index) {
    const key = `${scale}:${index}`, tile = this.kept.get(key);
    if (tile) {
      // the order of the map is that of use
      this.kept.delete(key);
      this.kept.set(key, tile);
    }
    return tile;
  }

  make(scale, index) {
    const view = {left: index * TILE / scale, span: TILE / scale, width: TILE, height: this.height};
    const canvas = new OffscreenCanvas(TILE * this.ratio, Math.max(1, Math.round(this.height * this.ratio)));
    const context = canvas.getContext("2d", {alpha: false});
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.paint(context, view);
    const tile = {...view, scale, image: canvas};
    this.kept.set(`${scale}:${index}`, tile);
    for (const [key, old] of this.kept) {
      if (this.kept.size <= this.most) break;
      if (old.scale !== this.whole) this.kept.delete(key);
    }
    return tile;
  }

  // Edges lie on the screen's pixels, so that no seam is seen between two pieces.
  place(context, view, tile, from = tile.left, to = tile.left + tile.span) {
    const snap = (time) => Math.round((time - view.left) / view.span * view.width * this.ratio) / this.ratio;
    const start = Math.max(from, tile.left), end = Math.min(to, tile.left + tile.span), x = snap(start), wide = snap(end) - x;
    const pixels = tile.scale * this.ratio;
    if (wide > 0) context.drawImage(tile.image, (start - tile.left) * pixels, 0, (end - start) * pixels, tile.image.height, x, 0, wide, view.height);
  }

  // The place of a missing piece, from pieces of the nearest scale that has them all.
  fill(context, view, scale, index) {
    const from = Math.max(index * TILE / scale, view.left), to = Math.min((index + 1) * TILE / scale, view.left + view.span, this.duration);
    const others = [...new Set([...this.kept.values()].map((tile) => tile.scale))].sort((a, b) => Math.abs(Math.log(a / scale)) - Math.abs(Math.log(b / scale)));
    for (const other of [...others, this.whole]) {
      const indices = this.inside(other, from, to), tiles = indices.map((one) => this.find(other, one) ?? (other === this.whole ? this.make(other, one) : null));
      if (tiles.some((tile) => !tile)) continue;
      for (const tile of tiles) this.place(context, view, tile, from, to);
      return;
    }
  }
}
