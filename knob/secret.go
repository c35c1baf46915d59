package knob

import (
	"regexp"
	"strings"
)

// Masked stands in every text for a value that must not be shown.
const Masked = "***"

var (
	// reSecretName finds option and field names whose values are secrets. "tokens" in the plural counts something and
	// "tokenizer" is none.
	reSecretName = regexp.MustCompile(`(?i)(^|[-_.])(api[-_]?keys?|keys?|token|secret|secrets|password|passwd|pwd|credentials?|authorization|auth|hf[-_]?token|access[-_]?key([-_]?id)?|ssl[-_]?keyfile[-_]?password)$|secret|password`)
	// reSecretValue finds values that are secrets by their form, wherever they stand.
	reSecretValue = regexp.MustCompile(`\b(hf_[A-Za-z0-9]{10,}|sk-[A-Za-z0-9_-]{10,}|ghp_[A-Za-z0-9]{10,}|github_pat_[A-Za-z0-9_]{10,}|nvapi-[A-Za-z0-9_-]{10,}|AKIA[A-Z0-9]{12,}|xox[abp]-[A-Za-z0-9-]{10,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)`)
	// reURLUser finds credentials inside URLs.
	reURLUser = regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^/\s:@'"]*:[^/\s@'"]*@`)
	reBearer  = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}`)
	// reFieldSecret finds secrets in JSON and in Python text.
	reFieldSecret = regexp.MustCompile(`(?i)(["']?[a-z0-9_-]*(?:api[-_]?key|hf[-_]?token|secret|password|authorization|access[-_]?key)[a-z0-9_-]*["']?\s*[:=]\s*)(\[[^\]]*\]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,}\])]+)`)
)

// SecretName reports whether values of an option, field or variable of this name must not be shown.
func SecretName(name string) bool {
	n := strings.TrimLeft(name, "-")
	switch strings.ToLower(n) {
	case "ssl-keyfile", "ssl_keyfile":
		return false // a path
	}
	return reSecretName.MatchString(n)
}

// Mask hides in a free text what looks like a secret: keys by their form, credentials in URLs, and fields with a
// secret's name.
func Mask(text string) string {
	text = reURLUser.ReplaceAllString(text, "${1}"+Masked+"@")
	text = reBearer.ReplaceAllString(text, "${1} "+Masked)
	text = reFieldSecret.ReplaceAllString(text, "${1}"+Masked)
	return reSecretValue.ReplaceAllString(text, Masked)
}

// maskValue is the value of a named setting as it may be shown.
func maskValue(name, value string) string {
	if value == "" {
		return ""
	}
	if SecretName(name) {
		return Masked
	}
	return Mask(value)
}
