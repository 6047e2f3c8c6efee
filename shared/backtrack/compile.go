package backtrack

import (
	"unicode"
	"unicode/utf8"
)

// maxProgram is the most instructions of a program: counted repeats are written out.
const maxProgram = 1 << 16

type instOp uint8

const (
	instEnd      instOp = iota // the match, or what a look or atomic group has inside
	instText                   // text
	instFold                   // text, without regard to case
	instSet                    // a character of set
	instRun                    // n to most characters of set
	instSplit                  // x, and if that fails y
	instJump                   // x
	instOpen                   // group n begins
	instClose                  // group n has what is between where it began and here
	instKeep                   // the match begins here
	instBack                   // what group n has
	instWhen                   // go on when group n has something, else x
	instLook                   // the program up to its end matches here; then x
	instAtomic                 // the same, and its end is where it goes on
	instStepBack               // n characters back
	instMark                   // a round of loop n begins
	instCheck                  // a round of loop n ends: when it was empty, x
	instAssert                 // a place
)

type inst struct {
	op   instOp
	at   assertion
	fold bool
	// Of instLook.
	not, behind bool
	// Of instRun.
	lazy, possessive bool
	x, y             int
	n, most          int
	text             string
	set              *set
}

type compiler struct {
	program []inst
	loops   int
}

func (c *compiler) compile(tree *node) error {
	if err := c.add(tree); err != nil {
		return err
	}
	return c.put(inst{op: instEnd})
}

func (c *compiler) put(i inst) error {
	if len(c.program) >= maxProgram {
		return &SyntaxError{"regular expression is too large", 0}
	}
	c.program = append(c.program, i)
	return nil
}

// here is the place of the next instruction.
func (c *compiler) here() int { return len(c.program) }

func (c *compiler) add(n *node) error {
	switch n.op {
	case opEmpty:
		return nil
	case opText:
		if n.fold {
			return c.put(inst{op: instFold, text: n.text})
		}
		return c.put(inst{op: instText, text: n.text})
	case opSet:
		return c.put(inst{op: instSet, set: n.set})
	case opCat:
		for _, s := range n.subs {
			if err := c.add(s); err != nil {
				return err
			}
		}
		return nil
	case opAlt:
		return c.alternatives(n.subs, c.add)
	case opRepeat:
		return c.repeat(n)
	case opGroup:
		if err := c.put(inst{op: instOpen, n: n.n}); err != nil {
			return err
		}
		if err := c.add(n.subs[0]); err != nil {
			return err
		}
		return c.put(inst{op: instClose, n: n.n})
	case opLook:
		return c.inside(inst{op: instLook, not: n.not, behind: n.behind}, func() error {
			if n.behind {
				return c.behind(n)
			}
			return c.add(n.subs[0])
		})
	case opAtomic:
		return c.inside(inst{op: instAtomic}, func() error { return c.add(n.subs[0]) })
	case opBack:
		return c.put(inst{op: instBack, n: n.n, fold: n.fold})
	case opWhen:
		return c.when(n)
	case opKeep:
		return c.put(inst{op: instKeep})
	case opAssert:
		return c.put(inst{op: instAssert, at: n.at})
	}
	panic("backtrack: a node that nobody knows")
}

// alternatives tries one after the other.
func (c *compiler) alternatives(subs []*node, add func(n *node) error) error {
	var ends []int
	for i, s := range subs {
		split := -1
		if i < len(subs)-1 {
			split = c.here()
			if err := c.put(inst{op: instSplit, x: split + 1}); err != nil {
				return err
			}
		}
		if err := add(s); err != nil {
			return err
		}
		if split >= 0 {
			ends = append(ends, c.here())
			if err := c.put(inst{op: instJump}); err != nil {
				return err
			}
			c.program[split].y = c.here()
		}
	}
	for _, e := range ends {
		c.program[e].x = c.here()
	}
	return nil
}

// inside puts a program of its own behind an instruction.
func (c *compiler) inside(i inst, add func() error) error {
	at := c.here()
	if err := c.put(i); err != nil {
		return err
	}
	if err := add(); err != nil {
		return err
	}
	if err := c.put(inst{op: instEnd}); err != nil {
		return err
	}
	c.program[at].x = c.here()
	return nil
}

// behind compiles what a look behind has inside: each alternative steps back by its
// length and must end where it began.
func (c *compiler) behind(n *node) error {
	subs := []*node{n.subs[0]}
	if subs[0].op == opAlt {
		subs = subs[0].subs
	}
	return c.alternatives(subs, func(s *node) error {
		least, most := width(s)
		if least != most {
			return &SyntaxError{"lookbehind assertion is not fixed length", n.offset}
		}
		if err := c.put(inst{op: instStepBack, n: least}); err != nil {
			return err
		}
		return c.add(s)
	})
}

