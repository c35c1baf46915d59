package experiment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/stepscope/stepscope/bench"
)

// fixedPrompts are asked of every server at temperature 0, one after the other.
var fixedPrompts = []string{
	"The capital of France is",
	"Count from one to twenty in words:",
	"def fibonacci(n):\n",
	"Water boils at a temperature of",
	"Translate to German: The weather is nice today.",
	"List the planets of the solar system in order:",
	"In one sentence, explain what a cache is.",
	"2, 3, 5, 7, 11, 13,",
}

// answerTokens is how long an answer to a fixed prompt is at most.
const answerTokens = 48

// answers are digests of a server's answers to the fixed prompts; "" where one failed. The texts are not kept.
type answers []string

// ask sends the fixed prompts one by one, so that no batch changes the order of additions.
func ask(ctx context.Context, cfg bench.Config, model string) (answers, error) {
	out := make(answers, len(fixedPrompts))
	var last error
	got := 0
	for i, p := range fixedPrompts {
		text, err := complete(ctx, cfg, model, p)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			last = err
			continue
		}
		got++
		sum := sha256.Sum256([]byte(text))
		out[i] = string(sum[:])
	}
	if got == 0 {
		return nil, fmt.Errorf("asking for answers at temperature 0: %w", last)
	}
	return out, nil
}

func complete(ctx context.Context, cfg bench.Config, model, prompt string) (string, error) {
	path, body := "/v1/completions", map[string]any{"model": model, "prompt": prompt, "max_tokens": answerTokens, "temperature": 0, "seed": 1}
	if cfg.API == bench.Chat {
		path = "/v1/chat/completions"
		delete(body, "prompt")
		body["messages"] = []map[string]string{{"role": "user", "content": prompt}}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cfg.URL+path, bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if cfg.Key != "" {
		req.Header.Set("Authorization", "Bearer "+string(cfg.Key))
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s", resp.Status)
	}
	var r struct {
		Choices []struct {
			Text    *string `json:"text"`
			Message struct {
				Content   string `json:"content"`
				Reasoning string `json:"reasoning_content"`
			} `json:"message"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return "", fmt.Errorf("reading an answer: %w", err)
	}
	if len(r.Choices) == 0 {
		return "", fmt.Errorf("an answer without a choice")
	}
	if t := r.Choices[0].Text; t != nil {
		return *t, nil
	}
	return r.Choices[0].Message.Reasoning + "\x00" + r.Choices[0].Message.Content, nil
}

// equalShare is the share of prompts with equal answers over all pairs of the two lists, and the number of comparisons.
// With the same list twice a server is held against its own other starts.
func equalShare(x, y []answers, same bool) (share float64, n int) {
	equal := 0
	for i, a := range x {
		for k, b := range y {
			if same && k <= i {
				continue
			}
			for p := range a {
				if a[p] == "" || b[p] == "" {
					continue
				}
				n++
				if a[p] == b[p] {
					equal++
				}
			}
		}
	}
	if n == 0 {
		return 0, 0
	}
	return float64(equal) / float64(n), n
}
