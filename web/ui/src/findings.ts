import type { Frame } from "./frame";
import type { Lanes } from "./lanes";
import type { Motion } from "./motion";
import { say } from "./notice";
import type { Panel } from "./panel";
import type { Model, Target } from "./types";

// Findings goes from finding to finding, and marks the place of the one that is open. changed is called when one without a
// place was opened, as the view, whose moves tell the rest, stays then.
export class Findings {
  constructor(private readonly model: Model, private readonly frame: Frame, private readonly lanes: Lanes, private readonly panel: Panel, private readonly motion: Motion, private readonly changed: () => void) {}

  // mark draws where finding i is.
  mark(t: Target, i: number): void {
    const f = this.model.findings[i];
    if (!f) return;
    this.frame.scene.mark = { start: t.mark_dur_ns > 0 ? t.mark_start_ns : t.start_ns, dur: t.mark_dur_ns > 0 ? t.mark_dur_ns : t.dur_ns, lane: t.lane, text: `${i + 1}  ${t.mark || f.title}` };
  }

  unmark(): void {
    this.frame.scene.mark = null;
    this.frame.draw();
  }

  // show brings a place of finding i into sight.
  show(t: Target, i: number): void {
    this.panel.choose(i);
    this.mark(t, i);
    if (t.lane >= 0) this.lanes.reveal(t.lane);
    this.motion.moveTo(t.start_ns, t.dur_ns);
    const f = this.model.findings[i];
    say(`Finding ${i + 1}, ${f?.title ?? ""}: ${t.text}`);
  }

  // choose opens finding i, or closes it.
  choose(i: number): void {
    if (this.panel.chosen === i && this.frame.scene.mark === null) {
      this.panel.choose(-1);
      return;
    }
    const t = this.model.findings[i]?.target;
    if (t) {
      this.show(t, i);
      return;
    }
    this.panel.choose(this.panel.chosen === i ? -1 : i);
    this.frame.scene.mark = null;
    this.changed();
    this.frame.draw();
  }

  step(by: number): void {
    const n = this.model.findings.length;
    if (n === 0) {
      say("No findings");
      return;
    }
    const now = this.panel.chosen;
    const next = now < 0 ? (by > 0 ? 0 : n - 1) : (now + by + n) % n;
    const t = this.model.findings[next]?.target;
    if (t) this.show(t, next);
    else {
      this.panel.choose(next);
      say(`Finding ${next + 1}, ${this.model.findings[next]?.title ?? ""}: no single place`);
      this.unmark();
    }
  }
}
