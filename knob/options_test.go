package knob

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// option is a row of testdata/vllm-0.24-options.tsv: facts that vLLM 0.24.0's own parser, configuration classes and table
// of variables state.
type option struct {
	kind, def string
	choices   []string
	short     []string
}

func options024(t *testing.T) map[string]option {
	t.Helper()
	data, err := os.ReadFile("testdata/vllm-0.24-options.tsv")
	if err != nil {
		t.Fatal(err)
	}
	list := func(s string) []string {
		if s == "-" {
			return nil
		}
		return strings.Split(s, ",")
	}
	out := map[string]option{}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 5 {
			t.Fatalf("%q", line)
		}
		out[f[0]] = option{f[1], f[2], list(f[3]), list(f[4])}
	}
	if len(out) < 600 {
		t.Fatalf("%d rows", len(out))
	}
	return out
}

// notOfTheTable are names that the version has and names.txt leaves out on purpose: results and inner state that the
// configuration classes hold beside their settings.
var notOfTheTable = []string{
	"--compilation-config.bs_to_padded_graph_size", "--compilation-config.compilation_time", "--compilation-config.disabled_custom_ops",
	"--compilation-config.enabled_custom_ops", "--compilation-config.encoder_compilation_time", "--compilation-config.local_cache_dir",
	"--compilation-config.static_all_moe_layers", "--compilation-config.static_forward_context", "--compilation-config.traced_files",
	"--speculative-config.draft_model_config", "--speculative-config.draft_parallel_config", "--speculative-config.target_model_config",
	"--speculative-config.target_parallel_config",
}

// The table of names has exactly what the version has, taken in the same way.
func TestNamesOf024(t *testing.T) {
	have := options024(t)
	v := Engine{VLLM, "0.24.0"}
	kinds := map[string]string{"switch": "bool", "value": "value", "list": "list", "env": "env", "field": "field"}
	for n, o := range have {
		if a := AvailableName(n, v); a.Presence != Present && !slices.Contains(notOfTheTable, n) {
			t.Errorf("%s: %+v", n, a)
		}
		if row, ok := names()[n]; ok && row.takes != kinds[o.kind] {
			t.Errorf("%s: takes %s, a %s there", n, row.takes, o.kind)
		}
	}
	for n := range names() {
		if _, ok := have[n]; !ok && AvailableName(n, v).Presence != Absent {
			t.Errorf("%s: not in 0.24.0", n)
		}
	}
}

// partial are entries whose list of values is a choice of the useful ones.
var partial = map[string]bool{"--spec-method": true, "--attention-backend": true}

// What the catalogue says of the version is what the version does: presence, kind, values, default and short names.
func TestCatalogueOf024(t *testing.T) {
	have := options024(t)
	v := Engine{VLLM, "0.24.0"}
	compared := 0
	for _, e := range Entries() {
		if e.Engine != VLLM || e.Kind != Flag && e.Kind != Env || e.External {
			continue
		}
		o, ok := have[e.Name]
		if got := Available(e, v).Presence; (got == Present) != ok {
			t.Errorf("%s: %s by the catalogue, in the version: %v", e.Name, got, ok)
		}
		if !ok {
			continue
		}
		if o.kind != "field" && e.Kind == Flag && e.Switch() != (o.kind == "switch") {
			t.Errorf("%s: a switch %v, a %s there", e.Name, e.Switch(), o.kind)
		}
		if e.Kind == Flag && o.kind != "field" && (e.Takes == "") != (o.kind == "switch") {
			t.Errorf("%s: takes %q, a %s there", e.Name, e.Takes, o.kind)
		}
		for _, s := range o.short {
			if got, ok := find(s, VLLM); !ok || got.Name != e.Name {
				t.Errorf("%s: %s is its short name", e.Name, s)
			}
		}
		taken := 0
		for _, val := range e.Values {
			is := ValueAvailable(e, val.Value, v).Presence == Present
			if is {
				taken++
			}
			if len(o.choices) > 0 && is != slices.Contains(o.choices, val.Value) {
				t.Errorf("%s %s: taken by the catalogue %v, by the version %v", e.Name, val.Value, is, !is)
			}
		}
		if taken > 0 && len(o.choices) > 0 && !partial[e.Name] && taken != len(o.choices) {
			t.Errorf("%s: %d values of %d: %s", e.Name, taken, len(o.choices), strings.Join(o.choices, " "))
		}
		text, known := DefaultText(e, v)
		if !known || o.def == "-" {
			continue
		}
		compared++
		want := []string{o.def}
		switch o.def {
		case "true":
			want = []string{"on"}
		case "false":
			want = []string{"off"}
		case "none", "{...}", "[]", `""`:
			want = nil // resolved later: any words
		}
		if e.Kind == Env && o.def == "1" {
			want = append(want, "on")
		}
		plain, _, _ := strings.Cut(text, ":")
		plain, _, _ = strings.Cut(plain, ",")
		if want != nil && !slices.Contains(want, plain) && plain+".0" != o.def {
			t.Errorf("%s: default %q, there %s", e.Name, text, o.def)
		}
		if want == nil && (text == "on" || text == "off") && e.Name != "--enable-lora" { // nothing turns LoRA on by itself
			t.Errorf("%s: default %q, the version leaves it open", e.Name, text)
		}
	}
	if compared < 90 {
		t.Errorf("%d defaults compared", compared)
	}
}
