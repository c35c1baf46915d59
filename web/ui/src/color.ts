import type { Category } from "./types";

// Ink is a category ready to draw with.
export interface Ink {
  css: string;
  pixel: number; // as an ImageData word
  shade: number; // second colour of the texture, an ImageData word
  text: string; // colour of letters on it
  hatch: boolean;
}

export type RGB = [number, number, number];

export function parse(hex: string): RGB {
  const v = /^#[0-9a-f]{6}$/i.test(hex) ? parseInt(hex.slice(1), 16) : 0x888888;
  return [v >> 16, (v >> 8) & 255, v & 255];
}

// word packs a colour as ImageData holds it; the machines that run browsers are little-endian.
export function word([r, g, b]: RGB, alpha = 255): number {
  return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

export function mix(a: RGB, b: RGB, f: number): RGB {
  return [0, 1, 2].map((i) => Math.round((a[i] ?? 0) + ((b[i] ?? 0) - (a[i] ?? 0)) * f)) as RGB;
}

export function luminance(c: RGB): number {
  const [r, g, b] = c.map((v) => {
    const x = v / 255;
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  }) as RGB;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function css([r, g, b]: RGB): string {
  return `rgb(${r} ${g} ${b})`;
}

// inks prepares a set; faded draws it as background of what is highlighted.
export function inks(set: Category[], paper: RGB, highlight: ReadonlySet<string> | null): Ink[] {
  return set.map((c) => {
    const own = parse(c.color);
    const rgb = highlight && !highlight.has(c.id) ? mix(own, paper, 0.8) : own;
    const light = luminance(rgb) > 0.36;
    const shade = mix(rgb, light ? [0, 0, 0] : [255, 255, 255], 0.2);
    return { css: css(rgb), pixel: word(rgb), shade: word(shade), text: light ? "#101418" : "#ffffff", hatch: c.hatch === true };
  });
}
