import { Choice } from "./choice";
import { must } from "./dom";
import { Findings } from "./findings";
import { duration } from "./format";
import { Frame } from "./frame";
import * as hash from "./hash";
import { attachKeys } from "./keys";
import { Lanes } from "./lanes";
import { Layout } from "./layout";
import { showLife } from "./life";
import { Motion } from "./motion";
import { Panel } from "./panel";
import { Pointer } from "./pointer";
import { Search } from "./search";
import { Stepper } from "./stepper";
import type { Model } from "./types";
import { View } from "./view";

// App connects the parts, and keeps the address in step with what is shown and chosen.
export class App {
  private readonly view: View;
  private readonly motion: Motion;
  private readonly frame: Frame;
  private readonly lanes: Lanes;
  private readonly panel: Panel;
  private readonly choice: Choice;
  private readonly findings: Findings;
  private readonly stepper: Stepper;
  private readonly search: Search;
  private settle = 0;
  private written = ""; // what the address was set to last

  constructor(private readonly model: Model) {
    const shared = hash.read(location.hash);
    const layout = new Layout(model);
    const write = (): void => this.writeHash();
    this.view = new View(model.extent_ns, model.home_ns);
    this.motion = new Motion(this.view, () => this.changed());
    this.frame = new Frame(model, this.view, layout, this.motion, shared.theme, () => this.panel.chosen);
    this.lanes = new Lanes(model, layout, this.frame);
    this.panel = new Panel(model, {
      show: (t, i) => this.findings.show(t, i),
      go: (r) => void this.stepper.go(r),
      choose: (i) => this.findings.choose(i),
      highlight: (ids) => this.frame.highlight(ids),
      closeDetail: () => this.choice.unselect(),
      clearSelection: () => this.choice.setRange(null),
      zoomSelection: () => this.choice.zoom(),
      setSelection: (a, b) => this.choice.setRange([a, b]),
    });
    this.choice = new Choice(model, this.view, this.frame, this.lanes, this.panel, this.motion, write);
    this.findings = new Findings(model, this.frame, this.lanes, this.panel, this.motion, write);
    this.stepper = new Stepper(model, this.view, this.frame, this.lanes, this.choice, this.motion);
    this.search = new Search(model, this.view, this.frame, this.stepper, write);
    document.title = `${model.source || "timeline"} · stepscope`;
    must("source", HTMLElement).textContent = [model.source, ...model.gpus].filter(Boolean).join(" · ");
    showLife(model);
    new Pointer(model, this.view, this.frame, this.lanes, this.choice, this.findings, this.motion);
    this.bindButtons();
    attachKeys({ frame: this.frame, motion: this.motion, lanes: this.lanes, choice: this.choice, findings: this.findings, stepper: this.stepper, search: this.search, toggleTheme: () => this.toggleTheme() });
    this.frame.resize();
    if (model.findings.length) this.panel.choose(0, false);
    const first = model.findings[0];
    if (first?.target && first.severity !== "info") this.findings.mark(first.target, 0);
    this.restore(shared);
    this.frame.watch();
    window.addEventListener("hashchange", () => {
      if (location.hash.slice(1) !== this.written) this.restore(hash.read(location.hash));
    });
    this.changed();
  }

  // changed is called when the view moved.
  private changed(): void {
    this.frame.draw();
    clearTimeout(this.settle);
    this.settle = window.setTimeout(() => this.settled(), 300);
    document.body.dataset.totals = "loading";
  }

  // settled tells in words and in the address what is shown now.
  private settled(): void {
    this.writeHash();
    const [lo, hi] = this.view.inside();
    const mini = this.frame.minimap.canvas;
    const mid = Math.round(((lo + hi) / 2 / this.model.extent_ns) * 100);
    mini.setAttribute("aria-valuenow", String(Math.min(100, Math.max(0, mid))));
    mini.setAttribute("aria-valuetext", `${duration(this.view.span)} from ${duration(this.view.start - this.model.home_ns[0])} on`);
    void this.choice.totals();
  }

  private bindButtons(): void {
    const on = (id: string, f: () => void): void => must(id, HTMLButtonElement).addEventListener("click", f);
    on("fit", () => this.motion.fit());
    on("zoom-in", () => this.motion.zoomBy(0.5));
    on("zoom-out", () => this.motion.zoomBy(2));
    on("step-previous", () => void this.stepper.step("previous"));
    on("step-next", () => void this.stepper.step("next"));
    on("finding-previous", () => this.findings.step(-1));
    on("finding-next", () => this.findings.step(1));
    on("hit-previous", () => void this.search.hit("previous"));
    on("hit-next", () => void this.search.hit("next"));
    on("theme", () => this.toggleTheme());
    const help = must("help", HTMLDialogElement);
    on("help-open", () => help.showModal());
    on("help-close", () => help.close());
    must("skip", HTMLAnchorElement).addEventListener("click", (e) => {
      // The address holds the view; a jump to an anchor would overwrite it.
      e.preventDefault();
      this.frame.timeline.focus();
    });
  }

  private toggleTheme(): void {
    this.frame.toggleTheme();
    this.writeHash();
  }

  private writeHash(): void {
    const { scene, themeChoice } = this.frame;
    const s: hash.Shared = { view: [this.view.start, this.view.span] };
    const e = scene.event;
    const lane = e && this.model.lanes[e.lane];
    if (e && lane) s.event = { lane: lane.key, row: e.row, at: e.at };
    if (scene.selection) s.range = scene.selection;
    if (this.search.query) s.query = this.search.query;
    if (themeChoice) s.theme = themeChoice;
    const f = scene.mark && this.model.findings[this.panel.chosen];
    if (f && this.panel.chosen > 0) s.finding = f.id;
    this.written = hash.write(s);
    history.replaceState(null, "", `#${this.written}`);
  }

  // restore shows what an address holds.
  private restore(s: hash.Shared): void {
    if (s.theme && s.theme !== this.frame.themeChoice) {
      this.frame.themeChoice = s.theme;
      this.frame.retheme();
    }
    if (s.view) this.view.set(...s.view);
    if (s.range) this.choice.setRange(s.range);
    if (s.finding) {
      const i = this.model.findings.findIndex((f) => f.id === s.finding);
      const t = this.model.findings[i]?.target;
      if (t) {
        this.panel.choose(i);
        this.findings.mark(t, i);
      }
    }
    if (s.event) {
      const lane = this.model.lanes.findIndex((l) => l.key === s.event?.lane);
      if (lane >= 0) {
        this.lanes.reveal(lane);
        void this.choice.select({ lane, row: s.event.row, at: s.event.at, start_ns: 0, dur_ns: 0 });
      }
    }
    if (s.query && s.query !== this.search.query) this.search.set(s.query);
    this.changed();
  }
}
