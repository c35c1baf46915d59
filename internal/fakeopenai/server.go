// Package fakeopenai is an OpenAI-compatible server for tests: it streams made-up
// tokens at a set pace and misbehaves in the ways that real servers do.
//
// Its tokens are a function of the prompt, so the same prompt gives the same text. A
// prompt of text counts one token a word.
package fakeopenai

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Config is how the server behaves. The zero value answers at once, one token a
// chunk, with usage when asked.
type Config struct {
	Model       string // default "fake"
	MaxModelLen int    // shown by /v1/models when positive
	APIKey      string // demanded when not empty

	TTFT time.Duration // from the start of a request to its first token
	ITL  time.Duration // between chunks
	// TokensPerChunk is at least 1, as with speculative decoding or a stream interval.
	TokensPerChunk int
	// SpecDecode shows the counters of speculative decoding: every chunk is a draft of
	// TokensPerChunk tokens, all but the model's own one drafted and accepted.
	SpecDecode bool
	// Slots bounds the requests that run at once; the others wait. 0: no bound.
	Slots int
	// EOSAfter ends an output early unless ignore_eos is set. 0: never.
	EOSAfter int

	NoUsage    bool // ignores stream_options
	Strict     bool // refuses fields that OpenAI does not have, such as ignore_eos
	TextOnly   bool // refuses prompts of token ids
	VocabSize  int  // refuses token ids from here on; 0: none
	NoChat     bool // has no chat endpoint
	NewChatLen bool // refuses max_tokens in chat, wants max_completion_tokens
	// ExtraFinish sends finish_reason in a chunk of its own, without a token, as
	// OpenAI and SGLang do. vLLM sends it with the last token.
	ExtraFinish bool
	// ChatOverhead is the number of tokens that the chat template adds.
	ChatOverhead int
	// NoDone ends the stream without data: [DONE].
	NoDone bool

	// Fault returns what goes wrong with the n-th generation request, from 0.
	Fault func(n int) Fault
}

// A Fault is one way to go wrong. The zero value is none.
type Fault struct {
	Kind FaultKind
	// After is the number of tokens sent before it happens.
	After int
	// Status and Body answer the request for FaultStatus.
	Status int
	Body   string
}

// FaultKind names a fault.
type FaultKind int

// Faults.
const (
	FaultNone    FaultKind = iota
	FaultStatus            // answers with Status and Body
	FaultDie               // closes the connection in the middle of the stream
	FaultHang              // stops sending and keeps the connection open
	FaultGarbage           // sends an event that is not JSON
	FaultError             // sends an error event
	FaultHuge              // sends an event without end
	FaultNoToken           // ends the stream without a token
	FaultJSON              // answers with plain JSON instead of a stream
	FaultAbort             // finish_reason "abort"
)

// A Server is running until the test ends.
type Server struct {
	*httptest.Server
	cfg   Config
	slots chan struct{}

	requests atomic.Int64
	running  atomic.Int64
	peak     atomic.Int64
	prompt   atomic.Int64
	output   atomic.Int64
	finished atomic.Int64
	chunks   atomic.Int64

	mu       sync.Mutex
	bodies   []map[string]json.RawMessage
	profiles []string
}

// New starts a server and stops it with the test.
func New(t testing.TB, cfg Config) *Server {
	s := Start(cfg)
	t.Cleanup(s.Close)
	return s
}

