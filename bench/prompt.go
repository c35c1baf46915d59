package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// Prompts says where prompts come from. Without Text and JSONL they are random.
type Prompts struct {
	// InputLen is the number of tokens of a random prompt; default 512.
	InputLen int
	// VocabSize bounds the token ids of random prompts; default 30,000, which every
	// common vocabulary has. Ids start at 1,000, behind the special ones.
	VocabSize int
	// Words sends random words even where the server would take token ids.
	Words bool
	// Text is one prompt a line.
	Text io.Reader
	// JSONL is one JSON object a line, or an array of objects, with the prompt in the
	// first human turn of "conversations", in "messages", or in "prompt", "question",
	// "instruction" or "text", and perhaps the output's length in "output_len" or
	// "max_tokens".
	JSONL io.Reader
	// Name names the file in results and errors.
	Name string
}

const (
	defaultVocab = 30_000
	firstID      = 1_000
	maxPrompt    = 4 << 20   // bytes of one prompt
	maxPrompts   = 1_000_000 // kept of a file
	maxFile      = 1 << 30   // bytes read of a file
)

func (p Prompts) check() error {
	switch {
	case p.Text != nil && p.JSONL != nil:
		return errors.New("prompts from a text file and from a JSONL file: choose one")
	case p.VocabSize != 0 && p.VocabSize <= firstID:
		return fmt.Errorf("vocabulary of %d: random prompts need more than %d token ids", p.VocabSize, firstID)
	}
	return nil
}

func (p Prompts) random() bool { return p.Text == nil && p.JSONL == nil }

// A prompt is one of the three forms.
type prompt struct {
	ids      []int
	text     string
	messages []message
	output   int // tokens that the file asks for, 0 for none
	guessed  bool
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// rng returns the random source for a purpose, the same for the same seed.
func rng(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// Purposes of random numbers.
const (
	forMeasured = 1 + iota
	forWarmup
	forProbe
	forArrivals
	forShuffle
)

func randomIDs(r *rand.Rand, n, vocab int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = firstID + r.IntN(vocab-firstID)
	}
	return ids
}

// words are common English words that most tokenizers have as one token.
var words = strings.Fields(`the of and to in is was for that on with as by at from his it an are this be which or had not
	but first one their its new after they have two were she you has her all there been if more when will would who so no him
	out up said what about into than them can only other time some could these may then do now any my like over such our man
	me even most made also did many before must through years where much your way well down should because each just people
	those state how too little world very year still good between long own work day both life being under never same another
	know while last might us great old go against back come right used himself make take three water house small large set
	place again home around during part found without high school line end point next city white group light next open book`)

func randomWords(r *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.String()
}

// wordScale converts a prompt length in tokens into one in words, from what the
// server counted.
type wordScale struct {
	perWord, fixed float64 // tokens = fixed + perWord*words
}

func (s wordScale) words(tokens int) int {
	return max(1, int(math.Round((float64(tokens)-s.fixed)/s.perWord)))
}

// readPrompts reads a prompt file. skipped counts entries without a usable prompt.
func (p Prompts) readPrompts() (prompts []prompt, skipped int, err error) {
	if p.Text != nil {
		prompts, err = readText(io.LimitReader(p.Text, maxFile))
	} else {
		prompts, skipped, err = readJSONL(io.LimitReader(p.JSONL, maxFile))
	}
	name := p.Name
	if name == "" {
		name = "prompts"
	}
	if err != nil {
		return nil, skipped, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(prompts) == 0 {
		return nil, skipped, fmt.Errorf("reading %s: no prompt in it", name)
	}
	return prompts, skipped, nil
}

func readText(r io.Reader) ([]prompt, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxPrompt)
	var out []prompt
	for line := 1; sc.Scan() && len(out) < maxPrompts; line++ {
		if !utf8.Valid(sc.Bytes()) {
			return nil, fmt.Errorf("line %d is not UTF-8 text", line)
		}
		if s := strings.TrimSpace(sc.Text()); s != "" {
			out = append(out, prompt{text: s})
		}
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("a line is over %d bytes: one prompt a line is expected", maxPrompt)
	}
	return out, sc.Err()
}

// readJSONL reads objects one after another, or an array of them: a decoder does not
// mind the difference between lines and any other white space.
func readJSONL(r io.Reader) (out []prompt, skipped int, err error) {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		b, err := br.Peek(1)
		if err != nil {
			return nil, 0, nil // empty
		}
		if b[0] > ' ' {
			break
		}
		br.Discard(1)
	}
	first, _ := br.Peek(1)
	dec := json.NewDecoder(br)
	if first[0] == '[' {
		if _, err := dec.Token(); err != nil {
			return nil, 0, err
		}
	}
	for n := 1; dec.More() && len(out) < maxPrompts; n++ {
		var raw map[string]json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, skipped, fmt.Errorf("entry %d (byte %d): %w", n, dec.InputOffset(), err)
		}
		if p, ok := jsonPrompt(raw); ok {
			out = append(out, p)
		} else {
			skipped++
		}
	}
	return out, skipped, nil
}

type turn struct {
	From    string `json:"from"`
	Role    string `json:"role"`
	Value   string `json:"value"`
	Content string `json:"content"`
}

func (t turn) who() string  { return strings.ToLower(t.From + t.Role) }
func (t turn) what() string { return t.Value + t.Content }

func jsonPrompt(raw map[string]json.RawMessage) (prompt, bool) {
	p := prompt{}
	get := func(name string, v any) bool { return raw[name] != nil && json.Unmarshal(raw[name], v) == nil }
	if !get("output_len", &p.output) {
		get("max_tokens", &p.output)
	}
	p.output = max(p.output, 0)
	var turns []turn
	if get("conversations", &turns) || get("conversation", &turns) {
		for i, t := range turns {
			if who := t.who(); who != "human" && who != "user" || t.what() == "" {
				continue
			}
			p.text = t.what()
			// Without a tokenizer the length of the recorded answer is a guess: four
			// characters a token is usual for English.
			if p.output == 0 && i+1 < len(turns) && turns[i+1].what() != "" {
				p.output, p.guessed = max(1, utf8.RuneCountInString(turns[i+1].what())/4), true
			}
			return p, len(p.text) <= maxPrompt
		}
		return p, false
	}
	if get("messages", &p.messages) && len(p.messages) > 0 {
		for len(p.messages) > 0 && p.messages[len(p.messages)-1].Role == "assistant" {
			p.messages = p.messages[:len(p.messages)-1]
		}
		var b strings.Builder
		for i, m := range p.messages {
			if i > 0 {
				b.WriteString("\n\n")
			}
			b.WriteString(m.Content)
		}
		p.text = b.String()
		return p, p.text != "" && len(p.text) <= maxPrompt
	}
	p.messages = nil
	for _, name := range []string{"prompt", "question", "instruction", "text"} {
		if get(name, &p.text) && p.text != "" {
			return p, len(p.text) <= maxPrompt
		}
	}
	return p, false
}
