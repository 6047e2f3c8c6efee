package router

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// compiler makes one route ready to match.
type compiler struct {
	flavor entity.Flavor
	route  *entity.Route
	out    *compiled
	err    *Error
}

func compile(flavor entity.Flavor, r *entity.Route) (*compiled, *Error) {
	c := &compiler{flavor: flavor, route: r, out: &compiled{entity: r}}
	conditions := c.conditions()
	if flavor == entity.Expressions && r.Expression != "" {
		c.expression()
	} else {
		c.classic()
	}
	if c.err != nil {
		return nil, c.err
	}
	for _, e := range c.out.entries {
		if e.port != 0 {
			conditions.any = true
		}
	}
	if conditions.any {
		c.out.conditions = &conditions.conditions
	}
	for _, e := range c.out.entries {
		e.route, e.entity = c.out, r
		e.checked = conditions.any || e.special != nil && (e.special.regex != nil || e.special.program != nil)
	}
	return c.out, nil
}

func (c *compiler) fail(field, message string) {
	if c.err == nil {
		c.err = &Error{RouteID: c.route.ID, Name: c.route.Name, Field: field, Message: message}
	}
}

func numbered(field string, i int) string { return field + "." + strconv.Itoa(i+1) }

// found are conditions; any tells whether there are any.
type found struct {
	conditions
	any bool
}

func (c *compiler) conditions() *found {
	r, f := c.route, &found{}
	f.explicitPort = c.flavor == entity.Traditional
	f.methods = r.Methods
	f.headers = c.headers()
	f.plainSNIs = true
	for _, s := range r.SNIs {
		s = strings.ToLower(withoutDot(s))
		if s == "" {
			c.fail("snis", "invalid server name")
			continue
		}
		f.plainSNIs = f.plainSNIs && !strings.Contains(s, "*")
		f.snis = append(f.snis, s)
	}
	f.sources = c.endpoints("sources", r.Sources)
	f.destinations = c.endpoints("destinations", r.Destinations)
	if c.flavor == entity.Expressions {
		f.protocols = protocols(r.Protocols)
	}
	f.any = len(f.methods)+len(f.headers)+len(f.snis)+len(f.sources)+len(f.destinations) > 0 || f.protocols != 0
	return f
}

// protocols are those that a route of the expressions flavor matches over. A route for
// https alone matches over http, too, to redirect.
func protocols(list []string) (set protocolSet) {
	if len(list) == 1 && list[0] == "https" {
		return 0
	}
	for _, p := range list {
		switch p {
		case "http", "grpc":
			set |= overHTTP
		case "https", "grpcs":
			set |= overHTTPS
		}
	}
	if set == overHTTP|overHTTPS {
		return 0
	}
	return set
}

func (c *compiler) headers() []headerCondition {
	var out []headerCondition
	for written, values := range c.route.Headers {
		name := strings.ToLower(written)
		if c.flavor != entity.Traditional {
			name = strings.ReplaceAll(name, "-", "_") // as expressions write it
		}
		h := headerCondition{name: expression.NewHeaderName(name)}
		for _, v := range values {
			pattern, isRegex := strings.CutPrefix(v, "~*")
			if c.flavor == entity.Traditional {
				h.values = append(h.values, strings.ToLower(v)) // as text, too
				isRegex = isRegex && len(values) == 1
			} else if pattern = strings.ToLower(pattern); !isRegex {
				h.values = append(h.values, pattern)
			}
			if !isRegex {
				continue
			}
			regex, err := schema.CompileRegex(pattern)
			if err != nil {
				c.fail("headers."+written, "invalid regex: "+err.Error())
				continue
			}
			h.regexes = append(h.regexes, regex)
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b headerCondition) int { return strings.Compare(a.name.String(), b.name.String()) })
	return out
}

