package main

import (
	"fmt"
	"strconv"
	"strings"
)

// proxyKind is who is measured.
type proxyKind string

const (
	nginx   proxyKind = "nginx"
	haproxy proxyKind = "HAProxy"
	sluice  proxyKind = "Sluice"
)

// testCase is one line of the table.
type testCase struct {
	name  string
	proxy proxyKind
	tls   bool
	// config is what Sluice is to have, "" for the others.
	config string
	// path and headers of the request; script makes many of them instead.
	path    string
	headers []string
	script  string
	// last is the number of the last route and key of a script's config.
	last int
	// target is the ratio to nginx's CPU per request that performance.md asks for.
	target float64
}

// keyAndLimit are the two plugins of Kong's own benchmark.
const keyAndLimit = `"plugins":[
  {"name":"key-auth"},
  {"name":"rate-limiting","config":{"policy":"local","hour":1000000000,"limit_by":"consumer"}}
],`

const cache = `"plugins":[{"name":"proxy-cache","config":{"strategy":"memory","content_type":["text/plain"],"cache_ttl":3600}}],`

func (s *stack) cases() []testCase {
	one := []string{"apikey: key-0"}
	bare, both := s.config("", 1, 1), s.config(keyAndLimit, 1, 1)
	return []testCase{
		{name: "bare", proxy: nginx, path: "/r0"},
		{name: "bare", proxy: haproxy, path: "/r0"},
		{name: "bare route", proxy: sluice, config: bare, path: "/r0", target: 1.15},
		{name: "key-auth + rate-limiting", proxy: sluice, config: both, path: "/r0", headers: one, target: 1.40},
		{name: "100 routes, 100 consumers, both plugins", proxy: sluice, config: s.config(keyAndLimit, 100, 100), script: manyScript, last: 99, target: 1.44},
		{name: "proxy-cache hit", proxy: sluice, config: s.config(cache, 1, 1), path: "/r0", target: 0.60},
		{name: "bare, HTTPS", proxy: nginx, tls: true, path: "/r0"},
		{name: "bare route, HTTPS", proxy: sluice, tls: true, config: bare, path: "/r0", target: 1.25},
		{name: "key-auth + rate-limiting, HTTPS", proxy: sluice, tls: true, config: both, path: "/r0", headers: one, target: 1.50},
	}
}

// manyScript makes wrk call 100 routes with 100 keys in turn.
const manyScript = `
local requests, i = {}, 0
function init()
  for n = 0, 99 do
    requests[n] = wrk.format("GET", "/r" .. n, { ["apikey"] = "key-" .. n })
  end
end
function request()
  i = (i + 1) % 100
  return requests[i]
end
`

// config is a declarative configuration with routes /r0.. and consumers with keys
// key-0.. .
func (s *stack) config(plugins string, routes, consumers int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"_format_version":"3.0",%s"services":[{"name":"upstream","url":"http://%s","routes":[`, plugins, s.upstream)
	for i := range routes {
		if i > 0 {
			b.WriteString(",")
		}
		n := strconv.Itoa(i)
		b.WriteString(`{"name":"r` + n + `","paths":["/r` + n + `"],"strip_path":true}`)
	}
	b.WriteString(`]}],"consumers":[`)
	for i := range consumers {
		if i > 0 {
			b.WriteString(",")
		}
		n := strconv.Itoa(i)
		b.WriteString(`{"username":"c` + n + `","keyauth_credentials":[{"key":"key-` + n + `"}]}`)
	}
	b.WriteString(`]}`)
	return b.String()
}
