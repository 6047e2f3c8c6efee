package kit

import (
	"strconv"
	"strings"
	"time"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// varGet is ngx.var: what of nginx' variables has a meaning here, nil for others.
func varGet(c call) int {
	name, ok := c.Get(2).(glua.LString)
	if !ok {
		if n, isNumber := c.Get(2).(glua.LNumber); isNumber && int(n) >= 0 && int(n) < len(c.s.x.Captures.Values) {
			return c.give(c.s.x.Captures.Values[int(n)])
		}
		return c.giveNil()
	}
	if v, ok := variable(c.s.x, string(name)); ok {
		return c.give(v)
	}
	return c.giveNil()
}

func variable(x *pdk.Exchange, name string) (string, bool) {
	q, up := &x.Request, &x.Upstream
	seconds := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
	switch name {
	case "request_method":
		return q.Method, true
	case "request_uri":
		return requestURI(x), true
	case "uri", "document_uri":
		return schema.NormalizePath(q.RawPath), true
	case "args", "query_string":
		return up.RawQuery, up.RawQuery != ""
	case "is_args":
		if up.RawQuery != "" {
			return "?", true
		}
		return "", true
	case "scheme":
		return q.Scheme, true
	case "https":
		if q.Scheme == "https" {
			return "on", true
		}
		return "", true
	case "host":
		return hostOf(q.Host), true
	case "server_port":
		return strconv.Itoa(int(q.Local.Port())), true
	case "server_addr":
		return q.Local.Addr().Unmap().String(), true
	case "server_name":
		return "kong", true
	case "server_protocol":
		return protocol(q.Proto), true
	case "request":
		return q.Method + " " + requestURI(x) + " " + protocol(q.Proto), true
	case "remote_addr":
		return q.Client.Addr().Unmap().String(), true
	case "remote_port":
		return strconv.Itoa(int(q.Client.Port())), true
	case "realip_remote_addr":
		return q.Peer.Addr().Unmap().String(), true
	case "realip_remote_port":
		return strconv.Itoa(int(q.Peer.Port())), true
	case "binary_remote_addr":
		return string(q.Client.Addr().Unmap().AsSlice()), true
	case "request_id", "kong_request_id":
		return x.ID, true
	case "sluice_revision":
		return strconv.FormatUint(x.Revision, 10), true
	case "msec":
		return strconv.FormatFloat(float64(time.Now().UnixMilli())/1000, 'f', 3, 64), true
	case "time_iso8601":
		return time.Now().Format("2006-01-02T15:04:05-07:00"), true
	case "time_local":
		return time.Now().Format("02/Jan/2006:15:04:05 -0700"), true
	case "request_time":
		return seconds(time.Since(x.Start)), true
	case "request_body":
		return string(q.Buffered), q.Body == nil && len(q.Buffered) > 0
	case "content_type":
		return q.Header.Get("Content-Type"), q.Header.Has("Content-Type")
	case "content_length":
		return q.Header.Get("Content-Length"), q.Header.Has("Content-Length")
	case "ssl_server_name":
		return q.SNI, q.SNI != ""
	case "status":
		return strconv.Itoa(x.Response.Status), x.Response.Status != 0
	case "bytes_sent", "body_bytes_sent":
		return strconv.FormatInt(x.Response.Sent, 10), true
	case "upstream_status":
		return strconv.Itoa(x.Response.UpstreamStatus), x.Response.UpstreamStatus != 0
	case "upstream_addr":
		if n := len(x.Tries); n > 0 {
			return x.Tries[n-1].Address, true
		}
		return "", false
	case "upstream_response_time", "upstream_header_time":
		if x.UpstreamFirst.IsZero() {
			return "", false
		}
		return seconds(x.UpstreamFirst.Sub(x.UpstreamSent)), true
	case "upstream_uri":
		if up.HasQuery && up.RawQuery != "" {
			return up.Path + "?" + up.RawQuery, true
		}
		return up.Path, true
	case "upstream_host":
		return up.HostHeader, up.HostHeader != ""
	case "upstream_scheme":
		return up.Scheme, true
	case "pid":
		return "", true
	}
	return prefixed(x, name)
}

// prefixed are the variables http_NAME, arg_NAME, cookie_NAME and the like.
func prefixed(x *pdk.Exchange, name string) (string, bool) {
	if n, ok := strings.CutPrefix(name, "http_"); ok {
		if n == "host" {
			return x.Request.Host, true
		}
		return line(&x.Request.Header, n)
	}
	if n, ok := strings.CutPrefix(name, "sent_http_"); ok {
		return line(&x.Response.Header, n)
	}
	if n, ok := strings.CutPrefix(name, "upstream_http_"); ok {
		return line(&x.Response.Header, n)
	}
	if n, ok := strings.CutPrefix(name, "arg_"); ok {
		return pdk.QueryValue(x.Upstream.RawQuery, n)
	}
	if n, ok := strings.CutPrefix(name, "cookie_"); ok {
		for _, f := range x.Request.Header.Fields() {
			if !pdk.EqualFold(f.Name, "cookie") {
				continue
			}
			for part := range strings.SplitSeq(f.Value, ";") {
				key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
				if key == n {
					return value, true
				}
			}
		}
	}
	return "", false
}

func line(h *pdk.Header, name string) (string, bool) {
	name = dashed(name)
	if h.Count(name) > 1 {
		return strings.Join(h.Values(nil, name), ", "), true
	}
	return h.Get(name), h.Has(name)
}

func protocol(proto int) string {
	switch proto {
	case 10:
		return "HTTP/1.0"
	case 20:
		return "HTTP/2.0"
	case 30:
		return "HTTP/3.0"
	}
	return "HTTP/1.1"
}

// varSet sets the variables that say where the request goes.
func varSet(c call) int {
	name, up := c.Get(2).String(), &c.s.x.Upstream
	v, _ := text(c.Get(3))
	lua.RunOf(c.LState).Work(c.LState, 1)
	switch name {
	case "upstream_uri":
		path, query, has := strings.Cut(v, "?")
		up.Path, up.RawQuery, up.HasQuery = escapePath(path), escapeQuery(query), has
	case "upstream_host":
		up.HostHeader = clean(v)
	case "upstream_scheme":
		up.Scheme = v
	case "args":
		c.setQuery(escapeQuery(v))
	default:
		c.errorf("variable \"%s\" not changeable", name)
	}
	return 0
}
