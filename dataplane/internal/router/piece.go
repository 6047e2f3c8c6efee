package router

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// maxPieces bounds the pieces of one pattern.
const maxPieces = 64

// pieces returns pieces of text that a path must have for a pattern to match, beyond the
// text that all its matches start with.
func pieces(pattern string) []string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	var r runs
	r.walk(re.Simplify())
	r.flush()
	var out []string
	for i, run := range r.all {
		if i == 0 && !r.begun {
			continue // it is where the tree has it
		}
		for j := 0; j+textSize <= len(run) && len(out) < maxPieces; j++ {
			if piece := run[j : j+textSize]; !slices.Contains(out, piece) {
				out = append(out, piece)
			}
		}
	}
	return out
}

// runs collects the literals that every match has, joined where they touch.
type runs struct {
	all []string
	now strings.Builder
	// begun is set when the pattern does not begin with a literal.
	begun bool
}

func (r *runs) flush() {
	if r.now.Len() > 0 {
		r.all = append(r.all, r.now.String())
		r.now.Reset()
	} else if len(r.all) == 0 {
		r.begun = true
	}
}

func (r *runs) walk(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			r.flush()
			return
		}
		for _, c := range re.Rune {
			r.now.WriteRune(c)
		}
	case syntax.OpCapture:
		r.walk(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			r.walk(sub)
		}
	case syntax.OpPlus:
		r.flush()
		r.walk(re.Sub[0])
		r.flush()
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
	default:
		r.flush()
	}
}