// Start starts a server for a caller that closes it.
func Start(cfg Config) *Server {
	if cfg.Model == "" {
		cfg.Model = "fake"
	}
	cfg.TokensPerChunk = max(cfg.TokensPerChunk, 1)
	s := &Server{cfg: cfg}
	if cfg.Slots > 0 {
		s.slots = make(chan struct{}, cfg.Slots)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /v1/models", s.guard(s.models))
	mux.HandleFunc("POST /v1/completions", s.guard(func(w http.ResponseWriter, r *http.Request) { s.generate(w, r, false) }))
	if !cfg.NoChat {
		mux.HandleFunc("POST /v1/chat/completions", s.guard(func(w http.ResponseWriter, r *http.Request) { s.generate(w, r, true) }))
	}
	for _, p := range []string{"/start_profile", "/stop_profile"} {
		mux.HandleFunc("POST "+p, s.guard(func(http.ResponseWriter, *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.profiles = append(s.profiles, p)
		}))
	}
	s.Server = httptest.NewServer(mux)
	return s
}

// Requests is the number of generation requests so far, refused ones included.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// Peak is the largest number of requests that ran at once.
func (s *Server) Peak() int { return int(s.peak.Load()) }

// Bodies returns the JSON bodies of the generation requests in order of arrival.
func (s *Server) Bodies() []map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]map[string]json.RawMessage(nil), s.bodies...)
}

// Profiles returns the profiler paths that were posted to, in order.
func (s *Server) Profiles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.profiles...)
}

func (s *Server) guard(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.APIKey != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.APIKey {
			refuse(w, http.StatusUnauthorized, "Unauthorized")
			return
		}
		h(w, r)
	}
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": fmt.Sprintf(format, args...), "type": "BadRequestError", "code": status}})
	w.Write(b)
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{"id": s.cfg.Model, "object": "model", "root": s.cfg.Model}
	if s.cfg.MaxModelLen > 0 {
		m["max_model_len"] = s.cfg.MaxModelLen
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": []any{m}})
}

// metrics writes a few of vLLM's metrics, enough to take differences of.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprintf(w, "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\",model_name=%q} %d\n", s.cfg.Model, s.running.Load())
	for _, c := range []struct {
		name string
		v    int64
	}{{"prompt_tokens", s.prompt.Load()}, {"generation_tokens", s.output.Load()}} {
		fmt.Fprintf(w, "# TYPE vllm:%s counter\nvllm:%s_total{engine=\"0\",model_name=%q} %d\n", c.name, c.name, s.cfg.Model, c.v)
	}
	if s.cfg.SpecDecode {
		n, k := s.chunks.Load(), int64(s.cfg.TokensPerChunk-1)
		fmt.Fprintf(w, "vllm:spec_decode_num_drafts_total{engine=\"0\"} %d.0\nvllm:spec_decode_num_draft_tokens_total{engine=\"0\"} %d.0\nvllm:spec_decode_num_accepted_tokens_total{engine=\"0\"} %d.0\n", n, n*k, n*k)
		for p := range k {
			fmt.Fprintf(w, "vllm:spec_decode_num_accepted_tokens_per_pos_total{engine=\"0\",position=\"%d\"} %d.0\n", p, n)
		}
	}
	fmt.Fprintf(w, "# TYPE vllm:request_success counter\nvllm:request_success_total{engine=\"0\",finished_reason=\"length\",model_name=%q} %d\n", s.cfg.Model, s.finished.Load())
}

// known are the fields that OpenAI's endpoints have.
var known = map[string]bool{"model": true, "prompt": true, "messages": true, "max_tokens": true, "max_completion_tokens": true,
	"temperature": true, "stream": true, "stream_options": true, "seed": true, "n": true}

type request struct {
	prompt     string // canonical, for the text
	promptLen  int
	outputLen  int
	usage      bool
	continuous bool
	stream     bool
}

