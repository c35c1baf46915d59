import { api } from "./api";
import { duration } from "./format";
import type { Frame } from "./frame";
import type { Lanes } from "./lanes";
import type { Motion } from "./motion";
import { problem, say } from "./notice";
import type { Panel } from "./panel";
import type { Model, Ref } from "./types";
import type { View } from "./view";

// Choice is the chosen event with its details, and the chosen stretch of time with its totals. changed is called when
// either changed.
export class Choice {
  private asked: AbortController | null = null;

  constructor(private readonly model: Model, private readonly view: View, private readonly frame: Frame, private readonly lanes: Lanes, private readonly panel: Panel, private readonly motion: Motion, private readonly changed: () => void) {}

  // select shows the details of an event.
  async select(r: Ref): Promise<void> {
    const { scene } = this.frame;
    scene.event = { lane: r.lane, row: r.row, at: r.at, start_ns: r.start_ns, dur_ns: r.dur_ns };
    scene.arrows = [];
    this.lanes.mark(r.lane);
    this.frame.draw();
    try {
      const d = await api.event(r);
      const e = scene.event;
      if (!e || e.lane !== d.lane || e.row !== d.row || e.at !== d.at) return;
      scene.event = { lane: d.lane, row: d.row, at: d.at, start_ns: d.start_ns, dur_ns: d.dur_ns };
      scene.arrows = d.links.filter((l) => l.arrow);
      this.panel.showDetail(d);
      say(`${d.kind} ${d.title}, ${d.category}, ${duration(d.dur_ns)}, at ${duration(d.start_ns - this.model.home_ns[0])}`);
      this.changed();
      this.frame.draw();
    } catch (e) {
      problem(e);
    }
  }

  unselect(): void {
    this.frame.scene.event = null;
    this.frame.scene.arrows = [];
    this.panel.showDetail(null);
    this.changed();
    this.frame.draw();
  }

  // setRange chooses a stretch of time, in either order, or none.
  setRange(s: [number, number] | null): void {
    const { scene } = this.frame;
    const clamp = (t: number): number => Math.min(this.model.extent_ns, Math.max(0, t));
    scene.selection = s ? [clamp(Math.min(...s)), clamp(Math.max(...s))] : null;
    if (scene.selection) say(`Selected ${duration(scene.selection[1] - scene.selection[0])}`);
    this.changed();
    void this.totals();
    this.frame.draw();
  }

  growRange(by: number): void {
    const step = (by * this.view.span) / 20;
    const r = this.frame.scene.selection;
    if (!r) {
      const mid = this.view.start + this.view.span / 2;
      this.setRange([mid, mid + step]);
      return;
    }
    // The right edge moves; past the left one the sides swap.
    this.setRange([r[0], r[1] + step]);
  }

  // zoom shows the chosen stretch, or else the chosen event.
  zoom(): void {
    const r = this.frame.scene.selection;
    const e = this.frame.scene.event;
    if (r) this.motion.moveTo(r[0] - (r[1] - r[0]) * 0.03, (r[1] - r[0]) * 1.06);
    else if (e) this.motion.moveToEvent(e);
  }

  // totals shows where the time of the chosen stretch goes, or that of the view.
  async totals(): Promise<void> {
    this.asked?.abort();
    const asked = (this.asked = new AbortController());
    document.body.dataset.totals = "loading";
    const { scene } = this.frame;
    const range = scene.selection ?? this.view.inside();
    const [from, to] = range.map((t) => Math.round(Math.min(this.model.extent_ns, Math.max(0, t)))) as [number, number];
    try {
      const s = await api.selection(from, to, asked.signal);
      if (asked.signal.aborted) return;
      this.panel.showTotals(s, scene.selection !== null);
      document.body.dataset.totals = "complete";
    } catch (e) {
      if (!asked.signal.aborted) problem(e);
    }
  }
}
