package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// preflight finds out what the server is and accepts, with a handful of tiny
// requests, before anything is measured.
func (r *runner) preflight(ctx context.Context) error {
	r.report(Event{Phase: Preflight})
	if !r.cfg.Prompts.random() {
		var err error
		if r.filePrompt, r.skipped, err = r.cfg.Prompts.readPrompts(); err != nil {
			return err
		}
	}
	if err := r.findModel(ctx); err != nil {
		return err
	}
	if r.cfg.Prompts.random() && r.maxLen > 0 && r.cfg.Prompts.InputLen+r.outputLen(prompt{}) > r.maxLen {
		return fmt.Errorf("%d input and %d output tokens are over the server's context length of %d: ask for fewer",
			r.cfg.Prompts.InputLen, r.outputLen(prompt{}), r.maxLen)
	}
	r.scale = wordScale{perWord: 1}
	if _, err := r.probe(ctx, 16); err != nil {
		return err
	}
	if r.cfg.Prompts.random() && !r.has.ids {
		if err := r.fitWords(ctx); err != nil {
			return err
		}
	}
	r.idleWake = idleWake()
	return ctx.Err()
}

// findModel asks the server for its models.
func (r *runner) findModel(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.URL+"/v1/models", nil)
	if err != nil {
		return err
	}
	r.authorize(req)
	resp, err := r.http.Do(req)
	if err != nil {
		return fmt.Errorf("reaching the server: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	var list struct {
		Data []struct {
			ID     string `json:"id"`
			MaxLen int    `json:"max_model_len"`
		} `json:"data"`
	}
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(b, &list)
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("the server at %s wants an API key (%s)", r.cfg.URL, resp.Status)
	case err == nil && resp.StatusCode == http.StatusOK:
		for _, m := range list.Data {
			if r.model == "" || m.ID == r.model {
				r.model, r.maxLen = m.ID, m.MaxLen
				return nil
			}
		}
	}
	if r.model != "" {
		return nil // not every server lists what it serves; the probe will tell
	}
	if err == nil {
		err = errors.New(resp.Status)
	}
	return fmt.Errorf("the server at %s does not list its models (%w): name one", r.cfg.URL, err)
}

// probe sends small requests until the server accepts one, giving up one feature
// at a time.
func (r *runner) probe(ctx context.Context, tokens int) (*answer, error) {
	random := rng(r.cfg.Seed, forProbe)
	for {
		p := prompt{text: "Hello"}
		if r.cfg.Prompts.random() {
			p = r.randomPrompt(random.Uint64(), tokens)
		}
		body, err := r.body(p, 2)
		if err != nil {
			return nil, err
		}
		var chunks atomic.Int64
		rec := r.send(ctx, body, 0, &chunks)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if rec.kind == "" {
			a, kind, err := rec.parse()
			if kind == "" {
				if r.has.usage && !a.usage {
					r.warn("no-usage", "the server counts no tokens: a chunk is taken for one output token, and prompt lengths are not known")
				}
				return a, nil
			}
			rec.fail(kind, r.clean(err.Error()))
		}
		if why := r.giveUp(rec); why == "" {
			return nil, r.refused(rec)
		} else {
			r.warn("not-accepted", why+" ("+rec.err+")")
		}
	}
}

// giveUp drops the feature that the server's refusal is most likely about, and
// says what that means for the measurement. "" is: nothing left to drop.
func (r *runner) giveUp(rec *recording) string {
	switch rec.kind {
	case "http-400", "http-404", "http-422", "http-500", "http-501", ErrServer:
	default:
		return ""
	}
	text := strings.ToLower(rec.err)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	if rec.kind == "http-404" && !has("prompt", "argument", "parameter", "field") {
		return "" // no such model or endpoint
	}
	steps := []struct {
		on    *bool
		to    bool
		about bool
		why   string
	}{
		{&r.has.newLen, true, has("max_completion_tokens"), "max_tokens is not accepted, max_completion_tokens is used"},
		{&r.has.continuous, false, has("continuous_usage"), "token counts in every chunk are not accepted: chunks may hold several tokens unnoticed"},
		{&r.has.ids, false, has("token id", "vocabulary", "valid string", "prompt"), "prompts of token ids are not accepted: random words are sent instead"},
		{&r.has.ignoreEOS, false, has("ignore_eos", "unrecognized", "unknown", "extra", "not permitted"), "ignore_eos is not accepted: outputs may be shorter than asked for"},
		{&r.has.usage, false, has("stream_options", "include_usage"), "usage in the stream is not accepted: a chunk is taken for one output token"},
	}
	// First what the text is about, then anything, most exotic first.
	for _, anything := range []bool{false, true} {
		for _, s := range steps {
			if (s.about || anything && s.on != &r.has.newLen) && *s.on != s.to {
				*s.on = s.to
				return s.why
			}
		}
	}
	return ""
}

// refused is the error for a server that accepts nothing.
func (r *runner) refused(rec *recording) error {
	hint := ""
	switch rec.kind {
	case "http-401", "http-403":
		hint = ": it wants an API key"
	case "http-404":
		hint = fmt.Sprintf(": is the model %q served, and does the server have %s?", r.model, strings.TrimPrefix(r.endpoint, r.cfg.URL))
	}
	return fmt.Errorf("the server at %s does not answer a small %s request (%s)%s", r.cfg.URL, r.cfg.API, rec.err, hint)
}

// fitWords measures how many tokens words make, on two lengths, as the chat
// template adds some of its own.
func (r *runner) fitWords(ctx context.Context) error {
	const short, long = 24, 152
	random := rng(r.cfg.Seed, forProbe)
	var tokens [2]int
	for i, n := range []int{short, long} {
		body, err := r.body(prompt{text: randomWords(random, n)}, 1)
		if err != nil {
			return err
		}
		var chunks atomic.Int64
		rec := r.send(ctx, body, 0, &chunks)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if rec.kind != "" {
			return r.refused(rec)
		}
		a, kind, err := rec.parse()
		if kind != "" {
			return fmt.Errorf("the server's answer to a small request cannot be used: %w", err)
		}
		if a.prompt < 0 {
			r.warn("prompt-length", fmt.Sprintf("the server does not count prompt tokens: %d words are sent for %d tokens", r.cfg.Prompts.InputLen, r.cfg.Prompts.InputLen))
			return nil
		}
		tokens[i] = a.prompt
	}
	if perWord := float64(tokens[1]-tokens[0]) / (long - short); perWord > 0 {
		r.scale = wordScale{perWord: perWord, fixed: float64(tokens[0]) - perWord*short}
	}
	return nil
}
