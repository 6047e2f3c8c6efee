package settings

import "strings"

// fileLine is a line of a kong.conf file.
type fileLine struct {
	number    int
	key, text string
}

// parseFile reads `key = value` lines. A # that no backslash precedes begins a
// comment. Lines of another form are returned as bad.
func parseFile(text string) (lines, bad []fileLine) {
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(cutComment(line))
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !ok || key == "" || strings.ContainsAny(key, " \t") {
			bad = append(bad, fileLine{number: i + 1, text: line})
			continue
		}
		lines = append(lines, fileLine{number: i + 1, key: key, text: strings.TrimSpace(value)})
	}
	return lines, bad
}

func cutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] != '\\') {
			return line[:i]
		}
	}
	return line
}
