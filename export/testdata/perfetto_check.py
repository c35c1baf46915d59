#!/usr/bin/env python3
"""Reads a Perfetto trace back with the official package and prints what it holds, as JSON.

    perfetto_check.py TRACE

With a trace processor (the package downloads one at its first use, or TRACE_PROCESSOR names it) the answers are those of its
SQL tables. Without one the trace is decoded with the protobuf definitions of the package, and its slices are put together
here by the rules that the format documents: a begin nests under the open slice of its track, an end closes the innermost.
"""
import collections
import json
import os
import sys


def by_trace_processor(path):
    from perfetto.trace_processor import TraceProcessor, TraceProcessorConfig

    config = TraceProcessorConfig(bin_path=os.environ.get("TRACE_PROCESSOR") or None)
    tp = TraceProcessor(trace=path, config=config)
    out = {"by": "trace processor", "categories": {}, "counters": {}}
    for r in tp.query("select category, count(*) n, sum(dur) ns, sum(dur = -1) open from slice group by category"):
        out["categories"][r.category] = {"n": r.n, "ns": r.ns + r.open, "open": r.open}
    for r in tp.query("select t.name, count(*) n, sum(c.value) total from counter c join track t on c.track_id = t.id group by t.name"):
        out["counters"][r.name] = {"n": r.n, "sum": int(r.total)}
    out["flows"] = next(iter(tp.query("select count(*) n from flow"))).n
    out["errors"] = {r.name: r.value for r in tp.query("select name, value from stats where severity = 'error' and value > 0")}
    out["processes"] = sorted(r.pid for r in tp.query("select pid from process where pid is not null and pid > 0"))
    tp.close()
    return out


def by_definitions(path):
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

    trace = pb.Trace()
    with open(path, "rb") as f:
        trace.ParseFromString(f.read())
    names, categories, keys, texts = {}, {}, {}, {}
    tracks, events, clean = {}, [], False
    errors = collections.Counter()
    for order, p in enumerate(trace.packet):
        if p.sequence_flags & pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED:
            clean = True
            names, categories, keys, texts = {}, {}, {}, {}
        if p.sequence_flags & pb.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE and not clean:
            errors["state needed and not there"] += 1
        for e in p.interned_data.event_names:
            names[e.iid] = e.name
        for e in p.interned_data.event_categories:
            categories[e.iid] = e.name
        for e in p.interned_data.debug_annotation_names:
            keys[e.iid] = e.name
        for e in p.interned_data.debug_annotation_string_values:
            texts[e.iid] = e.str
        if p.HasField("track_descriptor"):
            d = p.track_descriptor
            if d.uuid in tracks:
                errors["track described twice"] += 1
            if d.parent_uuid and d.parent_uuid not in tracks:
                errors["parent comes later"] += 1
            tracks[d.uuid] = d
        if not p.HasField("track_event"):
            continue
        e = p.track_event
        if e.track_uuid not in tracks:
            errors["track not described"] += 1
        for a in e.debug_annotations:
            if a.name_iid not in keys or a.string_value_iid and a.string_value_iid not in texts:
                errors["annotation not interned"] += 1
        name = category = None
        if e.type in (e.TYPE_SLICE_BEGIN, e.TYPE_INSTANT):
            if e.name_iid not in names or not e.category_iids or e.category_iids[0] not in categories:
                errors["name not interned"] += 1
                continue
            name, category = names[e.name_iid], categories[e.category_iids[0]]
        events.append((p.timestamp, order, e, name, category))
    events.sort(key=lambda x: x[:2])
    out = {"by": "protobuf definitions", "categories": {}, "counters": {}}
    open_slices, flows, linked = collections.defaultdict(list), {}, 0

    def count(category, ns, is_open=0):
        c = out["categories"].setdefault(category, {"n": 0, "ns": 0, "open": 0})
        c["n"] += 1
        c["ns"] += ns
        c["open"] += is_open

    for ts, _, e, name, category in events:
        stack = open_slices[e.track_uuid]
        if e.type == e.TYPE_SLICE_BEGIN:
            stack.append((ts, category))
        elif e.type == e.TYPE_INSTANT:
            count(category, 0)
        elif e.type == e.TYPE_SLICE_END:
            if not stack:
                errors["end without begin"] += 1
                continue
            begun, c = stack.pop()
            count(c, ts - begun)
        elif e.type == e.TYPE_COUNTER:
            c = out["counters"].setdefault(tracks[e.track_uuid].name, {"n": 0, "sum": 0})
            c["n"] += 1
            c["sum"] += e.counter_value
        for f in e.flow_ids:
            if f in flows:
                linked += 1
            flows[f] = True
    for stack in open_slices.values():
        for _, c in stack:
            count(c, 0, 1)
    out["flows"] = linked
    out["errors"] = dict(errors)
    out["processes"] = sorted(d.process.pid for d in tracks.values() if d.HasField("process"))
    return out


if __name__ == "__main__":
    try:
        result = by_trace_processor(sys.argv[1])
    except Exception as why:  # no binary for this machine, or no network
        result = by_definitions(sys.argv[1])
        result["why"] = str(why)[:200]
    json.dump(result, sys.stdout, sort_keys=True)
    print()
