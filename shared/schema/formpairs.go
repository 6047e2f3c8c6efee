package schema

import "strings"

// Pair is one name and value of a form, decoded.
type Pair struct {
	Name, Value string
}

// ParseForm takes an application/x-www-form-urlencoded body apart, in order. It is
// as lenient as Kong: a broken escape stands for itself, a name alone means true.
func ParseForm(body string) []Pair {
	var out []Pair
	for part := range strings.SplitSeq(body, "&") {
		if part == "" {
			continue
		}
		name, value, given := strings.Cut(part, "=")
		if !given {
			value = "true"
		}
		out = append(out, Pair{Name: unescape(name), Value: unescape(value)})
	}
	return out
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "+%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

// LastPairs keeps the last value of each name, which is how Kong reads multipart
// forms.
func LastPairs(pairs []Pair) []Pair {
	last := make(map[string]int, len(pairs))
	for i, p := range pairs {
		last[p.Name] = i
	}
	out := make([]Pair, 0, len(last))
	for i, p := range pairs {
		if last[p.Name] == i {
			out = append(out, p)
		}
	}
	return out
}

// maxFormParts bounds how deep the name of a form field may reach.
const maxFormParts = 64

// formParts takes a name like "config.add[headers][]" apart. nil means malformed.
func formParts(name string) (parts []string, list bool) {
	rest := name
	for {
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end > 0 || len(parts) == 0 {
			parts = append(parts, rest[:end])
		}
		rest = rest[end:]
		for strings.HasPrefix(rest, "[") {
			inside, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return nil, false
			}
			rest = after
			if inside == "" {
				// "[]" ends the name.
				if rest != "" {
					return nil, false
				}
				return parts, true
			}
			parts = append(parts, inside)
		}
		if len(parts) > maxFormParts {
			return nil, false
		}
		if rest == "" {
			return parts, false
		}
		if rest[0] != '.' || len(rest) == 1 {
			return nil, false
		}
		rest = rest[1:]
	}
}
