import type { Choice } from "./choice";
import { must } from "./dom";
import type { Findings } from "./findings";
import type { Frame } from "./frame";
import type { Lanes } from "./lanes";
import type { Motion } from "./motion";
import type { Search } from "./search";
import type { Stepper } from "./stepper";

// Parts is what the keys steer.
export interface Parts {
  frame: Frame;
  motion: Motion;
  lanes: Lanes;
  choice: Choice;
  findings: Findings;
  stepper: Stepper;
  search: Search;
  toggleTheme(): void;
}

// attachKeys handles the keyboard; the page's help lists the keys.
export function attachKeys(p: Parts): void {
  document.addEventListener("keydown", (e) => {
    const target = e.target instanceof Element ? e.target : document.body;
    if (e.ctrlKey || e.metaKey || e.altKey || target.closest("input, textarea, dialog, pre")) return;
    // In the panel arrows scroll, and Home goes to its top.
    const navigating = !target.closest("#panel");
    const act = action(p, e.key, e.shiftKey, navigating);
    if (!act) return;
    e.preventDefault();
    act();
  });
}

function action(p: Parts, key: string, shift: boolean, navigating: boolean): (() => void) | undefined {
  if (navigating) {
    switch (key) {
      case "ArrowLeft":
        return () => (shift ? p.choice.growRange(-1) : p.motion.panBy(-0.15));
      case "ArrowRight":
        return () => (shift ? p.choice.growRange(1) : p.motion.panBy(0.15));
      case "ArrowUp":
        return () => p.motion.zoomBy(0.75);
      case "ArrowDown":
        return () => p.motion.zoomBy(1 / 0.75);
      case "Home":
        return () => p.motion.fit();
    }
  }
  switch (key.toLowerCase()) {
    case "a":
      return () => p.motion.panBy(-0.15);
    case "d":
      return () => p.motion.panBy(0.15);
    case "w":
    case "+":
      return () => p.motion.zoomBy(0.75);
    case "s":
    case "-":
      return () => p.motion.zoomBy(1 / 0.75);
    case "f":
      return () => p.motion.fit();
    case "z":
      return () => p.choice.zoom();
    case ",":
      return () => void p.stepper.step("previous");
    case ".":
      return () => void p.stepper.step("next");
    case "p":
      return () => p.findings.step(-1);
    case "n":
      return () => p.findings.step(1);
    case "k":
      return () => p.lanes.move(-1);
    case "j":
      return () => p.lanes.move(1);
    case "[":
      return () => void p.stepper.event(-1);
    case "]":
      return () => void p.stepper.event(1);
    case "{":
      return () => void p.stepper.row(-1);
    case "}":
      return () => void p.stepper.row(1);
    case "/":
      return () => p.search.focus();
    case "g":
      return () => void p.search.hit(shift ? "previous" : "next");
    case "t":
      return () => p.toggleTheme();
    case "?":
      return () => must("help", HTMLDialogElement).showModal();
    case "escape":
      return () => {
        const { event, selection, mark } = p.frame.scene;
        if (event) p.choice.unselect();
        else if (selection) p.choice.setRange(null);
        else if (mark) p.findings.unmark();
      };
  }
  return undefined;
}
