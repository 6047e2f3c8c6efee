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
	kinds, plainHosts, headers, regex, regexPriority, length int
	id                                                       string
}

func (a place) compare(b place) int {
	return cmp.Or(
		cmp.Compare(a.kinds, b.kinds), cmp.Compare(a.plainHosts, b.plainHosts), cmp.Compare(a.headers, b.headers),
		cmp.Compare(a.regex, b.regex), cmp.Compare(a.regexPriority, b.regexPriority), cmp.Compare(a.length, b.length), cmp.Compare(a.id, b.id),
	)
}

// found is what a naive match finds.
type found struct {
	route, prefix string
	groups        []int
}

// naive matches a request by looking at every path of every route.
func naive(routes []*entity.Route, q *router.Request) (found, bool) {
	var best found
	var bestPlace place
	some := false
	for _, r := range routes {
		if !naiveConditions(r, q) {
			continue
		}
		if len(r.Paths) == 0 {
			if k := naivePlace(r, ""); !some || k.compare(bestPlace) > 0 {
				best, bestPlace, some = found{route: r.ID}, k, true
			}
		}
		for _, p := range r.Paths {
			f := found{route: r.ID, prefix: p}
			if pattern, ok := strings.CutPrefix(p, "~"); ok {
				f.groups = regexp.MustCompile("^" + pattern).FindStringSubmatchIndex(q.Path)
				if f.groups == nil {
					continue
				}
				f.prefix = q.Path[f.groups[0]:f.groups[1]]
			} else if !strings.HasPrefix(q.Path, p) {
				continue
			}
			if k := naivePlace(r, p); !some || k.compare(bestPlace) > 0 {
				best, bestPlace, some = f, k, true
			}
		}
	}
	return best, some
}

func naivePlace(r *entity.Route, path string) place {
	k := place{headers: len(r.Headers), id: r.ID}
	for _, n := range []int{len(r.Methods), len(r.Hosts), len(r.Headers), len(r.SNIs), len(r.Paths), len(r.Sources), len(r.Destinations)} {
		if n > 0 {
			k.kinds++
		}
	}
	if len(r.Hosts) > 0 && !slices.ContainsFunc(r.Hosts, func(h string) bool { return strings.Contains(h, "*") }) {
		k.plainHosts = 1
	}
	if strings.HasPrefix(path, "~") {
		k.regex, k.regexPriority = 1, r.RegexPriority
	} else {
		k.length = len(path)
	}
	group := func(p string) string {
		if strings.HasPrefix(p, "~") {
			return "true"
		}
		return strconv.Itoa(len(p))
	}
	if len(r.Paths) > 1 {
		k.id = uuid.NewSHA1(uuid.MustParse("7f145bf9-0dce-4f91-98eb-debbce4b9f6b"), []byte(r.ID+"#"+group(path))).String()
	}
	return k
}

func naiveConditions(r *entity.Route, q *router.Request) bool {
	if len(r.Methods) > 0 && !slices.Contains(r.Methods, q.Method) {
		return false
	}
	if len(r.Hosts) > 0 && !slices.ContainsFunc(r.Hosts, func(h string) bool { return naiveHost(h, q) }) {
		return false
	}
	for name, values := range r.Headers {
		held := false
		for _, f := range q.Header.Fields() {
			// Expressions write "-" in names as "_".
			if got, want := strings.ReplaceAll(f.Name, "_", "-"), strings.ReplaceAll(name, "_", "-"); !strings.EqualFold(got, want) {
				continue
			}
			got := f.Value
			if pattern, ok := strings.CutPrefix(values[0], "~*"); ok && len(values) == 1 {
				held = held || regexp.MustCompile("(?i)"+pattern).MatchString(got)
				continue
			}
			held = held || slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, got) })
		}
		if !held {
			return false
		}
	}
	if len(r.SNIs) > 0 && q.TLS && !slices.ContainsFunc(r.SNIs, func(s string) bool { return naiveSNI(s, q.SNI) }) {
		return false
	}
	return naiveEndpoints(r.Sources, q.Source) && naiveEndpoints(r.Destinations, q.Destination)
}

func naiveHost(pattern string, q *router.Request) bool {
	name, port, found := strings.Cut(strings.ToLower(pattern), ":")
	if found && port != strconv.Itoa(q.Port) {
		return false
	}
	if rest, ok := strings.CutPrefix(name, "*"); ok {
		return len(q.Host) > len(rest) && strings.HasSuffix(q.Host, rest)
	}
	if rest, ok := strings.CutSuffix(name, "*"); ok {
		return len(q.Host) > len(rest) && strings.HasPrefix(q.Host, rest)
	}
	return name == q.Host
}

func naiveSNI(pattern, name string) bool {
	pattern, name = strings.ToLower(strings.TrimSuffix(pattern, ".")), strings.ToLower(strings.TrimSuffix(name, "."))
	if rest, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(name) > len(rest) && strings.HasSuffix(name, rest)
	}
	if rest, ok := strings.CutSuffix(pattern, "*"); ok {
		return len(name) > len(rest) && strings.HasPrefix(name, rest)
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
