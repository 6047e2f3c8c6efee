package proxycache

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// key is the SHA-256 of what tells answers apart, as Kong forms it:
//
//	consumer:route|method|request line up to the query|query arguments|headers
//
// Without consumer the first part is the route, without route "default".
type key [sha256.Size]byte

// text returns the key in hexadecimal.
func (k *key) text(t *pdk.Text) string {
	return t.Keep(hex.AppendEncode(t.Room(2*len(k)), k[:]))
}

// parseKey reads a key in hexadecimal.
func parseKey(s string) (k key, ok bool) {
	if len(s) != 2*len(k) {
		return k, false
	}
	_, err := hex.Decode(k[:], []byte(s))
	return k, err == nil
}

func (p *plugin) key(x *pdk.Exchange) key {
	var room [16]argument
	arguments := room[:0]
	if x.Request.RawQuery != "" {
		arguments = p.arguments(x, arguments)
	}
	b := x.Text.Room(512)
	switch {
	case x.Route == nil:
		b = append(b, "default"...)
	case x.Consumer != nil:
		b = append(b, x.Consumer.ID...)
		b = append(b, ':')
		fallthrough
	default:
		b = append(b, x.Route.ID...)
	}
	b = append(b, '|')
	b = append(b, x.Request.Method...)
	b = append(b, '|')
	line := len(b)
	b = append(b, x.Request.Method...)
	b = append(b, ' ')
	b = append(b, x.Request.RawPath...)
	if !x.Request.HasQuery {
		b = append(b, protocol(x.Request.Proto)...)
	}
	if p.IgnoreURICase {
		lower(b[line:])
	}
	b = append(b, '|')
	b = appendArguments(b, arguments)
	b = append(b, '|')
	b = p.appendHeaders(b, x)
	return sha256.Sum256(b)
}

func protocol(proto int) string {
	switch proto {
	case 10:
		return " HTTP/1.0"
	case 20:
		return " HTTP/2.0"
	}
	return " HTTP/1.1"
}

func lower(b []byte) {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

// argument is one of the query string, decoded.
type argument struct {
	name, value string
	hasValue    bool
	// order is the place of the name in vary_query_params.
	order int
}

// arguments appends those that tell answers apart, sorted.
func (p *plugin) arguments(x *pdk.Exchange, list []argument) []argument {
	for arg, rest, ok := pdk.NextArg(x.Request.RawQuery); ok; arg, rest, ok = pdk.NextArg(rest) {
		a := argument{name: pdk.Unescape(&x.Text, arg.Name), value: pdk.Unescape(&x.Text, arg.Value), hasValue: arg.HasValue}
		if len(p.VaryQueryParams) > 0 {
			if a.order = slices.Index(p.VaryQueryParams, a.name); a.order < 0 {
				continue
			}
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b argument) int {
		if a.order != b.order {
			return a.order - b.order
		}
		if n := strings.Compare(a.name, b.name); n != 0 {
			return n
		}
		return strings.Compare(a.value, b.value)
	})
	return list
}

// appendArguments writes "a=1:b=2,3:c".
func appendArguments(b []byte, list []argument) []byte {
	for i := range list {
		switch a := &list[i]; {
		case i > 0 && list[i-1].name == a.name:
			b = append(b, ',')
			b = append(b, a.value...)
		default:
			if i > 0 {
				b = append(b, ':')
			}
			b = append(b, a.name...)
			if a.hasValue {
				b = append(b, '=')
				b = append(b, a.value...)
			}
		}
	}
	return b
}

func (p *plugin) appendHeaders(b []byte, x *pdk.Exchange) []byte {
	first := true
	fields := x.Request.Header.Fields()
	for _, name := range p.VaryHeaders {
		n := 0
		for i := range fields {
			if !pdk.EqualFold(fields[i].Name, name) {
				continue
			}
			switch {
			case n > 0:
				b = append(b, ',')
			default:
				if !first {
					b = append(b, ':')
				}
				b = append(b, name...)
				b = append(b, '=')
			}
			first = false
			b = append(b, fields[i].Value...)
			n++
		}
	}
	return b
}
