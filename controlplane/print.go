package controlplane

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// printJSON writes what a command tells to programs.
func printJSON(out io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return err
}

// at shows seconds since 1970 in tables.
func at(seconds int64) string {
	if seconds == 0 {
		return "-"
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

func text(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}
