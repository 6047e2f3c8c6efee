package router

import (
	"math"
	"net/netip"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Error says why a route can not be matched with.
type Error struct {
	RouteID, Name string
	// Field such as "paths.1", counted from 1.
	Field   string
	Message string
}

type hostKind uint8

const (
	hostExact hostKind = iota
	hostSuffix
	hostPrefix
)

type host struct {
	kind hostKind
	name string
	port int
}

type headerCondition struct {
	name   string
	values []string // in lower case
	regex  *schema.Regex
}

type endpoint struct {
	prefix netip.Prefix
	port   int
}

// compiled is a route ready to match.
type compiled struct {
	entity       *entity.Route
	hosts        []host
	methods      []string
	headers      []headerCondition
	snis         []string
	sources      []endpoint
	destinations []endpoint
	entries      []*entryPoint
}

// entryPoint is one path of a route, in one tree.
type entryPoint struct {
	route    *compiled
	priority uint64
	// order breaks ties between routes, the larger first; index, the path's place in the
	// route, those inside of one, the smaller first.
	order string
	index int
	// key is where it stands in the tree, for a plain path all that it matches; shown is
	// the path as it was written, when it differs.
	key, shown string
	regex      *schema.Regex
	port       int
}

// before tells whether e has precedence over o.
func (e *entryPoint) before(o *entryPoint) bool {
	if e.priority != o.priority {
		return e.priority > o.priority
	}
	if e.order != o.order {
		return e.order > o.order
	}
	return e.index < o.index
}

func compile(r *entity.Route) (*compiled, *Error) {
	fail := func(field, message string) (*compiled, *Error) {
		return nil, &Error{RouteID: r.ID, Name: r.Name, Field: field, Message: message}
	}
	c := &compiled{entity: r, methods: r.Methods}
	plainHosts := len(r.Hosts) > 0
	for i, h := range r.Hosts {
		parsed, ok := parseHost(h)
		if !ok {
			return fail("hosts."+strconv.Itoa(i+1), "invalid host: "+h)
		}
		plainHosts = plainHosts && parsed.kind == hostExact
		c.hosts = append(c.hosts, parsed)
	}
	for name, values := range r.Headers {
		condition := headerCondition{name: name}
		if len(values) == 1 && strings.HasPrefix(values[0], "~*") {
			regex, err := schema.CompileRegex("(?i)" + values[0][2:])
			if err != nil {
				return fail("headers."+name, "invalid regex: "+err.Error())
			}
			condition.regex = regex
		}
		for _, v := range values {
			condition.values = append(condition.values, strings.ToLower(v))
		}
		c.headers = append(c.headers, condition)
	}
	for _, s := range r.SNIs {
		c.snis = append(c.snis, strings.ToLower(strings.TrimSuffix(s, ".")))
	}
	var field, message string
	if c.sources, field, message = endpoints("sources", r.Sources); message != "" {
		return fail(field, message)
	}
	if c.destinations, field, message = endpoints("destinations", r.Destinations); message != "" {
		return fail(field, message)
	}

	base := kinds(r) << 61
	if plainHosts {
		base |= 1 << 60
	}
	base |= uint64(min(len(r.Headers), 255)) << 52
	for i, p := range r.Paths {
		e := &entryPoint{route: c, priority: base, order: r.ID, index: i}
		if len(r.Paths) > 1 {
			e.order = uuid.NewSHA1(pathGroups, []byte(r.ID+"#"+groupName(p))).String()
		}
		if pattern, ok := strings.CutPrefix(p, "~"); ok {
			regex, err := schema.CompileRegex("^" + pattern)
			if err != nil {
				return fail("paths."+strconv.Itoa(i+1), "invalid regex: "+err.Error())
			}
			e.regex, e.key = regex, literalPrefix("^"+pattern)
			e.priority |= 1<<51 | signed32(r.RegexPriority)<<19
		} else {
			e.key = escapePath(p)
			if e.key != p {
				e.shown = p
			}
			e.priority |= uint64(len(p)) & (1<<19 - 1)
		}
		c.entries = append(c.entries, e)
	}
	if len(r.Paths) == 0 {
		c.entries = []*entryPoint{{route: c, priority: base, order: r.ID}}
	}
	return c, nil
}

// signed32 orders numbers of both signs as the unsigned ones that it returns.
func signed32(n int) uint64 {
	return uint64(uint32(max(math.MinInt32, min(n, math.MaxInt32)))) ^ 1<<31
}

// kinds counts the kinds of conditions that a route has.
func kinds(r *entity.Route) uint64 {
	n := uint64(0)
	for _, set := range []bool{
		len(r.Methods) > 0, len(r.Hosts) > 0, len(r.Headers) > 0, len(r.SNIs) > 0,
		len(r.Paths) > 0, len(r.Sources) > 0, len(r.Destinations) > 0,
	} {
		if set {
			n++
		}
	}
	return min(n, 7)
}

// pathGroups is the name space of the ids that Kong gives to the paths of a route with
// several: all regular expressions together, and the plain ones of each length. Where
// nothing else decides between two routes these ids do.
//
//nolint:gochecknoglobals // a constant
var pathGroups = uuid.MustParse("7f145bf9-0dce-4f91-98eb-debbce4b9f6b")

func groupName(path string) string {
	if strings.HasPrefix(path, "~") {
		return "true"
	}
	return strconv.Itoa(len(path))
}

func parseHost(s string) (host, bool) {
	h := host{name: strings.ToLower(s)}
	if i := strings.LastIndexByte(h.name, ':'); i >= 0 && !strings.HasSuffix(h.name, "]") {
		port, err := strconv.Atoi(h.name[i+1:])
		if err != nil || port < 1 || port > 65535 {
			return h, false
		}
		h.name, h.port = h.name[:i], port
	}
	switch {
	case strings.HasPrefix(h.name, "*."):
		h.kind, h.name = hostSuffix, h.name[1:]
	case strings.HasSuffix(h.name, ".*"):
		h.kind, h.name = hostPrefix, h.name[:len(h.name)-1]
	}
	return h, h.name != "" && !strings.Contains(h.name, "*")
}

func endpoints(field string, in []entity.Endpoint) (out []endpoint, wrong, message string) {
	for i, e := range in {
		p := endpoint{port: e.Port}
		if e.IP != "" {
			prefix, err := netip.ParsePrefix(e.IP)
			if err != nil {
				addr, err := netip.ParseAddr(e.IP)
				if err != nil {
					return nil, field + "." + strconv.Itoa(i+1) + ".ip", "invalid ip or cidr range: " + e.IP
				}
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
			p.prefix = prefix.Masked()
		}
		out = append(out, p)
	}
	return out, "", ""
}

// escapePath writes a path as a request's normal form has it.
func escapePath(p string) string {
	const hex = "0123456789ABCDEF"
	plain := true
	for i := 0; i < len(p) && plain; i++ {
		plain = p[i] > ' ' && p[i] < 0x7f && p[i] != '%'
	}
	if plain {
		return p
	}
	b := make([]byte, 0, len(p)+16)
	for i := 0; i < len(p); i++ {
		if c := p[i]; c > ' ' && c < 0x7f {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return schema.NormalizePath(string(b))
}

// literalPrefix returns the text that every match of an anchored pattern starts
// with. A pattern that Go's engine does not know has none.
func literalPrefix(pattern string) string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return ""
	}
	re = re.Simplify()
	if re.Op != syntax.OpConcat {
		return ""
	}
	var b strings.Builder
	for i, sub := range re.Sub {
		if i == 0 {
			if sub.Op != syntax.OpBeginText {
				return ""
			}
			continue
		}
		if sub.Op != syntax.OpLiteral || sub.Flags&syntax.FoldCase != 0 {
			break
		}
		for _, r := range sub.Rune {
			b.WriteRune(r)
		}
	}
	return b.String()
}
