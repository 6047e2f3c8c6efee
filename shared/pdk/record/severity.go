package record

import (
	"slices"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// severities from the least to the most severe; syslog's numbers count down to 0.
var severities = []string{"debug", "info", "notice", "warning", "err", "crit", "alert", "emerg"}

// SeverityField is a field of a schema that holds a severity.
func SeverityField(name string) schema.Field {
	return schema.OneOf(severities...).Named(name).Defaults("info")
}

// Severities are the fields that say how severe statuses are, and what is logged.
type Severities struct {
	LogLevel             string `json:"log_level"`
	SuccessfulSeverity   string `json:"successful_severity"`
	ClientErrorsSeverity string `json:"client_errors_severity"`
	ServerErrorsSeverity string `json:"server_errors_severity"`
}

// Of returns syslog's number for a status, and whether it is severe enough to be logged.
func (s *Severities) Of(status int) (number int, logged bool) {
	name := s.SuccessfulSeverity
	switch {
	case status >= 500:
		name = s.ServerErrorsSeverity
	case status >= 400:
		name = s.ClientErrorsSeverity
	}
	number = numberOf(name)
	return number, number <= numberOf(s.LogLevel)
}

func numberOf(severity string) int {
	i := slices.Index(severities, severity)
	if i < 0 {
		i = 1
	}
	return len(severities) - 1 - i
}
