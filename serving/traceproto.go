package serving

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// protobuf reads the three ways in which OTLP messages lie in files. The bytes
// decide: the framing whose lengths end exactly at the end of the file; failing
// that, the one that gives at least one whole message.
func (t *traceReader) protobuf(br *bufio.Reader) error {
	data, err := io.ReadAll(&limited{br, maxProtoBytes})
	if err != nil {
		return fmt.Errorf("reading %s: %w", t.t.File, err)
	}
	if bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		return unrecognised(t.t.File, 0, "zstd-compressed: unpack it first (zstd -d)")
	}
	framings := []func([]byte) ([][]byte, bool){whole, bigEndianFrames, varintFrames}
	for _, strict := range []bool{true, false} {
		for _, frames := range framings {
			messages, complete := frames(data)
			if strict != complete || len(messages) == 0 || !plausible(messages[0]) {
				continue
			}
			if !complete {
				t.warn("truncated", "the last message is cut and was left out")
			}
			offset := 0
			for _, m := range messages {
				if err := t.message(m); err != nil {
					if offset > 0 && !errors.Is(err, errNotSpans) {
						t.warn("truncated", "a broken message ends the file: "+err.Error())
						return nil
					}
					return malformed(t.t.File, 0, "message %d: %v", offset+1, err)
				}
				offset++
			}
			return nil
		}
	}
	return unrecognised(t.t.File, 0, "neither OTLP JSON nor OTLP protobuf spans")
}

var errNotSpans = errors.New("not resource spans")

// whole is the file as one message: a sequence of field 1. The complete fields
// of a cut file are one message too.
func whole(data []byte) ([][]byte, bool) {
	rest := data
	for len(rest) > 0 {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 || num != 1 || typ != protowire.BytesType {
			break
		}
		_, m := protowire.ConsumeBytes(rest[n:])
		if m < 0 {
			break
		}
		rest = rest[n+m:]
	}
	if len(rest) == len(data) {
		return nil, false
	}
	return [][]byte{data[:len(data)-len(rest)]}, len(rest) == 0
}

// bigEndianFrames is the framing of the collector's file exporter.
func bigEndianFrames(data []byte) ([][]byte, bool) {
	var out [][]byte
	for len(data) >= 4 {
		n := int(binary.BigEndian.Uint32(data))
		if n > len(data)-4 {
			return out, false
		}
		out = append(out, data[4:4+n])
		data = data[4+n:]
	}
	return out, len(data) == 0
}

// varintFrames is the framing of writeDelimitedTo and protodelim.
func varintFrames(data []byte) ([][]byte, bool) {
	var out [][]byte
	for len(data) > 0 {
		b, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return out, false
		}
		out = append(out, b)
		data = data[n:]
	}
	return out, true
}

// plausible reports whether a message starts like resource spans: field 1 with
// fields 1 to 3 (or the deprecated 1000) of length-delimited type inside.
func plausible(m []byte) bool {
	num, typ, n := protowire.ConsumeTag(m)
	if n < 0 || num != 1 || typ != protowire.BytesType {
		return false
	}
	inner, k := protowire.ConsumeBytes(m[n:])
	if k < 0 {
		return false
	}
	for len(inner) > 0 {
		num, typ, n := protowire.ConsumeTag(inner)
		if n < 0 || typ != protowire.BytesType || num > 3 && num != 1000 {
			return false
		}
		_, k := protowire.ConsumeBytes(inner[n:])
		if k < 0 {
			return false
		}
		inner = inner[n+k:]
	}
	return true
}

// message reads one TracesData or ExportTraceServiceRequest, one resource at a
// time so that the decoded form of a large file is never whole in memory.
func (t *traceReader) message(m []byte) error {
	for len(m) > 0 {
		num, typ, n := protowire.ConsumeTag(m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		if num != 1 || typ != protowire.BytesType {
			return errNotSpans
		}
		b, n := protowire.ConsumeBytes(m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		var rs tracepb.ResourceSpans
		if err := proto.Unmarshal(b, &rs); err != nil {
			return err
		}
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				t.service(a.GetValue().GetStringValue())
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, sp := range ss.GetSpans() {
				t.protoSpan(sp)
			}
		}
	}
	return nil
}

func (t *traceReader) protoSpan(sp *tracepb.Span) {
	s := newSpan(0)
	s.name, s.start, s.end = sp.GetName(), sp.GetStartTimeUnixNano(), sp.GetEndTimeUnixNano()
	s.id = hexID(sp.GetSpanId())
	for _, a := range sp.GetAttributes() {
		num, text := math.NaN(), ""
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_DoubleValue:
			num = v.DoubleValue
		case *commonpb.AnyValue_IntValue:
			num = float64(v.IntValue)
		case *commonpb.AnyValue_StringValue:
			text = v.StringValue
		}
		s.attribute(a.GetKey(), num, text)
	}
	t.add(s)
}
