import type { Ink } from "./color";
import type { CurveTile, Row, SpanTile } from "./tile";

// Spans of at least wide bins are drawn one by one on every frame; the rest of a tile is drawn once, into a bitmap.
export const wide = 8;

// rasterSpans draws bins and short spans of a tile, one pixel column per bin; null when there is nothing to draw.
export function rasterSpans(tile: SpanTile, inks: Ink[], rowHeight: number, bins: number, origin: number, binNs: number): HTMLCanvasElement | null {
  if (!tile.rows.some((r) => r.bin.length > 0 || r.dur.some((d) => d < wide * binNs))) return null;
  const canvas = document.createElement("canvas");
  canvas.width = bins;
  canvas.height = Math.max(1, tile.rows.length * rowHeight);
  const ctx = canvas.getContext("2d");
  if (!ctx) return null;
  const image = ctx.createImageData(canvas.width, canvas.height);
  const px = new Uint32Array(image.data.buffer);
  tile.rows.forEach((row, i) => {
    const top = i * rowHeight;
    drawBins(px, row.bin.length ? row : binned(row, bins, origin, binNs), inks, top, rowHeight - 1, bins);
    drawShort(px, row, inks, top, rowHeight - 1, bins, origin, binNs);
  });
  ctx.putImageData(image, 0, 0);
  return canvas;
}

// thin is the length in bins below which a span is drawn as a share of its columns, whether it came listed or in a bin, so
// that tiles with few and with many spans look alike.
const thin = 2;

type Bins = Pick<Row, "bin" | "offset" | "shareTag" | "share">;

// binned tells the thin spans of a row that has all of its spans listed as the bins that they would be.
function binned(row: Row, bins: number, origin: number, binNs: number): Bins {
  const bin: number[] = [];
  const offset: number[] = [0];
  const shareTag: number[] = [];
  const share: number[] = [];
  for (let i = 0; i < row.start.length; i++) {
    const dur = row.dur[i] ?? 0;
    if (dur >= thin * binNs) continue;
    const tag = row.tag[i] ?? 0;
    const a = ((row.start[i] ?? 0) - origin) / binNs;
    const b = a + dur / binNs;
    const first = Math.floor(a);
    const last = Math.max(first, Math.ceil(b) - 1);
    for (let x = Math.max(0, first); x <= Math.min(bins - 1, last); x++) {
      const part = Math.max(1, 255 * (Math.min(b, x + 1) - Math.max(a, x)));
      if (bin[bin.length - 1] !== x) {
        bin.push(x);
        offset.push(share.length);
      }
      // Tags are stacked in order, as in bins that the server makes.
      let k = offset[bin.length - 1] ?? 0;
      while (k < share.length && (shareTag[k] ?? 0) < tag) k++;
      if (shareTag[k] === tag) share[k] = (share[k] ?? 0) + part;
      else {
        shareTag.splice(k, 0, tag);
        share.splice(k, 0, part);
      }
      offset[bin.length] = share.length;
    }
  }
  return { bin: Uint16Array.from(bin), offset: Uint32Array.from(offset), shareTag: Uint8Array.from(shareTag), share: Uint8Array.from(share, (v) => Math.min(255, v)) };
}

// Where at most few columns of around to both sides have anything, they are drawn as lines of the whole height: what happens
// now and then must be seen, and only what is dense has heights to compare.
const around = 12;
const few = 5;

// drawBins stacks the shares of each bin from the bottom up: the height is the part of the time that is covered.
function drawBins(px: Uint32Array, row: Bins, inks: Ink[], top: number, height: number, bins: number): void {
  const n = row.bin.length;
  let lo = 0;
  let hi = 0;
  for (let i = 0; i < n; i++) {
    const x = row.bin[i] ?? 0;
    const from = row.offset[i] ?? 0;
    const to = row.offset[i + 1] ?? from;
    while ((row.bin[lo] ?? 0) < x - around) lo++;
    while (hi < n && (row.bin[hi] ?? 0) <= x + around) hi++;
    if (hi - lo <= few) {
      drawLine(px, row, inks, from, to, x, top, height, bins);
      continue;
    }
    let sum = 0;
    let y = height;
    for (let k = from; k < to; k++) {
      sum += row.share[k] ?? 0;
      const ink = inks[row.shareTag[k] ?? 0];
      // Something that is there gets at least one pixel where there is room for it.
      const next = Math.max(0, Math.min(y - (k === from ? 1 : 0), Math.round(height - (Math.min(sum, 255) / 255) * height)));
      if (ink) for (; y > next; y--) px[(top + y - 1) * bins + x] = ink.hatch && ((x + y) & 7) < 3 ? ink.shade : ink.pixel;
      y = Math.min(y, next);
    }
    if (from === to) {
      const ink = inks[0];
      if (ink) px[(top + height - 1) * bins + x] = ink.pixel;
    }
  }
}

