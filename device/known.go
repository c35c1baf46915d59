package device

import (
	_ "embed"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
)

// KnownMatch tells how a model name was understood.
type KnownMatch struct {
	OK      bool   `json:"ok"`
	Name    string `json:"name,omitempty"`  // the table's name of the model
	Assumed bool   `json:"assumed"`         // the name gives family and size only ("llama8b"): check against the capture
	Quant   string `json:"quant,omitempty"` // quantisation read off the name ("fp8", "awq")
}

type knownModel struct {
	Names  []string `json:"names"`
	Params int64    `json:"params"` // published count of the checkpoint, 0 where not at hand
	Shape  Shape    `json:"shape"`
}

//go:embed models.json
var modelsJSON []byte

var knownModels = sync.OnceValue(func() []knownModel {
	var out []knownModel
	if err := json.Unmarshal(modelsJSON, &out); err != nil {
		panic("device: embedded models.json: " + err.Error())
	}
	return out
})

var (
	reHubDir   = regexp.MustCompile(`models--[^/]*?--([^/]+)`)
	reSuffix   = regexp.MustCompile(`-(instruct|it|chat|base|hf|pt|bnb|unsloth|dynamic|static|quantized|block|tensor|channel|g128|128g|ct|text)$`)
	reQuantTag = regexp.MustCompile(`-(fp8|fp8-kv|w8a8|w4a16|awq|gptq|int8|int4|gptq-int4|gptq-int8|awq-int4|quantized\.w8a8|quantized\.w4a16|nvfp4|mxfp4|bf16|4bit|8bit)$`)
	// reFamily finds names that give only a family and a size: "llama8b", "Qwen3_4B-test".
	reFamily = regexp.MustCompile(`^(llama|mistral|mixtral|qwen2\.5|qwen2|qwen3|gemma-2|gemma-3|phi-4|gpt-oss)[-_ ]?([0-9]+x)?([0-9.]+[bm](?:-a[0-9.]+b)?)$`)
)

// bareName are table names that give only family and size although several releases share or could share them.
var bareName = map[string]bool{"llama-1b": true, "llama-3b": true, "llama-8b": true, "llama-70b": true, "llama-405b": true,
	"llama-7b": true, "llama-13b": true, "mistral-7b": true}

// quantTags maps what publishers append to a model name to the weight type that it stands for.
var quantTags = map[string]DType{"fp8": FP8, "fp8-kv": FP8, "w8a8": INT8, "quantized.w8a8": INT8, "int8": INT8, "gptq-int8": INT8, "8bit": INT8,
	"w4a16": INT4, "quantized.w4a16": INT4, "awq": INT4, "gptq": INT4, "int4": INT4, "gptq-int4": INT4, "awq-int4": INT4, "4bit": INT4,
	"nvfp4": NVFP4, "mxfp4": MXFP4, "bf16": BF16}

// Known returns the shape of a common public model by the name in a command line, a banner or a log: a hub id
// ("meta-llama/Llama-3.1-8B-Instruct"), a path that ends in the model's directory, or a hub cache path. Case, the
// organisation, and suffixes such as "-Instruct" do not matter; a quantisation suffix ("-FP8", "-AWQ") sets WeightDType.
// A name that gives only family and size ("llama8b") is answered with Assumed true.
//
// The name says nothing about fine-tuned or pruned variants with other shapes: prefer [ParseHFConfig] where the
// configuration is at hand.
func Known(name string) (Shape, KnownMatch) {
	tail := modelTail(name)
	if tail == "" {
		return Shape{}, KnownMatch{}
	}
	var quant string
	// Suffixes come in any order, so strip until nothing changes, and try the table after every cut.
	for range 8 {
		if s, ok := knownExact(tail); ok {
			return withTag(s, quant, bareName[tail])
		}
		cut := tail
		if m := reQuantTag.FindStringSubmatch(cut); m != nil {
			cut = strings.TrimSuffix(cut, m[0])
			if quant == "" {
				quant = m[1]
			}
		} else if m := reSuffix.FindString(cut); m != "" {
			cut = strings.TrimSuffix(cut, m)
		}
		// "-instruct" may also stand before a version: mistral-7b-instruct-v0.3, qwen2.5-7b-instruct-1m.
		if cut == tail {
			cut = strings.Replace(cut, "-instruct", "", 1)
		}
		if cut == tail {
			break
		}
		tail = cut
	}
	if m := reFamily.FindStringSubmatch(tail); m != nil {
		if s, ok := knownExact(m[1] + "-" + m[2] + m[3]); ok {
			return withTag(s, quant, true)
		}
	}
	return Shape{}, KnownMatch{}
}

func withTag(k knownModel, quant string, assumed bool) (Shape, KnownMatch) {
	s := k.Shape
	s.Name = k.Names[0]
	if d, ok := quantTags[quant]; ok {
		s.WeightDType, s.ExpertDType = d, ""
		s.Quant = quant
		if d == BF16 {
			s.Quant = ""
		}
	}
	return s, KnownMatch{OK: true, Name: k.Names[0], Assumed: assumed, Quant: quant}
}

func knownExact(name string) (knownModel, bool) {
	for _, k := range knownModels() {
		for _, n := range k.Names {
			if n == name {
				return k, true
			}
		}
	}
	return knownModel{}, false
}

// modelTail is the lower-case last path element that names the model.
func modelTail(name string) string {
	name = strings.ToLower(strings.TrimRight(strings.TrimSpace(name), "/\\"))
	if m := reHubDir.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimSuffix(name, ".gguf")
	return strings.ReplaceAll(strings.ReplaceAll(name, "_", "-"), " ", "-")
}
