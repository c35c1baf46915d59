// The part of the address after # is the view, so that a copied address shows the same.

export interface Shared {
  view?: [number, number]; // start and span, ns
  event?: { lane: string; row: number; at: number };
  range?: [number, number];
  query?: string;
  theme?: "light" | "dark";
  finding?: string;
}

export function write(s: Shared): string {
  const q = new URLSearchParams();
  if (s.view) q.set("v", `${Math.round(s.view[0])},${Math.round(s.view[1])}`);
  if (s.event) q.set("e", `${s.event.lane},${s.event.row},${s.event.at}`);
  if (s.range) q.set("r", `${Math.round(s.range[0])},${Math.round(s.range[1])}`);
  if (s.finding) q.set("f", s.finding);
  if (s.query) q.set("q", s.query);
  if (s.theme) q.set("theme", s.theme);
  // Commas need no escape after #, and are easier to read.
  return q.toString().replaceAll("%2C", ",");
}

export function read(hash: string): Shared {
  const q = new URLSearchParams(hash.replace(/^#/, ""));
  const out: Shared = {};
  const pair = (key: string): [number, number] | undefined => {
    const v = q.get(key)?.split(",").map(Number);
    return v && v.length === 2 && v.every(Number.isFinite) ? [v[0] ?? 0, v[1] ?? 0] : undefined;
  };
  const v = pair("v");
  if (v && v[1] > 0) out.view = v;
  const r = pair("r");
  if (r && r[1] > r[0]) out.range = r;
  const e = q.get("e")?.split(",");
  if (e && e.length === 3 && e[0]) {
    const [row, at] = [Number(e[1]), Number(e[2])];
    if (Number.isInteger(row) && Number.isInteger(at)) out.event = { lane: e[0], row, at };
  }
  const f = q.get("f");
  if (f) out.finding = f;
  const query = q.get("q");
  if (query) out.query = query.slice(0, 200);
  const theme = q.get("theme");
  if (theme === "light" || theme === "dark") out.theme = theme;
  return out;
}