// drawLine draws the category with the largest share of a column over the whole height, weaker where it covers little.
function drawLine(px: Uint32Array, row: Bins, inks: Ink[], from: number, to: number, x: number, top: number, height: number, bins: number): void {
  let most = from;
  for (let k = from; k < to; k++) if ((row.share[k] ?? 0) > (row.share[most] ?? 0)) most = k;
  const ink = inks[from === to ? 0 : (row.shareTag[most] ?? 0)];
  if (!ink) return;
  const alpha = (Math.max(102, from === to ? 0 : (row.share[most] ?? 0)) << 24) >>> 0;
  const full = ((ink.pixel & 0xffffff) | alpha) >>> 0;
  const shade = ((ink.shade & 0xffffff) | alpha) >>> 0;
  for (let y = 0; y < height; y++) px[(top + y) * bins + x] = ink.hatch && ((x + y) & 7) < 3 ? shade : full;
}

// drawShort draws spans of some columns, with weaker edges where they cover part of a column.
function drawShort(px: Uint32Array, row: Row, inks: Ink[], top: number, height: number, bins: number, origin: number, binNs: number): void {
  for (let i = 0; i < row.start.length; i++) {
    const dur = row.dur[i] ?? 0;
    if (dur < thin * binNs || dur >= wide * binNs) continue;
    const ink = inks[row.tag[i] ?? 0];
    if (!ink) continue;
    const a = ((row.start[i] ?? 0) - origin) / binNs;
    const b = a + dur / binNs;
    const first = Math.floor(a);
    const last = Math.max(first, Math.ceil(b) - 1);
    for (let x = Math.max(0, first); x <= Math.min(bins - 1, last); x++) {
      const cover = Math.min(1, Math.max(0.4, Math.min(b, x + 1) - Math.max(a, x)));
      const alpha = (Math.round(cover * 255) << 24) >>> 0;
      const full = ((ink.pixel & 0xffffff) | alpha) >>> 0;
      const shade = ((ink.shade & 0xffffff) | alpha) >>> 0;
      for (let y = 0; y < height; y++) {
        const at = (top + y) * bins + x;
        // A neighbour in the same column may have drawn here; the stronger one stays.
        if ((px[at] ?? 0) >>> 24 <= alpha >>> 24) px[at] = ink.hatch && ((x + y) & 7) < 3 ? shade : full;
      }
    }
  }
}

export interface CurveStyle {
  fill: number;
  band: number;
  line: number;
}

// rasterCurve draws a curve filled to its mean, with the band from least to largest value of each bin. A value stands
// until the next one, for gap bins at most.
export function rasterCurve(tile: CurveTile, style: CurveStyle, height: number, bins: number, max: number, gap: number): HTMLCanvasElement | null {
  if (tile.bin.length === 0 && Number.isNaN(tile.before)) return null;
  const canvas = document.createElement("canvas");
  canvas.width = bins;
  canvas.height = height;
  const ctx = canvas.getContext("2d");
  if (!ctx) return null;
  const image = ctx.createImageData(bins, height);
  const px = new Uint32Array(image.data.buffer);
  const y = (v: number): number => Math.max(0, Math.min(height - 1, Math.round((1 - v / max) * (height - 1))));
  const column = (x: number, min: number, mean: number, top: number): void => {
    const at = y(mean);
    for (let k = y(top); k < height; k++) {
      px[k * bins + x] = k < at ? style.band : k === at ? style.line : k <= y(min) && min < mean ? style.band : style.fill;
    }
  };
  let value = tile.before;
  let since = 0;
  let i = 0;
  for (let x = 0; x < bins; x++) {
    if (i < tile.bin.length && tile.bin[i] === x) {
      value = tile.mean[i] ?? NaN;
      column(x, tile.min[i] ?? value, value, tile.max[i] ?? value);
      since = x;
      i++;
    } else if (!Number.isNaN(value) && x - since <= gap) {
      column(x, value, value, value);
    }
  }
  ctx.putImageData(image, 0, 0);
  return canvas;
}
