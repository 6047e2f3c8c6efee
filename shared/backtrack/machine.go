package backtrack

import (
	"strings"
	"unicode/utf8"
)

type placeKind uint8

const (
	placeChoice placeKind = iota // go on at pc and at
	placeRun                     // give back a character of a run that ended at at
	placeMore                    // take a character more at at
	placeGroup                   // groups[n] was old
	placeLoop                    // loops[n] was old
)

// place is where a machine comes back to when what it tries fails.
type place struct {
	kind placeKind
	pc   int
	at   int
	// n is what was changed; of a run, how many characters there are to give or take.
	n, old int
}

// machine runs programs, one at a time.
type machine struct {
	re      *Regexp
	subject string
	// groups are where each has begun and ended, and behind them where each that is open has
	// begun.
	groups []int
	loops  []int
	stack  []place
	steps  int
	over   bool // the bounds were reached
}

// release forgets a subject. What has grown far is not kept.
func (m *machine) release() {
	m.re, m.subject = nil, ""
	if cap(m.stack) > 1<<10 {
		m.stack = nil
	}
	machines.Put(m)
}

// search finds the first match; its offsets are in groups.
func (m *machine) search(re *Regexp, subject string) (bool, error) {
	m.re, m.subject, m.steps, m.over, m.stack = re, subject, 0, false, m.stack[:0]
	m.groups = fill(m.groups, 3*len(re.names))
	m.loops = fill(m.loops, re.loops)
	first := ""
	if re.program[0].op == instText {
		first = re.program[0].text
	}
	for start := 0; start <= len(subject); {
		if first != "" && !re.begins {
			i := strings.Index(subject[start:], first)
			if i < 0 {
				return false, nil
			}
			start += i
		}
		m.groups[0] = start
		end, ok := m.run(0, start)
		switch {
		case m.over:
			return false, ErrSteps
		case ok:
			m.groups[1] = end
			return true, nil
		case re.begins:
			return false, nil
		}
		_, n := utf8.DecodeRuneInString(subject[start:])
		start += max(n, 1)
	}
	return false, nil
}

// fill returns n numbers that are -1.
func fill(list []int, n int) []int {
	list = list[:0]
	for range n {
		list = append(list, -1)
	}
	return list
}

// run runs the program at pc to its end, and returns where it ended. On success, what it
// could come back to stays on the stack; otherwise the stack and groups are as they were.
func (m *machine) run(pc, at int) (end int, ok bool) {
	base := len(m.stack)
	for {
		if m.steps++; m.steps > Steps || len(m.stack) > Depth {
			m.over = true
			return 0, false
		}
		i := &m.re.program[pc]
		next, went := pc+1, at
		good := true
		switch i.op {
		case instEnd:
			return at, true
		case instText:
			good = strings.HasPrefix(m.subject[at:], i.text)
			went += len(i.text)
		case instFold:
			went, good = m.folded(at, i.text)
		case instSet:
			r, n := m.next(at)
			good = n > 0 && i.set.has(r)
			went += n
		case instRun:
			went, good = m.runOf(i, pc, at)
		case instSplit:
			next = i.x
			m.push(place{kind: placeChoice, pc: i.y, at: at})
		case instJump:
			next = i.x
		case instOpen:
			m.set(len(m.groups)-len(m.re.names)+i.n, at)
		case instClose:
			m.set(2*i.n, m.groups[len(m.groups)-len(m.re.names)+i.n])
			m.set(2*i.n+1, at)
		case instKeep:
			m.set(0, at)
		case instBack:
			went, good = m.back(i, at)
		case instWhen:
			if m.groups[2*i.n+1] < 0 {
				next = i.x
			}
		case instLook, instAtomic:
			next = i.x
			if went, good = m.inside(i, pc+1, at); m.over {
				return 0, false
			}
		case instStepBack:
			for range i.n {
				_, n := utf8.DecodeLastRuneInString(m.subject[:went])
				went -= n
				good = good && n > 0
			}
		case instMark:
			m.push(place{kind: placeLoop, n: i.n, old: m.loops[i.n]})
			m.loops[i.n] = at
		case instCheck:
			if m.loops[i.n] == at {
				next = i.x
			}
		case instAssert:
			good = m.assert(i.at, at)
		}
		if good {
			pc, at = next, went
			continue
		}
		if pc, at, good = m.fail(base); !good {
			return 0, false
		}
	}
}

// set sets one of groups, until what was before it fails.
func (m *machine) set(n, at int) {
	m.push(place{kind: placeGroup, n: n, old: m.groups[n]})
	m.groups[n] = at
}