// parse returns what was asked for, or answers with an error.
func (s *Server) parse(w http.ResponseWriter, r *http.Request, chat bool) (request, bool) {
	var q request
	var body map[string]json.RawMessage
	b, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(b, &body)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "bad body: %v", err)
		return q, false
	}
	s.mu.Lock()
	s.bodies = append(s.bodies, body)
	s.mu.Unlock()
	get := func(name string, v any) bool { return body[name] != nil && json.Unmarshal(body[name], v) == nil }
	if s.cfg.Strict {
		for name := range body {
			if !known[name] {
				refuse(w, http.StatusBadRequest, "Unrecognized request argument supplied: %s", name)
				return q, false
			}
		}
	}
	var model string
	if get("model", &model); model != s.cfg.Model {
		refuse(w, http.StatusNotFound, "The model `%s` does not exist.", model)
		return q, false
	}
	var ids []int
	if chat {
		var messages []struct{ Role, Content string }
		if !get("messages", &messages) || len(messages) == 0 {
			refuse(w, http.StatusBadRequest, "messages: field required")
			return q, false
		}
		for _, m := range messages {
			q.prompt += m.Role + ": " + m.Content + "\n"
			q.promptLen += len(strings.Fields(m.Content))
		}
		q.promptLen += s.cfg.ChatOverhead
	} else if get("prompt", &ids) {
		if s.cfg.TextOnly {
			refuse(w, http.StatusUnprocessableEntity, "prompt: Input should be a valid string")
			return q, false
		}
		for _, id := range ids {
			if s.cfg.VocabSize > 0 && id >= s.cfg.VocabSize {
				refuse(w, http.StatusBadRequest, "Token id %d is out of vocabulary", id)
				return q, false
			}
		}
		q.prompt, q.promptLen = fmt.Sprint(ids), len(ids)
	} else if get("prompt", &q.prompt) {
		q.promptLen = len(strings.Fields(q.prompt))
	} else {
		refuse(w, http.StatusBadRequest, "prompt: field required")
		return q, false
	}
	if chat && s.cfg.NewChatLen && body["max_tokens"] != nil {
		refuse(w, http.StatusBadRequest, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
		return q, false
	}
	q.outputLen = 16
	if !get("max_tokens", &q.outputLen) {
		get("max_completion_tokens", &q.outputLen)
	}
	if s.cfg.MaxModelLen > 0 && q.promptLen+q.outputLen > s.cfg.MaxModelLen {
		refuse(w, http.StatusBadRequest, "This model's maximum context length is %d tokens.", s.cfg.MaxModelLen)
		return q, false
	}
	var ignoreEOS bool
	get("ignore_eos", &ignoreEOS)
	if s.cfg.EOSAfter > 0 && !ignoreEOS {
		q.outputLen = min(q.outputLen, s.cfg.EOSAfter)
	}
	get("stream", &q.stream)
	var o struct {
		IncludeUsage         bool `json:"include_usage"`
		ContinuousUsageStats bool `json:"continuous_usage_stats"`
	}
	get("stream_options", &o)
	q.usage, q.continuous = o.IncludeUsage && !s.cfg.NoUsage, o.ContinuousUsageStats && !s.cfg.NoUsage
	return q, true
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request, chat bool) {
	arrived := time.Now()
	n := int(s.requests.Add(1) - 1)
	q, ok := s.parse(w, r, chat)
	if !ok {
		return
	}
	var fault Fault
	if s.cfg.Fault != nil {
		fault = s.cfg.Fault(n)
	}
	if fault.Kind == FaultStatus {
		if fault.Body != "" {
			w.WriteHeader(fault.Status)
			io.WriteString(w, fault.Body)
			return
		}
		refuse(w, fault.Status, "%s", http.StatusText(fault.Status))
		return
	}
	if s.slots != nil {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-r.Context().Done():
			return
		}
		arrived = time.Now()
	}
	run := s.running.Add(1)
	defer s.running.Add(-1)
	for p := s.peak.Load(); run > p && !s.peak.CompareAndSwap(p, run); p = s.peak.Load() {
	}
	s.prompt.Add(int64(q.promptLen))
	if !q.stream || fault.Kind == FaultJSON {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"object":"text_completion","choices":[{"index":0,"text":%q,"finish_reason":"length"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`,
			word(q.prompt, 0), q.promptLen, q.outputLen)
		return
	}
	st := &stream{w: w, rc: http.NewResponseController(w), ctx: r, cfg: s.cfg, chat: chat, q: q, id: fmt.Sprintf("cmpl-%d", n)}
	if st.run(arrived, fault) {
		s.finished.Add(1)
	}
	s.output.Add(int64(st.sent))
	s.chunks.Add(int64(st.steps))
}

// word is the i-th token of the answer to a prompt.
func word(prompt string, i int) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s/%d", prompt, i)
	return fmt.Sprintf(" w%x", h.Sum32()&0xffff)
}
