package web

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// policy is what every answer carries. Scripts and styles come only from this server and as files, nothing is loaded
// from or sent to another place, no page may frame this one, and text never becomes markup (trusted types).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
}

// guard lets through what a page of this server asks for, and nothing else.
type guard struct {
	token  string
	hosts  []string // accepted names, beside loopback
	remote bool     // literal IP addresses are accepted: no name can be rebound to one
	next   http.Handler
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if status, text := g.check(r); status != 0 {
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "GET, HEAD")
		}
		http.Error(w, text, status)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/"+g.token)
	if path == "" {
		// Without the slash the page's relative addresses would lose the token. The target is made of checked parts only.
		w.Header().Set("Location", "/"+g.token+"/")
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	inner := r.Clone(r.Context())
	inner.URL.Path, inner.URL.RawPath = path, ""
	g.next.ServeHTTP(w, inner)
}

// check returns the status and text of a refusal, 0 for none. The order matters: nothing is said about the token to a
// request that comes from a foreign page.
func (g *guard) check(r *http.Request) (int, string) {
	switch {
	case len(r.RequestURI) > maxURL:
		return http.StatusRequestURITooLong, "the address is too long"
	case !g.hostAllowed(r.Host):
		return http.StatusMisdirectedRequest, "this name is not served here: open the address that stepscope printed"
	case !originAllowed(r):
		return http.StatusForbidden, "requests of other sites are refused"
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return http.StatusMethodNotAllowed, "the timeline is read-only"
	case r.ContentLength != 0:
		return http.StatusRequestEntityTooLarge, "requests have no body here"
	case !g.tokenMatches(r.URL.Path):
		return http.StatusNotFound, "open the address that stepscope printed, with its token"
	}
	return 0, ""
}

// hostAllowed accepts loopback by name and number whatever the port, as a tunnel has its own, and what was allowed
// explicitly. A name of an attacker that points here is neither: rebinding it gains nothing.
func (g *guard) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(name), "["), "]")
	if loopback(name) || slices.Contains(g.hosts, name) {
		return true
	}
	return g.remote && net.ParseIP(name) != nil
}

// originAllowed refuses what another page started. Browsers send fetch metadata and Origin; opening the address itself,
// also by a link, is fine, as that needs the token and shows the answer to nobody else.
func originAllowed(r *http.Request) bool {
	if o := r.Header.Get("Origin"); o != "" {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && strings.Count(r.URL.Path, "/") <= 2
}

func (g *guard) tokenMatches(path string) bool {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	got, _, _ := strings.Cut(rest, "/")
	return subtle.ConstantTimeCompare([]byte(got), []byte(g.token)) == 1
}
