import type { Detail, Found, Model, Ref, SearchResult, Selection } from "./types";

// All addresses are relative to the page, whose path holds the token.
async function get(path: string, signal?: AbortSignal): Promise<Response> {
  const res = await fetch(path, { credentials: "omit", ...(signal ? { signal } : {}) });
  if (!res.ok) throw new Error((await res.text()).trim() || `${res.status}`);
  return res;
}

async function json<T>(path: string, params: Record<string, string | number>, signal?: AbortSignal): Promise<T> {
  const q = new URLSearchParams(Object.entries(params).map(([k, v]) => [k, String(v)]));
  return (await get(`api/${path}?${q}`, signal)).json() as Promise<T>;
}

export const api = {
  model: async (): Promise<Model> => (await get("api/model")).json() as Promise<Model>,
  tiles: async (level: number, index: number, lanes: string): Promise<ArrayBuffer> =>
    (await get(`api/tiles?level=${level}&index=${index}&lanes=${lanes}`)).arrayBuffer(),
  event: (r: Ref): Promise<Detail> => json("event", { lane: r.lane, row: r.row, at: r.at }),
  selection: (from: number, to: number, signal?: AbortSignal): Promise<Selection> => json("selection", { from, to }, signal),
  search: (q: string): Promise<SearchResult> => json("search", { q }),
  find: (q: string, from: number, dir: Direction): Promise<Found> => json("find", { q, from, dir }),
  jump: (from: number, dir: Direction): Promise<Found> => json("jump", { from, dir }),
  near: (lane: number, row: number, t: number): Promise<Found> => json("near", { lane, row, t }),
};

export type Direction = "next" | "previous";
