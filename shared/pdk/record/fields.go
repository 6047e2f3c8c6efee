package record

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// redacted are headers whose values stay out of logs.
func redacted(name string) bool {
	switch len(name) {
	case len("authorization"):
		return pdk.EqualFold(name, "authorization")
	case len("proxy-authorization"):
		return pdk.EqualFold(name, "proxy-authorization")
	}
	return false
}

func appendRequestHeaders(b []byte, x *pdk.Exchange) []byte {
	q := &x.Request
	h := &q.Logged
	if h.Len() == 0 {
		h = &q.Header // nothing was sent upstream
	}
	b = append(b, '{')
	if q.Host != "" {
		b = append(b, `"host":`...)
		b = appendString(b, q.Host)
	}
	b = appendHeaders(b, h.Fields(), q.Host != "", "")
	return append(b, '}')
}

func appendResponseHeaders(b []byte, x *pdk.Exchange) []byte {
	r := &x.Response
	b = append(b, '{')
	from := len(b)
	b = appendHeaders(b, r.Header.Fields(), false, "connection")
	if r.HeadSent && x.Request.Proto < 20 {
		if len(b) > from {
			b = append(b, ',')
		}
		switch {
		case r.Status == 101:
			b = append(b, `"connection":"upgrade"`...)
		case r.KeepAlive:
			b = append(b, `"connection":"keep-alive"`...)
		default:
			b = append(b, `"connection":"close"`...)
		}
	}
	return append(b, '}')
}

// appendHeaders appends lines under their names in lower case, those that come several
// times as arrays. without is a name that is left out.
func appendHeaders(b []byte, fields []pdk.Field, comma bool, without string) []byte {
	n := min(len(fields), maxItems)
	for i := range n {
		f := &fields[i]
		if without != "" && pdk.EqualFold(f.Name, without) || has(fields[:i], f.Name) {
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = append(b, '"')
		b = appendText(b, f.Name, true)
		b = append(b, `":`...)
		if redacted(f.Name) {
			b = append(b, `"REDACTED"`...)
			continue
		}
		if !has(fields[i+1:n], f.Name) {
			b = appendString(b, f.Value)
			continue
		}
		b = append(b, '[')
		b = appendString(b, f.Value)
		for j := i + 1; j < n; j++ {
			if pdk.EqualFold(fields[j].Name, f.Name) {
				b = append(b, ',')
				b = appendString(b, fields[j].Value)
			}
		}
		b = append(b, ']')
	}
	return b
}

func has(fields []pdk.Field, name string) bool {
	for i := range fields {
		if len(fields[i].Name) == len(name) && pdk.EqualFold(fields[i].Name, name) {
			return true
		}
	}
	return false
}

// appendQuery appends the arguments: true for those without a value, arrays for those
// that come several times.
func appendQuery(b []byte, raw string) []byte {
	b = append(b, '{')
	n := 0
	for arg, rest, more := pdk.NextArg(raw); more && n < maxItems; arg, rest, more = pdk.NextArg(rest) {
		n++
		if seen(raw, arg.Name, n-1) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = appendUnescaped(b, arg.Name)
		b = append(b, ':')
		first := len(b)
		b = appendArg(b, arg)
		count, m := 1, n
		for next, rest, more := pdk.NextArg(rest); more && m < maxItems; next, rest, more = pdk.NextArg(rest) {
			m++
			if next.Name != arg.Name {
				continue
			}
			if count == 1 {
				b = append(b, 0)
				copy(b[first+1:], b[first:])
				b[first] = '['
			}
			count++
			b = append(b, ',')
			b = appendArg(b, next)
		}
		if count > 1 {
			b = append(b, ']')
		}
	}
	return append(b, '}')
}

// seen tells whether one of the first n arguments has the name.
func seen(raw, name string, n int) bool {
	for arg, rest, more := pdk.NextArg(raw); more && n > 0; arg, rest, more = pdk.NextArg(rest) {
		if arg.Name == name {
			return true
		}
		n--
	}
	return false
}

func appendArg(b []byte, arg pdk.Arg) []byte {
	if !arg.HasValue {
		return append(b, "true"...)
	}
	return appendUnescaped(b, arg.Value)
}

func appendUnescaped(b []byte, s string) []byte {
	if strings.ContainsAny(s, "%+") {
		var space [128]byte
		s = string(pdk.AppendUnescaped(space[:0], s))
	}
	return appendString(b, s)
}

// appendString appends s as JSON. What is no UTF-8 becomes U+FFFD: a record is valid JSON
// whatever a client sends.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	b = appendText(b, s, false)
	return append(b, '"')
}

// escaped are the bytes that do not stand for themselves in a JSON string.
var escaped = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c == '"' || c == '\\' || c >= 0x7f
	}
	return t
}()

// appendText appends what stands between the quotes, in lower case when asked to.
func appendText(b []byte, s string, lower bool) []byte {
	const hex = "0123456789abcdef"
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && !escaped[s[i]] {
			i++
		}
		at := len(b)
		b = append(b, s[from:i]...)
		if lower {
			for k := at; k < len(b); k++ {
				if c := b[k]; c >= 'A' && c <= 'Z' {
					b[k] = c + 'a' - 'A'
				}
			}
		}
		if i == len(s) {
			break
		}
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			if c >= utf8.RuneSelf {
				r, size := utf8.DecodeRuneInString(s[i:])
				b = utf8.AppendRune(b, r)
				i += size - 1
			} else {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
		}
		i++
	}
	return b
}

// appendMember appends a key, with its comma and colon, and a string, unless that is empty.
func appendMember(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, key...), value)
}

func appendStrings(b []byte, key string, list []string) []byte {
	if list == nil {
		return b
	}
	b = append(append(b, key...), '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func appendInt(b []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(b, key...), n, 10)
}

func appendBool(b []byte, key string, v bool) []byte {
	return strconv.AppendBool(append(b, key...), v)
}
