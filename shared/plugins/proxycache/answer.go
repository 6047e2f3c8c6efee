package proxycache

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// storable returns the entry for an answer, still without its body, or nil when it
// must not be stored.
func (p *plugin) storable(x *pdk.Exchange, k key) *entry {
	r := &x.Response
	if x.Source != pdk.SourceUpstream || r.Status == 206 || r.Status == 304 ||
		!slices.Contains(p.ResponseCode, r.Status) || !p.wantsType(&r.Header) {
		return nil
	}
	now := x.UpstreamFirst
	if now.IsZero() {
		now = x.Start
	}
	e := &entry{key: k, status: r.Status, stored: now, ttl: time.Duration(p.CacheTTL) * time.Second}
	if p.CacheControl && !p.obey(x, e, now) {
		return nil
	}
	keep := e.ttl
	if p.StorageTTL > 0 {
		keep = time.Duration(p.StorageTTL) * time.Second
	}
	e.expires = now.Add(keep)
	e.header = storedHeader(&r.Header)
	return e
}

func (p *plugin) wantsType(h *pdk.Header) bool {
	if h.Count("Content-Type") != 1 {
		return false
	}
	m, ok := parseMediaType(h.Get("Content-Type"))
	return ok && slices.ContainsFunc(p.types, func(want mediaType) bool { return want.matches(&m) })
}

// obey follows what the answer says about its storage, as RFC 9111 demands of a
// shared cache.
func (p *plugin) obey(x *pdk.Exchange, e *entry, now time.Time) bool {
	h := &x.Response.Header
	d := parseDirectives(h)
	e.ttl = time.Duration(d.lifetime(h, now)) * time.Second
	e.mustRevalidate = d.mustRevalidate || d.sharedMaxAge != unset
	if d.private || d.noStore || d.noCache || e.ttl <= 0 {
		return false
	}
	if x.Request.Header.Has("Authorization") && !d.public && !e.mustRevalidate {
		return false
	}
	if age, err := strconv.ParseInt(h.Get("Age"), 10, 32); err == nil && age > 0 {
		e.stored = e.stored.Add(-time.Duration(age) * time.Second)
	}
	var lines []string
	for _, line := range h.Values(lines, "Vary") {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.TrimSpace(name)
			switch {
			case name == "*":
				return false
			case name != "":
				e.vary = append(e.vary, pdk.Field{Name: strings.Clone(name), Value: strings.Clone(x.Request.Header.Get(name))})
			}
		}
	}
	return true
}

// transient headers are about one connection or one exchange.
var transient = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Trailers",
	"Transfer-Encoding", "Upgrade", "Content-Length", "Date", "Via", "Age", "X-Cache-Status", "X-Cache-Key",
	"X-Kong-Upstream-Latency", "X-Kong-Proxy-Latency", "X-Kong-Response-Latency", "X-Kong-Request-Id", "X-Kong-Upstream-Status",
}

// storedHeader copies the lines that are stored.
func storedHeader(h *pdk.Header) []pdk.Field {
	out := make([]pdk.Field, 0, h.Len())
	for _, f := range h.Fields() {
		if !slices.ContainsFunc(transient, func(name string) bool { return pdk.EqualFold(name, f.Name) }) {
			out = append(out, pdk.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value)})
		}
	}
	return out
}
