package manager

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// policy is what browsers are told that the manager may do. Styles may be inline,
// because the editor of code makes its own; nothing else may.
type policy struct {
	fixed string
	// origins of the Admin API, or ports that are put behind the page's host.
	origins            []string
	port, securePort   int
	hostOfPageIsNeeded bool
}

func newPolicy(o Options) *policy {
	scripts := "script-src 'self'"
	if o.Expressions {
		scripts += " 'wasm-unsafe-eval'"
	}
	return &policy{
		fixed: "default-src 'none'; " + scripts + "; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
			"worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'",
		origins: origins(o.APIURL), port: o.Port, securePort: o.SecurePort, hostOfPageIsNeeded: o.APIURL == "",
	}
}

// origins are those of the Admin API's address, which may lack the scheme.
func origins(address string) []string {
	if address == "" {
		return nil
	}
	schemes := []string{"http", "https"}
	if scheme, rest, ok := strings.Cut(address, "://"); ok {
		schemes, address = []string{scheme}, rest
	}
	u, err := url.Parse("//" + strings.TrimPrefix(address, "//"))
	if err != nil || u.Host == "" {
		return nil
	}
	var all []string
	for _, scheme := range schemes {
		all = append(all, scheme+"://"+source(u.Hostname(), u.Port()))
	}
	return all
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$`)

// source is a host as policies write it. They have no form for IPv6 addresses, and a
// host that a client made up must not write the policy: such a one is any host.
func source(host, port string) string {
	if !hostname.MatchString(host) {
		host = "*"
	}
	if port == "" {
		return host
	}
	return host + ":" + port
}

// write adds the headers for a page that was asked for at r.Host.
func (p *policy) write(h http.Header, r *http.Request) {
	connect := p.origins
	if p.hostOfPageIsNeeded {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if p.port != 0 {
			connect = append(connect, "http://"+source(host, strconv.Itoa(p.port)))
		}
		if p.securePort != 0 {
			connect = append(connect, "https://"+source(host, strconv.Itoa(p.securePort)))
		}
	}
	h.Set("Content-Security-Policy", strings.Join(append([]string{p.fixed}, connect...), " "))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
