package schema

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"time"

	"github.com/dlclark/regexp2"
)

// RegexTimeout bounds one match of a pattern that needs backtracking. The engine looks at
// a clock that ticks every regexTick, so a match ends after three ticks more at the latest.
const (
	RegexTimeout = 30 * time.Millisecond
	regexTick    = 10 * time.Millisecond
)

// tick sets the clock of the backtracking engine before it is first used.
var tick = sync.OnceFunc(func() { regexp2.SetTimeoutCheckPeriod(regexTick) }) //nolint:gochecknoglobals // the engine's clock is global

// MaxRegexLen is the longest pattern that CompileRegex takes, in bytes.
const MaxRegexLen = 64 << 10

// Regex is a compiled pattern of a route or plugin: Go's own engine, linear in
// its input, or a backtracking one for patterns with look-around and the like.
// It is safe for concurrent use.
type Regex struct {
	linear       *regexp.Regexp
	backtracking *regexp2.Regexp
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
	tick()
	backtracking, backErr := regexp2.Compile(pattern, regexp2.None)
	if backErr != nil {
		return nil, fmt.Errorf("pcre2_compile() failed: %s in \"%s\"", complaint(err), pattern)
	}
	backtracking.MatchTimeout = RegexTimeout
	return &Regex{backtracking: backtracking}, nil
}

// Backtracking warns of a pattern that needs backtracking.
func Backtracking(pattern string) string {
	return fmt.Sprintf("the regular expression %q needs backtracking (look-around, back-references or the like): "+
		"a match is given up after %s and then counts as none", pattern, RegexTimeout)
}

// Linear returns Go's own regexp, or nil when the pattern needs backtracking.
func (r *Regex) Linear() *regexp.Regexp { return r.linear }

// Match tells whether the pattern occurs in s. A match that takes too long is none.
func (r *Regex) Match(s string) bool {
	ok, _ := r.MatchInTime(s)
	return ok
}

// MatchInTime tells besides whether the match was given up because it took too long,
// which only happens to a pattern that needs backtracking.
func (r *Regex) MatchInTime(s string) (ok, inTime bool) {
	if r.linear != nil {
		return r.linear.MatchString(s), true
	}
	ok, err := r.backtracking.MatchString(s)
	return ok && err == nil, err == nil
}

// Find returns the byte offsets of the first match and its groups, as
// regexp.FindStringSubmatchIndex does, or nil.
func (r *Regex) Find(s string) []int {
	if r.linear != nil {
		return r.linear.FindStringSubmatchIndex(s)
	}
	m, err := r.backtracking.FindStringMatch(s)
	if err != nil || m == nil {
		return nil
	}
	// regexp2 counts runes.
	offsets := make([]int, 0, len(s)+1)
	for i := range s {
		offsets = append(offsets, i)
	}
	offsets = append(offsets, len(s))
	groups := m.Groups()
	out := make([]int, 0, 2*len(groups))
	for i := range groups {
		if len(groups[i].Captures) == 0 {
			out = append(out, -1, -1)
			continue
		}
		out = append(out, offsets[groups[i].Index], offsets[groups[i].Index+groups[i].Length])
	}
	return out
}

// Names returns the names of the groups, "" for those without, starting with the
// whole match.
func (r *Regex) Names() []string {
	if r.linear != nil {
		return r.linear.SubexpNames()
	}
	numbers := r.backtracking.GetGroupNumbers()
	out := make([]string, len(numbers))
	for i, n := range numbers {
		name := r.backtracking.GroupNameFromNumber(n)
		if strings.Trim(name, "0123456789") != "" {
			out[i] = name
		}
	}
	return out
}

// complaint words a syntax error as PCRE does.
func complaint(err error) string {
	var s *syntax.Error
	if !errors.As(err, &s) {
		return err.Error()
	}
	switch s.Code {
	case syntax.ErrMissingParen:
		return "missing closing parenthesis"
	case syntax.ErrUnexpectedParen:
		return "unmatched closing parenthesis"
	case syntax.ErrMissingBracket:
		return "missing terminating ] for character class"
	case syntax.ErrMissingRepeatArgument, syntax.ErrInvalidRepeatOp:
		return "quantifier does not follow a repeatable item"
	case syntax.ErrInvalidRepeatSize:
		return "number too big in {} quantifier"
	case syntax.ErrTrailingBackslash:
		return "\\ at end of pattern"
	case syntax.ErrInvalidCharRange:
		return "range out of order in character class"
	case syntax.ErrInvalidEscape:
		return "unrecognized character follows \\"
	case syntax.ErrInvalidNamedCapture:
		return "syntax error in subpattern name (missing terminator?)"
	case syntax.ErrInvalidUTF8:
		return "UTF-8 error"
	case syntax.ErrLarge, syntax.ErrNestingDepth:
		return "regular expression is too large"
	}
	return s.Code.String()
}
