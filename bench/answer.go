package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A recording is the raw answer to one request: the events as they came and when.
// Nothing is parsed while tokens are arriving.
type recording struct {
	start     int64 // just before the request was handed to net/http
	scheduled int64 // when an open loop wanted it to start; start otherwise
	data      []byte
	ends      []int   // of each event in data
	at        []int64 // when the event's last byte was read from the socket
	handled   []int64 // when this package was done with it
	newConn   bool
	done      bool // data: [DONE] came
	kind      ErrorKind
	err       string
}

func (r *recording) add(data []byte, at int64) {
	r.data = append(r.data, data...)
	r.ends = append(r.ends, len(r.data))
	r.at = append(r.at, at)
	r.handled = append(r.handled, now())
}

func (r *recording) event(i int) []byte {
	from := 0
	if i > 0 {
		from = r.ends[i-1]
	}
	return r.data[from:r.ends[i]]
}

// chunk is what is read of a streamed chunk. Members that some servers lack or null
// are pointers.
type chunk struct {
	Choices []struct {
		Text  *string `json:"text"`
		Delta *struct {
			Role      *string         `json:"role"`
			Content   *string         `json:"content"`
			Reasoning *string         `json:"reasoning"`         // vLLM from 0.11
			Thinking  *string         `json:"reasoning_content"` // before, and SGLang
			ToolCalls json.RawMessage `json:"tool_calls"`
		} `json:"delta"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     *int `json:"prompt_tokens"`
		CompletionTokens *int `json:"completion_tokens"`
		Details          *struct {
			CachedTokens *int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Error   json.RawMessage `json:"error"`
	Object  string          `json:"object"`
	Message string          `json:"message"`
}

// An answer is a parsed recording.
type answer struct {
	text      strings.Builder
	times     []int64 // of the chunks with tokens
	tokens    []int   // in each of them, if counted
	counted   bool    // tokens holds the server's own counts
	lastAt    int64   // of the last chunk with a choice
	output    int     // output tokens
	prompt    int     // prompt tokens, -1 when the server did not say
	cached    int     // of them from the prefix cache, -1 when not said
	usage     bool    // output is the server's count and not that of chunks
	finished  bool    // a finish reason came
	earlyStop bool    // it was "stop"
}

var errNoTokens = errors.New("the stream ended without a token")

// parse reads the recording's chunks. Its error is about the first event that is
// no chunk, or an error that the server sent in the stream.
func (r *recording) parse() (*answer, ErrorKind, error) {
	a := &answer{prompt: -1, cached: -1}
	counted, total, withCount := 0, -1, 0
	lastEmptyFinish := false
	for i := range r.ends {
		event := r.event(i)
		if string(event) == "[DONE]" {
			break
		}
		var c chunk
		if err := json.Unmarshal(event, &c); err != nil {
			return a, ErrBadStream, fmt.Errorf("event %d is not a chunk: %w", i+1, err)
		}
		if text, bad := c.failure(); bad {
			return a, ErrServer, errors.New(text)
		}
		sum := counted
		if u := c.Usage; u != nil {
			if u.PromptTokens != nil {
				a.prompt = *u.PromptTokens
			}
			if u.CompletionTokens != nil {
				total = *u.CompletionTokens
				sum = total
			}
			if u.Details != nil && u.Details.CachedTokens != nil {
				a.cached = *u.Details.CachedTokens
			}
		}
		if len(c.Choices) == 0 {
			continue
		}
		choice := c.Choices[0]
		text, opening := "", false
		if choice.Text != nil {
			text = *choice.Text
		}
		if d := choice.Delta; d != nil {
			for _, s := range []*string{d.Content, d.Reasoning, d.Thinking} {
				if s != nil {
					text += *s
				}
			}
			called := len(d.ToolCalls) > 0 && string(d.ToolCalls) != "null" && string(d.ToolCalls) != "[]"
			opening = text == "" && !called && d.Role != nil && choice.FinishReason == nil
			if called && text == "" {
				text = "\x00" // a tool call is no text, but holds tokens
			}
		}
		a.lastAt = r.at[i]
		finish := choice.FinishReason != nil && *choice.FinishReason != ""
		if finish {
			a.finished = true
			switch *choice.FinishReason {
			case "stop":
				a.earlyStop = true
			case "abort", "error":
				return a, ErrServer, fmt.Errorf("the server ended the answer with finish_reason %q", *choice.FinishReason)
			}
		}
		if opening {
			continue
		}
		if c.Usage != nil && c.Usage.CompletionTokens != nil {
			if sum == counted && text == "" {
				continue // by the server's count there is no token in it
			}
			withCount++
		}
		a.times = append(a.times, r.at[i])
		a.tokens = append(a.tokens, sum-counted)
		counted = max(sum, counted)
		lastEmptyFinish = finish && text == ""
		a.text.WriteString(strings.Trim(text, "\x00"))
	}
	// Some servers count in the last chunk only; that says nothing about the others.
	a.counted = withCount == len(a.times) && total == counted
	// A last chunk of nothing but a finish reason holds a token on vLLM (one whose
	// text is empty) and none elsewhere. The total tells, except when chunks hold
	// several tokens each: then it is taken for none.
	if n := len(a.times); lastEmptyFinish && !a.counted && n != total && n > 1 {
		a.times, a.tokens = a.times[:n-1], a.tokens[:n-1]
	}
	a.output, a.usage = total, total >= 0
	if !a.usage {
		a.output = len(a.times)
	}
	if len(a.times) == 0 {
		return a, ErrEmpty, errNoTokens
	}
	return a, "", nil
}

// failure returns the error that a chunk reports in place of tokens.
func (c *chunk) failure() (string, bool) {
	if e := bytes.TrimSpace(c.Error); len(e) > 0 && string(e) != "null" {
		return errorText(e), true
	}
	if c.Object == "error" {
		return c.Message, true
	}
	return "", false
}

// errorText finds the message in an error body of the forms in use:
// {"error":{"message":...}}, {"error":"..."}, {"message":...}, {"detail":...}, text.
func errorText(body []byte) string {
	var o struct {
		Error   json.RawMessage `json:"error"`
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	body = bytes.TrimSpace(body)
	if json.Unmarshal(body, &o) == nil {
		for _, m := range []json.RawMessage{o.Error, o.Message, o.Detail} {
			if len(m) > 0 && string(m) != "null" {
				return errorText(m)
			}
		}
	}
	var s string
	if json.Unmarshal(body, &s) == nil {
		return s
	}
	return string(body)
}
