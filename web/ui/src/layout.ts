import type { Model } from "./types";

// Placed is one band of the sheet: a group's header or a lane. y and h are CSS pixels.
export interface Placed {
  kind: "group" | "lane";
  n: number;
  y: number;
  h: number;
}

const headerHeight = 26;
const laneGap = 5;
// A lane's title must fit beside it.
const leastLane = 19;

// Layout decides which lanes are shown and where.
export class Layout {
  placed: Placed[] = [];
  height = 0;
  readonly openGroups: boolean[];
  readonly openLanes: boolean[];
  private readonly ofLane: (Placed | undefined)[] = [];

  constructor(private readonly model: Model) {
    this.openGroups = model.groups.map((g) => g.open);
    this.openLanes = model.lanes.map((l) => l.open);
    this.update();
  }

  // laneHeight is the height of a lane's rows.
  laneHeight(n: number): number {
    const l = this.model.lanes[n];
    return l ? Math.max(1, l.rows) * l.height : 0;
  }

  update(): void {
    this.placed = [];
    this.ofLane.length = 0;
    let y = 0;
    this.model.groups.forEach((g, i) => {
      this.placed.push({ kind: "group", n: i, y, h: headerHeight });
      y += headerHeight;
      if (!this.openGroups[i]) return;
      for (const n of g.lanes) {
        if (!this.openLanes[n]) continue;
        const p: Placed = { kind: "lane", n, y, h: Math.max(leastLane, this.laneHeight(n)) + laneGap };
        this.placed.push(p);
        this.ofLane[n] = p;
        y += p.h;
      }
    });
    this.height = y + 8;
  }

  lane(n: number): Placed | undefined {
    return this.ofLane[n];
  }

  // header is the band of the group that a lane belongs to.
  header(n: number): Placed | undefined {
    const g = this.model.groups.findIndex((x) => x.lanes.includes(n));
    return this.placed.find((p) => p.kind === "group" && p.n === g);
  }

  // reveal opens a lane and its group; it reports whether anything changed.
  reveal(n: number): boolean {
    const g = this.model.groups.findIndex((x) => x.lanes.includes(n));
    if (g < 0 || (this.openGroups[g] && this.openLanes[n])) return false;
    this.openGroups[g] = true;
    this.openLanes[n] = true;
    this.update();
    return true;
  }

  // at returns the band at y of the sheet.
  at(y: number): Placed | undefined {
    return this.placed.find((p) => y >= p.y && y < p.y + p.h);
  }

  // lanes lists the shown lanes in order.
  lanes(): number[] {
    return this.placed.filter((p) => p.kind === "lane").map((p) => p.n);
  }
}
