// View is the stretch of time on the screen, in ns from the model's origin.
export class View {
  start = 0;
  span = 1;
  width = 1; // CSS pixels
  constructor(readonly extent: number, readonly home: [number, number]) {
    this.fit();
  }

  // shortest is the shortest visible stretch, ns.
  static readonly shortest = 50;

  fit(): void {
    const [start, dur] = this.home;
    const margin = dur * 0.01;
    this.set(start - margin, dur + 2 * margin);
  }

  set(start: number, span: number): void {
    const s = Math.min(Math.max(span, View.shortest), Math.max(this.extent, this.home[1]) * 1.2);
    // At least a tenth of the screen shows the recording.
    const c = start + (span - s) / 2;
    this.span = s;
    this.start = Math.min(Math.max(c, -0.9 * s), this.extent - 0.1 * s);
  }

  get end(): number {
    return this.start + this.span;
  }
  x(t: number): number {
    return ((t - this.start) / this.span) * this.width;
  }
  t(x: number): number {
    return this.start + (x / this.width) * this.span;
  }
  pan(px: number): void {
    this.set(this.start - (px / this.width) * this.span, this.span);
  }
  // zoom scales the visible stretch by f and keeps the instant under x in place.
  zoom(f: number, x: number): void {
    const t = this.t(x);
    const span = Math.min(Math.max(this.span * f, View.shortest), Math.max(this.extent, this.home[1]) * 1.2);
    this.set(t - (x / this.width) * span, span);
  }
  level(maxLevel: number, dpr: number): number {
    return Math.min(maxLevel, Math.max(0, Math.floor(Math.log2(this.span / (this.width * dpr)))));
  }
  // inside returns the visible part of the recording as whole ns.
  inside(): [number, number] {
    const lo = Math.min(this.extent, Math.max(0, Math.floor(this.start)));
    return [lo, Math.max(lo, Math.min(this.extent, Math.ceil(this.end)))];
  }
}
