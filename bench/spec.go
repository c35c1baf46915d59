package bench

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SpecDecode is what speculative decoding did during the measured requests, by the
// differences of the server's own counters (vllm:spec_decode_*).
type SpecDecode struct {
	Drafts         int64
	DraftTokens    int64
	AcceptedTokens int64
	// PerPosition is, for each position of a draft, the share of drafts in which it
	// was accepted.
	PerPosition []float64
}

// AcceptanceRate is accepted over drafted tokens.
func (s *SpecDecode) AcceptanceRate() float64 {
	return float64(s.AcceptedTokens) / float64(s.DraftTokens)
}

// AcceptanceLength is tokens per step: the accepted ones and the one of the model itself.
func (s *SpecDecode) AcceptanceLength() float64 {
	return 1 + float64(s.AcceptedTokens)/float64(s.Drafts)
}

// specCounters are readings of the counters, summed over engines.
type specCounters struct {
	drafts, draftTokens, accepted float64
	perPosition                   map[int]float64
}

const maxMetrics = 16 << 20

// specMetrics reads the counters from /metrics; nil when there are none.
func (r *runner) specMetrics(ctx context.Context) *specCounters {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.URL+"/metrics", nil)
	if err != nil {
		return nil
	}
	r.authorize(req)
	resp, err := r.http.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil
	}
	return readSpec(io.LimitReader(resp.Body, maxMetrics))
}

func readSpec(rd io.Reader) *specCounters {
	c := &specCounters{perPosition: map[int]float64{}}
	found := false
	sc := bufio.NewScanner(rd)
	sc.Buffer(make([]byte, 64<<10), 1<<20)
	for sc.Scan() {
		rest, ok := strings.CutPrefix(sc.Text(), "vllm:spec_decode_num_")
		if !ok {
			continue
		}
		name := rest
		if i := strings.IndexAny(rest, "{ "); i >= 0 {
			name = rest[:i]
		}
		fields := strings.Fields(rest[strings.LastIndexByte(rest, '}')+1:])
		if !strings.HasPrefix(rest, name+"{") && len(fields) > 0 {
			fields = fields[1:] // the name itself
		}
		if len(fields) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			continue
		}
		switch name {
		case "drafts_total":
			c.drafts, found = c.drafts+v, true
		case "draft_tokens_total":
			c.draftTokens += v
		case "accepted_tokens_total":
			c.accepted += v
		case "accepted_tokens_per_pos_total":
			_, label, _ := strings.Cut(rest, `position="`)
			label, _, _ = strings.Cut(label, `"`)
			if p, err := strconv.Atoi(label); err == nil && p >= 0 && p < 256 {
				c.perPosition[p] += v
			}
		}
	}
	if !found || sc.Err() != nil {
		return nil
	}
	return c
}

// specDelta is nil when a reading is missing, a counter fell or nothing was drafted.
func specDelta(before, after *specCounters) *SpecDecode {
	if before == nil || after == nil {
		return nil
	}
	d := &SpecDecode{Drafts: int64(after.drafts - before.drafts), DraftTokens: int64(after.draftTokens - before.draftTokens),
		AcceptedTokens: int64(after.accepted - before.accepted)}
	if d.Drafts <= 0 || d.DraftTokens <= 0 || d.AcceptedTokens < 0 {
		return nil
	}
	for p := 0; ; p++ {
		v, ok := after.perPosition[p]
		if !ok {
			return d
		}
		d.PerPosition = append(d.PerPosition, (v-before.perPosition[p])/float64(d.Drafts))
	}
}
