package balancer

import (
	"crypto/rand"
	"encoding/hex"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// rendezvous returns the address with the highest score for a key, of those that were not
// tried. Each address draws its score from the key and itself alone, with a chance in
// proportion to its weight: when addresses or weights change, only keys of those that
// lost some move, and nothing but to those that gained. It looks at every address, which
// is what the even spread costs: a ring would need hundreds of points an address.
func rendezvous(l *live, key uint64, skip *Skip) *address {
	best := -1
	if l.equal {
		top := uint64(0)
		for i := range l.scores {
			if s := mix(key ^ l.scores[i].hash); (best < 0 || s > top) && (skip.n == 0 || !skip.has(l.usable[i].state)) {
				best, top = i, s
			}
		}
	} else {
		lowest := math.Inf(1)
		for i := range l.scores {
			// The time to the first event of a process whose rate is the weight.
			if s := below(mix(key^l.scores[i].hash)) * l.scores[i].share; s < lowest && (skip.n == 0 || !skip.has(l.usable[i].state)) {
				best, lowest = i, s
			}
		}
	}
	if best < 0 {
		return l.usable[0] // all were tried, which the caller rules out
	}
	return l.usable[best]
}

// score is what an address's draw is made of: its hash, and one by its weight.
type score struct {
	hash  uint64
	share float64
}

// lines are the pieces of a broken line that is near the binary logarithm of 1 to 2: what
// is left to 1 at the start of each piece, and its slope.
var lines = func() (out [256]struct{ at, slope float64 }) {
	for i := range out {
		low, high := math.Log2(1+float64(i)/256), math.Log2(1+float64(i+1)/256)
		out[i].at, out[i].slope = 1-low, (high-low)*256
	}
	return out
}()

// below tells how many powers of two v is below 2 to the 64, to within three millionths.
// It is some times faster than math.Log.
func below(v uint64) float64 {
	v |= 1
	zeros := bits.LeadingZeros64(v)
	v <<= zeros + 1 // without the first one
	line := &lines[v>>56]
	return float64(zeros) + line.at - float64(v<<8>>11)*(1.0/(1<<61))*line.slope
}

// mix spreads the bits of a number over all of them.
func mix(v uint64) uint64 {
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	v ^= v >> 33
	v *= 0xc4ceb9fe1a85ec53
	return v ^ v>>33
}

// hashKey returns what a request is hashed on, or false when it has nothing.
func (u *Upstream) hashKey(x *pdk.Exchange) (uint64, bool) {
	e := u.Entity
	if key, ok := u.property(x, e.HashOn, e.HashOnHeader, e.HashOnQueryArg, e.HashOnURICapture); ok {
		return key, true
	}
	return u.property(x, e.HashFallback, e.HashFallbackHeader, e.HashFallbackQueryArg, e.HashFallbackURICapture)
}

// property hashes one property of a request.
func (u *Upstream) property(x *pdk.Exchange, on, header, arg, capture string) (uint64, bool) {
	switch on {
	case "consumer":
		id := x.Credential.ID
		if x.Consumer != nil {
			id = x.Consumer.ID
		}
		return xxhash.Sum64String(id), id != ""
	case "ip":
		b := x.Request.Client.Addr().Unmap().As16()
		return xxhash.Sum64(b[:]), x.Request.Client.IsValid()
	case "header":
		return headerHash(&x.Request.Header, header)
	case "path":
		return xxhash.Sum64String(x.Request.Path), true
	case "query_arg":
		return queryHash(x.Request.RawQuery, arg)
	case "uri_capture":
		v := ""
		if i, ok := number(capture); !ok {
			v = x.Captures.ByName(capture)
		} else if i < len(x.Captures.Values) {
			v = x.Captures.Values[i]
		}
		return xxhash.Sum64String(v), v != ""
	case "cookie":
		return xxhash.Sum64String(u.hashCookie(x)), true
	}
	return 0, false
}

// number reads a short number. It does not allocate, as errors would.
func number(s string) (n int, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, s != "" && len(s) < 10
}

func headerHash(h *pdk.Header, name string) (uint64, bool) {
	var d xxhash.Digest
	n := 0
	fields := h.Fields()
	for i := range fields {
		if pdk.EqualFold(fields[i].Name, name) {
			if n == 0 {
				d.Reset()
			} else {
				_, _ = d.WriteString(", ")
			}
			_, _ = d.WriteString(fields[i].Value)
			n++
		}
	}
	if n == 0 {
		return 0, false
	}
	return d.Sum64(), true
}

// queryHash hashes an argument; of one that is there several times, the order does not
// matter.
func queryHash(query, name string) (uint64, bool) {
	var list []string
	first, n := "", 0
	for v := range pdk.QueryValues(query, name) {
		if n++; n == 1 {
			first = v
			continue
		}
		if list == nil {
			list = append(list, first)
		}
		list = append(list, v)
	}
	if list != nil {
		slices.Sort(list)
		first = strings.Join(list, ",")
	}
	return xxhash.Sum64String(first), n > 0
}

// hashCookie returns the cookie's value, and hands a new one out when there is none.
func (u *Upstream) hashCookie(x *pdk.Exchange) string {
	name := u.Entity.HashOnCookie
	if v := cookieOf(&x.Request.Header, name); v != "" {
		return v
	}
	if x.HashCookie == "" {
		x.HashCookie = randomID()
		x.HashCookieLine = name + "=" + x.HashCookie + "; Path=" + u.Entity.HashOnCookiePath + "; Same-Site=Lax; HttpOnly"
	}
	return x.HashCookie
}

// cookieOf returns the value of a request's cookie, "" for none.
func cookieOf(h *pdk.Header, name string) string {
	fields := h.Fields()
	for i := range fields {
		if !pdk.EqualFold(fields[i].Name, "Cookie") {
			continue
		}
		for pair := range strings.SplitSeq(fields[i].Value, ";") {
			if k, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && k == name && v != "" {
				return v
			}
		}
	}
	return ""
}

// randomID is a random UUID.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
