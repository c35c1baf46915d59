// The documents of the API; web/modeljson.go, detail.go, selection.go and search.go write them.

export interface Category {
  id: string;
  label: string;
  color: string;
  hatch?: boolean;
}

export interface Group {
  key: string;
  title: string;
  hint?: string;
  open: boolean;
  lanes: number[];
}

export interface Lane {
  key: string;
  title: string;
  hint?: string;
  set: string;
  rows: number;
  height: number;
  count: number;
  hidden?: number;
  open: boolean;
  search: number;
  curve?: boolean;
  unit?: string;
  max?: number;
  hold?: boolean;
  interval_ns?: number;
  role?: string;
}

export interface Ref {
  label?: string;
  lane: number;
  row: number;
  at: number;
  start_ns: number;
  dur_ns: number;
  arrow?: boolean;
}

export interface Target {
  start_ns: number;
  dur_ns: number;
  mark_start_ns: number;
  mark_dur_ns: number;
  lane: number;
  event?: Ref;
  text: string;
  mark?: string;
}

export interface Evidence {
  text: string;
  value: number;
  unit: string;
  rows?: string;
  target?: Target;
}

export interface Advice {
  text: string;
  flag?: string;
  command?: string;
  risk?: string;
  predicted?: string;
}

export interface Finding {
  id: string;
  title: string;
  severity: string;
  confidence: string;
  share: number;
  summary: string;
  caused_by?: string;
  evidence: Evidence[];
  advice: Advice[];
  target?: Target;
}

export interface Amount {
  label: string;
  color?: string;
  hatch?: boolean;
  ns: number;
  count?: number;
  share: number;
}

export interface Table {
  title: string;
  total_ns: number;
  rows: Amount[];
}

export interface LifeChip {
  phase: string;
  label: string;
  color: string;
  dur_ns: number;
  source: string;
  capture?: boolean;
}

export interface Note {
  text: string;
  remedy?: string;
  severity?: string;
}

export interface Model {
  schema: string;
  source: string;
  format: string;
  producer?: string;
  verdict?: string;
  gpus: string[];
  origin_ns: string;
  unix_ns?: string;
  extent_ns: number;
  home_ns: [number, number];
  tile_bins: number;
  max_level: number;
  sets: Record<string, Category[]>;
  groups: Group[];
  lanes: Lane[];
  findings: Finding[];
  legend: Table[];
  life: LifeChip[];
  quality: Note[];
  not_recorded: Note[];
  notes: string[];
  counts: Record<string, number>;
}

export interface Detail extends Ref {
  kind: string;
  title: string;
  category: string;
  facts: { label: string; value: string }[];
  links: Ref[];
  tables?: Table[];
}

export interface Selection {
  start_ns: number;
  dur_ns: number;
  text: string;
  tables: Table[];
}

export interface Match {
  kind: string;
  key: number;
  name: string;
  count: number;
  ns: number;
}

export interface SearchResult {
  names: number;
  events: number;
  matches: Match[];
  hits: number[];
  stages: number[]; // tags of lanes of kernels
}

export interface Found {
  found: boolean;
  event?: Ref;
}
