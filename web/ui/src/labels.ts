import { el } from "./dom";
import { count } from "./format";
import type { Layout } from "./layout";
import type { Model } from "./types";

// Labels is the column of lane titles beside the canvas, with buttons that open and close groups and lanes.
export class Labels {
  private readonly groups: HTMLElement[] = [];
  private readonly lanes: HTMLElement[] = [];

  constructor(private readonly box: HTMLElement, private readonly model: Model, private readonly layout: Layout, changed: () => void, focus: (lane: number) => void) {
    model.groups.forEach((g, i) => {
      const name = el("span", { class: "group-title" }, g.title);
      const toggle = el("button", { type: "button", class: "group-toggle", "aria-expanded": String(layout.openGroups[i]) }, el("span", { class: "arrow", "aria-hidden": "true" }), name, g.hint ? el("span", { class: "faint" }, g.hint) : null);
      toggle.addEventListener("click", () => {
        layout.openGroups[i] = !layout.openGroups[i];
        layout.update();
        changed();
      });
      const row = el("div", { class: "group-label", title: g.hint ? `${g.title} · ${g.hint}` : g.title }, toggle);
      const closed = g.lanes.filter((n) => !model.lanes[n]?.open);
      if (closed.length) {
        const more = el("button", { type: "button", class: "more" }, `+${closed.length}`);
        more.setAttribute("aria-label", `Show ${closed.length} more lanes of ${g.title}`);
        more.setAttribute("aria-pressed", "false");
        more.addEventListener("click", () => {
          const show = more.getAttribute("aria-pressed") !== "true";
          for (const n of closed) layout.openLanes[n] = show;
          more.setAttribute("aria-pressed", String(show));
          layout.openGroups[i] = true;
          layout.update();
          changed();
        });
        row.append(more);
      }
      this.groups.push(row);
      box.append(row);
      for (const n of g.lanes) {
        const l = model.lanes[n];
        if (!l) continue;
        const b = el("button", { type: "button", class: "lane-label", title: `${l.title}: ${l.hint ?? ""}, ${count(l.count)} events` }, el("span", {}, l.title));
        b.append(el("span", { class: "faint" }, l.hint ?? ""));
        b.addEventListener("click", () => focus(n));
        this.lanes[n] = b;
        box.append(b);
      }
    });
    this.update();
  }

  update(): void {
    this.box.style.height = `${this.layout.height}px`;
    for (const g of this.groups) g.hidden = true;
    for (const l of this.lanes) if (l) l.hidden = true;
    for (const p of this.layout.placed) {
      const e = p.kind === "group" ? this.groups[p.n] : this.lanes[p.n];
      if (!e) continue;
      e.hidden = false;
      e.style.top = `${p.y}px`;
      e.style.height = `${p.h - (p.kind === "lane" ? 4 : 0)}px`;
      e.classList.toggle("small", p.kind === "lane" && p.h < 36);
      if (p.kind === "group") e.querySelector(".group-toggle")?.setAttribute("aria-expanded", String(this.layout.openGroups[p.n]));
    }
  }

  mark(lane: number | null): void {
    this.lanes.forEach((e, n) => e?.classList.toggle("focused", n === lane));
  }

  title(n: number): string {
    return this.model.lanes[n]?.title ?? "";
  }
}
