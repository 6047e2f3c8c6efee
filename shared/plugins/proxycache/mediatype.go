package proxycache

import (
	"mime"
	"strings"
)

// mediaType is a content type of the config or of an answer.
type mediaType struct {
	major, minor string
	parameters   map[string]string
}

// parseMediaType reads "text/plain; charset=utf-8"; ok is false for what is none.
func parseMediaType(s string) (m mediaType, ok bool) {
	full, parameters, err := mime.ParseMediaType(s)
	if err != nil {
		return m, false
	}
	m.major, m.minor, ok = strings.Cut(full, "/")
	m.parameters = parameters
	return m, ok && m.major != "" && m.minor != ""
}

// matches tells whether an answer's type is meant by one of the config: "*" stands for
// any type or subtype, and the parameters must be the same.
func (m *mediaType) matches(answer *mediaType) bool {
	if m.major != "*" && m.major != answer.major || m.minor != "*" && m.minor != answer.minor ||
		len(m.parameters) != len(answer.parameters) {
		return false
	}
	for name, value := range m.parameters {
		if other, ok := answer.parameters[name]; !ok || !strings.EqualFold(other, value) {
			return false
		}
	}
	return true
}
