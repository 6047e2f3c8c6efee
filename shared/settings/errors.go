package settings

import "strings"

// Problem is one thing that is wrong.
type Problem struct {
	// Key is "" where the text names none.
	Key string
	// Source is a file and line, "environment NAME", "flag --name" or "default".
	Source  string
	Message string
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Source != "default" {
		b.WriteString(" (" + p.Source + ")")
	}
	return b.String()
}

// Error lists every problem of the settings, so that they can be mended at once.
type Error struct {
	Problems []Problem
}

func (e *Error) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = p.String()
	}
	return "settings: " + strings.Join(parts, "; ")
}
