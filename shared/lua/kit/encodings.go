package kit

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // what scripts ask for
	"crypto/sha1" //nolint:gosec // what scripts ask for
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"strings"

	"github.com/google/uuid"
	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// pure is a function of one string.
func pure(fn func(s string) (string, bool)) glua.LGFunction {
	return func(l *glua.LState) int {
		s := ""
		switch v := l.Get(1).(type) {
		case *glua.LNilType:
		default:
			s = lua.ToString(l, v)
		}
		r := lua.RunOf(l)
		r.Work(l, len(s)/16)
		r.Alloc(l, 3*len(s)+64)
		out, ok := fn(s)
		if !ok {
			l.Push(glua.LNil)
		} else {
			l.Push(glua.LString(out))
		}
		return 1
	}
}

func digest(of func() hash.Hash, asHex bool) glua.LGFunction {
	return pure(func(s string) (string, bool) {
		h := of()
		h.Write([]byte(s))
		if asHex {
			return hex.EncodeToString(h.Sum(nil)), true
		}
		return string(h.Sum(nil)), true
	})
}

// encodings are the functions of ngx that need no request.
func encodings() map[string]glua.LGFunction {
	return map[string]glua.LGFunction{
		"encode_base64": func(l *glua.LState) int {
			enc := base64.StdEncoding
			if l.GetTop() > 1 && l.ToBool(2) {
				enc = base64.RawStdEncoding
			}
			return pure(func(s string) (string, bool) { return enc.EncodeToString([]byte(s)), true })(l)
		},
		"decode_base64": pure(func(s string) (string, bool) { return decodeBase64(base64.RawStdEncoding, s) }),
		"md5":           digest(md5.New, true),
		"md5_bin":       digest(md5.New, false),
		"sha1_bin":      digest(sha1.New, false),
		"hmac_sha1": func(l *glua.LState) int {
			h := hmac.New(sha1.New, []byte(l.CheckString(1)))
			h.Write([]byte(l.CheckString(2)))
			l.Push(glua.LString(h.Sum(nil)))
			return 1
		},
		"crc32_short": func(l *glua.LState) int {
			l.Push(glua.LNumber(crc32.ChecksumIEEE([]byte(l.CheckString(1)))))
			return 1
		},
		"crc32_long": func(l *glua.LState) int {
			l.Push(glua.LNumber(crc32.ChecksumIEEE([]byte(l.CheckString(1)))))
			return 1
		},
		"escape_uri":   pure(func(s string) (string, bool) { return string(pdk.AppendEscaped(nil, s)), true }),
		"unescape_uri": pure(func(s string) (string, bool) { return string(pdk.AppendUnescaped(nil, s)), true }),
		"quote_sql_str": pure(func(s string) (string, bool) {
			return "'" + strings.NewReplacer("\x00", `\0`, "\b", `\b`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x1a", `\Z`, `\`, `\\`, `'`, `\'`, `"`, `\"`).Replace(s) + "'", true
		}),
	}
}

func decodeBase64(enc *base64.Encoding, s string) (string, bool) {
	b, err := enc.DecodeString(strings.TrimRight(s, "="))
	return string(b), err == nil
}

// modules are what require finds of OpenResty's libraries.
func modules() map[string]glua.LGFunction {
	library := func(functions map[string]glua.LGFunction) glua.LGFunction {
		return func(l *glua.LState) int {
			l.Push(l.SetFuncs(l.NewTable(), functions))
			return 1
		}
	}
	hasher := func(of func() hash.Hash) glua.LGFunction {
		return func(l *glua.LState) int {
			t := l.NewTable()
			t.RawSetString("new", l.NewFunction(func(l *glua.LState) int { return newDigest(l, of()) }))
			l.Push(t)
			return 1
		}
	}
	return map[string]glua.LGFunction{
		"ngx.base64": library(map[string]glua.LGFunction{
			"encode_base64url": pure(func(s string) (string, bool) { return base64.RawURLEncoding.EncodeToString([]byte(s)), true }),
			"decode_base64url": pure(func(s string) (string, bool) { return decodeBase64(base64.RawURLEncoding, s) }),
		}),
		"ngx.ssl": library(map[string]glua.LGFunction{"server_name": func(l *glua.LState) int {
			if s, ok := lua.RunOf(l).Value.(*session); ok && s.x.Request.SNI != "" {
				l.Push(glua.LString(s.x.Request.SNI))
			} else {
				l.Push(glua.LNil)
			}
			return 1
		}}),
		"resty.md5":    hasher(md5.New),
		"resty.sha1":   hasher(sha1.New),
		"resty.sha224": hasher(sha256.New224),
		"resty.sha256": hasher(sha256.New),
		"resty.sha384": hasher(sha512.New384),
		"resty.sha512": hasher(sha512.New),
		"resty.string": library(map[string]glua.LGFunction{
			"to_hex": pure(func(s string) (string, bool) { return hex.EncodeToString([]byte(s)), true }),
		}),
		"kong.tools.uuid": library(map[string]glua.LGFunction{
			"uuid": func(l *glua.LState) int { l.Push(glua.LString(uuid.NewString())); return 1 },
		}),
	}
}

// newDigest makes the object that resty.sha256 and the like return.
func newDigest(l *glua.LState, h hash.Hash) int {
	t := l.NewTable()
	lua.RunOf(l).Alloc(l, 1024)
	t.RawSetString("update", l.NewFunction(func(l *glua.LState) int {
		s := l.CheckString(2)
		lua.RunOf(l).Work(l, len(s)/16)
		h.Write([]byte(s))
		l.Push(glua.LTrue)
		return 1
	}))
	t.RawSetString("final", l.NewFunction(func(l *glua.LState) int { l.Push(glua.LString(h.Sum(nil))); return 1 }))
	t.RawSetString("reset", l.NewFunction(func(l *glua.LState) int { h.Reset(); l.Push(glua.LTrue); return 1 }))
	l.Push(t)
	return 1
}
