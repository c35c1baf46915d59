import { el, must, swatch } from "./dom";
import { count, duration, percent } from "./format";
import type { Category, Detail, Finding, Model, Note, Ref, Selection, Table, Target } from "./types";

// Actions are what the panel asks of the application.
export interface Actions {
  show(t: Target, finding: number): void;
  go(r: Ref): void;
  choose(finding: number): void;
  highlight(ids: Set<string>): void;
  closeDetail(): void;
  clearSelection(): void;
  zoomSelection(): void;
  setSelection(from: number, to: number): void;
}

// Panel is the side panel: findings, the chosen event, totals of the view or selection, legend, the capture itself.
export class Panel {
  private readonly findings = must("findings", HTMLOListElement);
  private readonly detail = must("detail", HTMLElement);
  private readonly total = totalsParts();
  private readonly lit = new Set<string>();
  private open = -1;

  constructor(private readonly model: Model, private readonly act: Actions) {
    must("verdict", HTMLElement).textContent = model.verdict || (model.findings.length ? "" : "No findings.");
    model.findings.forEach((f, i) => this.findings.append(this.finding(f, i)));
    if (!model.findings.length) must("findings-part", HTMLElement).hidden = !model.verdict;
    this.buildTotals();
    this.legend();
    this.about();
  }

  private finding(f: Finding, i: number): HTMLElement {
    const body = el("div", { class: "finding-body", id: `finding-${i}`, hidden: true });
    const button = el(
      "button", { type: "button", class: "finding-head", "aria-expanded": "false", "aria-controls": body.id, click: () => this.act.choose(i) },
      el("span", { class: `badge ${f.severity}` }, f.severity === "info" ? "i" : String(i + 1)),
      el("span", { class: "finding-title" }, f.title),
      el("span", { class: "finding-share" }, f.share > 0 ? percent(f.share) : ""),
    );
    body.append(el("p", {}, f.summary));
    const facts = [`Severity ${f.severity}`, `confidence ${f.confidence}`];
    if (f.caused_by) facts.push(`explained by ${f.caused_by}`);
    body.append(el("p", { class: "faint" }, facts.join(", ")));
    if (f.target) {
      const t = f.target;
      body.append(el("button", { type: "button", class: "primary", click: () => this.act.show(t, i) }, `Show it: ${t.text || "where it is"}`));
    }
    if (f.evidence.length) {
      const list = el("ul", { class: "evidence" });
      for (const e of f.evidence) {
        const t = e.target;
        const unit = e.unit ? `\u00a0${e.unit}` : "";
        const value = e.value !== 0 || e.unit ? `${Number(e.value.toPrecision(4))}${unit}` : "";
        list.append(
          el("li", {}, el("span", {}, e.text), value ? el("b", {}, ` ${value}`) : null,
            t ? el("button", { type: "button", class: "link", click: () => this.act.show(t, i) }, e.rows ?? "show") : e.rows ? el("span", { class: "faint" }, ` ${e.rows}`) : null),
        );
      }
      body.append(el("h4", {}, "Evidence"), list);
    }
    if (f.advice.length) {
      const list = el("ul", { class: "advice" });
      for (const a of f.advice) {
        list.append(
          el("li", {}, a.flag ? el("code", {}, a.flag) : null, el("span", {}, ` ${a.text}`),
            a.predicted ? el("span", { class: "faint block" }, a.predicted) : null,
            a.risk ? el("span", { class: "faint block" }, `Risk: ${a.risk}`) : null,
            a.command ? el("pre", { tabindex: "0", "aria-label": "command" }, a.command) : null),
        );
      }
      body.append(el("h4", {}, "Advice"), list);
    }
    return el("li", {}, el("h3", {}, button), body);
  }

