// Building the page without markup: names of a capture only ever become text.

type Child = Node | string | null | undefined | false;

export function el<K extends keyof HTMLElementTagNameMap>(tag: K, attrs: Record<string, string | boolean | ((e: Event) => void)>, ...children: Child[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (typeof v === "function") e.addEventListener(k, v);
    else if (v === true) e.setAttribute(k, "");
    else if (v !== false) e.setAttribute(k, v);
  }
  for (const c of children) if (c) e.append(c);
  return e;
}

export function must<T extends HTMLElement>(id: string, type: { new (): T }): T {
  const e = document.getElementById(id);
  if (!(e instanceof type)) throw new Error(`the page lacks #${id}`);
  return e;
}

// swatch is a square of a category's colour. Styles are set through the object model, which the policy allows.
export function swatch(color: string | undefined, hatch: boolean | undefined): HTMLElement {
  const e = el("span", { class: hatch ? "swatch hatch" : "swatch", "aria-hidden": "true" });
  if (color) e.style.backgroundColor = color;
  return e;
}
