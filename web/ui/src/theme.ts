import { css, inks, luminance, mix, parse, word, type Ink, type RGB } from "./color";
import type { CurveStyle } from "./raster";
import type { Model } from "./types";

// Theme is the colours of the canvas. Those of the page are in app.css under the same names.
export class Theme {
  readonly paper: RGB;
  readonly lane: string;
  readonly line: string;
  readonly text: string;
  readonly faint: string;
  readonly accent: string;
  readonly select: string;
  readonly curve: CurveStyle;
  private readonly sets = new Map<string, Ink[]>();
  private readonly patterns = new Map<string, CanvasPattern | null>();

  // epoch tells bitmaps drawn with other colours apart.
  constructor(model: Model, readonly dark: boolean, highlight: ReadonlySet<string> | null, readonly epoch: number) {
    this.paper = parse(dark ? "#12161b" : "#ffffff");
    const ink = parse(dark ? "#e8ecf0" : "#14181d");
    this.lane = css(mix(this.paper, ink, 0.045));
    this.line = css(mix(this.paper, ink, 0.18));
    this.text = css(ink);
    this.faint = css(mix(this.paper, ink, 0.66));
    this.accent = dark ? "#ffb454" : "#a83b00";
    this.select = dark ? "rgb(120 170 255 / 0.22)" : "rgb(30 90 220 / 0.16)";
    const c = parse("#2A9FEF");
    this.curve = { fill: word(mix(this.paper, c, 0.55)), band: word(mix(this.paper, c, 0.28)), line: word(mix(c, ink, 0.25)) };
    for (const [id, set] of Object.entries(model.sets)) this.sets.set(id, inks(set, this.paper, highlight));
  }

  inks(set: string): Ink[] {
    return this.sets.get(set) ?? [];
  }

  // texture is the pattern of hatched categories, to lay over their colour.
  texture(ctx: CanvasRenderingContext2D, ink: Ink): CanvasPattern | null {
    let p = this.patterns.get(ink.css);
    if (p === undefined) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 8;
      const c = tile.getContext("2d");
      if (c) {
        const light = luminance(parse(ink.text)) > 0.5;
        c.strokeStyle = light ? "rgb(255 255 255 / 0.3)" : "rgb(0 0 0 / 0.26)";
        c.lineWidth = 2.4;
        c.beginPath();
        for (const x of [-8, 0, 8]) {
          c.moveTo(x, 8);
          c.lineTo(x + 8, 0);
        }
        c.stroke();
      }
      p = ctx.createPattern(tile, "repeat");
      this.patterns.set(ink.css, p);
    }
    return p;
  }
}
