package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// route is a route that each engine writes in its own way.
type route struct {
	Method string `json:"method,omitempty"`
	Host   string `json:"host,omitempty"` // "*.example.com" has a wildcard
	// Prefix is what a path begins with; Pattern one with {names} for segments, which ends
	// where the path does; Regex is a regular expression from the path's start.
	Prefix  string            `json:"prefix,omitempty"`
	Pattern string            `json:"pattern,omitempty"`
	Regex   string            `json:"regex,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

type request struct {
	Method  string            `json:"method"`
	Host    string            `json:"host"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers,omitempty"`
}

// set is routes with requests that each match one of them.
type set struct {
	Name     string    `json:"name"`
	Routes   []route   `json:"routes"`
	Requests []request `json:"requests"`
}

var words = strings.Fields("accounts billing catalog delivery events files gateway history identity jobs keys ledger media notify orders payments")

// sets are the sets of the table; scale divides their sizes.
func sets(scale int) []set {
	d := rand.New(rand.NewPCG(5, 5)) //nolint:gosec // cases, not secrets
	out := []set{
		catalogue(d, 1), catalogue(d, 1_000/scale+1), catalogue(d, 100_000/scale), catalogue(d, 1_000_000/scale),
		tenants(d, 20_000/scale), patterns(d, 5_000/scale), headers(d, 5_000/scale),
	}
	for name, list := range map[string]string{"e GitHub API": githubAPI, "e Google+ API": googleAPI} {
		out = append(out, api(d, name, list))
	}
	return out
}

const requestsPerSet = 4096

func catalogue(d *rand.Rand, n int) set {
	path := func(i int) string {
		return fmt.Sprintf("/%s/v%d/%s-%d", words[i%16], 1+i/16%3, words[i/48%16], i/768)
	}
	s := set{Name: fmt.Sprintf("a %d prefixes", n)}
	for i := range n {
		s.Routes = append(s.Routes, route{Prefix: path(i)})
	}
	for range requestsPerSet {
		s.Requests = append(s.Requests, request{Method: "GET", Host: "api.example.com", Path: path(d.IntN(n)) + "/items/42"})
	}
	return s
}

func tenants(d *rand.Rand, hosts int) set {
	prefixes := []string{"/", "/api", "/api/v2", "/static", "/admin"}
	s := set{Name: fmt.Sprintf("b %d hosts x 5 paths", hosts)}
	host := func(i int) string {
		if i%8 == 0 {
			return fmt.Sprintf("*.tenant-%d.example.com", i)
		}
		return fmt.Sprintf("tenant-%d.example.com", i)
	}
	for i := range hosts {
		for _, p := range prefixes {
			s.Routes = append(s.Routes, route{Host: host(i), Prefix: p})
		}
	}
	for range requestsPerSet {
		h := host(d.IntN(hosts))
		s.Requests = append(s.Requests, request{Method: "GET", Host: strings.Replace(h, "*", "www", 1), Path: prefixes[d.IntN(5)] + "/x"})
	}
	return s
}

func patterns(d *rand.Rand, n int) set {
	s := set{Name: fmt.Sprintf("c %d regular expressions", n)}
	for i := range n {
		w := words[i%16]
		s.Routes = append(s.Routes, route{Regex: []string{
			fmt.Sprintf(`/%s/%d/[0-9]+$`, w, i), fmt.Sprintf(`/(v1|v2)/%s-%d/[a-z]+`, w, i), fmt.Sprintf(`/[a-z]+/%s%d/items`, w, i),
		}[i%3]})
	}
	for range requestsPerSet {
		i := d.IntN(n)
		w := words[i%16]
		s.Requests = append(s.Requests, request{Method: "GET", Host: "a.example", Path: []string{
			fmt.Sprintf("/%s/%d/42", w, i), fmt.Sprintf("/v2/%s-%d/list", w, i), fmt.Sprintf("/shop/%s%d/items/7", w, i),
		}[i%3]})
	}
	return s
}

func headers(d *rand.Rand, n int) set {
	s := set{Name: fmt.Sprintf("d %d routes by header", n)}
	of := func(i int) map[string]string {
		return map[string]string{"X-Tenant": fmt.Sprint("tenant-", i/2), "X-Stage": []string{"live", "test"}[i%2]}
	}
	for i := range n {
		s.Routes = append(s.Routes, route{Prefix: "/api", Headers: of(i)})
	}
	for range requestsPerSet {
		h := of(d.IntN(n))
		h["Accept"], h["User-Agent"] = "*/*", "bench"
		s.Requests = append(s.Requests, request{Method: "GET", Host: "a.example", Path: "/api/x", Headers: h})
	}
	return s
}

func api(d *rand.Rand, name, list string) set {
	s := set{}
	for line := range strings.Lines(strings.TrimSpace(list)) {
		path, methods, _ := strings.Cut(strings.TrimSpace(line), " ")
		for m := range strings.FieldsSeq(methods) {
			s.Routes = append(s.Routes, route{Method: m, Pattern: path})
		}
	}
	s.Name = fmt.Sprintf("%s, %d routes", name, len(s.Routes))
	for range requestsPerSet {
		r := s.Routes[d.IntN(len(s.Routes))]
		parts := strings.Split(r.Pattern, "/")
		for i := range parts {
			if strings.HasPrefix(parts[i], "{") {
				parts[i] = fmt.Sprint("value", d.IntN(1000))
			}
		}
		s.Requests = append(s.Requests, request{Method: r.Method, Host: "api.example", Path: strings.Join(parts, "/")})
	}
	return s
}
