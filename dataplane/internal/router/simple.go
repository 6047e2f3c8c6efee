package router

import (
	"regexp/syntax"
	"strings"
)

// simple matches the patterns that most regular expressions of routes are: text, classes
// of characters such as \d+ and [^/]+, groups around them, and an end. Where what follows
// a class can not be of the class there is one way to match only, which a walk over the
// path finds without an engine and without allocation. Paths with bytes beyond ASCII are
// left to the engine.
type simple struct {
	steps []simpleStep
}

type stepKind uint8

const (
	stepText  stepKind = iota
	stepClass          // least bytes of a class at least, all that come when many is set
	stepMaybe          // text that may be there
	stepOpen           // a group begins
	stepClose          // a group ends
	stepEnd            // the path ends
)

type simpleStep struct {
	kind  stepKind
	many  bool
	least uint8
	group uint16
	text  string
	class [2]uint64 // ASCII characters
}

func (s *simpleStep) has(c byte) bool { return c < 0x80 && s.class[c>>6]&(1<<(c&63)) != 0 }

// newSimple returns nil for a pattern that is not simple.
func newSimple(pattern string) *simple {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText {
		return nil
	}
	s := &simple{}
	for _, sub := range re.Sub[1:] {
		if !s.add(sub) {
			return nil
		}
	}
	if !s.certain() {
		return nil
	}
	return s
}

func (s *simple) add(re *syntax.Regexp) bool {
	if re.Flags&syntax.NonGreedy != 0 {
		return false
	}
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return false
		}
		s.text(stepText, string(re.Rune))
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.steps = append(s.steps, simpleStep{kind: stepClass, least: 1, class: classOf(re)})
	case syntax.OpPlus, syntax.OpStar:
		sub := re.Sub[0]
		if sub.Op != syntax.OpCharClass && sub.Op != syntax.OpAnyChar && sub.Op != syntax.OpAnyCharNotNL {
			return false
		}
		step := simpleStep{kind: stepClass, many: true, class: classOf(sub)}
		if re.Op == syntax.OpPlus {
			step.least = 1
		}
		s.steps = append(s.steps, step)
	case syntax.OpQuest:
		if re.Sub[0].Op != syntax.OpLiteral || re.Sub[0].Flags&syntax.FoldCase != 0 {
			return false
		}
		s.text(stepMaybe, string(re.Sub[0].Rune))
	case syntax.OpCapture:
		s.steps = append(s.steps, simpleStep{kind: stepOpen, group: uint16(re.Cap)})
		if !s.add(re.Sub[0]) {
			return false
		}
		s.steps = append(s.steps, simpleStep{kind: stepClose, group: uint16(re.Cap)})
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !s.add(sub) {
				return false
			}
		}
	case syntax.OpEndText:
		s.steps = append(s.steps, simpleStep{kind: stepEnd})
	default:
		return false
	}
	return true
}

func (s *simple) text(kind stepKind, text string) {
	s.steps = append(s.steps, simpleStep{kind: kind, text: text})
}

func classOf(re *syntax.Regexp) (class [2]uint64) {
	ranges := re.Rune
	switch re.Op {
	case syntax.OpAnyChar:
		ranges = []rune{0, 0x7f}
	case syntax.OpAnyCharNotNL:
		ranges = []rune{0, '\n' - 1, '\n' + 1, 0x7f}
	}
	for i := 0; i+1 < len(ranges); i += 2 {
		for c := ranges[i]; c <= min(ranges[i+1], 0x7f); c++ {
			class[c>>6] |= 1 << (c & 63)
		}
	}
	return class
}

// certain tells whether there is only one way to match: behind a class that repeats, and
// behind a text that may be there, comes the end, or a text that can not be mistaken.
func (s *simple) certain() bool {
	for i := range s.steps {
		step := &s.steps[i]
		if !(step.kind == stepClass && step.many || step.kind == stepMaybe) {
			continue
		}
		next := s.following(i)
		switch {
		case next == nil || next.kind == stepEnd:
		case next.kind != stepText:
			return false
		case step.kind == stepClass && (step.has(next.text[0]) || next.text[0] >= 0x80):
			return false
		case step.kind == stepMaybe && next.text[0] == step.text[0]:
			return false
		}
	}
	return true
}

// following returns the next step that looks at the path, nil for none.
func (s *simple) following(i int) *simpleStep {
	for i++; i < len(s.steps); i++ {
		if k := s.steps[i].kind; k != stepOpen && k != stepClose {
			return &s.steps[i]
		}
	}
	return nil
}

// match tells whether a path matches, and fills found with the offsets of the match and
// its groups when it is not nil. It is not sure about characters beyond ASCII.
func (s *simple) match(path string, found []int) (ok, sure bool) {
	at := 0
	for i := range s.steps {
		step := &s.steps[i]
		switch step.kind {
		case stepText:
			if !strings.HasPrefix(path[at:], step.text) {
				return false, true
			}
			at += len(step.text)
		case stepMaybe:
			if strings.HasPrefix(path[at:], step.text) {
				at += len(step.text)
			}
		case stepClass:
			from := at
			for at < len(path) && step.has(path[at]) && (step.many || at == from) {
				at++
			}
			if at < len(path) && path[at] >= 0x80 {
				return false, false
			}
			if at-from < int(step.least) {
				return false, true
			}
		case stepOpen:
			if found != nil {
				found[2*step.group] = at
			}
		case stepClose:
			if found != nil {
				found[2*step.group+1] = at
			}
		case stepEnd:
			if at != len(path) {
				return false, true
			}
		}
	}
	if found != nil {
		found[0], found[1] = 0, at
	}
	return true, true
}
