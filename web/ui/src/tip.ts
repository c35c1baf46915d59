import { el, must, swatch } from "./dom";
import { count, duration, percent, quantity } from "./format";
import type { Hit } from "./paint";
import type { Model } from "./types";

// Tip is the small box beside the pointer that tells what is under it.
export class Tip {
  private readonly box = must("tip", HTMLElement);

  constructor(private readonly model: Model, private readonly canvas: HTMLCanvasElement) {}

  hide(): void {
    this.box.hidden = true;
  }

  // show tells of h; x and y are the pointer's place on the canvas.
  show(x: number, y: number, h: Hit | undefined): void {
    const lines = h ? this.lines(h) : [];
    if (!lines.length) {
      this.hide();
      return;
    }
    this.box.replaceChildren(...lines);
    this.box.hidden = false;
    const stage = must("stage", HTMLElement).getBoundingClientRect();
    const canvas = this.canvas.getBoundingClientRect();
    const px = canvas.left - stage.left + x;
    const py = canvas.top - stage.top + y;
    const w = this.box.offsetWidth;
    const th = this.box.offsetHeight;
    this.box.style.left = `${Math.max(4, px + 14 + w > stage.width ? px - 14 - w : px + 14)}px`;
    this.box.style.top = `${Math.max(4, py + 18 + th > stage.height ? py - 12 - th : py + 18)}px`;
  }

  private lines(h: Hit): HTMLElement[] {
    const lane = this.model.lanes[h.lane];
    if (!lane) return [];
    const set = this.model.sets[lane.set] ?? [];
    if (h.span) {
      const c = set[h.span.tag];
      return [el("div", {}, el("b", {}, h.span.name)), el("div", {}, swatch(c?.color, c?.hatch), `${c?.label ?? ""}, ${duration(h.span.dur_ns)}`)];
    }
    if (h.bin) {
      const lines = [el("div", {}, `${count(h.bin.starts)} start within ${duration(h.bin.ns)}`)];
      for (const s of h.bin.shares.slice(0, 5)) lines.push(el("div", {}, swatch(set[s.tag]?.color, set[s.tag]?.hatch), `${set[s.tag]?.label ?? ""} ${percent(s.share)}`));
      return lines;
    }
    if (h.curve) {
      const u = lane.unit ?? "";
      const range = h.curve.min < h.curve.max ? ` (${quantity(h.curve.min, u)} to ${quantity(h.curve.max, u)})` : "";
      return [el("div", {}, `${lane.title}: ${quantity(h.curve.mean, u)}${range}`)];
    }
    return [];
  }
}
