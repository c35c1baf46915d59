import { say } from "./notice";
import { View } from "./view";

// Motion moves the view, at once or over some frames. changed is called whenever the view moved.
export class Motion {
  private animation: { from: [number, number]; to: [number, number]; start: number; ms: number } | null = null;

  constructor(private readonly view: View, readonly changed: () => void) {}

  get moving(): boolean {
    return this.animation !== null;
  }

  stop(): void {
    this.animation = null;
  }

  // step brings the view to where a running animation has it at this time.
  step(now: number): void {
    const a = this.animation;
    if (!a) return;
    const f = Math.min(1, Math.max(0, (now - a.start) / a.ms));
    const ease = 1 - (1 - f) ** 3;
    // The span changes by factors, so that zooming looks even; the centre follows.
    const span = a.from[1] * (a.to[1] / a.from[1]) ** ease;
    const c0 = a.from[0] + a.from[1] / 2;
    const c1 = a.to[0] + a.to[1] / 2;
    const k = a.from[1] === a.to[1] ? ease : (a.from[1] - span) / (a.from[1] - a.to[1]);
    this.view.set(c0 + (c1 - c0) * k - span / 2, span);
    if (f >= 1) {
      this.view.set(...a.to);
      this.animation = null;
    }
    this.changed();
  }

  moveTo(start: number, span: number, ms = 260): void {
    if (ms === 0 || window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.animation = null;
      this.view.set(start, span);
    } else {
      this.animation = { from: [this.view.start, this.view.span], to: [start, span], start: performance.now(), ms };
    }
    this.changed();
  }

  // moveToEvent shows an event with room around it.
  moveToEvent(e: { start_ns: number; dur_ns: number }): void {
    this.moveTo(e.start_ns - e.dur_ns * 0.3, Math.max(View.shortest, e.dur_ns * 1.6));
  }

  // goal is where the view is or is moving to, so that held keys add up.
  goal(): [number, number] {
    return this.animation ? this.animation.to : [this.view.start, this.view.span];
  }

  panBy(f: number): void {
    const [start, span] = this.goal();
    this.moveTo(start + f * span, span, 120);
  }

  zoomBy(f: number): void {
    const [start, span] = this.goal();
    const s = Math.max(View.shortest, span * f);
    this.moveTo(start + (span - s) / 2, s, 120);
  }

  fit(): void {
    const [start, dur] = this.view.home;
    this.moveTo(start - dur * 0.01, dur * 1.02);
    say("Whole recording");
  }
}