func (m *machine) push(p place) { m.stack = append(m.stack, p) }

// next returns the character at a place and its size, 0 at the end.
func (m *machine) next(at int) (rune, int) {
	if at >= len(m.subject) {
		return 0, 0
	}
	if c := m.subject[at]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	return utf8.DecodeRuneInString(m.subject[at:])
}

// fail goes back to the last choice above base.
func (m *machine) fail(base int) (pc, at int, ok bool) {
	for len(m.stack) > base {
		p := &m.stack[len(m.stack)-1]
		switch p.kind {
		case placeGroup:
			m.groups[p.n] = p.old
		case placeLoop:
			m.loops[p.n] = p.old
		case placeRun:
			_, n := utf8.DecodeLastRuneInString(m.subject[:p.at])
			p.at -= n
			pc, at = p.pc, p.at
			if p.n--; p.n == 0 {
				m.stack = m.stack[:len(m.stack)-1]
			}
			return pc, at, true
		case placeMore:
			r, n := m.next(p.at)
			if n == 0 || !m.re.program[p.pc].set.has(r) {
				break
			}
			p.at += n
			pc, at = p.pc+1, p.at
			if p.n--; p.n == 0 {
				m.stack = m.stack[:len(m.stack)-1]
			}
			return pc, at, true
		default:
			pc, at = p.pc, p.at
			m.stack = m.stack[:len(m.stack)-1]
			return pc, at, true
		}
		m.stack = m.stack[:len(m.stack)-1]
	}
	return 0, 0, false
}

// runOf takes characters of a set.
func (m *machine) runOf(i *inst, pc, at int) (int, bool) {
	most := i.most
	if most < 0 {
		most = len(m.subject)
	}
	count := 0
	want := most
	if i.lazy && !i.possessive {
		want = i.n
	}
	for count < want {
		r, n := m.next(at)
		if n == 0 || !i.set.has(r) {
			break
		}
		at += n
		count++
	}
	m.steps += count / 8
	switch {
	case count < i.n:
		return at, false
	case i.possessive:
	case i.lazy && most > count:
		m.push(place{kind: placeMore, pc: pc, at: at, n: most - count})
	case !i.lazy && count > i.n:
		m.push(place{kind: placeRun, pc: pc + 1, at: at, n: count - i.n})
	}
	return at, true
}

// inside runs what a look or an atomic group has inside. What it could come back to is
// forgotten, what it has changed in groups is not.
func (m *machine) inside(i *inst, pc, at int) (went int, good bool) {
	base := len(m.stack)
	end, ok := m.run(pc, at)
	if !ok {
		return at, i.not
	}
	// Characters that are none may be read otherwise from behind.
	ok = !i.behind || end == at
	if i.op == instLook {
		end = at
	}
	if i.not || !ok {
		for len(m.stack) > base {
			switch p := &m.stack[len(m.stack)-1]; p.kind {
			case placeGroup:
				m.groups[p.n] = p.old
			case placeLoop:
				m.loops[p.n] = p.old
			}
			m.stack = m.stack[:len(m.stack)-1]
		}
		return at, i.not != ok
	}
	kept := m.stack[:base]
	for _, p := range m.stack[base:] {
		if p.kind == placeGroup || p.kind == placeLoop {
			kept = append(kept, p)
		}
	}
	m.stack = kept
	return end, true
}

// back matches what a group has.
func (m *machine) back(i *inst, at int) (int, bool) {
	from, to := m.groups[2*i.n], m.groups[2*i.n+1]
	if from < 0 || to < from {
		return at, false
	}
	m.steps += (to - from) / 8
	if i.fold {
		return m.folded(at, m.subject[from:to])
	}
	return at + to - from, strings.HasPrefix(m.subject[at:], m.subject[from:to])
}

// folded matches a text without regard to case.
func (m *machine) folded(at int, text string) (int, bool) {
	for _, want := range text {
		r, n := m.next(at)
		if n == 0 || !sameFold(r, want) {
			return at, false
		}
		at += n
	}
	return at, true
}

func (m *machine) assert(a assertion, at int) bool {
	s := m.subject
	switch a {
	case subjectStart:
		return at == 0
	case lineStart:
		return at == 0 || at < len(s) && s[at-1] == '\n'
	case subjectEnd:
		return at == len(s)
	case lastEnd:
		return at == len(s) || at == len(s)-1 && s[at] == '\n'
	case lineEnd:
		return at == len(s) || s[at] == '\n'
	}
	before := at > 0 && isWord(rune(s[at-1]))
	behind := at < len(s) && isWord(rune(s[at]))
	return (before != behind) == (a == wordEdge)
}