func (c *compiler) endpoints(field string, in []entity.Endpoint) (out []endpoint) {
	for i, e := range in {
		p := endpoint{port: e.Port}
		if e.IP != "" {
			prefix, err := netip.ParsePrefix(e.IP)
			if err != nil {
				addr, err := netip.ParseAddr(e.IP)
				if err != nil {
					c.fail(numbered(field, i)+".ip", "invalid ip or cidr range: "+e.IP)
					continue
				}
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
			p.prefix = prefix.Masked()
		}
		out = append(out, p)
	}
	return out
}

// expression files the route at the anchors of its expression.
func (c *compiler) expression() {
	program, err := expression.Compile(c.route.Expression, expression.SetOf(c.route.Protocols))
	if err != nil {
		c.fail("expression", err.Error())
		return
	}
	s := &special{program: program}
	for _, a := range program.Anchors() {
		e := &entry{priority: expressionPriority(c.route.Priority), tie: tieOf(c.route.ID), key: a.Path, host: a.Host, special: s}
		switch a.Kind {
		case expression.ExactHost:
			e.hostKind = hostExact
		case expression.HostSuffix:
			e.hostKind = hostSuffix
		case expression.HostPrefix:
			e.hostKind = hostPrefix
		}
		c.out.entries = append(c.out.entries, e)
	}
}

// classic makes an entry for each host and path.
func (c *compiler) classic() {
	r := c.route
	rank := c.rank()
	var paths []*entry
	for i, p := range r.Paths {
		e := &entry{tie: tieOf(r.ID), index: uint16(min(i, 1<<16-1))}
		pattern, isRegex := strings.CutPrefix(p, "~")
		exact, segments := strings.CutPrefix(p, "=")
		switch {
		case isRegex:
			c.regex(e, i, pattern)
		default:
			e.segments = segments
			e.key = escapePath(exact)
			if e.key != exact {
				e.special = &special{shown: exact}
			}
		}
		e.priority = rank.priority(c.flavor, isRegex, r.RegexPriority, len(exact))
		e.tie = c.tie(i)
		paths = append(paths, e)
	}
	if len(paths) == 0 {
		paths = []*entry{{priority: rank.priority(c.flavor, false, 0, 0), tie: c.tie(0)}}
	}
	if len(r.Hosts) == 0 {
		c.out.entries = paths
		return
	}
	for i, h := range r.Hosts {
		kind, name, port, ok := parseHost(h)
		if !ok {
			c.fail(numbered("hosts", i), "invalid host: "+h)
			continue
		}
		for _, p := range paths {
			e := *p
			e.hostKind, e.host, e.port = kind, name, port
			c.out.entries = append(c.out.entries, &e)
		}
	}
}

func (c *compiler) regex(e *entry, i int, pattern string) {
	anchored := "^" + pattern
	if c.flavor == entity.Traditional {
		anchored = "^(?:" + pattern + ")"
	}
	p, err := newPattern(anchored)
	if err != nil {
		c.fail(numbered("paths", i), "invalid regex: "+err.Error())
		return
	}
	e.key = schema.LiteralPrefix(anchored)
	e.special = &special{regex: p, texts: pieces(anchored)}
}

// pathGroups is the name space of the ids that Kong gives to the parts of a route whose
// paths are of several kinds: all regular expressions together, and the plain ones of
// each length. Where nothing else decides between two routes these ids do.
//
//nolint:gochecknoglobals // a constant
var pathGroups = uuid.MustParse("7f145bf9-0dce-4f91-98eb-debbce4b9f6b")

// tie returns what breaks ties for a path.
func (c *compiler) tie(i int) tie {
	r := c.route
	if c.flavor == entity.Traditional {
		return tie{high: ^uint64(r.CreatedAt), low: tieOf(r.ID).high}
	}
	group, groups := 0, []int{}
	for j, p := range r.Paths {
		kind := -1
		if !strings.HasPrefix(p, "~") {
			kind = len(strings.TrimPrefix(p, "="))
		}
		if !slices.Contains(groups, kind) {
			groups = append(groups, kind)
		}
		if j == i {
			group = slices.Index(groups, kind) + 1
		}
	}
	if len(groups) < 2 {
		return tieOf(r.ID)
	}
	return tieOf(uuid.NewSHA1(pathGroups, []byte(r.ID+"#"+strconv.Itoa(group))).String())
}

func parseHost(s string) (kind hostKind, name string, port uint16, ok bool) {
	kind, name = hostExact, strings.ToLower(s)
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		n, err := strconv.ParseUint(name[i+1:], 10, 16)
		if err != nil || n == 0 {
			return kind, name, 0, false
		}
		name, port = name[:i], uint16(n)
	}
	switch {
	case strings.HasPrefix(name, "*."):
		kind, name = hostSuffix, name[1:]
	case strings.HasSuffix(name, ".*"):
		kind, name = hostPrefix, name[:len(name)-1]
	}
	return kind, name, port, name != "" && !strings.Contains(name, "*")
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
