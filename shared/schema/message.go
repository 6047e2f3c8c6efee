package schema

import (
	"fmt"
	"strconv"
	"strings"
)

// Messages of violations, in Kong's words: clients show and compare them.
const (
	msgRequired  = "required field missing"
	msgUnknown   = "unknown field"
	msgMissingPK = "missing primary key"
	msgImmutable = "immutable field cannot be updated"
	msgUUID      = "expected a valid UUID"
	msgTimestamp = "expected a valid timestamp"
	msgAbstract  = "abstract field was not specialized"
	msgTTL       = "must be an integer between 0 and 100000000"
)

func typeMessage(t Type) string {
	switch t {
	case Integer, Array:
		return "expected an " + string(t)
	}
	return "expected a " + string(t)
}

// plain renders a value as Lua's tostring does.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	}
	if n, ok := number(v); ok {
		switch n := n.(type) {
		case int64:
			return strconv.FormatInt(n, 10)
		case float64:
			return strconv.FormatFloat(n, 'g', 14, 64)
		}
	}
	return fmt.Sprint(v)
}

func plainList(values []any) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = plain(v)
	}
	return strings.Join(parts, ", ")
}

func quotedList(names []string) string {
	return "'" + strings.Join(names, "', '") + "'"
}
