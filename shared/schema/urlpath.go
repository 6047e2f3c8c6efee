package schema

import (
	"fmt"
	"strings"
)

// checkFixedPath refuses paths that a request could never have after it was
// normalised, and tells which one it would be.
func checkFixedPath(s string) error {
	if err := checkEscapes(s); err != nil {
		return err
	}
	if n := NormalizePath(s); n != s {
		return fmt.Errorf("non-normalized path, consider use '%s' instead", n)
	}
	return nil
}

// NormalizePath brings a path into the form that is matched with routes: escapes
// of unreserved characters decoded and all others in capitals, dot segments
// resolved, double slashes merged.
func NormalizePath(s string) string {
	if !needsNormalizing(s) {
		return s
	}
	s = normalizeEscapes(s)
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '/' {
			out = append(out, s[i])
			i++
			continue
		}
		for i < len(s) && s[i] == '/' {
			i++
		}
		end := strings.IndexByte(s[i:], '/')
		if end < 0 {
			end = len(s) - i
		}
		switch segment := s[i : i+end]; segment {
		case ".":
			i += end
			if i == len(s) {
				out = append(out, '/')
			}
		case "..":
			if j := strings.LastIndexByte(string(out), '/'); j >= 0 {
				out = out[:j]
			}
			i += end
			if i == len(s) {
				out = append(out, '/')
			}
		default:
			out = append(out, '/')
		}
	}
	if len(out) == 0 {
		return "/"
	}
	return string(out)
}

func needsNormalizing(s string) bool {
	return strings.Contains(s, "//") || strings.Contains(s, "/.") || strings.Contains(s, "%")
}

func normalizeEscapes(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
			b.WriteByte(s[i])
			continue
		}
		c := unhex(s[i+1])<<4 | unhex(s[i+2])
		if isAlnum(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString(strings.ToUpper(s[i : i+3]))
		}
		i += 2
	}
	return b.String()
}

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
