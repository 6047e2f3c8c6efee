package ratelimiting

import (
	"hash/maphash"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// kind tells identities of different sorts apart that read the same.
type kind uint8

const (
	byAddress kind = iota
	byEntity
	byHeader
	byPath
)

// maxKey is the longest identity that is kept as it is, in bytes.
const maxKey = 128

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// identity says whose request it is.
func (p *plugin) identity(x *pdk.Exchange) (kind, string) {
	switch p.LimitBy {
	case "consumer":
		if x.Consumer != nil {
			return byEntity, x.Consumer.ID
		}
		if x.Credential.ID != "" {
			return byEntity, x.Credential.ID
		}
	case "credential":
		if x.Credential.ID != "" {
			return byEntity, x.Credential.ID
		}
	case "service":
		if x.Service != nil {
			return byEntity, x.Service.ID
		}
	case "header":
		if v := x.Request.Header.Get(p.HeaderName); v != "" {
			return byHeader, short(x, v)
		}
	case "path":
		if x.Request.Path == p.Path {
			return byPath, x.Request.Path
		}
	}
	return byAddress, x.Text.Keep(x.Request.Client.Addr().Unmap().AppendTo(x.Text.Room(46)))
}

// short returns s itself, or 16 bytes that stand for it when it is long.
func short(x *pdk.Exchange, s string) string {
	if len(s) <= maxKey {
		return s
	}
	b := x.Text.Room(16)
	for _, seed := range seeds {
		h := maphash.String(seed, s)
		b = append(b, byte(h), byte(h>>8), byte(h>>16), byte(h>>24), byte(h>>32), byte(h>>40), byte(h>>48), byte(h>>56))
	}
	return x.Text.Keep(b)
}