  // choose opens a finding's text, and closes the one that was open.
  choose(i: number, reveal = true): void {
    this.open = i;
    this.findings.querySelectorAll<HTMLElement>(".finding-head").forEach((b, k) => {
      b.setAttribute("aria-expanded", String(k === i));
      const body = document.getElementById(`finding-${k}`);
      if (body) body.hidden = k !== i;
      if (k === i && reveal) b.scrollIntoView({ block: "nearest" });
    });
  }

  get chosen(): number {
    return this.open;
  }

  showDetail(d: Detail | null): void {
    this.detail.replaceChildren();
    this.detail.hidden = d === null;
    if (!d) return;
    const lane = this.model.lanes[d.lane];
    this.detail.append(
      el("div", { class: "row" }, el("h2", {}, d.kind), el("button", { type: "button", class: "icon", "aria-label": "Close the details", click: () => this.act.closeDetail() }, "×")),
      el("p", { class: "name" }, d.title),
    );
    const dl = el("dl", {});
    const add = (k: string, v: string): void => void dl.append(el("dt", {}, k), el("dd", {}, v));
    add("Lane", lane?.title ?? "");
    add("Category", d.category);
    add("Start", duration(d.start_ns - this.model.home_ns[0]));
    add("Duration", `${duration(d.dur_ns)} (${count(d.dur_ns)} ns)`);
    for (const f of d.facts) add(f.label, f.value);
    this.detail.append(dl);
    if (d.links.length) {
      const list = el("ul", { class: "links" });
      for (const r of d.links) list.append(el("li", {}, el("button", { type: "button", class: "link", click: () => this.act.go(r) }, r.label ?? "go there")));
      this.detail.append(el("h3", {}, "Linked"), list);
    }
    for (const t of d.tables ?? []) this.detail.append(table(t));
    this.detail.scrollIntoView({ block: "nearest" });
  }

  // buildTotals makes what stays while totals come and go: a field must not vanish under the hands of who types in it.
  private buildTotals(): void {
    const t = this.total;
    t.zoom.addEventListener("click", () => this.act.zoomSelection());
    t.clear.addEventListener("click", () => this.act.clearSelection());
    for (const f of [t.from, t.to]) f.addEventListener("change", () => this.readFields());
    must("totals", HTMLElement).replaceChildren(
      el("div", { class: "row" }, t.title, t.zoom, t.clear), t.text, el("p", { class: "range" }, "From ", t.from, " to ", t.to, " ms"), t.tables, t.more);
  }

  // showTotals tells what is in the view or the selection, in words and tables.
  showTotals(s: Selection, selected: boolean): void {
    const t = this.total;
    const zero = this.model.home_ns[0];
    if (selected && t.zoom.hidden) must("totals", HTMLElement).scrollIntoView({ block: "start" });
    t.title.textContent = selected ? "Selection" : "In view";
    t.zoom.hidden = t.clear.hidden = !selected;
    t.text.textContent = selected ? s.text : s.text.replace(" selected", " in view");
    const fields: [HTMLInputElement, number][] = [[t.from, s.start_ns - zero], [t.to, s.start_ns + s.dur_ns - zero]];
    for (const [f, v] of fields) if (f !== document.activeElement) f.value = String(v / 1e6);
    t.tables.replaceChildren(...s.tables.slice(0, 1).map(table));
    t.more.hidden = s.tables.length < 2;
    t.rest.replaceChildren(...s.tables.slice(1).map(table));
  }

  private readFields(): void {
    const read = (f: HTMLInputElement): number => f.valueAsNumber * 1e6 + this.model.home_ns[0];
    const from = read(this.total.from);
    const to = read(this.total.to);
    if (from < to) this.act.setSelection(from, to);
  }

