package fakeopenai

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A stream is one answer being sent.
type stream struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	ctx   *http.Request
	cfg   Config
	chat  bool
	q     request
	id    string
	sent  int
	steps int
	buf   bytes.Buffer
}

// run sends the tokens on an absolute schedule, so that a late one does not delay
// those after it. It reports whether the answer was sent in full.
func (s *stream) run(arrived time.Time, fault Fault) bool {
	s.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	if !s.sleep(arrived.Add(s.cfg.TTFT)) {
		return false
	}
	if fault.Kind == FaultNoToken {
		s.event("[DONE]")
		return false
	}
	if s.chat {
		s.chunk(`{"role":"assistant","content":""}`, "null", 0)
	}
	start := time.Now()
	for i := 0; s.sent < s.q.outputLen; i++ {
		if i > 0 && !s.sleep(start.Add(time.Duration(i)*s.cfg.ITL)) {
			return false
		}
		if fault.Kind != FaultNone && s.sent >= fault.After {
			if !s.fail(fault) {
				return false
			}
		}
		n := min(s.cfg.TokensPerChunk, s.q.outputLen-s.sent)
		var text strings.Builder
		for range n {
			text.WriteString(word(s.q.prompt, s.sent))
			s.sent++
		}
		s.steps++
		finish := "null"
		if s.sent == s.q.outputLen && !s.cfg.ExtraFinish {
			finish = `"length"`
			if fault.Kind == FaultAbort {
				finish = `"abort"`
			}
		}
		if s.chat {
			s.chunk(fmt.Sprintf(`{"content":%q}`, text.String()), finish, s.sent)
		} else {
			s.chunk(fmt.Sprintf("%q", text.String()), finish, s.sent)
		}
	}
	if s.cfg.ExtraFinish {
		if s.chat {
			s.chunk(`{}`, `"length"`, s.sent)
		} else {
			s.chunk(`""`, `"length"`, s.sent)
		}
	}
	if s.q.usage {
		s.event(fmt.Sprintf(`{"id":%q,"object":%q,"model":%q,"choices":[],"usage":%s}`, s.id, s.object(), s.cfg.Model, s.usage(s.sent)))
	}
	if !s.cfg.NoDone {
		s.event("[DONE]")
	}
	return true
}

// fail does what the fault says; false ends the stream.
func (s *stream) fail(f Fault) bool {
	switch f.Kind {
	case FaultDie:
		panic(http.ErrAbortHandler)
	case FaultHang:
		<-s.ctx.Context().Done()
		return false
	case FaultGarbage:
		s.event(`{"choices": [{"text": "unfinis`)
		return true
	case FaultError:
		s.event(`{"error":{"message":"EngineDeadError: the engine died","type":"InternalServerError","code":500}}`)
		return false
	case FaultHuge:
		fmt.Fprint(s.w, "data: ")
		blob := bytes.Repeat([]byte("x"), 64<<10)
		for s.ctx.Context().Err() == nil {
			if _, err := s.w.Write(blob); err != nil {
				return false
			}
		}
		return false
	}
	return true
}

func (s *stream) object() string {
	if s.chat {
		return "chat.completion.chunk"
	}
	return "text_completion"
}

func (s *stream) usage(tokens int) string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, s.q.promptLen, tokens, s.q.promptLen+tokens)
}

func (s *stream) chunk(content, finish string, tokens int) {
	key := "text"
	if s.chat {
		key = "delta"
	}
	usage := ""
	if s.q.continuous {
		usage = `,"usage":` + s.usage(tokens)
	}
	s.event(fmt.Sprintf(`{"id":%q,"object":%q,"created":1,"model":%q,"choices":[{"index":0,%q:%s,"logprobs":null,"finish_reason":%s}]%s}`,
		s.id, s.object(), s.cfg.Model, key, content, finish, usage))
}

// event sends one event in one write.
func (s *stream) event(data string) {
	s.buf.Reset()
	s.buf.WriteString("data: ")
	s.buf.WriteString(data)
	s.buf.WriteString("\n\n")
	s.w.Write(s.buf.Bytes())
	s.rc.Flush()
}

// sleep waits until t; false when the client has gone.
func (s *stream) sleep(t time.Time) bool {
	d := time.Until(t)
	if d <= 0 {
		return s.ctx.Context().Err() == nil
	}
	const short = 2 * time.Millisecond
	if d < short {
		pause(d)
		return s.ctx.Context().Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Context().Done():
		return false
	}
}
