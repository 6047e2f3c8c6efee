package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// handler answers a request. Errors become answers in one place; see fail.
type handler func(c *call) (answer, error)

// endpoint is a path with its methods.
type endpoint struct {
	// pattern such as "/services/{services}/routes".
	pattern string
	methods map[string]handler
	// allow lists the methods, HEAD and OPTIONS included.
	allow string
}

// table finds endpoints by path. A segment that is spelt out goes before a {name}.
type table struct {
	root segment
	// paths are the patterns of endpoints, in Kong's order: what is below a path comes
	// right behind it. endpoints are in the same order.
	paths     []string
	endpoints []*endpoint
	// open tables need no token and are not recorded; local ones need none.
	open, local bool
}

type segment struct {
	below    map[string]*segment
	any      *segment
	endpoint *endpoint
}

// add adds methods to a path. It panics when a method is there already, which is a
// mistake in code: two kinds or plugins that claim the same path.
func (t *table) add(pattern string, methods map[string]handler) {
	s := &t.root
	for _, part := range split(pattern) {
		next := s.below[part]
		if strings.HasPrefix(part, "{") {
			next = s.any
		}
		if next == nil {
			next = &segment{}
			if strings.HasPrefix(part, "{") {
				s.any = next
			} else {
				if s.below == nil {
					s.below = map[string]*segment{}
				}
				s.below[part] = next
			}
		}
		s = next
	}
	if s.endpoint == nil {
		s.endpoint = &endpoint{pattern: pattern, methods: map[string]handler{}}
		at, _ := slices.BinarySearchFunc(t.paths, pattern, comparePaths)
		t.paths = slices.Insert(t.paths, at, pattern)
		t.endpoints = slices.Insert(t.endpoints, at, s.endpoint)
	}
	for method, h := range methods {
		if s.endpoint.methods[method] != nil {
			panic("two endpoints of the Admin API are " + method + " " + pattern)
		}
		s.endpoint.methods[method] = h
	}
	s.endpoint.allow = allowed(s.endpoint.methods)
}

// comparePaths orders paths by their segments.
func comparePaths(a, b string) int {
	return strings.Compare(strings.ReplaceAll(a, "/", "\x00"), strings.ReplaceAll(b, "/", "\x00"))
}

func (t *table) get(pattern string, h handler) {
	t.add(pattern, map[string]handler{http.MethodGet: h})
}

func allowed(methods map[string]handler) string {
	list := []string{http.MethodOptions}
	for method := range methods {
		list = append(list, method)
	}
	if methods[http.MethodGet] != nil {
		list = append(list, http.MethodHead)
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

func split(path string) []string {
	path = strings.TrimPrefix(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// find returns the endpoint of an escaped path and the values of its {name} parts.
func (t *table) find(path string) (e *endpoint, values []string, found bool) {
	if !strings.HasPrefix(path, "/") {
		return nil, nil, false
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	parts := split(path)
	for i, part := range parts {
		value, err := url.PathUnescape(part)
		if err != nil || value == "" {
			return nil, nil, false
		}
		parts[i] = value
	}
	e, values = t.root.find(parts, nil)
	return e, values, e != nil
}

func (s *segment) find(parts, values []string) (*endpoint, []string) {
	if len(parts) == 0 {
		return s.endpoint, values
	}
	if next := s.below[parts[0]]; next != nil {
		if e, v := next.find(parts[1:], values); e != nil {
			return e, v
		}
	}
	if s.any != nil {
		return s.any.find(parts[1:], append(values, parts[0]))
	}
	return nil, nil
}

// names returns the names of the {name} parts of a path.
func names(pattern string) []string {
	var out []string
	for _, part := range split(pattern) {
		if strings.HasPrefix(part, "{") {
			out = append(out, strings.Trim(part, "{}"))
		}
	}
	return out
}
