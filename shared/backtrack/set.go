package backtrack

import (
	"slices"
	"strings"
	"unicode"
)

// set is a set of characters. It is immutable once done.
type set struct {
	ascii  [2]uint64
	ranges []rune // pairs beyond ASCII, in order
}

func (s *set) has(r rune) bool {
	if r < 0x80 {
		return s.ascii[r>>6]&(1<<(r&63)) != 0
	}
	low, high := 0, len(s.ranges)/2
	for low < high {
		mid := (low + high) / 2
		switch {
		case r < s.ranges[2*mid]:
			high = mid
		case r > s.ranges[2*mid+1]:
			low = mid + 1
		default:
			return true
		}
	}
	return false
}

// add adds the characters from low to high, before done.
func (s *set) add(low, high rune) { s.ranges = append(s.ranges, low, high) }

func (s *set) addTable(low, high, stride rune) {
	if stride == 1 {
		s.add(low, high)
		return
	}
	for r := low; r <= high; r += stride {
		s.add(r, r)
	}
}

// addSet adds a set that is done.
func (s *set) addSet(o *set) {
	for r := range rune(0x80) {
		if o.has(r) {
			s.add(r, r)
		}
	}
	s.ranges = append(s.ranges, o.ranges...)
}

// done sorts what was added, folds it and turns it into its opposite.
func (s *set) done(not, fold bool) *set {
	pairs := make([][2]rune, 0, len(s.ranges)/2)
	for i := 0; i < len(s.ranges); i += 2 {
		pairs = append(pairs, [2]rune{s.ranges[i], s.ranges[i+1]})
	}
	if fold {
		pairs = folded(pairs)
	}
	slices.SortFunc(pairs, func(a, b [2]rune) int { return int(a[0] - b[0]) })
	joined := pairs[:0]
	for _, p := range pairs {
		if n := len(joined); n > 0 && p[0] <= joined[n-1][1]+1 {
			joined[n-1][1] = max(joined[n-1][1], p[1])
		} else {
			joined = append(joined, p)
		}
	}
	if not {
		var opposite [][2]rune
		next := rune(0)
		for _, p := range joined {
			if p[0] > next {
				opposite = append(opposite, [2]rune{next, p[0] - 1})
			}
			next = p[1] + 1
		}
		if next <= unicode.MaxRune {
			opposite = append(opposite, [2]rune{next, unicode.MaxRune})
		}
		joined = opposite
	}
	out := &set{}
	for _, p := range joined {
		for r := p[0]; r <= min(p[1], 0x7f); r++ {
			out.ascii[r>>6] |= 1 << (r & 63)
		}
		if p[1] >= 0x80 {
			out.ranges = append(out.ranges, max(p[0], 0x80), p[1])
		}
	}
	return out
}

// folded adds the characters that differ from those in pairs by case only.
func folded(pairs [][2]rune) [][2]rune {
	out := slices.Clone(pairs)
	for _, p := range pairs {
		// Nothing above has case.
		for r := p[0]; r <= min(p[1], 0x1e943); r++ {
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				out = append(out, [2]rune{f, f})
			}
		}
	}
	return out
}

func setOf(not bool, pairs ...rune) *set { return (&set{ranges: pairs}).done(not, false) }

