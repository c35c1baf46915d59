package capture

import (
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"

	"github.com/stepscope/stepscope/ledger"
)

// aPlace stands for the name or the address of a machine.
const aPlace = "HOST"

// address is an IPv4 address in a URL or with a port: four numbers alone may be a version.
var address = regexp.MustCompile(`(://|\b)((?:\d{1,3}\.){3}\d{1,3})(:\d{1,5}\b)?`)

// profilerLine matches what Nsight Systems prints into the server's output about its own files: progress, and paths of this
// machine that exist no more.
var profilerLine = regexp.MustCompile(`^(Generating '.*\.qdstrm'|\[\d+/\d+\] \[.*|Processing events.*|Generated:|\t\S*\.(nsys-rep|qdstrm))\s*$`)

// MaskLog takes out of a server's output what must not travel with it: the values of secret variables of env (NAME=VALUE),
// what looks like a secret, names and addresses of machines, and the profiler's words about its files.
func MaskLog(text string, env []string) string {
	var out strings.Builder
	out.Grow(len(text))
	secrets, own := secretReplacer(env), ownPlaces()
	for l := range strings.Lines(text) {
		if profilerLine.MatchString(l) {
			continue
		}
		out.WriteString(hidePlaces(ledger.MaskText(secrets.Replace(l)), own))
	}
	return out.String()
}

// hidePlaces replaces names and addresses of machines in a line of a log: those of this machine wherever they stand, and
// every other address that has a port or stands in a URL. Loopback and unspecified addresses say nothing and stay.
func hidePlaces(line string, own *regexp.Regexp) string {
	if own != nil {
		line = own.ReplaceAllString(line, aPlace)
	}
	return address.ReplaceAllStringFunc(line, func(match string) string {
		m := address.FindStringSubmatch(match)
		ip, err := netip.ParseAddr(m[2])
		if err != nil || ip.IsLoopback() || ip.IsUnspecified() || m[1] == "" && m[3] == "" {
			return match
		}
		return m[1] + aPlace + m[3]
	})
}

// ownPlaces matches this machine's name and addresses, nil when it has none worth hiding.
func ownPlaces() *regexp.Regexp {
	name, _ := os.Hostname()
	var ips []string
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() {
			ips = append(ips, n.IP.String())
		}
	}
	return placesOf(name, ips)
}

// placesOf matches whole words only. A name of letters alone, like vllm, is a word that a log has for other reasons.
func placesOf(name string, ips []string) *regexp.Regexp {
	var words []string
	if len(name) >= 4 && strings.ContainsAny(name, "0123456789-.") {
		words = append(words, regexp.QuoteMeta(name))
	}
	for _, ip := range ips {
		words = append(words, regexp.QuoteMeta(ip))
	}
	if len(words) == 0 {
		return nil
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(words, "|") + `)\b`)
}
