package balancer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// signed makes the value of the cookie that holds a client at each of the addresses:
// which one it is, and a signature. A client can keep what it was given, and nothing
// else.
func (u *Upstream) signed(list []*address) map[string]*address {
	key := []byte(u.Entity.StickySessionsKey)
	if secret := u.group.b.cookies.Load(); len(key) == 0 && secret != nil {
		key = []byte(*secret)
	}
	out := make(map[string]*address, len(list))
	for _, a := range list {
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write([]byte(u.Entity.ID))
		id := binary.BigEndian.AppendUint64(nil, a.hash)
		_, _ = mac.Write(id)
		out[base64.RawURLEncoding.EncodeToString(append(id, mac.Sum(nil)[:16]...))] = a
	}
	return out
}

// held returns the address that the request's cookie names, or nil when there is none
// that can be used.
func (u *Upstream) held(l *live, x *pdk.Exchange, skip *Skip) *address {
	v := cookieOf(&x.Request.Header, u.Entity.StickySessionsCookie)
	if v == "" {
		return nil
	}
	a := l.cookies[v]
	if a == nil || skip.n > 0 && skip.has(a.state) {
		return nil
	}
	x.HashCookieLine = "" // of a try before
	return a
}

// hold hands out the cookie for an address.
func (u *Upstream) hold(l *live, x *pdk.Exchange, a *address) {
	value := ""
	for v, b := range l.cookies {
		if a == b {
			value = v
		}
	}
	path := u.Entity.StickySessionsCookiePath
	if path == "" {
		path = "/"
	}
	line := u.Entity.StickySessionsCookie + "=" + value + "; Path=" + path + "; HttpOnly; SameSite=Lax"
	if x.Request.ForwardedProto == "https" {
		line += "; Secure"
	}
	x.HashCookieLine = line
}
