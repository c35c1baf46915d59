import { api, type Direction } from "./api";
import { el, must, swatch } from "./dom";
import { count, duration, percent, quantity } from "./format";
import * as hash from "./hash";
import { attachCanvas, attachMinimap, attachRuler } from "./input";
import { Labels } from "./labels";
import { Layout } from "./layout";
import { Minimap } from "./minimap";
import { Painter, type Hit, type Scene } from "./paint";
import { Panel } from "./panel";
import { Ruler } from "./ruler";
import { Theme } from "./theme";
import { TileStore } from "./tiles";
import type { Model, Ref, Target } from "./types";
import { View } from "./view";

const searchKinds = ["kernel", "annotation", "operator", "API call"];

// App connects the parts: it owns what is shown and chosen, and draws a frame when something changed.
export class App {
  private readonly view: View;
  private readonly layout: Layout;
  private readonly store: TileStore;
  private readonly painter: Painter;
  private readonly ruler: Ruler;
  private readonly minimap: Minimap;
  private readonly panel: Panel;
  private readonly labels: Labels;
  private readonly scroller = must("scroller", HTMLElement);
  private readonly timeline = must("timeline", HTMLElement);
  private readonly tip = must("tip", HTMLElement);
  private readonly search = must("search", HTMLInputElement);
  private readonly scene: Scene = { selection: null, event: null, arrows: [], mark: null, hoverX: null, focus: null, matches: new Map(), stages: new Set() };

  private theme: Theme;
  private themeChoice: "light" | "dark" | undefined;
  private lit: ReadonlySet<string> | null = null;
  private epoch = 0;
  private frame = 0;
  private pictured = false;
  private animation: { from: [number, number]; to: [number, number]; start: number; ms: number } | null = null;
  private settle = 0;
  private asked: AbortController | null = null;
  private query = "";

