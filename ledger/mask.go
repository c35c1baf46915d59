package ledger

import (
	"regexp"
	"strings"
)

// masked stands for a secret.
const masked = "***"

// secretWords are the words of an option's or variable's name that announce a
// secret. Words, not substrings: --max-num-batched-tokens and --tokenizer are no secrets.
var secretWords = map[string]bool{
	"key": true, "apikey": true, "token": true, "secret": true, "password": true, "passwd": true,
	"credential": true, "credentials": true, "auth": true, "authorization": true, "bearer": true, "pat": true,
}

func secretName(name string) bool {
	for _, w := range strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r == '-' || r == '_' || r == '.' || r == ' '
	}) {
		if secretWords[w] {
			return true
		}
	}
	return false
}

var (
	// Keys of well-known shapes, wherever they stand.
	knownKeys = regexp.MustCompile(`\b(?:hf_|sk-|ghp_|gho_|github_pat_|glpat-|xox[abprs]-|AKIA|nvapi-|wandb_)[A-Za-z0-9_\-]{12,}`)
	bearer    = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{6,}`)
	// User information ends at the last @ of the authority, as browsers read it; a quote ends the URL, as in a text around it.
	userinfo = regexp.MustCompile("([a-zA-Z][a-zA-Z0-9+.\\-]*://)[^/\\s\"'`<>]+@")
	jsonPair = regexp.MustCompile(`("([^"\\]+)"\s*:\s*)"(?:[^"\\]|\\.)*"`)
	query    = regexp.MustCompile(`([?&]([A-Za-z0-9_\-.]+)=)[^&\s"']+`)
	assigned = regexp.MustCompile(`(^|[\s;,"'])((?:--?)?([A-Za-z][A-Za-z0-9_\-.]*)=)([^\s;,"']+)`)
)

// Mask returns a copy of a command line with secrets replaced by ***: values of
// options and variables whose name announces one (--api-key, HF_TOKEN=), user
// information and query parameters in URLs, members of JSON arguments, Bearer
// headers, and keys of well-known shape anywhere. All values behind --api-key are
// masked, as vLLM takes several. A secret in a place that nothing announces stays:
// mask before you call when you know of one.
func Mask(command []string) []string {
	if command == nil {
		return nil
	}
	out := make([]string, len(command))
	hide, all := false, false // the next value; every value up to the next option
	for i, a := range command {
		isOption := strings.HasPrefix(a, "-") && len(a) > 1
		switch {
		case hide && (!isOption || !all):
			out[i] = masked
			hide = all
			continue
		case isOption:
			hide, all = false, false
			name, value, has := strings.Cut(strings.TrimLeft(a, "-"), "=")
			if secretName(name) {
				if has {
					if value != "" {
						a = a[:len(a)-len(value)] + masked
					}
				} else {
					hide, all = true, strings.ReplaceAll(name, "_", "-") == "api-key"
				}
				out[i] = a
				continue
			}
		}
		out[i] = MaskText(a)
	}
	return out
}

// MaskText replaces what looks like a secret in free text by ***.
func MaskText(s string) string {
	s = userinfo.ReplaceAllString(s, "${1}"+masked+"@")
	s = bearer.ReplaceAllString(s, "${1} "+masked)
	s = knownKeys.ReplaceAllString(s, masked)
	s = replaceNamed(s, jsonPair, 2, func(m []string) string { return m[1] + `"` + masked + `"` })
	s = replaceNamed(s, query, 2, func(m []string) string { return m[1] + masked })
	return replaceNamed(s, assigned, 3, func(m []string) string { return m[1] + m[2] + masked })
}

// replaceNamed replaces the matches of re whose group name announces a secret.
func replaceNamed(s string, re *regexp.Regexp, name int, with func([]string) string) string {
	return re.ReplaceAllStringFunc(s, func(match string) string {
		m := re.FindStringSubmatch(match)
		if m == nil || !secretName(m[name]) {
			return match
		}
		return with(m)
	})
}
