import { el, must } from "./dom";
import { duration } from "./format";
import type { Model } from "./types";

// showLife shows what the server's log tells of its life; the lengths are in the text, as the scales differ too much. Stamps
// of logs have whole seconds, so that no time between two of them is less than one.
export function showLife(model: Model): void {
  if (!model.life.length) return;
  must("life-part", HTMLElement).hidden = false;
  const list = must("life", HTMLElement);
  for (const c of model.life) {
    const li = el("li", { title: c.source, ...(c.capture ? { class: "capture" } : {}) }, c.label, el("span", { class: "faint" }, c.dur_ns < 0 ? "" : c.dur_ns === 0 ? "< 1 s" : duration(c.dur_ns)));
    li.style.borderTopColor = c.color;
    li.style.flexGrow = String(1 + Math.log10(1 + Math.max(0, c.dur_ns) / 1e9));
    list.append(li);
  }
}
