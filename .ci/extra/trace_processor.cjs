#!/usr/bin/env node
// Perfetto's trace processor, built for browsers, behind the HTTP interface of its command, so that the official Python
// package can start it as its binary (TraceProcessorConfig.bin_path) where no native one can be had:
//
//	PERFETTO_UI=DIR trace_processor.cjs -D --http-port PORT
//
// DIR holds engine_bundle.js and trace_processor.wasm of a build of Perfetto's user interface.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const vm = require("node:vm");

const dir = process.env.PERFETTO_UI;
const port = Number(process.argv[process.argv.indexOf("--http-port") + 1]);
if (!dir || !port) {
  console.error("usage: PERFETTO_UI=DIR trace_processor.cjs -D --http-port PORT");
  process.exit(2);
}

// --- messages: TraceProcessorRpcStream of perfetto/trace_processor/trace_processor.proto ---

const methods = { parse: 1, notify_eof: 2, query: 3, status: 10 };
const args = { parse: 101, query: 103 };
const results = { parse: 201, query: 203, status: 210, notify_eof: 212 };
const fatal = 5;

function uvarint(n) {
  const out = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  out.push(n);
  return Buffer.from(out);
}

const number = (field, n) => Buffer.concat([uvarint(field * 8), uvarint(n)]);
const bytes = (field, b) => Buffer.concat([uvarint(field * 8 + 2), uvarint(b.length), b]);

// fields lists a message's fields as [number, value].
function fields(b) {
  const out = [];
  let at = 0;
  const read = () => {
    let n = 0;
    for (let m = 1; ; m *= 128) {
      const v = b[at++];
      if (v === undefined) throw new Error("a message is cut off");
      n += (v & 127) * m;
      if (v < 128) return n;
    }
  };
  while (at < b.length) {
    const key = read();
    if (key % 8 === 0) out.push([Math.floor(key / 8), read()]);
    else if (key % 8 === 2) {
      const n = read();
      out.push([Math.floor(key / 8), b.subarray(at, at + n)]);
      at += n;
    } else throw new Error(`a field of wire type ${key % 8}`);
  }
  return out;
}

// --- the engine, which expects to be a worker of a page ---

let replies = [];
const channel = { onmessage: null, postMessage: (b) => replies.push(Buffer.from(b)) };

// The engine reads its assembly while its script runs, by a synchronous request, and is ready when its promises are kept.
class FileRequest {
  open(_method, name) {
    this.name = name;
  }

  send() {
    const b = fs.readFileSync(path.join(dir, path.basename(this.name)));
    this.response = b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength);
  }
}

const scope = { location: { href: "" }, onmessage: null };
const quiet = { log() {}, warn() {}, error: (...a) => console.error(String(a).slice(0, 500)) };
const engine = vm.compileFunction(fs.readFileSync(path.join(dir, "engine_bundle.js"), "utf8"), ["self", "WorkerGlobalScope", "XMLHttpRequest", "console", "process"]);
engine(scope, class {}, FileRequest, quiet);
scope.onmessage({ data: channel });
const ready = new Promise((resolve) => setImmediate(resolve));

let seq = 0;

// call runs one method and returns the protobuf of its result; what is told in parts is joined, which merges messages.
function call(name, body) {
  replies = [];
  const rpc = [number(1, ++seq), number(2, methods[name])];
  if (args[name]) rpc.push(bytes(args[name], body));
  channel.onmessage({ data: new Uint8Array(bytes(1, Buffer.concat(rpc))) });
  const out = [];
  for (const [, msg] of fields(Buffer.concat(replies))) {
    for (const [f, v] of fields(msg)) {
      if (f === fatal) throw new Error(v.toString());
      if (f === results[name]) out.push(v);
    }
  }
  return Buffer.concat(out);
}

http.createServer((req, res) => {
  const parts = [];
  req.on("data", (d) => parts.push(d));
  req.on("end", async () => {
    const name = req.url.slice(1);
    if (!(name in methods)) {
      res.writeHead(404).end();
      return;
    }
    try {
      await ready;
      res.end(call(name, Buffer.concat(parts)));
    } catch (e) {
      res.writeHead(500).end(String(e));
    }
  });
}).listen(port, "127.0.0.1");
