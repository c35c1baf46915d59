import { must } from "./dom";

const problemMs = 6000;
let timer = 0;

// say tells in the status line, which screen readers read out, what happened.
export function say(text: string): void {
  must("status", HTMLElement).textContent = text;
}

// problem shows an error for some seconds.
export function problem(e: unknown): void {
  const box = must("problem", HTMLElement);
  box.textContent = e instanceof TypeError ? "The server does not answer: is stepscope still running?" : `${e instanceof Error ? e.message : String(e)}`;
  box.hidden = false;
  clearTimeout(timer);
  timer = window.setTimeout(() => (box.hidden = true), problemMs);
}
