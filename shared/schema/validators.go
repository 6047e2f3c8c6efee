package schema

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/shared/schema/luapattern"
)

// validators are the checks of values that are not strings, in Kong's order.
func (f *field) validators(v any) any {
	if why := f.common(v); why != nil {
		return why
	}
	if f.Gt != nil && asFloat(v) <= *f.Gt {
		return f.err("value must be greater than " + plain(*f.Gt))
	}
	if f.Timestamp && asFloat(v) <= 0 {
		return f.err(msgTimestamp)
	}
	if f.Between != nil {
		if n := asFloat(v); n < f.Between[0] || n > f.Between[1] {
			return f.err("value should be between " + plain(f.Between[0]) + " and " + plain(f.Between[1]))
		}
	}
	switch v := v.(type) {
	case []any:
		if why := f.length(len(v)); why != nil {
			return why
		}
		if f.Contains != nil && !contains(v, f.Contains) {
			return f.err("expected to contain: " + plain(f.Contains))
		}
		if f.MutuallyExclusiveSubsets != nil {
			if why := f.subsets(v); why != nil {
				return why
			}
		}
	case Object:
		if why := f.length(len(v)); why != nil {
			return why
		}
	}
	return f.custom(v)
}

func (f *field) common(v any) any {
	if f.Eq != nil && !equal(*f.Eq, v) {
		return f.err("value must be " + plain(*f.Eq))
	}
	if f.Ne != nil && equal(*f.Ne, v) {
		return f.err("value must not be " + plain(*f.Ne))
	}
	if f.notOneOf == nil && f.oneOf == nil {
		return nil
	}
	switch v.(type) {
	case Object, []any:
		return nil
	}
	if _, found := f.notOneOf[v]; found {
		return f.err("must not be one of: " + plainList(f.NotOneOf))
	}
	if f.oneOf != nil {
		if _, found := f.oneOf[v]; !found {
			return f.err("expected one of: " + plainList(f.OneOf))
		}
	}
	return nil
}

func (f *field) length(n int) any {
	switch {
	case f.LenEq != nil && n != *f.LenEq:
		return f.err(fmt.Sprintf("length must be %d", *f.LenEq))
	case f.LenMin != nil && n < *f.LenMin:
		return f.err(fmt.Sprintf("length must be at least %d", *f.LenMin))
	case f.LenMax != nil && n > *f.LenMax:
		return f.err(fmt.Sprintf("length must be at most %d", *f.LenMax))
	}
	return nil
}

// text are the checks of strings, in Kong's order.
func (f *field) text(s string) any {
	if !utf8.ValidString(s) && f.CheckName != "tag" && f.CheckName != "utf8_name" {
		return "expected a valid UTF-8 string"
	}
	if why := f.common(s); why != nil {
		return why
	}
	if f.UUID && !isUUID(s) {
		return f.err(msgUUID)
	}
	if f.IsRegex {
		if _, err := CompileRegex(s); err != nil {
			return f.err("not a valid regex: " + s)
		}
	}
	if f.LenMin == nil && s == "" {
		return f.err("length must be at least 1")
	}
	if why := f.length(len(s)); why != nil {
		return why
	}
	if f.StartsWith != "" && !strings.HasPrefix(s, f.StartsWith) {
		return f.err("should start with: " + f.StartsWith)
	}
	if f.notMatch != nil && f.notMatch.Match(s) {
		return f.err("invalid value: " + s)
	}
	if why := f.patterns(s, f.matchNone, f.MatchNone, true); why != nil {
		return why
	}
	if f.match != nil && !f.match.Match(s) {
		return f.err("invalid value: " + s)
	}
	if why := f.patterns(s, f.matchAll, f.MatchAll, false); why != nil {
		return why
	}
	if f.matchAny != nil && !matchesAny(f.matchAny, s) {
		if f.MatchAny.Err != "" {
			return f.err(f.MatchAny.Err)
		}
		return f.err("invalid value: " + s)
	}
	return f.custom(s)
}

func (f *field) patterns(s string, compiled []*luapattern.Pattern, list []Pattern, none bool) any {
	for i, p := range compiled {
		if p.Match(s) == none {
			if list[i].Err != "" {
				return f.err(list[i].Err)
			}
			return f.err("invalid value: " + s)
		}
	}
	return nil
}

func matchesAny(patterns []*luapattern.Pattern, s string) bool {
	for _, p := range patterns {
		if p.Match(s) {
			return true
		}
	}
	return false
}

// subsets: the elements come from one subset only.
func (f *field) subsets(list []any) any {
	var used []string
	for _, subset := range f.MutuallyExclusiveSubsets {
		for _, member := range subset {
			if contains(list, member) {
				used = append(used, "("+quotedList(subset)+")")
				break
			}
		}
	}
	if len(used) > 1 {
		return f.err("these sets are mutually exclusive: " + strings.Join(used, ", "))
	}
	return nil
}

func (f *field) custom(v any) any {
	if f.Check == nil {
		return nil
	}
	err := f.Check(v)
	if err == nil {
		return nil
	}
	if violation, ok := errors.AsType[*Violation](err); ok {
		return violation.Fields
	}
	return f.err(err.Error())
}
