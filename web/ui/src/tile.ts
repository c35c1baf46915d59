// The binary form of tiles; docs/tile-format.md describes it, web/tile.go writes it.

// Row is the spans of one line that are listed one by one, as columns, and the bins of the rest.
export interface Row {
  // at is the position in the row, start and dur are ns from the model's origin.
  at: Int32Array;
  start: Float64Array;
  dur: Float64Array;
  tag: Uint8Array;
  name: Uint16Array;
  // bin[i] has starts[i] spans that start in it, and the shares [share[i], share[i+1]) of tags and shareTag.
  bin: Uint16Array;
  starts: Float64Array;
  offset: Uint32Array;
  shareTag: Uint8Array;
  share: Uint8Array;
}

export interface SpanTile {
  kind: "spans";
  rows: Row[];
  keys: number[];
  names: string[];
}

export interface CurveTile {
  kind: "curve";
  before: number; // value at the left edge, NaN if none
  bin: Uint16Array;
  min: Float32Array;
  mean: Float32Array;
  max: Float32Array;
}

export type LaneTile = SpanTile | CurveTile;

export interface TileSet {
  level: number;
  index: number;
  lanes: Map<number, LaneTile>;
}

const magic = [0x53, 0x53, 0x54, 0x4c, 1]; // "SSTL", version 1
const text = new TextDecoder();

class Reader {
  private at = 0;
  private readonly view: DataView;
  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  get position(): number {
    return this.at;
  }
  byte(): number {
    const b = this.bytes[this.at++];
    if (b === undefined) throw new RangeError("tile ends early");
    return b;
  }
  // uvarint reads up to 2^53 exactly; what is larger does not occur in times of the timeline.
  uvarint(): number {
    let v = 0;
    let scale = 1;
    for (;;) {
      const b = this.byte();
      v += (b & 0x7f) * scale;
      if (b < 0x80) return v;
      scale *= 128;
    }
  }
  varint(): number {
    const u = this.uvarint();
    return u % 2 === 0 ? u / 2 : -(u + 1) / 2;
  }
  float(): number {
    const v = this.view.getFloat32(this.at, true);
    this.at += 4;
    return v;
  }
  slice(n: number): Uint8Array {
    if (this.at + n > this.bytes.length) throw new RangeError("tile ends early");
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }
}

export function decodeTiles(data: ArrayBuffer, bins: number): TileSet {
  const r = new Reader(new Uint8Array(data));
  for (const m of magic) if (r.byte() !== m) throw new Error("not a tile of this version");
  const level = r.uvarint();
  const index = r.uvarint();
  const n = r.uvarint();
  const lanes = new Map<number, LaneTile>();
  const origin = index * bins * 2 ** level;
  for (let i = 0; i < n; i++) {
    const lane = r.uvarint();
    const body = new Reader(r.slice(r.uvarint()));
    lanes.set(lane, body.byte() === 0 ? spans(body, origin) : curve(body));
  }
  return { level, index, lanes };
}

function spans(r: Reader, origin: number): SpanTile {
  const rows: Row[] = [];
  for (let n = r.uvarint(); n > 0; n--) rows.push(row(r, origin));
  const keys: number[] = [];
  const names: string[] = [];
  for (let n = r.uvarint(); n > 0; n--) {
    keys.push(r.uvarint());
    names.push(text.decode(r.slice(r.uvarint())));
  }
  return { kind: "spans", rows, keys, names };
}

function row(r: Reader, origin: number): Row {
  const n = r.uvarint();
  const out: Row = {
    at: new Int32Array(n), start: new Float64Array(n), dur: new Float64Array(n), tag: new Uint8Array(n), name: new Uint16Array(n),
    bin: new Uint16Array(0), starts: new Float64Array(0), offset: new Uint32Array(1), shareTag: new Uint8Array(0), share: new Uint8Array(0),
  };
  let at = -1;
  let end = origin;
  for (let i = 0; i < n; i++) {
    at += 1 + r.uvarint();
    const start = end + r.varint();
    const dur = r.uvarint();
    end = start + dur;
    out.at[i] = at;
    out.start[i] = start;
    out.dur[i] = dur;
    out.tag[i] = r.byte();
    out.name[i] = r.uvarint();
  }
  const bins = r.uvarint();
  out.bin = new Uint16Array(bins);
  out.starts = new Float64Array(bins);
  out.offset = new Uint32Array(bins + 1);
  const tags: number[] = [];
  const shares: number[] = [];
  let bin = -1;
  for (let i = 0; i < bins; i++) {
    bin += 1 + r.uvarint();
    out.bin[i] = bin;
    out.starts[i] = r.uvarint();
    for (let k = r.byte(); k > 0; k--) {
      tags.push(r.byte());
      shares.push(r.byte());
    }
    out.offset[i + 1] = tags.length;
  }
  out.shareTag = Uint8Array.from(tags);
  out.share = Uint8Array.from(shares);
  return out;
}

function curve(r: Reader): CurveTile {
  const before = r.float();
  const n = r.uvarint();
  const out: CurveTile = { kind: "curve", before, bin: new Uint16Array(n), min: new Float32Array(n), mean: new Float32Array(n), max: new Float32Array(n) };
  let bin = -1;
  for (let i = 0; i < n; i++) {
    bin += 1 + r.uvarint();
    out.bin[i] = bin;
    out.min[i] = r.float();
    out.mean[i] = r.float();
    out.max[i] = r.float();
  }
  return out;
}