  constructor(private readonly model: Model) {
    this.view = new View(model.extent_ns, model.home_ns);
    this.layout = new Layout(model);
    this.store = new TileStore(model, () => this.draw(), (e) => this.problem(e));
    const shared = hash.read(location.hash);
    this.themeChoice = shared.theme;
    this.theme = this.makeTheme();
    this.painter = new Painter(must("canvas", HTMLCanvasElement), model, this.view, this.layout, this.store, this.theme);
    this.ruler = new Ruler(must("ruler", HTMLCanvasElement), this.view, model.home_ns[0], model.findings);
    this.minimap = new Minimap(must("minimap", HTMLCanvasElement), model, this.view, this.store);
    this.labels = new Labels(must("labels", HTMLElement), model, this.layout, () => this.relayout(), (n) => this.focusLane(n));
    this.panel = new Panel(model, {
      show: (t, i) => this.show(t, i),
      go: (r) => void this.go(r),
      choose: (i) => this.choose(i),
      highlight: (ids) => this.highlight(ids),
      closeDetail: () => this.unselect(),
      clearSelection: () => this.setSelection(null),
      zoomSelection: () => this.zoomSelection(),
      setSelection: (a, b) => this.setSelection([a, b]),
    });
    document.title = `${model.source || "timeline"} · stepscope`;
    must("source", HTMLElement).textContent = [model.source, ...model.gpus].filter(Boolean).join(" · ");
    this.life();
    this.bind();
    this.resize();
    if (model.findings.length) this.panel.choose(0, false);
    const first = model.findings[0];
    if (first?.target && first.severity !== "info") this.setMark(first.target, 0);
    this.restore(shared);
    new ResizeObserver(() => this.resize()).observe(must("stage", HTMLElement));
    this.watchDensity();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.retheme());
    window.addEventListener("resize", () => this.draw());
    window.addEventListener("hashchange", () => {
      if (location.hash.slice(1) !== this.written) this.restore(hash.read(location.hash));
    });
    this.changed();
  }

  // --- drawing ---

  private makeTheme(): Theme {
    const dark = this.themeChoice ? this.themeChoice === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    return new Theme(this.model, dark, this.lit?.size ? this.lit : null, ++this.epoch);
  }

  private retheme(): void {
    this.theme = this.makeTheme();
    this.painter.theme = this.theme;
    this.draw();
  }

  private resize(): void {
    const width = this.timeline.clientWidth;
    this.painter.resize(width, this.scroller.clientHeight);
    this.ruler.resize(width);
    this.minimap.resize(width);
    this.draw();
  }

  private density = 1;

  // watchDensity redraws when the page moves to a screen of another density, or is zoomed by the browser.
  private watchDensity(): void {
    const changed = (): void => {
      this.resize();
      this.watchDensity();
    };
    this.density = window.devicePixelRatio;
    window.matchMedia(`(resolution: ${this.density}dppx)`).addEventListener("change", changed, { once: true });
  }

  private relayout(): void {
    this.labels.update();
    this.draw();
  }

  private draw(): void {
    if (this.frame === 0) this.frame = requestAnimationFrame((now) => this.paint(now));
  }

  private paint(now: number): void {
    this.frame = 0;
    // Not every browser tells of a change of density at once.
    if (this.density !== window.devicePixelRatio) {
      this.density = window.devicePixelRatio;
      this.resize();
    }
    if (this.animation) this.animate(now);
    this.store.begin();
    this.painter.paint(this.scroller.scrollTop, this.scene);
    this.ruler.paint(this.theme, this.scene.selection, this.panel.chosen);
    this.minimap.paint(this.theme);
    this.store.flush();
    // The state is for tests and for scripts that take pictures.
    const complete = this.painter.complete && this.store.idle && !this.animation;
    document.body.dataset.picture = complete ? "complete" : "loading";
    if (complete && !this.pictured) {
      this.pictured = true;
      performance.mark("first-picture");
    }
    if (this.animation) this.draw();
  }

  // changed is called when the view moved.
  private changed(): void {
    this.draw();
    clearTimeout(this.settle);
    this.settle = window.setTimeout(() => this.settled(), 300);
    document.body.dataset.totals = "loading";
  }

  // settled tells in words and in the address what is shown now.
  private settled(): void {
    this.writeHash();
    const [lo, hi] = this.view.inside();
    const mini = this.minimap.canvas;
    const mid = Math.round(((lo + hi) / 2 / this.model.extent_ns) * 100);
    mini.setAttribute("aria-valuenow", String(Math.min(100, Math.max(0, mid))));
    mini.setAttribute("aria-valuetext", `${duration(this.view.span)} from ${duration(this.view.start - this.model.home_ns[0])} on`);
    void this.totals();
  }

  private async totals(): Promise<void> {
    this.asked?.abort();
    const asked = (this.asked = new AbortController());
    document.body.dataset.totals = "loading";
    const range = this.scene.selection ?? this.view.inside();
    const [from, to] = range.map((t) => Math.round(Math.min(this.model.extent_ns, Math.max(0, t)))) as [number, number];
    try {
      const s = await api.selection(from, to, asked.signal);
      if (asked.signal.aborted) return;
      this.panel.showTotals(s, this.scene.selection !== null);
      document.body.dataset.totals = "complete";
    } catch (e) {
      if (!asked.signal.aborted) this.problem(e);
    }
  }

  // --- the view ---

  private animate(now: number): void {
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

  private moveTo(start: number, span: number, ms = 260): void {
    if (ms === 0 || window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.animation = null;
      this.view.set(start, span);
    } else {
      this.animation = { from: [this.view.start, this.view.span], to: [start, span], start: performance.now(), ms };
    }
    this.changed();
  }

  // goal is where the view is or is moving to, so that held keys add up.
  private goal(): [number, number] {
    return this.animation ? this.animation.to : [this.view.start, this.view.span];
  }

  private panBy(f: number): void {
    const [start, span] = this.goal();
    this.moveTo(start + f * span, span, 120);
  }

  private zoomBy(f: number): void {
    const [start, span] = this.goal();
    const s = Math.max(View.shortest, span * f);
    this.moveTo(start + (span - s) / 2, s, 120);
  }

  private fit(): void {
    const [start, dur] = this.model.home_ns;
    this.moveTo(start - dur * 0.01, dur * 1.02);
    this.say("Whole recording");
  }

  // --- findings ---

  private setMark(t: Target, i: number): void {
    const f = this.model.findings[i];
    if (!f) return;
    this.scene.mark = { start: t.mark_dur_ns > 0 ? t.mark_start_ns : t.start_ns, dur: t.mark_dur_ns > 0 ? t.mark_dur_ns : t.dur_ns, lane: t.lane, text: `${i + 1}  ${t.mark || f.title}` };
  }

  private show(t: Target, i: number): void {
    this.panel.choose(i);
    this.setMark(t, i);
    if (t.lane >= 0) this.reveal(t.lane);
    this.moveTo(t.start_ns, t.dur_ns);
    const f = this.model.findings[i];
    this.say(`Finding ${i + 1}, ${f?.title ?? ""}: ${t.text}`);
  }

  private choose(i: number): void {
    if (this.panel.chosen === i && this.scene.mark === null) {
      this.panel.choose(-1);
      return;
    }
    const t = this.model.findings[i]?.target;
    if (t) {
      this.show(t, i);
      return;
    }
    this.panel.choose(this.panel.chosen === i ? -1 : i);
    this.scene.mark = null;
    this.writeHash();
    this.draw();
  }

  private stepFinding(by: number): void {
    const n = this.model.findings.length;
    if (n === 0) {
      this.say("No findings");
      return;
    }
    const now = this.panel.chosen;
    const next = now < 0 ? (by > 0 ? 0 : n - 1) : (now + by + n) % n;
    const t = this.model.findings[next]?.target;
    if (t) this.show(t, next);
    else {
      this.panel.choose(next);
      this.scene.mark = null;
      this.say(`Finding ${next + 1}, ${this.model.findings[next]?.title ?? ""}: no single place`);
      this.draw();
    }
  }

  // --- events ---

  // select shows the details of an event.
  private async select(r: Ref): Promise<void> {
    this.scene.event = { lane: r.lane, row: r.row, at: r.at, start_ns: r.start_ns, dur_ns: r.dur_ns };
    this.scene.arrows = [];
    this.scene.focus = r.lane;
    this.labels.mark(r.lane);
    this.draw();
    try {
      const d = await api.event(r);
      const e = this.scene.event;
      if (!e || e.lane !== d.lane || e.row !== d.row || e.at !== d.at) return;
      this.scene.event = { lane: d.lane, row: d.row, at: d.at, start_ns: d.start_ns, dur_ns: d.dur_ns };
      this.scene.arrows = d.links.filter((l) => l.arrow);
      this.panel.showDetail(d);
      this.say(`${d.kind} ${d.title}, ${d.category}, ${duration(d.dur_ns)}, at ${duration(d.start_ns - this.model.home_ns[0])}`);
      this.writeHash();
      this.draw();
    } catch (e) {
      this.problem(e);
    }
  }

  private unselect(): void {
    this.scene.event = null;
    this.scene.arrows = [];
    this.panel.showDetail(null);
    this.writeHash();
    this.draw();
  }

  // go brings an event into sight and selects it.
  private async go(r: Ref): Promise<void> {
    this.reveal(r.lane);
    const [start, span] = this.goal();
    const px = (r.dur_ns / span) * this.view.width;
    const out = r.start_ns < start || r.start_ns + r.dur_ns > start + span;
    let s = span;
    if (px > this.view.width * 0.9) s = r.dur_ns * 1.4;
    else if (px < 8) s = Math.max(View.shortest, Math.max(1, r.dur_ns) * 30);
    if (out || s !== span) this.moveTo(r.start_ns + r.dur_ns / 2 - s / 2, s);
    await this.select(r);
  }

  private reveal(n: number): void {
    if (this.layout.reveal(n)) this.relayout();
    const p = this.layout.lane(n);
    if (!p) return;
    const top = this.scroller.scrollTop;
    const height = this.scroller.clientHeight;
    if (p.y < top + 20) this.scroller.scrollTop = Math.max(0, p.y - 40);
    else if (p.y + p.h > top + height) this.scroller.scrollTop = p.y + p.h - height + 24;
  }

  private focusLane(n: number): void {
    this.scene.focus = n;
    this.labels.mark(n);
    this.reveal(n);
    const l = this.model.lanes[n];
    if (l) this.say(`Lane ${l.title}, ${count(l.count)} events. ${l.hint ?? ""}`);
    this.draw();
  }

  private moveLane(by: number): void {
    const lanes = this.layout.lanes();
    const at = this.scene.focus === null ? -1 : lanes.indexOf(this.scene.focus);
    const n = lanes[Math.min(lanes.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    if (n !== undefined) this.focusLane(n);
  }

  // moveEvent goes to a neighbour in the lane under the keyboard, or to the event in the middle of the view.
  private async moveEvent(by: number): Promise<void> {
    const n = this.scene.focus ?? this.layout.lanes().find((x) => !this.model.lanes[x]?.curve);
    if (n === undefined) return;
    const l = this.model.lanes[n];
    if (!l || l.curve) {
      this.say("This lane is a curve");
      return;
    }
    const e = this.scene.event;
    if (e && e.lane === n) {
      const d = await api.event({ ...e, at: e.at + by }).catch(() => null);
      if (d) await this.go(d);
      else this.say(by > 0 ? "Last event of the row" : "First event of the row");
      return;
    }
    const t = Math.round(Math.min(this.model.extent_ns, Math.max(0, this.view.start + this.view.span / 2)));
    const f = await api.near(n, 0, t);
    if (f.event) await this.go(f.event);
  }

  private async moveRow(by: number): Promise<void> {
    const e = this.scene.event;
    const rows = e ? (this.model.lanes[e.lane]?.rows ?? 0) : 0;
    if (!e || e.row + by < 0 || e.row + by >= rows) {
      this.say("No further row");
      return;
    }
    const f = await api.near(e.lane, e.row + by, Math.round(Math.max(0, e.start_ns + e.dur_ns / 2)));
    if (f.event) await this.go(f.event);
  }

  private async jump(dir: Direction): Promise<void> {
    const e = this.scene.event;
    const onStep = e && this.model.lanes[e.lane]?.role === "steps";
    const from = onStep ? e.start_ns : this.view.start + this.view.span / 2;
    const f = await api.jump(Math.round(Math.min(this.model.extent_ns, Math.max(0, from))), dir);
    if (f.event) await this.go(f.event);
    else this.say(dir === "next" ? "No later step" : "No earlier step");
  }

  // --- selection ---

  private setSelection(s: [number, number] | null): void {
    const clamp = (t: number): number => Math.min(this.model.extent_ns, Math.max(0, t));
    this.scene.selection = s ? [clamp(Math.min(...s)), clamp(Math.max(...s))] : null;
    if (this.scene.selection) this.say(`Selected ${duration(this.scene.selection[1] - this.scene.selection[0])}`);
    this.writeHash();
    void this.totals();
    this.draw();
  }

  private zoomSelection(): void {
    const r = this.scene.selection;
    const e = this.scene.event;
    if (r) this.moveTo(r[0] - (r[1] - r[0]) * 0.03, (r[1] - r[0]) * 1.06);
    else if (e) this.moveTo(e.start_ns - e.dur_ns * 0.3, Math.max(View.shortest, e.dur_ns * 1.6));
  }

  private growSelection(by: number): void {
    const step = (by * this.view.span) / 20;
    const r = this.scene.selection;
    if (!r) {
      const mid = this.view.start + this.view.span / 2;
      this.setSelection([mid, mid + step]);
      return;
    }
    // The right edge moves; past the left one the sides swap.
    this.setSelection([r[0], r[1] + step]);
  }

  // --- search ---

  private async runSearch(q: string): Promise<void> {
    this.query = q;
    this.scene.matches = new Map();
    this.scene.stages = new Set();
    this.minimap.hits = [];
    const out = must("search-result", HTMLElement);
    if (!q) {
      out.textContent = "";
    } else {
      try {
        const r = await api.search(q);
        if (this.query !== q) return;
        for (const m of r.matches) {
          const kind = searchKinds.indexOf(m.kind);
          const set = this.scene.matches.get(kind) ?? new Set<number>();
          set.add(m.key);
          this.scene.matches.set(kind, set);
        }
        this.scene.stages = new Set(r.stages);
        this.minimap.hits = r.hits;
        out.textContent = r.events ? `${count(r.events)} events, ${[r.names ? `${r.names} names` : "", r.stages.length === 1 ? "1 stage" : r.stages.length ? `${r.stages.length} stages` : ""].filter(Boolean).join(", ")}` : "nothing found";
      } catch (e) {
        this.problem(e);
      }
    }
    this.minimap.invalidate();
    this.writeHash();
    this.draw();
  }

  private async hit(dir: Direction): Promise<void> {
    if (!this.query) {
      this.search.focus();
      return;
    }
    const e = this.scene.event;
    const inView = e && e.start_ns + e.dur_ns >= this.view.start && e.start_ns <= this.view.end;
    const from = inView ? e.start_ns : this.view.start;
    const f = await api.find(this.query, Math.round(Math.min(this.model.extent_ns, Math.max(0, from))), dir);
    if (f.event) await this.go(f.event);
    else this.say(dir === "next" ? "No later hit" : "No earlier hit");
  }

  private highlight(ids: Set<string>): void {
    this.lit = ids;
    this.retheme();
  }

  // --- the pointer ---

  private hover(x: number, y: number): void {
    this.scene.hoverX = x;
    this.showTip(x, y, this.painter.hit(x, y, this.scroller.scrollTop));
    this.draw();
  }

  private showTip(x: number, y: number, h: Hit | undefined): void {
    const lane = h && this.model.lanes[h.lane];
    if (!h || !lane || !(h.span || h.bin || h.curve)) {
      this.tip.hidden = true;
      return;
    }
    const set = this.model.sets[lane.set] ?? [];
    const lines: (HTMLElement | string)[] = [];
    if (h.span) {
      const c = set[h.span.tag];
      lines.push(el("div", {}, el("b", {}, h.span.name)), el("div", {}, swatch(c?.color, c?.hatch), `${c?.label ?? ""}, ${duration(h.span.dur_ns)}`));
    } else if (h.bin) {
      lines.push(el("div", {}, `${count(h.bin.starts)} start within ${duration(h.bin.ns)}`));
      for (const s of h.bin.shares.slice(0, 5)) lines.push(el("div", {}, swatch(set[s.tag]?.color, set[s.tag]?.hatch), `${set[s.tag]?.label ?? ""} ${percent(s.share)}`));
    } else if (h.curve) {
      const u = lane.unit ?? "";
      const range = h.curve.min < h.curve.max ? ` (${quantity(h.curve.min, u)} to ${quantity(h.curve.max, u)})` : "";
      lines.push(el("div", {}, `${lane.title}: ${quantity(h.curve.mean, u)}${range}`));
    }
    this.tip.replaceChildren(...lines);
    this.tip.hidden = false;
    const stage = must("stage", HTMLElement).getBoundingClientRect();
    const canvas = this.painter.canvas.getBoundingClientRect();
    const px = canvas.left - stage.left + x;
    const py = canvas.top - stage.top + y;
    const w = this.tip.offsetWidth;
    const th = this.tip.offsetHeight;
    this.tip.style.left = `${Math.max(4, px + 14 + w > stage.width ? px - 14 - w : px + 14)}px`;
    this.tip.style.top = `${Math.max(4, py + 18 + th > stage.height ? py - 12 - th : py + 18)}px`;
  }

  private async click(x: number, y: number): Promise<void> {
    const h = this.painter.hit(x, y, this.scroller.scrollTop);
    if (h?.span) {
      await this.select(h.span);
      return;
    }
    if (h?.bin) {
      const f = await api.near(h.lane, h.row, Math.round(h.t)).catch(() => null);
      if (f?.event) {
        await this.select(f.event);
        return;
      }
    }
    if (h) {
      this.scene.focus = h.lane;
      this.labels.mark(h.lane);
    }
    this.unselect();
  }

  private doubleClick(x: number, y: number): void {
    const h = this.painter.hit(x, y, this.scroller.scrollTop);
    if (h?.span && h.span.dur_ns < this.view.span * 0.7) this.moveTo(h.span.start_ns - h.span.dur_ns * 0.3, Math.max(View.shortest, h.span.dur_ns * 1.6));
    else {
      const t = this.view.t(x);
      this.moveTo(t - (this.view.span / 4) * (x / this.view.width), this.view.span / 4);
    }
  }

  // --- wiring ---

  private bind(): void {
    const surface = {
      view: this.view,
      scroller: this.scroller,
      changed: () => {
        this.tip.hidden = true;
        this.changed();
      },
      selecting: (a: number, b: number, done: boolean) => {
        if (done) this.setSelection([a, b]);
        else {
          this.scene.selection = a < b ? [a, b] : [b, a];
          this.draw();
        }
      },
      click: (x: number, y: number) => void this.click(x, y),
      doubleClick: (x: number, y: number) => this.doubleClick(x, y),
      hover: (x: number, y: number) => this.hover(x, y),
      leave: () => {
        this.tip.hidden = true;
        this.scene.hoverX = null;
        this.draw();
      },
      stop: () => (this.animation = null),
    };
    attachCanvas(this.timeline, surface);
    attachRuler(this.ruler.canvas, surface, (x, y) => {
      const i = this.ruler.hit(x, y);
      if (i >= 0) this.choose(i);
    });
    attachMinimap(this.minimap.canvas, surface, (x) => this.minimap.t(x));
    this.scroller.addEventListener("scroll", () => {
      this.tip.hidden = true;
      this.draw();
    });
    const on = (id: string, f: () => void): void => must(id, HTMLButtonElement).addEventListener("click", f);
    on("fit", () => this.fit());
    on("zoom-in", () => this.zoomBy(0.5));
    on("zoom-out", () => this.zoomBy(2));
    on("step-previous", () => void this.jump("previous"));
    on("step-next", () => void this.jump("next"));
    on("finding-previous", () => this.stepFinding(-1));
    on("finding-next", () => this.stepFinding(1));
    on("hit-previous", () => void this.hit("previous"));
    on("hit-next", () => void this.hit("next"));
    on("theme", () => this.toggleTheme());
    const help = must("help", HTMLDialogElement);
    on("help-open", () => help.showModal());
    on("help-close", () => help.close());
    must("skip", HTMLAnchorElement).addEventListener("click", (e) => {
      // The address holds the view; a jump to an anchor would overwrite it.
      e.preventDefault();
      this.timeline.focus();
    });
    let typing = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(typing);
      typing = window.setTimeout(() => void this.runSearch(this.search.value.trim()), 200);
    });
    this.search.addEventListener("keydown", (e) => {
      if (e.key === "Enter") {
        clearTimeout(typing);
        const q = this.search.value.trim();
        void (q === this.query ? Promise.resolve() : this.runSearch(q)).then(() => this.hit(e.shiftKey ? "previous" : "next"));
      } else if (e.key === "Escape") {
        this.search.value = "";
        void this.runSearch("");
        this.timeline.focus();
        e.stopPropagation();
      }
    });
    document.addEventListener("keydown", (e) => this.key(e));
  }

  private toggleTheme(): void {
    this.themeChoice = this.theme.dark ? "light" : "dark";
    this.retheme();
    this.writeHash();
  }

  private key(e: KeyboardEvent): void {
    const target = e.target instanceof Element ? e.target : document.body;
    if (e.ctrlKey || e.metaKey || e.altKey || target.closest("input, textarea, dialog, pre")) return;
    // In the panel arrows scroll, and Home goes to its top.
    const navigating = !target.closest("#panel");
    const act = this.keyAction(e.key, e.shiftKey, navigating);
    if (!act) return;
    e.preventDefault();
    act();
  }

  private keyAction(key: string, shift: boolean, navigating: boolean): (() => void) | undefined {
    if (navigating) {
      switch (key) {
        case "ArrowLeft":
          return () => (shift ? this.growSelection(-1) : this.panBy(-0.15));
        case "ArrowRight":
          return () => (shift ? this.growSelection(1) : this.panBy(0.15));
        case "ArrowUp":
          return () => this.zoomBy(0.75);
        case "ArrowDown":
          return () => this.zoomBy(1 / 0.75);
        case "Home":
          return () => this.fit();
      }
    }
    switch (key.toLowerCase()) {
      case "a":
        return () => this.panBy(-0.15);
      case "d":
        return () => this.panBy(0.15);
      case "w":
      case "+":
        return () => this.zoomBy(0.75);
      case "s":
      case "-":
        return () => this.zoomBy(1 / 0.75);
      case "f":
        return () => this.fit();
      case "z":
        return () => this.zoomSelection();
      case ",":
        return () => void this.jump("previous");
      case ".":
        return () => void this.jump("next");
      case "p":
        return () => this.stepFinding(-1);
      case "n":
        return () => this.stepFinding(1);
      case "k":
        return () => this.moveLane(-1);
      case "j":
        return () => this.moveLane(1);
      case "[":
        return () => void this.moveEvent(-1);
      case "]":
        return () => void this.moveEvent(1);
      case "{":
        return () => void this.moveRow(-1);
      case "}":
        return () => void this.moveRow(1);
      case "/":
        return () => this.search.focus();
      case "g":
        return () => void this.hit(shift ? "previous" : "next");
      case "t":
        return () => this.toggleTheme();
      case "?":
        return () => must("help", HTMLDialogElement).showModal();
      case "escape":
        return () => {
          if (this.scene.event) this.unselect();
          else if (this.scene.selection) this.setSelection(null);
          else if (this.scene.mark) {
            this.scene.mark = null;
            this.draw();
          }
        };
    }
    return undefined;
  }

  // --- address, words, problems ---

  private written = "";

  private writeHash(): void {
    const s: hash.Shared = { view: [this.view.start, this.view.span] };
    const e = this.scene.event;
    const lane = e && this.model.lanes[e.lane];
    if (e && lane) s.event = { lane: lane.key, row: e.row, at: e.at };
    if (this.scene.selection) s.range = this.scene.selection;
    if (this.query) s.query = this.query;
    if (this.themeChoice) s.theme = this.themeChoice;
    const f = this.scene.mark && this.model.findings[this.panel.chosen];
    if (f && this.panel.chosen > 0) s.finding = f.id;
    this.written = hash.write(s);
    history.replaceState(null, "", `#${this.written}`);
  }

  private restore(s: hash.Shared): void {
    if (s.theme && s.theme !== this.themeChoice) {
      this.themeChoice = s.theme;
      this.retheme();
    }
    if (s.view) this.view.set(...s.view);
    if (s.range) this.setSelection(s.range);
    if (s.finding) {
      const i = this.model.findings.findIndex((f) => f.id === s.finding);
      const t = this.model.findings[i]?.target;
      if (t) {
        this.panel.choose(i);
        this.setMark(t, i);
      }
    }
    if (s.event) {
      const lane = this.model.lanes.findIndex((l) => l.key === s.event?.lane);
      if (lane >= 0) {
        this.reveal(lane);
        void this.select({ lane, row: s.event.row, at: s.event.at, start_ns: 0, dur_ns: 0 });
      }
    }
    if (s.query && s.query !== this.query) {
      this.search.value = s.query;
      void this.runSearch(s.query);
    }
    this.changed();
  }

  private say(text: string): void {
    must("status", HTMLElement).textContent = text;
  }

  private problemTimer = 0;

  private problem(e: unknown): void {
    const box = must("problem", HTMLElement);
    box.textContent = e instanceof TypeError ? "The server does not answer: is stepscope still running?" : `${e instanceof Error ? e.message : String(e)}`;
    box.hidden = false;
    clearTimeout(this.problemTimer);
    this.problemTimer = window.setTimeout(() => (box.hidden = true), 6000);
  }

  // life shows what the server's log tells of its life; the lengths are in the text, as the scales differ too much. Stamps of
  // logs have whole seconds, so that no time between two of them is less than one.
  private life(): void {
    if (!this.model.life.length) return;
    must("life-part", HTMLElement).hidden = false;
    const list = must("life", HTMLElement);
    for (const c of this.model.life) {
      const li = el("li", { title: c.source, ...(c.capture ? { class: "capture" } : {}) }, c.label, el("span", { class: "faint" }, c.dur_ns < 0 ? "" : c.dur_ns === 0 ? "< 1 s" : duration(c.dur_ns)));
      li.style.borderTopColor = c.color;
      li.style.flexGrow = String(1 + Math.log10(1 + Math.max(0, c.dur_ns) / 1e9));
      list.append(li);
    }
  }
}
