import { api } from "./api";
import { App } from "./app";

async function start(): Promise<void> {
  try {
    new App(await api.model());
  } catch (e) {
    const box = document.getElementById("problem");
    if (box) {
      box.hidden = false;
      box.textContent = `The timeline cannot be shown: ${e instanceof Error ? e.message : String(e)}`;
    }
    throw e;
  }
}

void start();
