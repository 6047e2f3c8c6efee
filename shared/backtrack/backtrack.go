// Package backtrack matches regular expressions that need backtracking: those with
// look-around, back-references, atomic groups and the like, which no engine can match in
// linear time. It owns the syntax, PCRE's but for recursion, callouts and branch resets,
// and the bound: a match takes no more than Steps steps and Depth places to come back to,
// the same on every machine and at any load. Go's regexp is for all other patterns.
//
// Subjects are UTF-8; a byte that is none counts as one character U+FFFD. \d, \w, \s and \b
// are about ASCII, as in PCRE without UCP.
//
// A pattern is parsed to a tree, the tree is compiled to a program, and a machine runs the
// program over a subject. What a machine must come back to is on a stack of its own, not on
// Go's: choices, and the groups as they were.
package backtrack

import (
	"errors"
	"sync"
)

// Bounds of one match.
const (
	// Steps is the most instructions that a match runs.
	Steps = 1 << 20
	// Depth is the most places that a match can come back to.
	Depth = 1 << 16
)

// ErrSteps means that a match was given up: it is neither known to match nor not to.
var ErrSteps = errors.New("the match needs too many steps")

// Regexp is a compiled pattern. It is safe for concurrent use.
type Regexp struct {
	program []inst
	names   []string
	loops   int // of which the machine keeps where they began
	// begins is set when the pattern can only match at the start of a subject.
	begins bool
}

// Compile compiles a pattern. Errors are *SyntaxError.
func Compile(pattern string) (*Regexp, error) {
	p := &parser{text: pattern, names: []string{""}, byName: map[string]int{}}
	tree, err := p.parse()
	if err != nil {
		return nil, err
	}
	c := &compiler{}
	if err := c.compile(tree); err != nil {
		return nil, err
	}
	return &Regexp{program: c.program, names: p.names, loops: c.loops, begins: begins(tree)}, nil
}

// Names returns the names of the groups, "" for those without, starting with the whole
// match.
func (re *Regexp) Names() []string { return re.names }

// Match tells whether the pattern occurs in a subject. The error is nil or ErrSteps.
func (re *Regexp) Match(subject string) (bool, error) {
	m := machines.Get().(*machine) //nolint:forcetypeassert // as New made it
	ok, err := m.search(re, subject)
	m.release()
	return ok, err
}

// Find returns the byte offsets of the first match and its groups, as
// regexp.FindStringSubmatchIndex does, nil for none. The error is nil or ErrSteps.
func (re *Regexp) Find(subject string) (offsets []int, err error) {
	m := machines.Get().(*machine) //nolint:forcetypeassert // as New made it
	ok, err := m.search(re, subject)
	if ok {
		offsets = append(offsets, m.groups[:2*len(re.names)]...)
	}
	m.release()
	return offsets, err
}

var machines = sync.Pool{New: func() any { return new(machine) }} //nolint:gochecknoglobals // a pool
