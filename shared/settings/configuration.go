package settings

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// masked stands for a secret, as in Kong.
const masked = "******"

// Configuration returns the settings in the form that Kong's GET / shows as
// "configuration": lists as arrays, an empty list as {} (which Kong's clients
// expect), secrets masked, and what follows from a *_listen key beside it.
func (s *Settings) Configuration() map[string]any {
	out := map[string]any{}
	for _, k := range Keys(s.plane) {
		out[k.Name] = s.shown(&k)
		if k.Kind != Listeners {
			continue
		}
		room := strings.TrimSuffix(k.Name, "_listen")
		listeners := s.Listeners(k.Name)
		out[room+"_listeners"] = array(each(listeners, describe))
		out[room+"_ssl_enabled"] = slices.ContainsFunc(listeners, func(l Listener) bool { return l.TLS })
	}
	delete(out, "cluster_ssl_enabled")
	if s.plane == ControlPlane {
		out["enabled_headers"] = enabledHeaders(s.List("headers"))
	}
	return out
}

func (s *Settings) shown(k *Key) any {
	text := s.values[k.Name].text
	if k.Secret && text != "" {
		return masked
	}
	if strings.HasPrefix(k.Name, "nginx_") || k.Name == "real_ip_recursive" || k.Name == "mem_cache_size" || k.Name == "ssl_session_timeout" {
		return text // directives of nginx are shown as written
	}
	switch v := s.parsed[k.Name].(type) {
	case []string:
		if k.Kind == List && strings.HasPrefix(k.Name, "headers") {
			v = each(v, strings.ToLower)
		}
		if k.Kind == PEMs {
			v = each(v, hidePEM)
		}
		return array(v)
	case map[string]string:
		return maps.Clone(v)
	case []Listener:
		if len(v) == 0 {
			return []any{"off"}
		}
		return array(each(v, Listener.String))
	case time.Duration:
		if text == "" {
			return map[string]any{}
		}
		if v%time.Second == 0 {
			return int64(v / time.Second)
		}
		return v.Seconds()
	case LogTarget:
		return text
	case string:
		if v == "" {
			return map[string]any{}
		}
		return hidePEM(v)
	default:
		return v
	}
}

// hidePEM leaves paths and replaces text that came in the value itself.
func hidePEM(text string) string {
	if strings.Contains(text, pemBegin) || len(text) > 1024 {
		return masked
	}
	return text
}

// describe has the keys that Kong gives a listener.
func describe(l Listener) map[string]any {
	has := func(prefix string) bool {
		return slices.ContainsFunc(l.Flags, func(f string) bool { return strings.HasPrefix(f, prefix) })
	}
	address := l
	address.Flags = slices.DeleteFunc(slices.Clone(l.Flags), func(f string) bool { return f == "http2" })
	out := map[string]any{
		"listener":                 address.String(),
		"ssl":                      l.TLS,
		"http2":                    l.HTTP2,
		"proxy_protocol":           l.ProxyProtocol,
		"reuseport":                l.ReusePort,
		"bind":                     has("bind"),
		"deferred":                 has("deferred"),
		"backlog=%d+":              l.Backlog > 0,
		"ipv6only=on":              has("ipv6only=on"),
		"ipv6only=off":             has("ipv6only=off"),
		"so_keepalive=on":          l.KeepAlive == "on",
		"so_keepalive=off":         l.KeepAlive == "off",
		"so_keepalive=%w*:%w*:%d*": strings.Contains(l.KeepAlive, ":"),
	}
	if l.Network == "unix" {
		return out
	}
	out["ip"], out["port"] = l.IP, l.Port
	return out
}

// enabledHeaders spells out what the groups of tokens stand for.
func enabledHeaders(list []string) map[string]bool {
	server, latency := slices.Contains(list, "server_tokens"), slices.Contains(list, "latency_tokens")
	out := map[string]bool{
		"server_tokens": server, "Server": server, "Via": server,
		"latency_tokens": latency, "X-Kong-Proxy-Latency": latency, "X-Kong-Response-Latency": latency,
		"X-Kong-Upstream-Latency": latency, "X-Kong-Admin-Latency": latency,
	}
	for _, name := range headerNames {
		if name != "off" {
			out[name] = out[name] || slices.Contains(list, name)
		}
	}
	return out
}

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func array[T any](in []T) any {
	if len(in) == 0 {
		return map[string]any{}
	}
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}
