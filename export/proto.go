package export

import (
	"bufio"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of Perfetto's trace format (protos/perfetto/trace), as far as they are written here.
const (
	tracePacket = 1

	packetClockSnapshot = 6
	packetTimestamp     = 8
	packetSequence      = 10
	packetTrackEvent    = 11
	packetInterned      = 12
	packetFlags         = 13
	packetDescriptor    = 60
	packetFirst         = 87

	flagCleared = 1
	flagNeeds   = 2

	trackUUID     = 1
	trackName     = 2
	trackProcess  = 3
	trackThread   = 4
	trackParent   = 5
	trackCounter  = 8
	trackOrdering = 11
	trackRank     = 12

	orderingExplicit = 3

	processPID  = 1
	processName = 6
	threadPID   = 1
	threadTID   = 2
	threadName  = 5

	counterUnit     = 3
	counterUnitName = 6
	unitCount       = 2
	unitBytes       = 3

	eventCategories  = 3
	eventAnnotations = 4
	eventType        = 9
	eventName        = 10
	eventTrack       = 11
	eventCounter     = 30
	eventDouble      = 44
	eventFlows       = 47

	typeBegin   = 1
	typeEnd     = 2
	typeInstant = 3
	typeCounter = 4

	annotationName   = 1
	annotationInt    = 4
	annotationText   = 6
	annotationInText = 17

	internedCategories = 1
	internedNames      = 2
	internedKeys       = 3
	internedTexts      = 29

	clockOfSnapshot = 1
	clockID         = 1
	clockTime       = 2
	clockRealtime   = 1
	clockBoottime   = 6
)

// sequence is the one packet sequence of an export.
const sequence = 1

// packets writes length-delimited packets. Errors stick and show at flush.
type packets struct {
	w       *bufio.Writer
	err     error
	bytes   int64
	packet  []byte // being built
	event   []byte
	intern  []byte
	scratch []byte
	head    []byte
}

func newPackets(w io.Writer) *packets { return &packets{w: bufio.NewWriterSize(w, 256<<10)} }

// emit writes the packet that was built and starts the next one.
func (p *packets) emit() {
	p.head = protowire.AppendTag(p.head[:0], tracePacket, protowire.BytesType)
	p.head = protowire.AppendVarint(p.head, uint64(len(p.packet)))
	p.write(p.head)
	p.write(p.packet)
	p.packet = p.packet[:0]
}

func (p *packets) write(b []byte) {
	if p.err == nil {
		_, p.err = p.w.Write(b)
	}
	p.bytes += int64(len(b))
}

func (p *packets) flush() error {
	if p.err == nil {
		p.err = p.w.Flush()
	}
	return p.err
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendText(b []byte, field protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendFixed(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), v)
}
