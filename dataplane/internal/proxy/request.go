package proxy

import (
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// request fills x.Upstream before the access phases, so that plugins see and may change
// it.
func (w *walk) request(x *pdk.Exchange) {
	s, q := w.route.Service, &x.Request
	up := &x.Upstream
	up.Scheme, up.Host, up.Port = s.Entity.Protocol, s.Entity.Host, s.Entity.Port
	up.Method, up.RawQuery, up.HasQuery = q.Method, q.RawQuery, q.HasQuery
	route := w.route
	if route.StripPath {
		x.MatchedPrefix = w.match.Prefix
	}
	up.Path = upstreamPath(&x.Text, s.Base, q.Path, x.MatchedPrefix, route.StripPath, route.PathV1)
	if route.PreserveHost {
		up.HostHeader = q.Host
	}
}

// upstreamPath joins the service's path with the request's. prefix is what stripping takes
// off, "" when the route has no path; v1 is path_handling v1.
func upstreamPath(t *pdk.Text, base, path, prefix string, strip, v1 bool) string {
	slash := strings.HasSuffix(base, "/")
	if !strip {
		switch {
		case slash, v1:
			return join(t, base, strings.TrimPrefix(path, "/"))
		case path == "/":
			return base
		}
		return join(t, base, path)
	}
	rest := withoutDots(path[min(max(len(prefix), 1), len(path)):])
	switch {
	case v1 && slash && strings.HasPrefix(rest, "/"):
		return join(t, base[:len(base)-1], rest)
	case v1:
		return join(t, base, rest)
	case rest == "" && base == "/":
		return "/"
	case rest == "" && slash:
		if strings.HasSuffix(path, "/") {
			return base
		}
		return base[:len(base)-1]
	case rest == "":
		if path != "/" && strings.HasSuffix(path, "/") {
			return join(t, base, "/")
		}
		return base
	case slash && strings.HasPrefix(rest, "/"):
		return join(t, base[:len(base)-1], rest)
	case slash, strings.HasPrefix(rest, "/"):
		return join(t, base, rest)
	}
	return t.Concat(base, "/", rest)
}

func join(t *pdk.Text, a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return t.Concat(a, b)
}

// withoutDots takes a leading "./" or "../" off what a prefix that ends inside a
// segment has left.
func withoutDots(s string) string {
	switch {
	case s == ".", s == "..":
		return ""
	case strings.HasPrefix(s, "./"):
		return s[2:]
	case strings.HasPrefix(s, "../"):
		return s[3:]
	}
	return s
}

// forwarded writes the headers that tell the upstream about the client, after the access
// phases: plugins see what the client sent, and can't change what the gateway says.
func (w *walk) forwarded(x *pdk.Exchange) {
	p, q := w.p, &x.Request
	h := &q.Header
	if w.logs {
		q.Logged.CopyFrom(h)
	}
	upgrade := w.hopByHop(x)

	peer := addrText(&x.Text, q.Client)
	if q.Peer != q.Client {
		peer = addrText(&x.Text, q.Peer)
	}
	realIP := addrText(&x.Text, q.Client)
	proto, host := q.Scheme, q.ForwardedHost
	path, prefix := q.RawPath, ""
	if x.MatchedPrefix != "" && x.MatchedPrefix != "/" {
		prefix = w.match.Prefix
		if w.match.Shown != "" {
			prefix = w.match.Shown
		}
	}
	if q.Trusted {
		proto = q.ForwardedProto
		path = kept(h, "X-Forwarded-Path", path)
		prefix = kept(h, "X-Forwarded-Prefix", prefix)
		host = kept(h, "X-Forwarded-Host", host)
	}
	if old := h.Get("X-Forwarded-For"); old != "" {
		if h.Count("X-Forwarded-For") > 1 {
			old = strings.Join(h.Values(nil, "X-Forwarded-For"), ", ")
		}
		h.Set("X-Forwarded-For", x.Text.Concat(old, ", ", peer))
	} else {
		h.Set("X-Forwarded-For", peer)
	}
	h.Set("X-Forwarded-Proto", proto)
	h.Set("X-Forwarded-Host", host)
	if q.ForwardedPort > 0 {
		h.Set("X-Forwarded-Port", x.Text.Int(int64(q.ForwardedPort)))
	} else {
		h.Del("X-Forwarded-Port") // a unix socket has none
	}
	h.Set("X-Forwarded-Path", path)
	if prefix != "" {
		h.Set("X-Forwarded-Prefix", prefix)
	} else {
		h.Del("X-Forwarded-Prefix")
	}
	h.Set("X-Real-IP", realIP)
	via := p.via
	switch q.Proto {
	case 10:
		via = x.Text.Concat("1 ", p.o.Product) // as Kong writes it
	case 20:
		via = x.Text.Concat("2 ", p.o.Product)
	}
	if old := h.Get("Via"); old != "" {
		via = x.Text.Concat(old, ", ", via)
	}
	h.Set("Via", via)
	if p.o.UpstreamID {
		h.Set("X-Kong-Request-Id", x.ID)
	}
	w.call.Upgrade = upgrade
}

func kept(h *pdk.Header, name, otherwise string) string {
	if v := h.Get(name); v != "" {
		return v
	}
	return otherwise
}

// hopByHop removes what is only for this connection, and tells whether the client asks
// for a WebSocket.
func (w *walk) hopByHop(x *pdk.Exchange) (upgrade bool) {
	h := &x.Request.Header
	upgrade = x.Request.WebSocket || x.Request.Proto == 11 && pdk.EqualFold(h.Get("Upgrade"), "websocket") && hasToken(h, "Connection", "upgrade")
	fields := h.Fields()
	named, special := false, false
	for i := range fields {
		switch len(fields[i].Name) {
		case len("Connection"):
			named = named || pdk.EqualFold(fields[i].Name, "Connection") && !plainConnection(fields[i].Value)
			special = special || pdk.EqualFold(fields[i].Name, "Connection") || pdk.EqualFold(fields[i].Name, "Keep-Alive")
		case len("TE"), len("Proxy"), len("Upgrade"), len("Proxy-Connection"):
			special = true
		}
	}
	if named {
		for _, f := range h.Values(nil, "Connection") {
			for token := range strings.SplitSeq(f, ",") {
				token = strings.TrimSpace(token)
				switch {
				case token == "", pdk.EqualFold(token, "close"), pdk.EqualFold(token, "keep-alive"), pdk.EqualFold(token, "upgrade"), pdk.EqualFold(token, "te"):
				case message.Identifying(token):
					// What plugins told the upstream of the client is not the client's to take back.
				default:
					h.Del(token)
				}
			}
		}
	}
	if !special {
		return upgrade
	}
	trailers := hasToken(h, "TE", "trailers")
	h.DelFunc(func(f *pdk.Field) bool {
		switch len(f.Name) {
		case len("Connection"):
			return pdk.EqualFold(f.Name, "Connection") || pdk.EqualFold(f.Name, "Keep-Alive")
		case len("TE"):
			return pdk.EqualFold(f.Name, "TE")
		case len("Proxy"):
			return pdk.EqualFold(f.Name, "Proxy")
		case len("Upgrade"):
			return pdk.EqualFold(f.Name, "Upgrade") && !upgrade
		case len("Proxy-Connection"):
			return pdk.EqualFold(f.Name, "Proxy-Connection")
		}
		return false
	})
	if trailers {
		h.Set("TE", "trailers")
	}
	return upgrade
}

func plainConnection(v string) bool {
	return pdk.EqualFold(v, "keep-alive") || pdk.EqualFold(v, "close") || v == ""
}

func hasToken(h *pdk.Header, name, token string) bool {
	fields := h.Fields()
	for i := range fields {
		if !pdk.EqualFold(fields[i].Name, name) {
			continue
		}
		for part := range strings.SplitSeq(fields[i].Value, ",") {
			part, _, _ = strings.Cut(part, ";")
			if pdk.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// hostHeader is the Host that a target gets when the route does not preserve the
// client's: name with the port unless it is the scheme's own.
func hostHeader(t *pdk.Text, scheme, name string, port int) string {
	if strings.Contains(name, ":") && !strings.HasPrefix(name, "[") {
		name = t.Concat("[", name, "]")
	}
	if port == 80 && (scheme == "http" || scheme == "grpc") || port == 443 && (scheme == "https" || scheme == "grpcs") {
		return name
	}
	return t.Keep(strconv.AppendInt(append(append(t.Room(len(name)+6), name...), ':'), int64(port), 10))
}
