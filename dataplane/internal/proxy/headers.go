package proxy

import (
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// responseHeaders adds and removes what the gateway does on a response.
func (p *Proxy) responseHeaders(x *pdk.Exchange) {
	h, on := &x.Response.Header, &p.o.Headers
	proxied := len(x.Tries) > 0
	if x.Source == pdk.SourceUpstream && proxied {
		p.fromUpstream(x)
	}
	if on.Server && (x.Source != pdk.SourceUpstream || !h.Has("Server")) {
		h.Set("Server", p.o.Product)
	}
	if proxied {
		if on.UpstreamLatency {
			h.Set("X-Kong-Upstream-Latency", x.Text.Int(millis(x.UpstreamFirst.Sub(x.UpstreamSent))))
		}
		if on.ProxyLatency {
			h.Set("X-Kong-Proxy-Latency", x.Text.Int(millis(x.UpstreamSent.Sub(x.Start))))
		}
		if on.UpstreamStatus && x.Response.UpstreamStatus > 0 {
			h.Set("X-Kong-Upstream-Status", x.Text.Int(int64(x.Response.UpstreamStatus)))
		}
		if on.Via {
			if old := h.Get("Via"); old != "" {
				h.Set("Via", x.Text.Concat(old, ", ", p.via))
			} else {
				h.Set("Via", p.via)
			}
		}
	} else if x.Source == pdk.SourceUpstream {
		// A cache answered in the upstream's place.
		if on.Via {
			h.Set("Via", p.via)
		}
		if on.ProxyLatency {
			h.Set("X-Kong-Upstream-Latency", "0")
			h.Set("X-Kong-Proxy-Latency", x.Text.Int(millis(x.AccessDone.Sub(x.Start))))
		}
	} else if on.ResponseLatency {
		h.Set("X-Kong-Response-Latency", x.Text.Int(millis(x.AccessDone.Sub(x.Start))))
	}
	if on.RequestID {
		h.Set("X-Kong-Request-Id", x.ID)
	}
	if on.Revision {
		h.Set("X-Sluice-Revision", x.Text.Int(int64(x.Revision))) //nolint:gosec // revisions are not that many
	}
	if x.HashCookieLine != "" {
		h.Add("Set-Cookie", x.HashCookieLine)
	}
	if p.o.AllowDebug && x.Request.Header.Get("Kong-Debug") == "1" {
		debugHeaders(x)
	}
}

func debugHeaders(x *pdk.Exchange) {
	h := &x.Response.Header
	if x.Route != nil {
		h.Set("Kong-Route-Id", x.Route.ID)
		if x.Route.Name != "" {
			h.Set("Kong-Route-Name", x.Route.Name)
		}
	}
	if x.Service != nil {
		h.Set("Kong-Service-Id", x.Service.ID)
		if x.Service.Name != "" {
			h.Set("Kong-Service-Name", x.Service.Name)
		}
	}
}

func millis(d time.Duration) int64 {
	if d < 0 {
		return 0
	}
	return d.Milliseconds()
}

// fromUpstream removes what was meant for this connection only, and nginx's own orders,
// which upstreams behind Kong may send.
func (p *Proxy) fromUpstream(x *pdk.Exchange) {
	h := &x.Response.Header
	special, accel := false, false
	fields := h.Fields()
	for i := range fields {
		name := fields[i].Name
		switch len(name) {
		case len("Connection"), len("Upgrade"), len("Proxy-Connection"):
			special = special || pdk.EqualFold(name, "Connection") || pdk.EqualFold(name, "Keep-Alive") || pdk.EqualFold(name, "Upgrade") || pdk.EqualFold(name, "Proxy-Connection") ||
				pdk.EqualFold(name, "Trailer")
		}
		accel = accel || len(name) > len(accelPrefix) && pdk.EqualFold(name[:len(accelPrefix)], accelPrefix)
	}
	if accel {
		if set := h.Get("X-Accel-Charset"); set != "" && !strings.Contains(h.Get("Content-Type"), "charset") && h.Has("Content-Type") {
			h.Set("Content-Type", x.Text.Concat(h.Get("Content-Type"), "; charset=", set))
		}
		h.DelFunc(func(f *pdk.Field) bool {
			return len(f.Name) > len(accelPrefix) && pdk.EqualFold(f.Name[:len(accelPrefix)], accelPrefix)
		})
	}
	if !special || x.Response.Status == 101 {
		return
	}
	for _, list := range h.Values(nil, "Connection") {
		for token := range strings.SplitSeq(list, ",") {
			if token = strings.TrimSpace(token); token != "" && !pdk.EqualFold(token, "close") && !pdk.EqualFold(token, "keep-alive") {
				h.Del(token)
			}
		}
	}
	// Trailers are announced to clients that ask for them, and go to the others unannounced.
	announced := x.Request.Proto >= 20 || hasToken(&x.Request.Header, "TE", "trailers")
	h.DelFunc(func(f *pdk.Field) bool {
		return pdk.EqualFold(f.Name, "Trailer") && !announced || pdk.EqualFold(f.Name, "Connection") || pdk.EqualFold(f.Name, "Keep-Alive") || pdk.EqualFold(f.Name, "Upgrade") || pdk.EqualFold(f.Name, "Proxy-Connection")
	})
}

const accelPrefix = "X-Accel-"

// charset names the charset of text that comes without one. Plugins see the type as the
// upstream sent it.
func charset(x *pdk.Exchange) {
	fields := x.Response.Header.Fields()
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len("Content-Type") && pdk.EqualFold(f.Name, "Content-Type") && charsetMissing(f.Value) {
			f.Value = x.Text.Concat(f.Value, "; charset=UTF-8")
		}
	}
}

// charsetMissing tells whether a type is text whose charset clients would guess.
func charsetMissing(v string) bool {
	switch v {
	case "text/html", "text/plain", "text/xml", "text/vnd.wap.wml", "application/javascript", "application/rss+xml":
		return true
	}
	return strings.HasPrefix(v, "text/plain;") && !strings.Contains(v, "charset")
}
