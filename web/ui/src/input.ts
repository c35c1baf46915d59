import type { View } from "./view";

// Gestures turn pointers and the wheel into moves of the view.

export interface Surface {
  view: View;
  scroller: HTMLElement;
  changed(): void;
  selecting(from: number, to: number, done: boolean): void;
  click(x: number, y: number): void;
  doubleClick(x: number, y: number): void;
  hover(x: number, y: number): void;
  leave(): void;
  stop(): void; // a running animation ends
}

interface Held {
  x: number;
  y: number;
}

const still = 4; // pixels that a click may move

// attachCanvas handles the lanes: drag moves and scrolls, Shift+drag selects, two fingers zoom, the wheel zooms.
export function attachCanvas(target: HTMLElement, s: Surface): void {
  const held = new Map<number, Held>();
  let moved = 0;
  let from = 0;
  let mode: "none" | "pan" | "select" | "pinch" = "none";
  const local = (e: MouseEvent): Held => {
    const r = target.getBoundingClientRect();
    return { x: e.clientX - r.left, y: e.clientY - r.top };
  };
  const spread = (): { mid: number; dist: number } => {
    const [a, b] = [...held.values()];
    return a && b ? { mid: (a.x + b.x) / 2, dist: Math.max(8, Math.hypot(a.x - b.x, a.y - b.y)) } : { mid: 0, dist: 1 };
  };
  target.addEventListener("pointerdown", (e) => {
    if (e.button !== 0) return;
    s.stop();
    target.setPointerCapture(e.pointerId);
    const p = local(e);
    held.set(e.pointerId, p);
    if (held.size === 1) {
      moved = 0;
      from = s.view.t(p.x);
      mode = e.shiftKey ? "select" : "pan";
    } else {
      mode = "pinch";
      moved = still + 1;
    }
    target.classList.toggle("dragging", mode === "pan");
    target.classList.toggle("selecting", mode === "select");
  });
  target.addEventListener("pointermove", (e) => {
    const p = local(e);
    const before = held.get(e.pointerId);
    if (!before) {
      s.hover(p.x, p.y);
      return;
    }
    moved += Math.abs(p.x - before.x) + Math.abs(p.y - before.y);
    if (mode === "pinch") {
      const a = spread();
      held.set(e.pointerId, p);
      const b = spread();
      s.view.zoom(a.dist / b.dist, b.mid);
      s.view.pan(b.mid - a.mid);
      s.changed();
      return;
    }
    held.set(e.pointerId, p);
    if (moved <= still) return;
    if (mode === "select") {
      s.selecting(from, s.view.t(p.x), false);
      return;
    }
    s.view.pan(p.x - before.x);
    s.scroller.scrollTop -= p.y - before.y;
    s.changed();
  });
  const end = (e: PointerEvent): void => {
    const p = held.get(e.pointerId);
    if (!p) return;
    held.delete(e.pointerId);
    target.classList.remove("dragging", "selecting");
    if (held.size === 0) {
      if (mode === "select" && moved > still) s.selecting(from, s.view.t(p.x), true);
      else if (moved <= still && e.type === "pointerup") s.click(p.x, p.y);
      mode = "none";
    } else {
      mode = "pan";
    }
  };
  target.addEventListener("pointerup", end);
  target.addEventListener("pointercancel", end);
  target.addEventListener("pointerleave", () => s.leave());
  target.addEventListener("dblclick", (e) => {
    const p = local(e);
    s.doubleClick(p.x, p.y);
  });
  target.addEventListener("wheel", (e) => wheel(e, local(e).x, s), { passive: false });
}

function wheel(e: WheelEvent, x: number, s: Surface): void {
  if (e.altKey) return; // the lanes scroll
  e.preventDefault();
  s.stop();
  const unit = e.deltaMode === 1 ? 24 : e.deltaMode === 2 ? 400 : 1;
  const [dx, dy] = [e.deltaX * unit, e.deltaY * unit];
  if (e.shiftKey || Math.abs(dx) > Math.abs(dy)) s.view.pan(-(Math.abs(dx) > Math.abs(dy) ? dx : dy));
  else s.view.zoom(Math.exp(Math.max(-300, Math.min(300, dy)) * 0.0022), x);
  s.changed();
}

// attachRuler handles the time axis: drag selects, click chooses, the wheel zooms.
export function attachRuler(target: HTMLElement, s: Surface, click: (x: number, y: number) => void): void {
  let from: number | null = null;
  let x0 = 0;
  const at = (e: MouseEvent): number => e.clientX - target.getBoundingClientRect().left;
  target.addEventListener("pointerdown", (e) => {
    if (e.button !== 0) return;
    s.stop();
    target.setPointerCapture(e.pointerId);
    x0 = at(e);
    from = s.view.t(x0);
  });
  target.addEventListener("pointermove", (e) => {
    if (from !== null && Math.abs(at(e) - x0) > still) s.selecting(from, s.view.t(at(e)), false);
  });
  target.addEventListener("pointerup", (e) => {
    if (from === null) return;
    if (Math.abs(at(e) - x0) > still) s.selecting(from, s.view.t(at(e)), true);
    else click(x0, e.clientY - target.getBoundingClientRect().top);
    from = null;
  });
  target.addEventListener("pointercancel", () => (from = null));
  target.addEventListener("wheel", (e) => wheel(e, at(e), s), { passive: false });
}

// attachMinimap moves the view's centre to the pointer.
export function attachMinimap(target: HTMLElement, s: Surface, time: (x: number) => number): void {
  let down = false;
  const go = (e: PointerEvent): void => {
    const t = time(e.clientX - target.getBoundingClientRect().left);
    s.view.set(t - s.view.span / 2, s.view.span);
    s.changed();
  };
  target.addEventListener("pointerdown", (e) => {
    if (e.button !== 0) return;
    s.stop();
    target.setPointerCapture(e.pointerId);
    down = true;
    go(e);
  });
  target.addEventListener("pointermove", (e) => {
    if (down) go(e);
  });
  for (const type of ["pointerup", "pointercancel"] as const) target.addEventListener(type, () => (down = false));
  target.addEventListener(
    "wheel",
    (e) => {
      e.preventDefault();
      s.stop();
      s.view.zoom(Math.exp(Math.max(-300, Math.min(300, e.deltaY)) * 0.0022), s.view.width / 2);
      s.changed();
    },
    { passive: false },
  );
}
