package router_test

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// place is where a route and path group stand in the order of precedence, the larger
// first, told as the reference tells it and not as bits of a number.
type place struct {
	expression, priority int
	kinds                int
	kindOrder            string // which kinds, those that count more first (traditional)
	plainHosts           int
	wildcardPort         int // traditional
	headers              int
	regex, regexPriority int
	length               int
	segments             int
	older                int64 // traditional
	id                   string
	headersLate          bool
}

func (a place) compare(b place) int {
	headers := cmp.Compare(a.headers, b.headers)
	early, late := headers, 0
	if a.headersLate {
		early, late = 0, headers
	}
	return cmp.Or(
		cmp.Compare(a.expression, b.expression), cmp.Compare(a.priority, b.priority),
		cmp.Compare(a.kinds, b.kinds), cmp.Compare(a.kindOrder, b.kindOrder), cmp.Compare(a.plainHosts, b.plainHosts), cmp.Compare(a.wildcardPort, b.wildcardPort),
		early, cmp.Compare(a.regex, b.regex), late, cmp.Compare(a.regexPriority, b.regexPriority), cmp.Compare(a.length, b.length), cmp.Compare(a.segments, b.segments),
		cmp.Compare(a.older, b.older), cmp.Compare(a.id, b.id),
	)
}

// found is what a match finds.
type found struct {
	route, prefix string
	values        []string
}

// naive matches requests by looking at every path of every route.
type naive struct {
	flavor entity.Flavor
	routes []*entity.Route
	// questions are the expressions of routes, by route.
	questions map[string]question
	compiled  map[string]*regexp.Regexp
}

func (n *naive) regexp(pattern string) *regexp.Regexp {
	if n.compiled == nil {
		n.compiled = map[string]*regexp.Regexp{}
	}
	if n.compiled[pattern] == nil {
		n.compiled[pattern] = regexp.MustCompile(pattern)
	}
	return n.compiled[pattern]
}

// all returns all places where a request matches, in no order.
func (n *naive) all(q *router.Request, fn func(found, place)) {
	for _, r := range n.routes {
		if n.flavor == entity.Expressions && !naiveProtocol(r.Protocols, q.Protocol) {
			continue
		}
		if r.Expression != "" {
			a := &answer{}
			if n.questions[r.ID].holds(q, a) {
				fn(found{route: r.ID, prefix: a.prefix}, place{expression: 1, priority: int(r.Priority), id: r.ID})
			}
			continue
		}
		if !n.conditions(r, q) {
			continue
		}
		if len(r.Paths) == 0 {
			fn(found{route: r.ID}, n.place(r, ""))
		}
		for _, p := range r.Paths {
			f := found{route: r.ID, prefix: p}
			if pattern, ok := strings.CutPrefix(p, "~"); ok {
				if n.flavor == entity.Traditional {
					pattern = "(?:" + pattern + ")"
				}
				groups := n.regexp("^" + pattern).FindStringSubmatch(q.Path)
				if groups == nil {
					continue
				}
				f.prefix, f.values = groups[0], groups
			} else if exact, ok := strings.CutPrefix(p, "="); ok {
				f.prefix = exact
				rest, ok := strings.CutPrefix(q.Path, exact)
				if !ok || rest != "" && rest[0] != '/' && !strings.HasSuffix(exact, "/") {
					continue
				}
			} else if !strings.HasPrefix(q.Path, p) {
				continue
			}
			fn(f, n.place(r, p))
		}
	}
}

func (n *naive) match(q *router.Request) (best found, some bool) {
	var bestPlace place
	n.all(q, func(f found, k place) {
		if !some || k.compare(bestPlace) > 0 {
			best, bestPlace, some = f, k, true
		}
	})
	return best, some
}

func naiveProtocol(list []string, now string) bool {
	if len(list) == 0 || len(list) == 1 && list[0] == "https" {
		return true
	}
	for _, p := range list {
		if p == now || p == "grpc" && now == "http" || p == "grpcs" && now == "https" {
			return true
		}
	}
	return false
}

