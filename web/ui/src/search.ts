import { api, type Direction } from "./api";
import { must } from "./dom";
import { count } from "./format";
import type { Frame } from "./frame";
import { problem, say } from "./notice";
import type { Stepper } from "./stepper";
import type { Model } from "./types";
import type { View } from "./view";

const kinds = ["kernel", "annotation", "operator", "API call"];

// Search marks what the text of the search field names, and goes from hit to hit. changed is called when the marks changed.
export class Search {
  private readonly field = must("search", HTMLInputElement);
  query = "";

  constructor(private readonly model: Model, private readonly view: View, private readonly frame: Frame, private readonly stepper: Stepper, private readonly changed: () => void) {
    let typing = 0;
    this.field.addEventListener("input", () => {
      clearTimeout(typing);
      typing = window.setTimeout(() => void this.run(this.field.value.trim()), 200);
    });
    this.field.addEventListener("keydown", (e) => {
      if (e.key === "Enter") {
        clearTimeout(typing);
        const q = this.field.value.trim();
        void (q === this.query ? Promise.resolve() : this.run(q)).then(() => this.hit(e.shiftKey ? "previous" : "next"));
      } else if (e.key === "Escape") {
        this.field.value = "";
        void this.run("");
        frame.timeline.focus();
        e.stopPropagation();
      }
    });
  }

  focus(): void {
    this.field.focus();
  }

  // set searches for q as if it was typed.
  set(q: string): void {
    this.field.value = q;
    void this.run(q);
  }

  private async run(q: string): Promise<void> {
    this.query = q;
    const { scene, minimap } = this.frame;
    scene.matches = new Map();
    scene.stages = new Set();
    minimap.hits = [];
    const out = must("search-result", HTMLElement);
    if (!q) {
      out.textContent = "";
    } else {
      try {
        const r = await api.search(q);
        if (this.query !== q) return;
        for (const m of r.matches) {
          const kind = kinds.indexOf(m.kind);
          const set = scene.matches.get(kind) ?? new Set<number>();
          set.add(m.key);
          scene.matches.set(kind, set);
        }
        scene.stages = new Set(r.stages);
        minimap.hits = r.hits;
        out.textContent = r.events ? `${count(r.events)} events, ${[r.names ? `${r.names} names` : "", r.stages.length === 1 ? "1 stage" : r.stages.length ? `${r.stages.length} stages` : ""].filter(Boolean).join(", ")}` : "nothing found";
      } catch (e) {
        problem(e);
      }
    }
    minimap.invalidate();
    this.changed();
    this.frame.draw();
  }

  // hit goes to the hit before or after the chosen event, or the first of the view.
  async hit(dir: Direction): Promise<void> {
    if (!this.query) {
      this.focus();
      return;
    }
    const e = this.frame.scene.event;
    const inView = e && e.start_ns + e.dur_ns >= this.view.start && e.start_ns <= this.view.end;
    const from = inView ? e.start_ns : this.view.start;
    const f = await api.find(this.query, Math.round(Math.min(this.model.extent_ns, Math.max(0, from))), dir);
    if (f.event) await this.stepper.go(f.event);
    else say(dir === "next" ? "No later hit" : "No earlier hit");
  }
}
