import { api } from "./api";
import { decodeTiles, type LaneTile } from "./tile";
import type { Model } from "./types";

// Entry is a tile of one lane with its bitmap.
export interface Entry {
  lane: number;
  level: number;
  index: number;
  tile: LaneTile;
  bitmap: HTMLCanvasElement | null;
  epoch: number; // of the colours the bitmap was drawn with, -1 = not drawn
  used: number; // frame
}

// Limits: the store keeps what is on the screen whatever they say.
const maxPixels = 24 << 20; // of bitmaps, 4 bytes each
const maxEntries = 4000;
const maxInFlight = 4;

// TileStore fetches tiles, a request per stretch of time for all lanes that miss it, and keeps those used last.
export class TileStore {
  private readonly entries = new Map<string, Entry>();
  private readonly pending = new Map<string, Set<number>>(); // "level/index" -> lanes wanted in this frame
  private readonly flying = new Map<string, Set<number>>();
  private readonly failed = new Map<string, number>(); // when, so that an error is not repeated on every frame
  private frame = 0;
  private inFlight = 0;

  constructor(private readonly model: Model, private readonly arrived: () => void, private readonly broken: (e: unknown) => void) {}

  get(lane: number, level: number, index: number): Entry | undefined {
    const e = this.entries.get(`${lane}/${level}/${index}`);
    if (e) e.used = this.frame;
    return e;
  }

  want(lane: number, level: number, index: number): void {
    const key = `${level}/${index}`;
    if (this.flying.get(key)?.has(lane)) return;
    const set = this.pending.get(key);
    if (set) set.add(lane);
    else this.pending.set(key, new Set([lane]));
  }

  // begin starts a frame: what was wanted before and not sent is wanted no more.
  begin(): void {
    this.frame++;
    this.pending.clear();
  }

  // idle reports whether everything that the last frame wanted is here.
  get idle(): boolean {
    return this.pending.size === 0 && this.flying.size === 0;
  }

  // flush sends what is wanted, in the order of wanting.
  flush(): void {
    for (const [key, lanes] of this.pending) {
      if (this.inFlight >= maxInFlight) return;
      if (this.flying.has(key)) continue; // the rest of this stretch follows when the first part is here
      if (performance.now() - (this.failed.get(key) ?? -1e9) < 2000) continue;
      this.pending.delete(key);
      void this.fetch(key, lanes);
    }
  }

  private async fetch(key: string, lanes: Set<number>): Promise<void> {
    const [level, index] = key.split("/").map(Number) as [number, number];
    this.flying.set(key, lanes);
    this.inFlight++;
    try {
      const set = decodeTiles(await api.tiles(level, index, ranges([...lanes].sort((a, b) => a - b))), this.model.tile_bins);
      for (const [lane, tile] of set.lanes) {
        this.entries.set(`${lane}/${level}/${index}`, { lane, level, index, tile, bitmap: null, epoch: -1, used: this.frame });
      }
      this.failed.delete(key);
    } catch (e) {
      this.failed.set(key, performance.now());
      this.broken(e);
    } finally {
      this.flying.delete(key);
      this.inFlight--;
      this.evict();
      this.arrived();
    }
  }

  private evict(): void {
    let pixels = 0;
    for (const e of this.entries.values()) pixels += e.bitmap ? e.bitmap.width * e.bitmap.height : 0;
    if (pixels <= maxPixels && this.entries.size <= maxEntries) return;
    const old = [...this.entries].filter(([, e]) => e.used < this.frame - 1).sort((a, b) => a[1].used - b[1].used);
    let n = this.entries.size;
    for (const [key, e] of old) {
      if (pixels <= maxPixels * 0.8 && n <= maxEntries * 0.8) break;
      if (e.bitmap) {
        pixels -= e.bitmap.width * e.bitmap.height;
        e.bitmap.width = 0; // gives the memory back now
      }
      this.entries.delete(key);
      n--;
    }
  }
}

// ranges writes sorted numbers the short way: 1-4,7.
function ranges(v: number[]): string {
  const out: string[] = [];
  for (let i = 0; i < v.length; ) {
    let j = i;
    while (j + 1 < v.length && v[j + 1] === (v[j] ?? 0) + 1) j++;
    out.push(i === j ? `${v[i]}` : `${v[i]}-${v[j]}`);
    i = j + 1;
  }
  return out.join(",");
}
