package kineto

// event is one element of traceEvents as it stands in the file. The texts alias the source's window and are valid
// until the next event is read.
type event struct {
	ph           byte // 0 when absent or longer than one character
	cat, name    text
	pid, tid     text
	ts, dur      text
	hasArgs      bool
	device       text
	context      text
	stream       text
	correlation  text
	external     text
	bytes        text
	grid, block  text
	registers    text
	shared       text
	graph, node  text
	inDevice     text // copies between devices carry from/in/toDevice
	inContext    text
	dims, types  text
	argName      text // metadata events
	labels       text
	addr         text // memory events
	memBytes     text
	reserved     text
	deviceType   text
	memoryDevice text
}

// scanEvent reads the object that opens at b[i] into ev and returns the index behind it. Unknown keys are skipped, of
// a repeated key the last value counts.
func scanEvent(b []byte, i int, ev *event) (int, status) {
	*ev = event{}
	i++
	for {
		i = skipSpace(b, i)
		switch b[i] {
		case '"':
		case '}': // also behind a trailing comma
			return i + 1, scanOK
		default:
			return 0, end(b, i)
		}
		key, j, st := scanKey(b, i)
		if st != scanOK {
			return 0, st
		}
		i = j
		if string(key) == "args" {
			ev.clearArgs()
			if b[i] == '{' {
				ev.hasArgs = true
				if i, st = scanArgs(b, i, ev); st != scanOK {
					return 0, st
				}
			} else if _, i, st = scanValue(b, i); st != scanOK {
				return 0, st
			}
		} else {
			var v text
			if v, i, st = scanValue(b, i); st != scanOK {
				return 0, st
			}
			switch string(key) {
			case "ph":
				ev.ph = 0
				if s := v.plain(); v.kind == kindString && len(s) == 1 {
					ev.ph = s[0]
				}
			case "cat":
				ev.cat = v
			case "name":
				ev.name = v
			case "pid":
				ev.pid = v
			case "tid":
				ev.tid = v
			case "ts":
				ev.ts = v
			case "dur":
				ev.dur = v
			}
		}
		if i, st = scanComma(b, i); st != scanOK {
			return 0, st
		}
	}
}

// clearArgs forgets an earlier args object: of a repeated key the last one counts.
func (ev *event) clearArgs() {
	if !ev.hasArgs {
		return
	}
	*ev = event{ph: ev.ph, cat: ev.cat, name: ev.name, pid: ev.pid, tid: ev.tid, ts: ev.ts, dur: ev.dur}
}

func scanArgs(b []byte, i int, ev *event) (int, status) {
	i++
	for {
		i = skipSpace(b, i)
		switch b[i] {
		case '"':
		case '}':
			return i + 1, scanOK
		default:
			return 0, end(b, i)
		}
		key, j, st := scanKey(b, i)
		if st != scanOK {
			return 0, st
		}
		var v text
		if v, i, st = scanValue(b, j); st != scanOK {
			return 0, st
		}
		if f := ev.arg(key); f != nil {
			*f = v
		}
		if i, st = scanComma(b, i); st != scanOK {
			return 0, st
		}
	}
}

// arg returns where the value of an argument goes, nil for one that nobody needs. The second spellings are those of
// the traces of 2021.
func (ev *event) arg(key []byte) *text {
	switch string(key) {
	case "device":
		return &ev.device
	case "context":
		return &ev.context
	case "stream":
		return &ev.stream
	case "correlation":
		return &ev.correlation
	case "External id", "external id":
		return &ev.external
	case "bytes":
		return &ev.bytes
	case "grid":
		return &ev.grid
	case "block":
		return &ev.block
	case "registers per thread":
		return &ev.registers
	case "shared memory":
		return &ev.shared
	case "graph id":
		return &ev.graph
	case "graph node id":
		return &ev.node
	case "inDevice":
		return &ev.inDevice
	case "inContext":
		return &ev.inContext
	case "Input Dims", "Input dims":
		return &ev.dims
	case "Input type":
		return &ev.types
	case "name":
		return &ev.argName
	case "labels":
		return &ev.labels
	case "Addr":
		return &ev.addr
	case "Bytes":
		return &ev.memBytes
	case "Total Reserved":
		return &ev.reserved
	case "Device Type":
		return &ev.deviceType
	case "Device Id":
		return &ev.memoryDevice
	}
	return nil
}

// scanKey reads a key at b[i] and the colon, and returns the index of the value.
func scanKey(b []byte, i int) (key []byte, next int, st status) {
	e, st := stringEnd(b, i+1)
	if st != scanOK {
		return nil, 0, st
	}
	key = text{b[i+1 : e], kindString}.plain()
	i = skipSpace(b, e+1)
	if b[i] != ':' {
		return nil, 0, end(b, i)
	}
	i = skipSpace(b, i+1)
	return key, i, scanOK
}

// scanComma steps over the comma behind a member; the closing brace is left for the caller.
func scanComma(b []byte, i int) (int, status) {
	i = skipSpace(b, i)
	switch b[i] {
	case ',':
		return i + 1, scanOK
	case '}':
		return i, scanOK
	}
	return 0, end(b, i)
}

// plain returns the value of a string with its escapes resolved, and the text of anything else.
func (t text) plain() []byte {
	if t.kind != kindString {
		return t.raw
	}
	for _, c := range t.raw {
		if c == '\\' || c >= 0x80 || c < 0x20 {
			s, _ := unquote(t.raw)
			return s
		}
	}
	return t.raw
}

// number returns the text of a number, which may be quoted; nil for anything else.
func (t text) number() []byte {
	switch t.kind {
	case kindNumber:
		return t.raw
	case kindString:
		return t.plain()
	}
	return nil
}

func (t text) int() (int64, bool) { return integer(t.number()) }

// triple reads [x, y, z]; missing elements are 1 when there is any, the whole is 0 when it is no array of numbers.
func (t text) triple() (v [3]int32) {
	if t.kind != kindArray {
		return v
	}
	b := t.raw[1 : len(t.raw)-1]
	n := 0
	for len(b) > 0 && n < 3 {
		e := 0
		for e < len(b) && b[e] != ',' {
			e++
		}
		part := trimSpace(b[:e])
		x, ok := integer(part)
		if !ok || x < 0 || x > 1<<31-1 {
			return [3]int32{}
		}
		v[n] = int32(x)
		n++
		if e == len(b) {
			break
		}
		b = b[e+1:]
	}
	if n == 0 {
		return v
	}
	for ; n < 3; n++ {
		v[n] = 1
	}
	return v
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 {
		switch b[len(b)-1] {
		case ' ', '\n', '\r', '\t':
			b = b[:len(b)-1]
			continue
		}
		break
	}
	return b
}
