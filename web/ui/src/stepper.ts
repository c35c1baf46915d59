import { api, type Direction } from "./api";
import type { Choice } from "./choice";
import type { Frame } from "./frame";
import type { Lanes } from "./lanes";
import type { Motion } from "./motion";
import { say } from "./notice";
import type { Model, Ref } from "./types";
import { View } from "./view";

// Stepper goes from event to event: along a lane, between its rows, and from step to step.
export class Stepper {
  constructor(private readonly model: Model, private readonly view: View, private readonly frame: Frame, private readonly lanes: Lanes, private readonly choice: Choice, private readonly motion: Motion) {}

  // go brings an event into sight and selects it.
  async go(r: Ref): Promise<void> {
    this.lanes.reveal(r.lane);
    const [start, span] = this.motion.goal();
    const px = (r.dur_ns / span) * this.view.width;
    const out = r.start_ns < start || r.start_ns + r.dur_ns > start + span;
    let s = span;
    if (px > this.view.width * 0.9) s = r.dur_ns * 1.4;
    else if (px < 8) s = Math.max(View.shortest, Math.max(1, r.dur_ns) * 30);
    if (out || s !== span) this.motion.moveTo(r.start_ns + r.dur_ns / 2 - s / 2, s);
    await this.choice.select(r);
  }

  // event goes to a neighbour in the lane under the keyboard, or to the event in the middle of the view.
  async event(by: number): Promise<void> {
    const n = this.frame.scene.focus ?? this.lanes.shown().find((x) => !this.model.lanes[x]?.curve);
    if (n === undefined) return;
    const l = this.model.lanes[n];
    if (!l || l.curve) {
      say("This lane is a curve");
      return;
    }
    const e = this.frame.scene.event;
    if (e && e.lane === n) {
      const d = await api.event({ ...e, at: e.at + by }).catch(() => null);
      if (d) await this.go(d);
      else say(by > 0 ? "Last event of the row" : "First event of the row");
      return;
    }
    const t = Math.round(Math.min(this.model.extent_ns, Math.max(0, this.view.start + this.view.span / 2)));
    const f = await api.near(n, 0, t);
    if (f.event) await this.go(f.event);
  }

  // row goes to the event of another row of the lane that is there at the same time.
  async row(by: number): Promise<void> {
    const e = this.frame.scene.event;
    const rows = e ? (this.model.lanes[e.lane]?.rows ?? 0) : 0;
    if (!e || e.row + by < 0 || e.row + by >= rows) {
      say("No further row");
      return;
    }
    const f = await api.near(e.lane, e.row + by, Math.round(Math.max(0, e.start_ns + e.dur_ns / 2)));
    if (f.event) await this.go(f.event);
  }

  // step goes to the step before or after the chosen one, or the middle of the view.
  async step(dir: Direction): Promise<void> {
    const e = this.frame.scene.event;
    const onStep = e && this.model.lanes[e.lane]?.role === "steps";
    const from = onStep ? e.start_ns : this.view.start + this.view.span / 2;
    const f = await api.jump(Math.round(Math.min(this.model.extent_ns, Math.max(0, from))), dir);
    if (f.event) await this.go(f.event);
    else say(dir === "next" ? "No later step" : "No earlier step");
  }
}
