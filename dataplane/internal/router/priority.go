package router

import (
	"math"
	"math/bits"
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// rank is what all paths of a classic route have in common in the order of precedence.
type rank struct {
	// kinds of conditions that are set; their number comes first in all flavors.
	kinds kindSet
	// plainHosts is set when there are hosts and none has a wildcard. wildcardPort is set
	// when one with a wildcard has a port.
	plainHosts, wildcardPort bool
	headers                  int
}

// kindSet is kinds of conditions, by their weight in the traditional flavor.
type kindSet uint8

const (
	kindDestinations kindSet = 1 << iota
	kindSources
	kindSNIs
	kindMethods
	kindPaths
	kindHeaders
	kindHosts
)

func (c *compiler) rank() rank {
	r := c.route
	out := rank{headers: min(len(r.Headers), 255), plainHosts: len(r.Hosts) > 0}
	for _, k := range []struct {
		set  bool
		kind kindSet
	}{
		{len(r.Hosts) > 0, kindHosts},
		{len(r.Headers) > 0, kindHeaders},
		{len(r.Paths) > 0, kindPaths},
		{len(r.Methods) > 0, kindMethods},
		{len(r.SNIs) > 0, kindSNIs},
		{len(r.Sources) > 0, kindSources},
		{len(r.Destinations) > 0, kindDestinations},
	} {
		if k.set {
			out.kinds |= k.kind
		}
	}
	for _, h := range r.Hosts {
		if strings.Contains(h, "*") {
			out.plainHosts = false
			out.wildcardPort = out.wildcardPort || strings.Contains(h, ":")
		}
	}
	return out
}

func (r rank) count() uint64 { return uint64(bits.OnesCount8(uint8(r.kinds))) }

// priority is the place of a path in the order of precedence, the larger first.
func (r rank) priority(flavor entity.Flavor, regex bool, regexPriority, length int) uint64 {
	if flavor == entity.Traditional {
		return r.traditional(regex, regexPriority, length)
	}
	p := r.count()<<61 | uint64(r.headers)<<52
	if r.plainHosts {
		p |= 1 << 60
	}
	if regex {
		return p | 1<<51 | signed32(regexPriority)<<19
	}
	return p | uint64(length)&(1<<19-1)
}

// traditional orders by the number of kinds, then by the kinds themselves, then by plain
// hosts, ports of wildcard hosts, regular expressions, headers, regex_priority and
// length. Lengths beyond any listener's limit count as that.
func (r rank) traditional(regex bool, regexPriority, length int) uint64 {
	p := r.count()<<61 | uint64(r.kinds)<<54 | uint64(r.headers)<<43
	if r.plainHosts {
		p |= 1 << 53
	}
	if r.wildcardPort {
		p |= 1 << 52
	}
	if regex {
		return p | 1<<51 | signed32(regexPriority)<<11
	}
	return p | uint64(min(length, 1<<11-1))
}

// expressionPriority is above those of all classic routes.
func expressionPriority(p uint64) uint64 { return 0xff<<56 | p&(1<<46-1) }

// signed32 orders numbers of both signs as the unsigned ones that it returns.
func signed32(n int) uint64 {
	return uint64(uint32(max(math.MinInt32, min(n, math.MaxInt32)))) ^ 1<<31
}
