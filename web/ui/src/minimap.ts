import type { Theme } from "./theme";
import { rasterCurve, rasterSpans } from "./raster";
import type { TileStore } from "./tiles";
import type { Model } from "./types";
import type { View } from "./view";

// Minimap shows the whole recording: steps by phase, where the time goes, search hits, and what the view shows of it.
export class Minimap {
  private readonly ctx: CanvasRenderingContext2D;
  private readonly bands: { lane: number; y: number; h: number }[] = [];
  private width = 1;
  readonly height = 46;
  hits: number[] = [];
  private readonly lanes = document.createElement("canvas");
  private stale = true;
  private epoch = -1;

  constructor(readonly canvas: HTMLCanvasElement, private readonly model: Model, private readonly view: View, private readonly store: TileStore) {
    const ctx = canvas.getContext("2d", { alpha: false });
    if (!ctx) throw new Error("this browser cannot draw on a canvas");
    this.ctx = ctx;
    const find = (...roles: string[]): number => {
      for (const role of roles) {
        const n = model.lanes.findIndex((l) => l.role === role);
        if (n >= 0) return n;
      }
      return -1;
    };
    const top = find("steps", "lifecycle");
    const main = find("budget", "stream");
    if (top >= 0) this.bands.push({ lane: top, y: 2, h: 10 });
    if (main >= 0) this.bands.push({ lane: main, y: 14, h: 26 });
    else {
      const busy = model.lanes.findIndex((l) => l.curve);
      const any = busy >= 0 ? busy : model.lanes.length - 1;
      if (any >= 0) this.bands.push({ lane: any, y: 14, h: 26 });
    }
  }

  resize(width: number): void {
    const dpr = window.devicePixelRatio || 1;
    this.width = Math.max(1, width);
    this.canvas.width = Math.max(1, Math.round(width * dpr));
    this.canvas.height = Math.round(this.height * dpr);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    this.stale = true;
  }

  x(t: number): number {
    return (t / this.model.extent_ns) * this.width;
  }
  t(x: number): number {
    return (x / this.width) * this.model.extent_ns;
  }

  // invalidate makes the next paint draw the lanes anew.
  invalidate(): void {
    this.stale = true;
  }

  paint(theme: Theme): void {
    const { ctx } = this;
    if (this.stale || this.epoch !== theme.epoch) this.stale = !this.paintLanes(theme);
    this.epoch = theme.epoch;
    ctx.drawImage(this.lanes, 0, 0, this.width, this.height);
    // The view: what lies outside it is dimmed.
    const x0 = Math.max(0, this.x(this.view.start));
    const x1 = Math.min(this.width, this.x(this.view.end));
    ctx.fillStyle = theme.dark ? "rgb(0 0 0 / 0.55)" : "rgb(255 255 255 / 0.62)";
    ctx.fillRect(0, 0, x0, this.height);
    ctx.fillRect(x1, 0, this.width - x1, this.height);
    ctx.strokeStyle = theme.text;
    ctx.lineWidth = 1.5;
    ctx.strokeRect(x0 + 0.75, 0.75, Math.max(4, x1 - x0) - 1.5, this.height - 1.5);
  }

  // paintLanes draws what does not change with the view; it reports whether every tile was there.
  private paintLanes(theme: Theme): boolean {
    const { model } = this;
    const dpr = window.devicePixelRatio || 1;
    this.lanes.width = this.canvas.width;
    this.lanes.height = this.canvas.height;
    const ctx = this.lanes.getContext("2d");
    if (!ctx) return true;
    ctx.scale(dpr, dpr);
    let complete = true;
    ctx.fillStyle = theme.lane;
    ctx.fillRect(0, 0, this.width, this.height);
    const level = Math.min(model.max_level, Math.max(0, Math.floor(Math.log2(model.extent_ns / this.width))));
    const ns = model.tile_bins * 2 ** level;
    for (const b of this.bands) {
      const lane = model.lanes[b.lane];
      if (!lane) continue;
      for (let i = 0; i * ns <= model.extent_ns; i++) {
        const e = this.store.get(b.lane, level, i);
        if (!e) {
          this.store.want(b.lane, level, i);
          complete = false;
          continue;
        }
        const origin = i * ns;
        const bitmap =
          e.tile.kind === "spans"
            ? rasterSpans(e.tile, theme.inks(lane.set), b.h, model.tile_bins, origin, 2 ** level)
            : rasterCurve(e.tile, theme.curve, b.h, model.tile_bins, Math.max(1e-9, lane.max ?? 1), model.tile_bins);
        const x0 = this.x(origin);
        const x1 = this.x(origin + ns);
        if (bitmap) ctx.drawImage(bitmap, 0, 0, bitmap.width, b.h, x0, b.y, x1 - x0, b.h);
        if (e.tile.kind === "spans") {
          const inks = theme.inks(lane.set);
          const row = e.tile.rows[0];
          for (let k = 0; row && k < row.start.length; k++) {
            const ink = inks[row.tag[k] ?? 0];
            if (!ink) continue;
            ctx.fillStyle = ink.css;
            const x = this.x(row.start[k] ?? 0);
            ctx.fillRect(x, b.y, Math.max(0.5, this.x((row.start[k] ?? 0) + (row.dur[k] ?? 0)) - x), b.h - 1);
          }
        }
      }
    }
    const most = Math.max(1, ...this.hits);
    ctx.fillStyle = theme.accent;
    this.hits.forEach((n, i) => {
      if (n > 0) ctx.fillRect((i / this.hits.length) * this.width, 41 - 3 * Math.sqrt(n / most), Math.max(1, this.width / this.hits.length), 5);
    });
    return complete;
  }
}