  private legend(): void {
    const box = must("legend", HTMLElement);
    const used = new Set(this.model.lanes.map((l) => l.set));
    const titles: Record<string, string> = { part: "GPU", phase: "Steps", lifecycle: "Lifecycle", api: "API calls", range: "Annotations", host: "Host", request: "Requests" };
    const shares = new Map<string, number>();
    for (const t of this.model.legend) for (const r of t.rows) shares.set(r.label, r.share);
    for (const [id, title] of Object.entries(titles)) {
      const set = this.model.sets[id];
      if (!set || !used.has(id)) continue;
      const list = el("ul", { class: "legend" });
      const entries = set.filter((c) => id !== "range" || c.id === "marker" || c.id === "tint-1").filter((c) => id !== "part" || shares.has(c.label) || !shares.size);
      if (id === "part") entries.sort((a, b) => (shares.get(b.label) ?? 0) - (shares.get(a.label) ?? 0));
      for (const c of entries) list.append(el("li", {}, this.legendButton(c, id === "part" ? shares.get(c.label) : undefined)));
      box.append(el("h3", {}, title), list);
    }
  }

  private legendButton(c: Category, share: number | undefined): HTMLElement {
    const b = el("button", { type: "button", "aria-pressed": "false", title: "Highlight" }, swatch(c.color, c.hatch), el("span", {}, c.label), share !== undefined ? el("span", { class: "faint" }, percent(share)) : null);
    b.addEventListener("click", () => {
      if (this.lit.has(c.id)) this.lit.delete(c.id);
      else this.lit.add(c.id);
      b.setAttribute("aria-pressed", String(this.lit.has(c.id)));
      this.act.highlight(this.lit);
    });
    return b;
  }

  private about(): void {
    const box = must("about", HTMLElement);
    const m = this.model;
    const dl = el("dl", {});
    const add = (k: string, v: string | undefined): void => {
      if (v) dl.append(el("dt", {}, k), el("dd", {}, v));
    };
    add("File", m.source);
    add("Recorded by", m.producer);
    add("Window", duration(m.home_ns[1]));
    if (m.unix_ns) add("Recording from", new Date(Number(BigInt(m.unix_ns) / 1_000_000n)).toISOString());
    for (const [k, n] of Object.entries(m.counts)) if (n > 0) add(k.replace("_", " "), count(n));
    box.append(dl);
    const list = (title: string, notes: Note[]): void => {
      if (!notes.length) return;
      box.append(el("h3", {}, title), el("ul", { class: "notes" }, ...notes.map((n) => el("li", {}, n.severity ? el("b", {}, `${n.severity}: `) : null, n.text, n.remedy ? el("span", { class: "faint block" }, n.remedy) : null))));
    };
    list("Quality of the capture", m.quality);
    list("Not recorded", m.not_recorded);
    list("Notes", m.notes.map((text) => ({ text })));
  }
}

// totalsParts are the elements of the section of totals.
function totalsParts() {
  const rest = el("div", {});
  const field = (id: string, label: string): HTMLInputElement => el("input", { type: "number", step: "any", id, "aria-label": label });
  return {
    title: el("h2", {}, "In view"),
    zoom: el("button", { type: "button", hidden: true }, "Zoom to it"),
    clear: el("button", { type: "button", hidden: true }, "Clear"),
    text: el("p", { id: "totals-text" }, "Loading…"),
    from: field("from-ms", "Selection from, ms"),
    to: field("to-ms", "Selection to, ms"),
    tables: el("div", {}),
    rest,
    more: el("details", { hidden: true }, el("summary", {}, "More totals"), rest),
  };
}

function table(t: Table): HTMLElement {
  const body = el("tbody", {});
  for (const r of t.rows) {
    const bar = el("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${Math.max(1, r.share * 100)}%`;
    bar.style.backgroundColor = r.color ?? "currentColor";
    body.append(
      el("tr", {}, el("th", { scope: "row" }, swatch(r.color, r.hatch), r.label), el("td", {}, duration(r.ns)), el("td", {}, percent(r.share)), r.count ? el("td", {}, `${count(r.count)} ×`) : null),
      el("tr", { class: "bars", "aria-hidden": "true" }, el("td", { colspan: "4" }, bar)),
    );
  }
  return el("table", {}, el("caption", {}, `${t.title}: ${duration(t.total_ns)}`), body);
}
