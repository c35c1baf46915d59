"use strict";
(() => {
  const $ = (sel, at = document) => [...at.querySelectorAll(sel)];
  const tip = document.getElementById("tip");

  // Tooltips: the titles of shapes, shown at once and near the pointer.
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const w = tip.offsetWidth, h = tip.offsetHeight;
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - w - 8)) + "px";
    tip.style.top = Math.max(4, y + 18 + h > innerHeight ? y - h - 10 : y + 18) + "px";
  };
  const hide = () => { tip.hidden = true; };
  const titles = new WeakMap();
  const titleOf = (el) => {
    if (titles.has(el)) return titles.get(el);
    const t = [...el.children].find((c) => c.tagName === "title");
    const text = t ? t.textContent : "";
    if (t) t.remove(); // else the browser shows its own as well
    titles.set(el, text);
    return text;
  };
  for (const svg of $("svg.chart")) {
    svg.addEventListener("pointermove", (e) => {
      if (e.target === svg || svg.dataset.strip && !e.target.classList.contains("seg")) return;
      const text = titleOf(e.target);
      if (text) show(text, e.clientX, e.clientY); else hide();
    });
    svg.addEventListener("pointerleave", hide);
  }

  // Commands: a button that copies.
  for (const pre of $("pre.command")) {
    const b = document.createElement("button");
    b.type = "button";
    b.className = "copy";
    b.textContent = "Copy command";
    b.addEventListener("click", async () => {
      const text = pre.textContent;
      let ok = false;
      try {
        await navigator.clipboard.writeText(text);
        ok = true;
      } catch {
        const r = document.createRange();
        r.selectNodeContents(pre);
        const s = getSelection();
        s.removeAllRanges();
        s.addRange(r);
        ok = document.execCommand("copy");
      }
      b.textContent = ok ? "Copied" : "Selected: press Ctrl+C";
      setTimeout(() => { b.textContent = "Copy command"; }, 2000);
    });
    pre.after(b);
  }

  // Light or dark, beside what the system prefers.
  const list = document.querySelector("nav ul");
  if (list) {
    const li = document.createElement("li"), b = document.createElement("button");
    li.className = "theme";
    b.type = "button";
    const dark = () => {
      const t = document.documentElement.dataset.theme;
      return t ? t === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    };
    const label = () => { b.textContent = dark() ? "Light" : "Dark"; };
    b.addEventListener("click", () => {
      document.documentElement.dataset.theme = dark() ? "light" : "dark";
      label();
    });
    label();
    li.append(b);
    list.append(li);
  }

  // Timeline: what the bin under the pointer holds.
  const el = document.getElementById("bins");
  if (!el) return;
  const data = JSON.parse(el.textContent);
  const time = (ns) => {
    const a = Math.abs(ns);
    return a >= 1e9 ? (ns / 1e9).toFixed(3) + " s" : a >= 1e6 ? (ns / 1e6).toFixed(2) + " ms" : (ns / 1e3).toFixed(1) + " us";
  };
  for (const s of data.strips) {
    const desc = document.getElementById(s.id + "-d"), svg = desc && desc.closest("svg");
    if (!svg || !s.ranks.length) continue;
    svg.dataset.strip = s.id;
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("visibility", "hidden");
    cursor.setAttribute("y1", "0");
    cursor.setAttribute("y2", String(svg.viewBox.baseVal.height - 20));
    svg.append(cursor);
    for (const r of s.ranks) {
      const n = r.bins.length, one = r.width.length === 1 && n > 1;
      r.edges = [0];
      for (let i = 0; i < n; i++) r.edges.push(Math.min(s.dur, r.edges[i] + r.width[one ? 0 : i]));
    }
    svg.addEventListener("pointermove", (e) => {
      const p = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const at = (p.x - s.left) / (s.right - s.left) * s.dur;
      const inside = at >= 0 && at < s.dur;
      cursor.setAttribute("visibility", inside ? "visible" : "hidden");
      cursor.setAttribute("x1", String(p.x));
      cursor.setAttribute("x2", String(p.x));
      if (e.target.classList.contains("seg")) return;
      const r = s.ranks.find((k) => p.y >= k.y && p.y < k.y + k.h);
      if (!inside || !r) { hide(); return; }
      let lo = 0, hi = r.bins.length - 1;
      while (lo < hi) {
        const mid = (lo + hi + 1) >> 1;
        if (r.edges[mid] <= at) lo = mid; else hi = mid - 1;
      }
      const bin = r.bins[lo], rows = [];
      for (let k = 0; k < bin.length; k += 2) rows.push([bin[k + 1], data.labels[bin[k]]]);
      rows.sort((a, b) => b[0] - a[0]);
      const text = [time(s.start + r.edges[lo]) + " to " + time(s.start + r.edges[lo + 1])];
      for (const [m, name] of rows.slice(0, 8)) text.push((m / 10).toFixed(1) + " %  " + name);
      if (!rows.length) text.push("no step, no GPU work");
      show(text.join("\n"), e.clientX, e.clientY);
    });
    svg.addEventListener("pointerleave", () => cursor.setAttribute("visibility", "hidden"));
  }
})();
