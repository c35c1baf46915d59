// How numbers are printed; web/detail.go prints the same way.

export function duration(ns: number): string {
  const v = Math.abs(ns);
  for (const [from, name] of [[1e9, "s"], [1e6, "ms"], [1e3, "µs"]] as const) {
    if (v >= from) return `${(ns / from).toFixed(v < 100 * from ? 2 : 1)} ${name}`;
  }
  return `${Math.round(ns)} ns`;
}

export function percent(share: number): string {
  const p = share * 100;
  return `${p >= 10 || p === 0 ? p.toFixed(0) : p.toFixed(1)} %`;
}

export function count(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

// quantity prints the value of a curve with its unit.
export function quantity(v: number, unit: string): string {
  switch (unit) {
    case "percent":
      return `${v.toFixed(Number.isInteger(v) ? 0 : 1)} %`;
    case "bytes":
      return v < 10 * 2 ** 20 ? `${(v / 2 ** 10).toFixed(0)} KiB` : v < 10 * 2 ** 30 ? `${(v / 2 ** 20).toFixed(0)} MiB` : `${(v / 2 ** 30).toFixed(1)} GiB`;
    case "hz":
      return v >= 1e9 ? `${(v / 1e9).toFixed(2)} GHz` : `${(v / 1e6).toFixed(0)} MHz`;
    case "count":
      return Number.isInteger(v) ? String(v) : v.toFixed(1);
  }
  return `${Number.isInteger(v) ? v : v.toFixed(1)} ${unit}`;
}

// tickStep is a round distance in ns that gives about n ticks over span.
export function tickStep(span: number, n: number): number {
  const raw = Math.max(1, span / n);
  const base = 10 ** Math.floor(Math.log10(raw));
  for (const m of [1, 2, 5, 10]) if (base * m >= raw) return base * m;
  return base * 10;
}

// tickLabel prints an instant to the precision of the distance between ticks.
export function tickLabel(t: number, step: number): string {
  const [unit, name] = step >= 1e9 ? [1e9, "s"] : step >= 1e6 ? [1e6, "ms"] : step >= 1e3 ? [1e3, "µs"] : [1, "ns"];
  // Whole units of the next larger kind would hide in long numbers: 1234567 ns reads badly, 1.234567 ms does not.
  const large = Math.abs(t) >= unit * 1e4 ? unit * 1e3 : unit;
  const label = large === unit ? name : ({ s: "ks", ms: "s", µs: "ms", ns: "µs" } as Record<string, string>)[name] ?? name;
  const digits = Math.max(0, Math.min(6, Math.ceil(Math.log10(large / step))));
  return `${(t / large).toFixed(large === 1 ? 0 : digits)} ${label}`;
}