func (c *compiler) when(n *node) error {
	at := c.here()
	if err := c.put(inst{op: instWhen, n: n.n}); err != nil {
		return err
	}
	if err := c.add(n.subs[0]); err != nil {
		return err
	}
	jump := c.here()
	if err := c.put(inst{op: instJump}); err != nil {
		return err
	}
	c.program[at].x = c.here()
	if err := c.add(n.subs[1]); err != nil {
		return err
	}
	c.program[jump].x = c.here()
	return nil
}

func (c *compiler) repeat(n *node) error {
	sub := n.subs[0]
	if s := single(sub); s != nil {
		return c.put(inst{op: instRun, set: s, n: n.least, most: n.most, lazy: n.lazy, possessive: n.possessive})
	}
	if n.possessive {
		greedy := *n
		greedy.possessive, greedy.lazy = false, false
		return c.inside(inst{op: instAtomic}, func() error { return c.repeat(&greedy) })
	}
	for range n.least {
		if err := c.add(sub); err != nil {
			return err
		}
	}
	if n.most < 0 {
		return c.loop(sub, n.lazy)
	}
	var splits []int
	for range n.most - n.least {
		splits = append(splits, c.here())
		if err := c.put(inst{op: instSplit}); err != nil {
			return err
		}
		if err := c.add(sub); err != nil {
			return err
		}
	}
	for _, s := range splits {
		c.choose(s, n.lazy, s+1, c.here())
	}
	return nil
}

// choose sets the ways of a split.
func (c *compiler) choose(split int, lazy bool, in, out int) {
	if lazy {
		in, out = out, in
	}
	c.program[split].x, c.program[split].y = in, out
}

// loop repeats any number of times. A round that matches nothing is the last.
func (c *compiler) loop(sub *node, lazy bool) error {
	start := c.here()
	if err := c.put(inst{op: instSplit}); err != nil {
		return err
	}
	least, _ := width(sub)
	number := c.loops
	if least == 0 {
		c.loops++
		if err := c.put(inst{op: instMark, n: number}); err != nil {
			return err
		}
	}
	if err := c.add(sub); err != nil {
		return err
	}
	check := c.here()
	if least == 0 {
		if err := c.put(inst{op: instCheck, n: number}); err != nil {
			return err
		}
	}
	if err := c.put(inst{op: instJump, x: start}); err != nil {
		return err
	}
	c.choose(start, lazy, start+1, c.here())
	if least == 0 {
		c.program[check].x = c.here()
	}
	return nil
}

// single returns the set of what matches one character, else nil.
func single(n *node) *set {
	switch {
	case n.op == opSet:
		return n.set
	case n.op == opText && utf8.RuneCountInString(n.text) == 1:
		r, _ := utf8.DecodeRuneInString(n.text)
		return (&set{ranges: []rune{r, r}}).done(false, n.fold)
	case n.op == opCat && len(n.subs) == 1:
		return single(n.subs[0])
	}
	return nil
}

// wide stands for any width.
const wide = 1 << 30

// width returns the least and most characters that a node matches.
func width(n *node) (least, most int) {
	switch n.op {
	case opText:
		w := utf8.RuneCountInString(n.text)
		return w, w
	case opSet:
		return 1, 1
	case opCat:
		for _, s := range n.subs {
			l, m := width(s)
			least, most = min(least+l, wide), min(most+m, wide)
		}
		return least, most
	case opAlt, opWhen:
		least = wide
		for _, s := range n.subs {
			l, m := width(s)
			least, most = min(least, l), max(most, m)
		}
		return least, most
	case opRepeat:
		l, m := width(n.subs[0])
		times := n.most
		if times < 0 {
			times = wide
		}
		if m > 0 && times > wide/m {
			return min(l*n.least, wide), wide
		}
		return min(l*n.least, wide), m * times
	case opGroup, opAtomic:
		return width(n.subs[0])
	case opBack:
		return 0, wide
	}
	return 0, 0
}

// begins tells whether a node only matches at the start of a subject.
func begins(n *node) bool {
	switch n.op {
	case opAssert:
		return n.at == subjectStart
	case opCat:
		return len(n.subs) > 0 && begins(n.subs[0])
	case opGroup, opAtomic:
		return begins(n.subs[0])
	case opAlt:
		for _, s := range n.subs {
			if !begins(s) {
				return false
			}
		}
		return true
	}
	return false
}

// sameFold tells whether two characters differ by case at most.
func sameFold(a, b rune) bool {
	if a == b {
		return true
	}
	for f := unicode.SimpleFold(a); f != a; f = unicode.SimpleFold(f) {
		if f == b {
			return true
		}
	}
	return false
}
