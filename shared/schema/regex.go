package schema

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/sluice-gateway/sluice/shared/backtrack"
)

// MaxRegexLen is the longest pattern that CompileRegex takes, in bytes.
const MaxRegexLen = 64 << 10

// Regex is a compiled pattern of a route or plugin: Go's own engine, linear in
// its input, or a backtracking one for patterns with look-around and the like.
// It is safe for concurrent use.
type Regex struct {
	linear       *regexp.Regexp
	backtracking *backtrack.Regexp
}

// CompileRegex compiles a pattern in the syntax that Kong's users write.
func CompileRegex(pattern string) (*Regex, error) {
	if len(pattern) > MaxRegexLen {
		return nil, fmt.Errorf("pcre2_compile() failed: regular expression is too large in %q", pattern[:32]+"...")
	}
	linear, err := regexp.Compile(pattern)
	if err == nil {
		return &Regex{linear: linear}, nil
	}
	backtracking, backErr := backtrack.Compile(pattern)
	if backErr != nil {
		return nil, fmt.Errorf("pcre2_compile() failed: %s in \"%s\"", complaint(backErr), pattern)
	}
	return &Regex{backtracking: backtracking}, nil
}

// Backtracking warns of a pattern that needs backtracking.
func Backtracking(pattern string) string {
	return fmt.Sprintf("the regular expression %q needs backtracking (look-around, back-references or the like): "+
		"a match is given up after %d steps and then counts as none", pattern, backtrack.Steps)
}

// Linear returns Go's own regexp, or nil when the pattern needs backtracking.
func (r *Regex) Linear() *regexp.Regexp { return r.linear }

// Match tells whether the pattern occurs in s. A match that takes too many steps is none.
func (r *Regex) Match(s string) bool {
	ok, _ := r.MatchBounded(s)
	return ok
}

// MatchBounded tells besides whether the match was given up because it took too many
// steps, which only happens to a pattern that needs backtracking.
func (r *Regex) MatchBounded(s string) (ok, known bool) {
	if r.linear != nil {
		return r.linear.MatchString(s), true
	}
	ok, err := r.backtracking.Match(s)
	return ok, err == nil
}

// Find returns the byte offsets of the first match and its groups, as
// regexp.FindStringSubmatchIndex does, or nil.
func (r *Regex) Find(s string) []int {
	if r.linear != nil {
		return r.linear.FindStringSubmatchIndex(s)
	}
	found, err := r.backtracking.Find(s)
	if err != nil {
		return nil
	}
	return found
}

// Names returns the names of the groups, "" for those without, starting with the
// whole match.
func (r *Regex) Names() []string {
	if r.linear != nil {
		return r.linear.SubexpNames()
	}
	return r.backtracking.Names()
}

// complaint is what is wrong with a pattern, without the place.
func complaint(err error) string {
	if wrong, ok := errors.AsType[*backtrack.SyntaxError](err); ok {
		return wrong.Message
	}
	return err.Error()
}
