import type { Ink } from "./color";
import { duration, quantity } from "./format";
import type { Layout, Placed } from "./layout";
import { rasterCurve, rasterSpans, wide } from "./raster";
import type { Theme } from "./theme";
import type { Row, SpanTile } from "./tile";
import type { Entry, TileStore } from "./tiles";
import type { Lane, Model, Ref } from "./types";
import type { View } from "./view";

// Scene is what is drawn over the lanes.
export interface Scene {
  selection: [number, number] | null;
  event: Ref | null;
  arrows: Ref[]; // ends of arrows from or to event
  mark: { start: number; dur: number; lane: number; text: string } | null;
  hoverX: number | null;
  focus: number | null; // lane under the keyboard
  matches: Map<number, Set<number>>; // by search kind: keys of labels
  stages: Set<number>; // tags of kernels that the search is about
}

// Hit is what lies under a point.
export interface Hit {
  lane: number;
  row: number;
  t: number;
  // span is set where one event is drawn there, bin where many are told as shares.
  span?: Ref & { tag: number; name: string };
  bin?: { starts: number; ns: number; shares: { tag: number; share: number }[] };
  curve?: { min: number; mean: number; max: number };
}

// Wanted is what a search marks on a lane: labels by key, and tags.
interface Wanted {
  keys: Set<number> | undefined;
  tags: Set<number> | undefined;
}

const kernels = 0; // the search kind of lanes with kernels

export const font = "11px system-ui, sans-serif";
const letter = 6.1; // mean width of a letter, to cut labels without measuring
const mostLabels = 500;
const ancestors = 10;

// Painter draws the lanes that are on the screen. Positions on the canvas are CSS pixels.
export class Painter {
  private readonly ctx: CanvasRenderingContext2D;
  private labels = 0;
  complete = false; // the last frame had every tile it wanted

  constructor(readonly canvas: HTMLCanvasElement, private readonly model: Model, private readonly view: View, private readonly layout: Layout, private readonly store: TileStore, public theme: Theme) {
    const ctx = canvas.getContext("2d", { alpha: false });
    if (!ctx) throw new Error("this browser cannot draw on a canvas");
    this.ctx = ctx;
  }

