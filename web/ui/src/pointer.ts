import { api } from "./api";
import type { Choice } from "./choice";
import type { Findings } from "./findings";
import type { Frame } from "./frame";
import { attachCanvas, attachMinimap, attachRuler } from "./input";
import type { Lanes } from "./lanes";
import type { Motion } from "./motion";
import type { Hit } from "./paint";
import { Tip } from "./tip";
import type { Model } from "./types";
import type { View } from "./view";

// Pointer is what moves, clicks and drags on lanes, time axis and minimap do.
export class Pointer {
  private readonly tip: Tip;

  constructor(model: Model, private readonly view: View, private readonly frame: Frame, private readonly lanes: Lanes, private readonly choice: Choice, findings: Findings, private readonly motion: Motion) {
    this.tip = new Tip(model, frame.painter.canvas);
    const { scene, ruler, minimap, scroller } = frame;
    const surface = {
      view,
      scroller,
      changed: () => {
        this.tip.hide();
        motion.changed();
      },
      selecting: (a: number, b: number, done: boolean) => {
        if (done) choice.setRange([a, b]);
        else {
          scene.selection = a < b ? [a, b] : [b, a];
          frame.draw();
        }
      },
      click: (x: number, y: number) => void this.click(x, y),
      doubleClick: (x: number, y: number) => this.doubleClick(x, y),
      hover: (x: number, y: number) => this.hover(x, y),
      leave: () => {
        this.tip.hide();
        scene.hoverX = null;
        frame.draw();
      },
      stop: () => motion.stop(),
    };
    attachCanvas(frame.timeline, surface);
    attachRuler(ruler.canvas, surface, (x, y) => {
      const i = ruler.hit(x, y);
      if (i >= 0) findings.choose(i);
    });
    attachMinimap(minimap.canvas, surface, (x) => minimap.t(x));
    scroller.addEventListener("scroll", () => {
      this.tip.hide();
      frame.draw();
    });
  }

  private hit(x: number, y: number): Hit | undefined {
    return this.frame.painter.hit(x, y, this.frame.scroller.scrollTop);
  }

  private hover(x: number, y: number): void {
    this.frame.scene.hoverX = x;
    this.tip.show(x, y, this.hit(x, y));
    this.frame.draw();
  }

  private async click(x: number, y: number): Promise<void> {
    const h = this.hit(x, y);
    if (h?.span) {
      await this.choice.select(h.span);
      return;
    }
    if (h?.bin) {
      const f = await api.near(h.lane, h.row, Math.round(h.t)).catch(() => null);
      if (f?.event) {
        await this.choice.select(f.event);
        return;
      }
    }
    if (h) this.lanes.mark(h.lane);
    this.choice.unselect();
  }

  private doubleClick(x: number, y: number): void {
    const span = this.hit(x, y)?.span;
    if (span && span.dur_ns < this.view.span * 0.7) this.motion.moveToEvent(span);
    else {
      const t = this.view.t(x);
      this.motion.moveTo(t - (this.view.span / 4) * (x / this.view.width), this.view.span / 4);
    }
  }
}
