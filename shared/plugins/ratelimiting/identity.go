package ratelimiting

import (
	"crypto/sha256"
	"encoding/hex"

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

// short returns s itself, or a hash that stands for it when it is long: the same one on
// all nodes.
func short(x *pdk.Exchange, s string) string {
	if len(s) <= maxKey {
		return s
	}
	sum := sha256.Sum256(append(x.Text.Room(len(s)), s...))
	return x.Text.Keep(hex.AppendEncode(x.Text.Room(2*sha256.Size), sum[:]))
}