  resize(width: number, height: number): void {
    const dpr = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(width * dpr));
    this.canvas.height = Math.max(1, Math.round(height * dpr));
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    this.view.width = Math.max(1, width);
  }

  private get level(): number {
    return this.view.level(this.model.max_level, window.devicePixelRatio || 1);
  }

  // paint draws the bands from scroll on.
  paint(scroll: number, scene: Scene): void {
    const { ctx, theme } = this;
    const width = this.view.width;
    const height = this.canvas.height / (window.devicePixelRatio || 1);
    this.labels = 0;
    this.complete = true;
    ctx.fillStyle = `rgb(${theme.paper.join(" ")})`;
    ctx.fillRect(0, 0, width, height);
    ctx.font = font;
    ctx.textBaseline = "middle";
    const shown = this.layout.placed.filter((p) => p.y + p.h > scroll && p.y < scroll + height);
    const level = this.level;
    for (const p of shown) {
      const y = p.y - scroll;
      if (p.kind === "group") {
        ctx.fillStyle = theme.line;
        ctx.fillRect(0, y + p.h - 1, width, 1);
        continue;
      }
      this.paintLane(p, y, level, scene);
    }
    this.outside(height);
    this.overlay(scroll, height, scene);
  }

  private paintLane(p: Placed, y: number, level: number, scene: Scene): void {
    const { ctx, theme, view, model } = this;
    const lane = model.lanes[p.n];
    if (!lane) return;
    const h = this.layout.laneHeight(p.n);
    ctx.fillStyle = theme.lane;
    ctx.fillRect(0, y, view.width, h);
    const inks = theme.inks(lane.set);
    const keys = lane.search >= 0 ? scene.matches.get(lane.search) : undefined;
    const tags = lane.search === kernels && scene.stages.size ? scene.stages : undefined;
    const match = keys || tags ? { keys, tags } : undefined;
    const ns = model.tile_bins * 2 ** level;
    const first = Math.max(0, Math.floor(view.start / ns));
    const last = Math.min(Math.floor(model.extent_ns / ns), Math.floor(view.end / ns));
    for (let i = first; i <= last; i++) {
      const e = this.store.get(p.n, level, i);
      if (e) {
        this.paintTile(e, lane, inks, y, h, i * ns, Math.min(ns, model.extent_ns - i * ns), i === first, match);
        continue;
      }
      this.complete = false;
      this.store.want(p.n, level, i);
      this.paintStandIn(p.n, lane, inks, level, i, y, h, i === first, match);
    }
    if (lane.curve && h >= 24) this.scale(quantity(lane.max ?? 0, lane.unit ?? ""), y);
  }

  // scale tells the value at the top of a curve.
  private scale(text: string, y: number): void {
    const { ctx, theme } = this;
    ctx.fillStyle = theme.lane;
    ctx.fillRect(1, y, text.length * letter + 6, 12);
    ctx.fillStyle = theme.faint;
    ctx.fillText(text, 4, y + 6.5);
  }

  // paintStandIn shows another level while the right one is on its way.
  private paintStandIn(n: number, lane: Lane, inks: Ink[], level: number, index: number, y: number, h: number, first: boolean, match: Wanted | undefined): void {
    const bins = this.model.tile_bins;
    const ns = bins * 2 ** level;
    const inside = (t0: number, dur: number): number => Math.min(dur, this.model.extent_ns - t0);
    for (let k = 1; k <= ancestors && level + k <= this.model.max_level; k++) {
      const e = this.store.get(n, level + k, Math.floor(index / 2 ** k));
      if (e) {
        this.paintTile(e, lane, inks, y, h, index * ns, inside(index * ns, ns), first, match);
        return;
      }
    }
    if (level === 0) return;
    for (const half of [0, 1]) {
      const e = this.store.get(n, level - 1, index * 2 + half);
      const t0 = (index * 2 + half) * (ns / 2);
      if (e && t0 < this.model.extent_ns) this.paintTile(e, lane, inks, y, h, t0, inside(t0, ns / 2), first && half === 0, match);
    }
  }

  // paintTile draws the stretch [t0, t0+dur) of a tile, which may be of a coarser level.
  private paintTile(e: Entry, lane: Lane, inks: Ink[], y: number, h: number, t0: number, dur: number, first: boolean, match: Wanted | undefined): void {
    const { view, model, ctx } = this;
    const bins = model.tile_bins;
    const binNs = 2 ** e.level;
    const origin = e.index * bins * binNs;
    this.raster(e, lane, inks, origin, binNs);
    const x0 = Math.round(view.x(t0));
    const x1 = Math.round(view.x(t0 + dur));
    if (e.bitmap && e.bitmap.width > 0 && x1 > x0) {
      const sx = ((t0 - origin) / (bins * binNs)) * bins;
      const sw = (dur / (bins * binNs)) * bins;
      // Far zoomed in a bin is wider than a pixel: smoothing would blur it.
      ctx.imageSmoothingEnabled = sw > x1 - x0;
      ctx.drawImage(e.bitmap, sx, 0, sw, e.bitmap.height, x0, y, x1 - x0, lane.curve ? h : e.bitmap.height);
    }
    if (e.tile.kind === "spans") {
      for (let r = 0; r < e.tile.rows.length; r++) {
        const row = e.tile.rows[r];
        if (row) this.paintSpans(e.tile, row, inks, y + r * lane.height, lane.height - 1, t0, t0 + dur, binNs, first, match);
      }
    }
  }

  private raster(e: Entry, lane: Lane, inks: Ink[], origin: number, binNs: number): void {
    if (e.epoch === this.theme.epoch) return;
    e.epoch = this.theme.epoch;
    const bins = this.model.tile_bins;
    if (e.tile.kind === "spans") {
      e.bitmap = rasterSpans(e.tile, inks, lane.height, bins, origin, binNs);
      return;
    }
    const gap = lane.hold ? bins : Math.ceil((4 * (lane.interval_ns ?? 0)) / binNs);
    e.bitmap = rasterCurve(e.tile, this.theme.curve, lane.height, bins, Math.max(1e-9, lane.max ?? 1), gap);
  }

  // paintSpans draws the wide spans of one row that start in [t0, t1), or reach into it where nothing is left of it.
  private paintSpans(tile: SpanTile, row: Row, inks: Ink[], y: number, h: number, t0: number, t1: number, binNs: number, first: boolean, match: Wanted | undefined): void {
    const { ctx, view, theme } = this;
    const left = view.start;
    const right = Math.min(view.end, t1);
    const perPx = view.width / view.span;
    const n = row.start.length;
    for (let i = 0; i < n; i++) {
      const start = row.start[i] ?? 0;
      if (start >= right) break;
      const dur = row.dur[i] ?? 0;
      const hit = match !== undefined && ((match.keys?.has(tile.keys[row.name[i] ?? 0] ?? -1) ?? false) || (match.tags?.has(row.tag[i] ?? -1) ?? false));
      if ((dur < wide * binNs && !hit) || start + dur <= left || (start < t0 && !first)) continue;
      const ink = inks[row.tag[i] ?? 0];
      if (!ink) continue;
      const x0 = Math.max(-4, (start - left) * perPx);
      const x1 = Math.min(view.width + 4, (start + dur - left) * perPx);
      const w = Math.max(1, x1 - x0 - (x1 - x0 > 3 ? 0.7 : 0));
      if (dur >= wide * binNs) {
        ctx.fillStyle = ink.css;
        ctx.fillRect(x0, y, w, h);
        if (ink.hatch && w > 3) {
          const p = theme.texture(ctx, ink);
          if (p) {
            ctx.fillStyle = p;
            ctx.fillRect(x0, y, w, h);
          }
        }
      }
      if (hit) {
        ctx.fillStyle = theme.accent;
        ctx.fillRect(x0, y, Math.max(2, w), 3);
      }
      if (w > 34 && h >= 11 && this.labels < mostLabels) this.label(tile, row, i, Math.max(0, x0), Math.min(view.width, x0 + w), y, h, ink);
    }
  }

  private label(tile: SpanTile, row: Row, i: number, x0: number, x1: number, y: number, h: number, ink: Ink): void {
    const room = x1 - x0 - 8;
    const most = Math.floor(room / letter);
    if (most < 4) return;
    let text = tile.names[row.name[i] ?? 0] ?? "";
    const dur = duration(row.dur[i] ?? 0);
    if (text.length + dur.length + 2 <= most) text = `${text}  ${dur}`;
    if (text.length > most) text = `${text.slice(0, most - 1)}…`;
    const { ctx } = this;
    if (ink.hatch) {
      // Letters need a calm ground.
      ctx.fillStyle = ink.css;
      ctx.fillRect(x0 + 2, y + 1, Math.min(room + 4, text.length * letter + 4), h - 2);
    }
    ctx.fillStyle = ink.text;
    ctx.fillText(text, x0 + 4, y + h / 2 + 0.5, room);
    this.labels++;
  }

  // outside greys what lies before and after the recording.
  private outside(height: number): void {
    const { ctx, view } = this;
    ctx.fillStyle = this.theme.dark ? "rgb(255 255 255 / 0.05)" : "rgb(0 0 0 / 0.06)";
    const lo = view.x(0);
    const hi = view.x(this.model.extent_ns);
    if (lo > 0) ctx.fillRect(0, 0, lo, height);
    if (hi < view.width) ctx.fillRect(hi, 0, view.width - hi, height);
  }

  private overlay(scroll: number, height: number, scene: Scene): void {
    const { ctx, view, theme } = this;
    if (scene.focus !== null) {
      const p = this.layout.lane(scene.focus);
      if (p) {
        ctx.strokeStyle = theme.faint;
        ctx.lineWidth = 1;
        ctx.setLineDash([3, 3]);
        ctx.strokeRect(0.5, p.y - scroll - 1.5, view.width - 1, this.layout.laneHeight(p.n) + 3);
        ctx.setLineDash([]);
      }
    }
    if (scene.selection) {
      const x0 = view.x(scene.selection[0]);
      const x1 = view.x(scene.selection[1]);
      ctx.fillStyle = theme.select;
      ctx.fillRect(x0, 0, x1 - x0, height);
      ctx.fillStyle = theme.accent;
      ctx.fillRect(x0, 0, 1, height);
      ctx.fillRect(x1 - 1, 0, 1, height);
    }
    if (scene.mark) this.mark(scene.mark, scroll, height);
    if (scene.event) {
      this.outline(scene.event, scroll);
      for (const a of scene.arrows) this.arrow(scene.event, a, scroll, height);
    }
    if (scene.hoverX !== null) {
      ctx.fillStyle = theme.faint;
      ctx.fillRect(scene.hoverX, 0, 1, height);
    }
  }

  // box is where an event is drawn.
  private box(r: Ref, scroll: number): { x0: number; x1: number; y: number; h: number } | undefined {
    const p = this.layout.lane(r.lane);
    const lane = this.model.lanes[r.lane];
    if (!p || !lane) return undefined;
    return { x0: this.view.x(r.start_ns), x1: this.view.x(r.start_ns + r.dur_ns), y: p.y - scroll + r.row * lane.height, h: lane.height - 1 };
  }

  private outline(r: Ref, scroll: number): void {
    const b = this.box(r, scroll);
    if (!b) return;
    const { ctx, theme } = this;
    const x0 = Math.max(-4, b.x0);
    const x1 = Math.min(this.view.width + 4, Math.max(b.x1, b.x0 + 3));
    ctx.lineWidth = 2;
    ctx.strokeStyle = `rgb(${theme.paper.join(" ")})`;
    ctx.strokeRect(x0 - 1, b.y - 1, x1 - x0 + 2, b.h + 2);
    ctx.strokeStyle = theme.accent;
    ctx.strokeRect(x0 - 2.5, b.y - 2.5, x1 - x0 + 5, b.h + 5);
  }

  // arrow runs from the earlier to the later of two events.
  private arrow(a: Ref, b: Ref, scroll: number, height: number): void {
    const [from, to] = a.start_ns <= b.start_ns ? [a, b] : [b, a];
    const f = this.box(from, scroll);
    const t = this.box(to, scroll);
    if (!f || !t) return;
    const { ctx, theme } = this;
    const x0 = Math.min(f.x1, Math.max(f.x0, t.x0 - 1));
    const y0 = Math.max(-10, Math.min(height + 10, f.y + f.h / 2));
    const x1 = t.x0;
    const y1 = Math.max(-10, Math.min(height + 10, t.y + t.h / 2));
    const bend = Math.max(24, Math.abs(x1 - x0) / 2);
    ctx.lineWidth = 3.5;
    for (const style of [`rgb(${theme.paper.join(" ")})`, theme.accent]) {
      ctx.strokeStyle = style;
      ctx.beginPath();
      ctx.moveTo(x0, y0);
      ctx.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1);
      ctx.stroke();
      ctx.lineWidth = 1.6;
    }
    ctx.fillStyle = theme.accent;
    ctx.beginPath();
    ctx.moveTo(x1 + 1, y1);
    ctx.lineTo(x1 - 8, y1 - 4.5);
    ctx.lineTo(x1 - 8, y1 + 4.5);
    ctx.fill();
  }

  // mark points at a stretch that a finding is about: a bracket over all lanes and its name at the top.
  private mark(m: NonNullable<Scene["mark"]>, scroll: number, height: number): void {
    const { ctx, view, theme } = this;
    const x0 = view.x(m.start);
    const x1 = Math.max(x0 + 2, view.x(m.start + m.dur));
    if (x1 < 0 || x0 > view.width) return;
    const p = this.layout.lane(m.lane);
    ctx.fillStyle = theme.accent;
    ctx.globalAlpha = 0.12;
    ctx.fillRect(x0, 0, x1 - x0, height);
    ctx.globalAlpha = 1;
    ctx.fillRect(Math.round(x0) - 1, 0, 1.5, height);
    ctx.fillRect(Math.round(x1), 0, 1.5, height);
    const y = p ? p.y - scroll - 1 : 0;
    const h = p ? this.layout.laneHeight(p.n) + 2 : 0;
    if (p) {
      ctx.strokeStyle = theme.accent;
      ctx.lineWidth = 2.5;
      ctx.strokeRect(x0 - 1, y - 1, x1 - x0 + 2, h + 2);
    }
    const text = m.text;
    ctx.font = `bold ${font}`;
    const w = Math.min(view.width - 4, ctx.measureText(text).width + 12);
    const tx = Math.max(2, Math.min(view.width - w - 2, (Math.max(0, x0) + Math.min(view.width, x1)) / 2 - w / 2));
    // The band of the group's title is empty; where it is out of sight the name stands below the lane.
    const head = p && this.layout.header(p.n);
    const free = head ? head.y - scroll + 4 : 2;
    const ty = p && (free < 0 || free > height - 20) ? Math.max(2, Math.min(height - 20, y + h + 4)) : free;
    ctx.fillStyle = theme.accent;
    ctx.fillRect(tx, ty, w, 18);
    ctx.fillStyle = theme.dark ? "#101418" : "#ffffff";
    ctx.fillText(text, tx + 6, ty + 9.5, w - 10);
    ctx.font = font;
  }

  // hit finds what is drawn at a point of the canvas.
  hit(x: number, y: number, scroll: number): Hit | undefined {
    const p = this.layout.at(y + scroll);
    if (!p || p.kind !== "lane") return undefined;
    const lane = this.model.lanes[p.n];
    if (!lane) return undefined;
    const row = Math.floor((y + scroll - p.y) / lane.height);
    if (row < 0 || row >= Math.max(1, lane.rows)) return undefined;
    const t = this.view.t(x);
    const hit: Hit = { lane: p.n, row, t };
    if (t < 0 || t > this.model.extent_ns) return undefined;
    const level = this.level;
    let e: Entry | undefined;
    for (let k = 0; k <= ancestors && !e; k++) e = this.store.get(p.n, level + k, Math.floor(t / (this.model.tile_bins * 2 ** (level + k))));
    if (!e) return hit;
    const binNs = 2 ** e.level;
    const bin = Math.floor(t / binNs) - e.index * this.model.tile_bins;
    if (e.tile.kind === "curve") {
      for (let i = e.tile.bin.length - 1; i >= 0; i--) {
        if ((e.tile.bin[i] ?? 0) <= bin) {
          hit.curve = { min: e.tile.min[i] ?? 0, mean: e.tile.mean[i] ?? 0, max: e.tile.max[i] ?? 0 };
          return hit;
        }
      }
      if (!Number.isNaN(e.tile.before)) hit.curve = { min: e.tile.before, mean: e.tile.before, max: e.tile.before };
      return hit;
    }
    const r = e.tile.rows[row];
    if (!r) return hit;
    // A pointer is not exact: two pixels around count, the closest span wins.
    const near = (2 * this.view.span) / this.view.width;
    let best = -1;
    let off = near;
    for (let i = 0; i < r.start.length; i++) {
      const s = r.start[i] ?? 0;
      const d = Math.max(0, s - t, t - s - (r.dur[i] ?? 0));
      if (d < off || (d === 0 && off === 0)) {
        best = i;
        off = d;
      }
      if (s > t + near) break;
    }
    if (best >= 0) {
      hit.span = {
        lane: p.n, row, at: r.at[best] ?? 0, start_ns: r.start[best] ?? 0, dur_ns: r.dur[best] ?? 0,
        tag: r.tag[best] ?? 0, name: e.tile.names[r.name[best] ?? 0] ?? "",
      };
      return hit;
    }
    const i = r.bin.indexOf(bin);
    if (i >= 0) {
      const shares: { tag: number; share: number }[] = [];
      for (let k = r.offset[i] ?? 0; k < (r.offset[i + 1] ?? 0); k++) shares.push({ tag: r.shareTag[k] ?? 0, share: (r.share[k] ?? 0) / 255 });
      hit.bin = { starts: r.starts[i] ?? 0, ns: binNs, shares: shares.sort((a, b) => b.share - a.share) };
    }
    return hit;
  }
}
