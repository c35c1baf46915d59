import { tickLabel, tickStep } from "./format";
import { font } from "./paint";
import type { Theme } from "./theme";
import type { Finding } from "./types";
import type { View } from "./view";

// Ruler draws the time axis, and a numbered flag for each finding that has a place.
export class Ruler {
  private readonly ctx: CanvasRenderingContext2D;
  height = 36;
  constructor(readonly canvas: HTMLCanvasElement, private readonly view: View, private readonly zero: number, private readonly findings: Finding[]) {
    const ctx = canvas.getContext("2d", { alpha: false });
    if (!ctx) throw new Error("this browser cannot draw on a canvas");
    this.ctx = ctx;
  }

  resize(width: number): void {
    const dpr = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(width * dpr));
    this.canvas.height = Math.round(this.height * dpr);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  }

  paint(theme: Theme, selection: [number, number] | null, current: number): void {
    const { ctx, view } = this;
    ctx.fillStyle = `rgb(${theme.paper.join(" ")})`;
    ctx.fillRect(0, 0, view.width, this.height);
    if (selection) {
      ctx.fillStyle = theme.select;
      ctx.fillRect(view.x(selection[0]), 0, view.x(selection[1]) - view.x(selection[0]), this.height);
    }
    ctx.font = font;
    ctx.textBaseline = "alphabetic";
    const step = tickStep(view.span, Math.max(2, view.width / 110));
    const first = Math.ceil((view.start - this.zero) / step) * step + this.zero;
    ctx.fillStyle = theme.line;
    ctx.fillRect(0, this.height - 1, view.width, 1);
    for (let t = first; t < view.end; t += step) {
      const x = view.x(t);
      ctx.fillStyle = theme.line;
      ctx.fillRect(x, this.height - 8, 1, 8);
      ctx.fillStyle = theme.faint;
      ctx.fillText(tickLabel(Math.round(t - this.zero), step), x + 3, this.height - 4);
    }
    this.findings.forEach((f, i) => {
      const at = this.flag(f);
      if (at === undefined) return;
      const x = view.x(at);
      if (x < -10 || x > view.width + 10) return;
      ctx.fillStyle = theme.accent;
      ctx.globalAlpha = i === current ? 1 : 0.75;
      ctx.beginPath();
      ctx.arc(x, 9, i === current ? 8.5 : 7.5, 0, 7);
      ctx.fill();
      ctx.fillRect(x - 0.75, 16, 1.5, 7);
      ctx.globalAlpha = 1;
      ctx.fillStyle = theme.dark ? "#101418" : "#ffffff";
      ctx.textAlign = "center";
      ctx.font = `bold ${font}`;
      ctx.fillText(String(i + 1), x, 13);
      ctx.textAlign = "left";
      ctx.font = font;
    });
  }

  // flag is where a finding's flag stands.
  private flag(f: Finding): number | undefined {
    if (!f.target || f.severity === "info") return undefined;
    return f.target.mark_dur_ns > 0 ? f.target.mark_start_ns + f.target.mark_dur_ns / 2 : f.target.start_ns + f.target.dur_ns / 2;
  }

  // hit returns the finding whose flag is at x, y; -1 for none.
  hit(x: number, y: number): number {
    if (y > 19) return -1;
    let best = -1;
    let off = 10;
    this.findings.forEach((f, i) => {
      const at = this.flag(f);
      if (at !== undefined && Math.abs(this.view.x(at) - x) < off) {
        best = i;
        off = Math.abs(this.view.x(at) - x);
      }
    });
    return best;
  }
}
