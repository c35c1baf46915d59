package serving

import "regexp"

// masked replaces a secret.
const masked = "***"

// Secrets that command lines, argument dumps and logs are known to carry. A
// key counts as secret when it ends in one of the words; "tokens" and
// "tokenizer" are not among them.
var (
	secretKey = `(?i:[a-z0-9_.-]*(?:api[_-]?keys?|apikey|secret(?:[_-]?(?:access[_-]?)?key)?|passw(?:or)?d|passphrase|(?:[_-]|\b)token|credentials?|private[_-]?key|access[_-]?key(?:[_-]?id)?|authorization))`

	// 'api_key': ['a', 'b'], api_key=('x'), "api_key": "x", api_key=x, HF_TOKEN=x
	secretPair = regexp.MustCompile(`(['"]?\b` + secretKey + `['"]?\s*[:=]\s*)(\[[^\]]*\]|\([^)]*\)|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?i:Bearer|Basic)\s+[^\s,'"}\])]+|[^\s,'"}\])]+)`)
	// --api-key x y, --hf-token x: every value up to the next option
	secretFlag = regexp.MustCompile(`(--` + secretKey + `)((?:\s+(?:'[^']*'|"[^"]*"|[^-\s'"][^\s]*))+)`)
	// Authorization: Bearer x
	bearer = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`)
	// scheme://user:password@host
	urlUser = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s:@'"]+:[^/\s@'"]+@`)
	// tokens that say what they are
	knownToken = regexp.MustCompile(`\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|nvapi-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)`)

	secretHint = regexp.MustCompile(`(?i)key|token|secret|passw|passphrase|credential|authorization|bearer|basic|://|hf_|sk-|nvapi-|gh[pousr]_|xox|akia|eyj`)
	notSecret  = regexp.MustCompile(`^(?i:none|null|true|false|\[\]|\(\)|''|"")$`)
)

// mask hides the secrets in a text. Values that say "no secret" stay.
func mask(s string) string {
	if !secretHint.MatchString(s) {
		return s
	}
	s = secretPair.ReplaceAllStringFunc(s, func(m string) string {
		part := secretPair.FindStringSubmatch(m)
		if notSecret.MatchString(part[2]) {
			return m
		}
		return part[1] + masked
	})
	s = secretFlag.ReplaceAllString(s, "$1 "+masked)
	s = bearer.ReplaceAllString(s, "$1 "+masked)
	s = urlUser.ReplaceAllString(s, "${1}"+masked+"@")
	return knownToken.ReplaceAllString(s, masked)
}