// Sets that have names.
var (
	everything  = setOf(false, 0, unicode.MaxRune)
	notLineFeed = setOf(true, '\n', '\n')
	digit       = []rune{'0', '9'}
	word        = []rune{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}
	space       = []rune{'\t', '\r', ' ', ' '}
	blank       = []rune{'\t', '\t', ' ', ' ', 0xa0, 0xa0, 0x1680, 0x1680, 0x180e, 0x180e, 0x2000, 0x200a, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000}
	lines       = []rune{'\n', '\r', 0x85, 0x85, 0x2028, 0x2029}
	vertical    = setOf(false, lines...)
	shorthands  = map[byte]*set{
		'd': setOf(false, digit...), 'D': setOf(true, digit...),
		'w': setOf(false, word...), 'W': setOf(true, word...),
		's': setOf(false, space...), 'S': setOf(true, space...),
		'h': setOf(false, blank...), 'H': setOf(true, blank...),
		'v': vertical, 'V': setOf(true, lines...),
	}
	posix = map[string][]rune{
		"alnum": {'0', '9', 'A', 'Z', 'a', 'z'}, "alpha": {'A', 'Z', 'a', 'z'}, "ascii": {0, 0x7f},
		"blank": {'\t', '\t', ' ', ' '}, "cntrl": {0, 0x1f, 0x7f, 0x7f}, "digit": digit, "graph": {'!', '~'},
		"lower": {'a', 'z'}, "print": {' ', '~'}, "punct": {'!', '/', ':', '@', '[', '`', '{', '~'}, "space": space,
		"upper": {'A', 'Z'}, "word": word, "xdigit": {'0', '9', 'A', 'F', 'a', 'f'},
	}
)

func isWord(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r == '_' || r >= 'a' && r <= 'z'
}

// class parses what follows an opening bracket.
func (p *parser) class() (*set, error) {
	not := p.take("^")
	s := &set{}
	for first := true; ; first = false {
		if !p.more() {
			return nil, p.fail("missing terminating ] for character class")
		}
		if !first && p.take("]") {
			return s.done(not, p.flags.fold), nil
		}
		if p.take(`\E`) {
			continue
		}
		low, whole, err := p.member(s)
		if err != nil {
			return nil, err
		}
		if whole || !strings.HasPrefix(p.text[p.at:], "-") || strings.HasPrefix(p.text[p.at:], "-]") {
			if !whole {
				s.add(low, low)
			}
			continue
		}
		p.at++
		high, whole, err := p.member(s)
		switch {
		case err != nil:
			return nil, err
		case whole: // the dash is text
			s.add(low, low)
			s.add('-', '-')
		case high < low:
			return nil, p.fail("range out of order in character class")
		default:
			s.add(low, high)
		}
	}
}

// member parses one member of a class: a character, or a whole set, which it adds.
func (p *parser) member(s *set) (r rune, whole bool, err error) {
	if !p.more() {
		return 0, false, p.fail("missing terminating ] for character class")
	}
	if rest := p.text[p.at:]; strings.HasPrefix(rest, "[:") {
		if name, _, ok := strings.Cut(rest[2:], ":]"); ok && strings.Trim(name, "^abcdefghijklmnopqrstuvwxyz") == "" {
			not := strings.HasPrefix(name, "^")
			pairs, known := posix[strings.TrimPrefix(name, "^")]
			if !known {
				return 0, false, p.fail("unknown POSIX class name")
			}
			p.at += len(name) + 4
			s.addSet(setOf(not, slices.Clone(pairs)...))
			return 0, true, nil
		}
	}
	if p.take(`\Q`) {
		text, _, ended := strings.Cut(p.text[p.at:], `\E`)
		p.at += len(text)
		if ended {
			p.at += len(`\E`)
		}
		for _, c := range text {
			s.add(c, c)
		}
		return 0, true, nil
	}
	if !p.take(`\`) {
		return p.rune(), false, nil
	}
	if !p.more() {
		return 0, false, p.fail(`\ at end of pattern`)
	}
	if short := p.shorthand(); short != nil {
		s.addSet(short)
		return 0, true, nil
	}
	switch p.text[p.at] {
	case 'p', 'P':
		property, err := p.property()
		if err == nil {
			s.addSet(property)
		}
		return 0, true, err
	case 'b':
		p.at++
		return '\b', false, nil
	case 'N', 'R', 'X', 'B':
		return 0, false, p.fail(`escape sequence is invalid in character class`)
	}
	r, err = p.character()
	return r, false, err
}