func (n *naive) place(r *entity.Route, path string) place {
	k := place{headers: len(r.Headers), id: r.ID}
	// Hosts, headers, paths, methods, server names, sources, destinations.
	for _, set := range []int{len(r.Hosts), len(r.Headers), len(r.Paths), len(r.Methods), len(r.SNIs), len(r.Sources), len(r.Destinations)} {
		bit := "0"
		if set > 0 {
			k.kinds++
			bit = "1"
		}
		if n.flavor == entity.Traditional {
			k.kindOrder += bit
		}
	}
	if len(r.Hosts) > 0 && !slices.ContainsFunc(r.Hosts, func(h string) bool { return strings.Contains(h, "*") }) {
		k.plainHosts = 1
	}
	group := func(p string) int {
		if strings.HasPrefix(p, "~") {
			return 0
		}
		return len(strings.TrimPrefix(p, "="))
	}
	if strings.HasPrefix(path, "~") {
		k.regex, k.regexPriority = 1, r.RegexPriority
	} else {
		k.length = group(path)
	}
	if strings.HasPrefix(path, "=") {
		k.segments = 1
	}
	if n.flavor == entity.Traditional {
		k.headersLate = true
		k.older = -r.CreatedAt
		if slices.ContainsFunc(r.Hosts, func(h string) bool { return strings.Contains(h, "*") && strings.Contains(h, ":") }) {
			k.wildcardPort = 1
		}
		k.id = r.ID[:18]
		return k
	}
	var groups []int
	for _, p := range r.Paths {
		if g := group(p); !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	if len(groups) > 1 {
		index := slices.Index(groups, group(path)) + 1
		k.id = uuid.NewSHA1(uuid.MustParse("7f145bf9-0dce-4f91-98eb-debbce4b9f6b"), []byte(r.ID+"#"+strconv.Itoa(index))).String()
	}
	return k
}

func (n *naive) conditions(r *entity.Route, q *router.Request) bool {
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, q.Method) {
		return false
	}
	if len(r.Hosts) > 0 && !slices.ContainsFunc(r.Hosts, func(h string) bool { return n.host(h, q) }) {
		return false
	}
	for name, values := range r.Headers {
		if n.flavor != entity.Traditional {
			name = strings.ReplaceAll(name, "-", "_")
		}
		if !slices.ContainsFunc(naiveHeader(q, strings.ToLower(name)), func(got string) bool { return n.header(values, got) }) {
			return false
		}
	}
	if len(r.SNIs) > 0 && q.Protocol == "https" && !slices.ContainsFunc(r.SNIs, func(s string) bool { return naiveSNI(s, q.SNI) }) {
		return false
	}
	return naiveEndpoints(r.Sources, q.Source) && naiveEndpoints(r.Destinations, q.Destination)
}

// naiveHeader returns the values of the header that "_" in a name leads to.
func naiveHeader(q *router.Request, name string) []string {
	for _, n := range []string{name, strings.ReplaceAll(name, "_", "-")} {
		var out []string
		for _, f := range q.Header.Fields() {
			if strings.ToLower(f.Name) == n {
				out = append(out, f.Value)
			}
		}
		if out != nil {
			return out
		}
	}
	return nil
}

func (n *naive) header(values []string, got string) bool {
	got = strings.ToLower(got)
	for _, v := range values {
		pattern, isRegex := strings.CutPrefix(v, "~*")
		switch {
		case n.flavor == entity.Traditional:
			if strings.ToLower(v) == got || isRegex && len(values) == 1 && n.regexp(pattern).MatchString(got) {
				return true
			}
		case isRegex && n.regexp(strings.ToLower(pattern)).MatchString(got), !isRegex && strings.ToLower(v) == got:
			return true
		}
	}
	return false
}

func (n *naive) host(pattern string, q *router.Request) bool {
	name, port, found := strings.Cut(strings.ToLower(pattern), ":")
	wild := strings.Contains(name, "*")
	if found {
		have := q.Port
		if n.flavor == entity.Traditional {
			if have = q.HostPort; have == 0 && wild {
				have = map[string]int{"http": 80, "https": 443}[q.Protocol]
			}
		}
		if port != strconv.Itoa(have) {
			return false
		}
	}
	if rest, ok := strings.CutPrefix(name, "*"); ok {
		return strings.HasSuffix(q.Host, rest)
	}
	if rest, ok := strings.CutSuffix(name, "*"); ok {
		return strings.HasPrefix(q.Host, rest)
	}
	return name == q.Host
}

func naiveSNI(pattern, name string) bool {
	pattern, name = strings.ToLower(strings.TrimSuffix(pattern, ".")), strings.ToLower(strings.TrimSuffix(name, "."))
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(name, rest)
	}
	if rest, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, rest)
	}
	return pattern == name
}

func naiveEndpoints(list []entity.Endpoint, a netip.AddrPort) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(e entity.Endpoint) bool {
		if e.Port != 0 && e.Port != int(a.Port()) {
			return false
		}
		if strings.Contains(e.IP, "/") {
			return netip.MustParsePrefix(e.IP).Contains(a.Addr())
		}
		return e.IP == "" || netip.MustParseAddr(e.IP) == a.Addr()
	})
}
