import { must } from "./dom";
import type { Layout } from "./layout";
import { Minimap } from "./minimap";
import type { Motion } from "./motion";
import { problem } from "./notice";
import { Painter, type Scene } from "./paint";
import { Ruler } from "./ruler";
import { Theme } from "./theme";
import { TileStore } from "./tiles";
import type { Model } from "./types";
import type { View } from "./view";

// Frame draws lanes, time axis and minimap: at most once per frame of the screen, and only when something changed.
export class Frame {
  readonly scroller = must("scroller", HTMLElement);
  readonly timeline = must("timeline", HTMLElement);
  readonly scene: Scene = { selection: null, event: null, arrows: [], mark: null, hoverX: null, focus: null, matches: new Map(), stages: new Set() };
  readonly painter: Painter;
  readonly ruler: Ruler;
  readonly minimap: Minimap;
  private readonly store: TileStore;
  private theme: Theme;
  private lit: ReadonlySet<string> | null = null;
  private epoch = 0;
  private asked = 0;
  private pictured = false;
  private density = 1;

  // themeChoice is undefined where the system decides; chosen tells which finding is open.
  constructor(private readonly model: Model, view: View, layout: Layout, private readonly motion: Motion, public themeChoice: "light" | "dark" | undefined, private readonly chosen: () => number) {
    this.store = new TileStore(model, () => this.draw(), problem);
    this.theme = this.makeTheme();
    this.painter = new Painter(must("canvas", HTMLCanvasElement), model, view, layout, this.store, this.theme);
    this.ruler = new Ruler(must("ruler", HTMLCanvasElement), view, model.home_ns[0], model.findings);
    this.minimap = new Minimap(must("minimap", HTMLCanvasElement), model, view, this.store);
  }

  private makeTheme(): Theme {
    const dark = this.themeChoice ? this.themeChoice === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    return new Theme(this.model, dark, this.lit?.size ? this.lit : null, ++this.epoch);
  }

  retheme(): void {
    this.theme = this.makeTheme();
    this.painter.theme = this.theme;
    this.draw();
  }

  toggleTheme(): void {
    this.themeChoice = this.theme.dark ? "light" : "dark";
    this.retheme();
  }

  // highlight dims all categories but these; an empty set dims none.
  highlight(ids: Set<string>): void {
    this.lit = ids;
    this.retheme();
  }

  resize(): void {
    const width = this.timeline.clientWidth;
    this.painter.resize(width, this.scroller.clientHeight);
    this.ruler.resize(width);
    this.minimap.resize(width);
    this.draw();
  }

  // watch follows the page's size, the screen's density and the system's theme.
  watch(): void {
    new ResizeObserver(() => this.resize()).observe(must("stage", HTMLElement));
    this.watchDensity();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.retheme());
    window.addEventListener("resize", () => this.draw());
  }

  // watchDensity redraws when the page moves to a screen of another density, or is zoomed by the browser.
  private watchDensity(): void {
    const changed = (): void => {
      this.resize();
      this.watchDensity();
    };
    this.density = window.devicePixelRatio;
    window.matchMedia(`(resolution: ${this.density}dppx)`).addEventListener("change", changed, { once: true });
  }

  draw(): void {
    if (this.asked === 0) this.asked = requestAnimationFrame((now) => this.paint(now));
  }

  private paint(now: number): void {
    this.asked = 0;
    // Not every browser tells of a change of density at once.
    if (this.density !== window.devicePixelRatio) {
      this.density = window.devicePixelRatio;
      this.resize();
    }
    this.motion.step(now);
    this.store.begin();
    this.painter.paint(this.scroller.scrollTop, this.scene);
    this.ruler.paint(this.theme, this.scene.selection, this.chosen());
    this.minimap.paint(this.theme);
    this.store.flush();
    // The state is for tests and for scripts that take pictures.
    const complete = this.painter.complete && this.store.idle && !this.motion.moving;
    document.body.dataset.picture = complete ? "complete" : "loading";
    if (complete && !this.pictured) {
      this.pictured = true;
      performance.mark("first-picture");
    }
    if (this.motion.moving) this.draw();
  }
}
