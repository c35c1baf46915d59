import { must } from "./dom";
import { count } from "./format";
import type { Frame } from "./frame";
import { Labels } from "./labels";
import type { Layout } from "./layout";
import { say } from "./notice";
import type { Model } from "./types";

// Lanes brings lanes into sight and keeps which one is under the keyboard.
export class Lanes {
  private readonly labels: Labels;

  constructor(private readonly model: Model, private readonly layout: Layout, private readonly frame: Frame) {
    this.labels = new Labels(must("labels", HTMLElement), model, layout, () => this.relayout(), (n) => this.focus(n));
  }

  private relayout(): void {
    this.labels.update();
    this.frame.draw();
  }

  // shown lists the shown lanes in order.
  shown(): number[] {
    return this.layout.lanes();
  }

  // mark puts a lane under the keyboard.
  mark(n: number): void {
    this.frame.scene.focus = n;
    this.labels.mark(n);
  }

  // focus marks a lane, brings it into sight and tells what it is.
  focus(n: number): void {
    this.mark(n);
    this.reveal(n);
    const l = this.model.lanes[n];
    if (l) say(`Lane ${l.title}, ${count(l.count)} events. ${l.hint ?? ""}`);
    this.frame.draw();
  }

  move(by: number): void {
    const lanes = this.shown();
    const { focus } = this.frame.scene;
    const at = focus === null ? -1 : lanes.indexOf(focus);
    const n = lanes[Math.min(lanes.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    if (n !== undefined) this.focus(n);
  }

  // reveal opens a lane and scrolls to it.
  reveal(n: number): void {
    if (this.layout.reveal(n)) this.relayout();
    const p = this.layout.lane(n);
    if (!p) return;
    const { scroller } = this.frame;
    const top = scroller.scrollTop;
    const height = scroller.clientHeight;
    if (p.y < top + 20) scroller.scrollTop = Math.max(0, p.y - 40);
    else if (p.y + p.h > top + height) scroller.scrollTop = p.y + p.h - height + 24;
  }
}
