package balancer

import (
	"crypto/rand"
	"encoding/hex"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// pointsPerTarget is how many points a target of average weight has on the ring.
const pointsPerTarget = 160

// ring hashes a property of the request to a point; the next point's target gets it.
// A change of targets moves only the keys of the points that came or went.
type ring struct {
	points []point
	spare  *roundRobin
}

type point struct {
	at uint64
	t  *Target
}

func newRing(u *Upstream) *ring {
	r := &ring{spare: newRoundRobin(u)}
	sum, n := 0, 0
	for _, t := range u.Targets {
		if t.Weight > 0 {
			sum, n = sum+t.Weight, n+1
		}
	}
	for _, t := range u.Targets {
		if t.Weight == 0 {
			continue
		}
		for i := range max(1, t.Weight*n*pointsPerTarget/sum) {
			r.points = append(r.points, point{hashText(t.Entity.Target + "#" + strconv.Itoa(i)), t})
		}
	}
	slices.SortFunc(r.points, func(a, b point) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return strings.Compare(a.t.Entity.Target, b.t.Entity.Target)
	})
	return r
}

func (r *ring) pick(x *pdk.Exchange, u *Upstream, skip *Skip) *Target {
	key, ok := hashKey(x, u, u.Entity.HashOn, u.Entity.HashOnHeader, u.Entity.HashOnQueryArg, u.Entity.HashOnURICapture)
	if !ok {
		key, ok = hashKey(x, u, u.Entity.HashFallback, u.Entity.HashFallbackHeader, u.Entity.HashFallbackQueryArg, u.Entity.HashFallbackURICapture)
	}
	if !ok || len(r.points) == 0 {
		return r.spare.pick(x, u, skip)
	}
	h := hashText(key)
	start, _ := slices.BinarySearchFunc(r.points, h, func(p point, h uint64) int {
		switch {
		case p.at < h:
			return -1
		case p.at > h:
			return 1
		}
		return 0
	})
	for i := range r.points {
		if t := r.points[(start+i)%len(r.points)].t; !skip.has(t) {
			return t
		}
	}
	return nil
}

// hashKey returns what a request is hashed on.
func hashKey(x *pdk.Exchange, u *Upstream, on, header, arg, capture string) (string, bool) {
	switch on {
	case "consumer":
		if x.Consumer != nil {
			return x.Consumer.ID, true
		}
		return x.Credential.ID, x.Credential.ID != ""
	case "ip":
		return x.Request.Client.Addr().String(), x.Request.Client.IsValid()
	case "header":
		values := x.Request.Header.Values(nil, header)
		return strings.Join(values, ", "), len(values) > 0
	case "path":
		return x.Request.Path, true
	case "query_arg":
		return pdk.QueryValue(x.Request.RawQuery, arg)
	case "uri_capture":
		if i, err := strconv.Atoi(capture); err == nil {
			if i >= 0 && i < len(x.Captures.Values) {
				return x.Captures.Values[i], x.Captures.Values[i] != ""
			}
			return "", false
		}
		v := x.Captures.ByName(capture)
		return v, v != ""
	case "cookie":
		return cookie(x, u)
	}
	return "", false
}

// cookie returns the hash cookie's value, and hands a new one out when there is none.
func cookie(x *pdk.Exchange, u *Upstream) (string, bool) {
	name := u.Entity.HashOnCookie
	for _, line := range x.Request.Header.Values(nil, "Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			if k, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && k == name && v != "" {
				return v, true
			}
		}
	}
	if x.HashCookie == "" {
		var b [16]byte
		_, _ = rand.Read(b[:])
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		s := hex.EncodeToString(b[:])
		value := s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
		x.HashCookie = value
		x.HashCookieLine = name + "=" + value + "; Path=" + u.Entity.HashOnCookiePath + "; Same-Site=Lax; HttpOnly"
	}
	return x.HashCookie, true
}

func hashText(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	// FNV's high bits are weak for short strings that differ at their end.
	v := h.Sum64()
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	v ^= v >> 33
	v *= 0xc4ceb9fe1a85ec53
	return v ^ v>>33
}
