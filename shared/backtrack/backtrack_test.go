package backtrack_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/backtrack"
)

// texts are the match and its groups, joined; "-" for a group that has nothing.
func texts(subject string, offsets []int) string {
	if offsets == nil {
		return "none"
	}
	var out []string
	for i := 0; i < len(offsets); i += 2 {
		if offsets[i] < 0 {
			out = append(out, "-")
		} else {
			out = append(out, subject[offsets[i]:offsets[i+1]])
		}
	}
	return strings.Join(out, "|")
}

// TestFind holds what patterns mean, as PCRE documents it.
func TestFind(t *testing.T) {
	for _, c := range []struct{ pattern, subject, want string }{
		{`a+b`, "xaab", "aab"},
		{`^/(?!admin)(\w+)$`, "/user", "/user|user"},
		{`^/(?!admin)(\w+)$`, "/admin", "none"},
		{`^/(?=.*\.json$)(.*)$`, "/a/b.json", "/a/b.json|a/b.json"},
		{`(?<=foo)bar`, "foobar", "bar"},
		{`(?<=foo)bar`, "fobar", "none"},
		{`(?<=é|ab)c`, "éc", "c"},
		{`(?<=é|ab)c`, "abc", "c"},
		{`(?<!\d{2})x`, "12x3x", "x"},
		{`(?<!\d{2})x`, "12x", "none"},
		{`(\w)\1`, "abccd", "cc|c"},
		{`(?i)(ab)\1`, "xABab", "ABab|AB"},
		{`(?<year>\d{4})-(?P<m>\d\d)-(?'d'\d\d)`, "on 2026-11-26", "2026-11-26|2026|11|26"},
		{`(?<q>['"]).*?\k<q>`, `say "it's" now`, `"it's"|"`},
		{`(?P<a>x)(?P=a)\g{a}\g1\g{-1}\k{a}`, "xxxxxx", "xxxxxx|x"},
		{`(?>a+)ab`, "aaab", "none"},
		{`a++b`, "aaab", "aaab"},
		{`a++ab`, "aaab", "none"},
		{`(?:ab)*+abx`, "ababx", "none"},
		{`(a|ab)(c|bcd)(d*)`, "abcd", "abcd|a|bcd|"},
		{`x*?y`, "xxy", "xxy"},
		{`<.+?>`, "<a><b>", "<a>"},
		{`(?U)<.+>`, "<a><b>", "<a>"},
		{`(?U)<.+?>`, "<a><b>", "<a><b>"},
		{`a{2,3}`, "aaaa", "aaa"},
		{`a{2,3}?`, "aaaa", "aa"},
		{`a{2,}`, "aaaa", "aaaa"},
		{`a{,3}`, "a{,3}", "a{,3}"},
		{`a{x`, "a{x", "a{x"},
		{`(?:a{2}){2}`, "aaaaa", "aaaa"},
		{`(a?)*b`, "aab", "aab|"},
		{`(?:a|b?)*c`, "abc", "abc"},
		{`(a*)*`, "b", "|"},
		{`(?:(a)|b)+`, "ab", "ab|a"},
		{`(?:(?=(a))a)+b`, "aab", "aab|a"},
		{`(a)?(?(1)b|c)`, "ab", "ab|a"},
		{`(a)?(?(1)b|c)`, "c", "c|-"},
		{`(?<n>a)?(?(<n>)b)`, "ab", "ab|a"},
		{`(?x) a \s b # a comment
		   c`, "a bc", "a bc"},
		{`a(?#a comment)b`, "ab", "ab"},
		{`(?i)straße`, "STRAßE", "STRAßE"},
		{`(?i:A)b`, "ab", "ab"},
		{`(?i:A)b`, "aB", "none"},
		{`a(?i)b|c`, "aB", "aB"},
		{`a(?i)b|c`, "C", "C"},
		{`(a(?i)b)c`, "aBC", "none"},
		{`[^a-c\d]+`, "ab12xyz", "xyz"},
		{`[]a]+`, "x]a]", "]a]"},
		{`[^]a]`, "]ab", "b"},
		{`[a\-z]+`, "b-az", "-az"},
		{`[\w-]+`, "a-b c", "a-b"},
		{`[--/]+`, "a-./", "-./"},
		{`[[:alpha:]_]+`, "12ab_3", "ab_"},
		{`[[:^digit:]]+`, "12ab", "ab"},
		{`[\Qa-]\E]+`, "b]-a", "]-a"},
		{`[\x{e9}\n\t]+`, "xé\n", "é\n"},
		{`(?i)[k]`, "K", "K"},
		{`\Qa.b*\E+`, "xa.b**", "a.b**"},
		{`\p{Greek}+\P{L}`, "abγδ1", "γδ1"},
		{`\p{^L}`, "a1", "1"},
		{`\pN`, "a1", "1"},
		{`\x41\x{1F600}\101\o{102}\0`, "A😀AB\x00", "A😀AB\x00"},
		{`\cA\e\a\f`, "\x01\x1b\a\f", "\x01\x1b\a\f"},
		{`\h+\H`, "a \t\u00a0b", " \t\u00a0b"},
		{`a\Rb`, "a\r\nb", "a\r\nb"},
		{`a\R\nb`, "a\r\nb", "none"},
		{`\N+`, "ab\ncd", "ab"},
		{`foo\Kbar`, "foobar", "bar"},
		{`.`, "\n", "none"},
		{`(?s).`, "\n", "\n"},
		{`a$`, "a\n", "a"},
		{`a\z`, "a\n", "none"},
		{`a\Z`, "a\n", "a"},
		{`(?m)^b$`, "a\nb\nc", "b"},
		{`^b`, "a\nb", "none"},
		{`\bfoo\b`, "a foo.", "foo"},
		{`\Boo\b`, "foo", "oo"},
		{`(a)|(b)`, "b", "b|-|b"},
		{`(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\10`, "abcdefghijj", "abcdefghijj|a|b|c|d|e|f|g|h|i|j"},
		{`(?:)`, "abc", ""},
		{``, "abc", ""},
		{`(?=a)*b`, "b", "b"},
		{`((?<=x)a|b\1)+`, "xab", "a|a"},
		{`(?=(\w+))\1:`, "abc:", "abc:|abc"},
		{`(?!(a))b`, "b", "b|-"},
		{`(?!(a)(?!x))ab`, "ab", "none"},
		{`\xff`, "ÿ", "ÿ"},
		{`^.{3}$`, "a\xffb", "a\xffb"},
		{`.(?<=.)`, "\xff", "\xff"},
	} {
		re, err := backtrack.Compile(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		found, err := re.Find(c.subject)
		if got := texts(c.subject, found); got != c.want || err != nil {
			t.Errorf("%s in %q: %s, want %s, %v", c.pattern, c.subject, got, c.want, err)
		}
		if ok, err := re.Match(c.subject); ok != (c.want != "none") || err != nil {
			t.Errorf("%s in %q: Match says %v, %v", c.pattern, c.subject, ok, err)
		}
	}
}

func TestNames(t *testing.T) {
	re, err := backtrack.Compile(`(a)(?<b>(?:c)(?=d))(?'e'f)`)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"", "", "b", "e"}, re.Names()); d != "" {
		t.Error(d)
	}
}

// TestRefused holds what is no pattern, and where.
func TestRefused(t *testing.T) {
	for pattern, want := range map[string]string{
		`(a`:             "missing closing parenthesis at offset 2",
		`a)`:             "unmatched closing parenthesis at offset 1",
		`[a`:             "missing terminating ] for character class at offset 2",
		`[z-a]`:          "range out of order in character class at offset 4",
		`*a`:             "quantifier does not follow a repeatable item at offset 0",
		`a{3,2}`:         "numbers out of order in {} quantifier at offset 6",
		`a{9999}`:        "number too big in {} quantifier at offset 7",
		`a\`:             `\ at end of pattern at offset 2`,
		`\y`:             `unrecognized character follows \ at offset 2`,
		`(?<=a+)b`:       "lookbehind assertion is not fixed length at offset 0",
		`(?<1a>b)`:       "subpattern name must start with a non-digit at offset 5",
		`(?<a>b)(?<a>c)`: "two named subpatterns have the same name at offset 12",
		`(?<a`:           "syntax error in subpattern name (missing terminator?) at offset 4",
		`\1`:             "reference to non-existent subpattern at offset 0",
		`a\k<b>`:         "reference to non-existent subpattern at offset 1",
		`(?(2)a)(b)`:     "reference to non-existent subpattern at offset 0",
		`(b)(?(1)a|b|c)`: "conditional subpattern contains more than two branches at offset 14",
		`(?z)`:           "unrecognized character after (? or (?- at offset 2",
		`\p{Nonsense}`:   `unknown property after \P or \p at offset 12`,
		`\x{110000}`:     `character code point value in \x{} or \o{} is too large at offset 3`,
		`[[:nonsense:]]`: "unknown POSIX class name at offset 1",
		`(a(?R)?b)`:      "recursion, callouts and branch resets are not supported at offset 5",
		`(?|a|b)`:        "recursion, callouts and branch resets are not supported at offset 3",
		"\xff":           "UTF-8 error at offset 0",
		strings.Repeat("(", 500) + strings.Repeat(")", 500):                    "parentheses are too deeply nested at offset 200",
		`(?=a)` + strings.Repeat(`(?:ab){1000}`, 40) + `(?:a{9}b){1000}{1000}`: "regular expression is too large at offset 0",
	} {
		_, err := backtrack.Compile(pattern)
		var wrong *backtrack.SyntaxError
		if !errors.As(err, &wrong) || err.Error() != want {
			t.Errorf("%.40s: got %v, want %s", pattern, err, want)
		}
	}
}

// TestBounds holds that matches end which would go on for ages, in time and in memory, and
// that a machine works as before afterwards.
func TestBounds(t *testing.T) {
	many := strings.Repeat("a", 50_000)
	for _, pattern := range []string{`(a+)+b`, `(a|a)*b`, `(?=(a+))(\1)*?b`, `(?:a|b|ab)*?c`, `(.*)(.*)(.*)(.*)y`, `^(?:(?:a?){50}){50}b`, `(?:a(?=.*?b))+`} {
		re, err := backtrack.Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := re.Match(many); ok || !errors.Is(err, backtrack.ErrSteps) {
			t.Errorf("%s: %v, %v", pattern, ok, err)
		}
		if ok, err := re.Match("x"); ok || err != nil {
			t.Errorf("%s in x: %v, %v", pattern, ok, err)
		}
	}
	for pattern, subject := range map[string]string{`^(?!x).*y$`: many + "y", `(?<!b)(?:a{1000}){40}`: many, `^(?:a(?!b))*+$`: many} {
		re, err := backtrack.Compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := re.Match(subject); !ok || err != nil {
			t.Errorf("%s: %v, %v", pattern, ok, err)
		}
	}
}

// random makes a pattern that Go's regexp takes, too, where both mean the same.
func random(d *rand.Rand, depth int) string {
	atom := func() string {
		switch d.IntN(8) {
		case 0:
			return "."
		case 1:
			return []string{"[ab]", "[^a]", "[b-dé]", `\w`, `\d`, `[^\w]`}[d.IntN(6)]
		case 2:
			if depth > 0 {
				return "(" + random(d, depth-1) + ")"
			}
		case 3:
			if depth > 0 {
				return "(?:" + random(d, depth-1) + ")"
			}
		case 4:
			return []string{`^`, `\b`, `\B`, `\A`, `\z`}[d.IntN(5)]
		case 5:
			return "é"
		}
		return string(rune('a' + d.IntN(3)))
	}
	var b strings.Builder
	for i := range 1 + d.IntN(3) {
		if i > 0 && d.IntN(4) == 0 {
			b.WriteByte('|')
		}
		a := atom()
		b.WriteString(a)
		// Loops around what may be empty mean different things to engines.
		if d.IntN(2) == 0 && !strings.HasPrefix(a, "(") && !strings.ContainsAny(a, `^BAz`) && a != `\b` {
			b.WriteString([]string{"*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?"}[d.IntN(9)])
		} else if d.IntN(4) == 0 && strings.HasPrefix(a, "(") {
			b.WriteByte('?')
		}
	}
	return b.String()
}

// TestAsLinear compares with Go's regexp over random patterns and subjects.
func TestAsLinear(t *testing.T) {
	d := rand.New(rand.NewPCG(7, 11)) //nolint:gosec // cases, not secrets
	letters := []rune("aabbcdé1 \n")
	for range 30_000 {
		pattern := random(d, 3)
		if d.IntN(4) == 0 {
			pattern = "(?i)" + strings.ToUpper(pattern[:1]) + pattern[1:]
		}
		linear, err := regexp.Compile(pattern)
		if err != nil {
			continue
		}
		re, err := backtrack.Compile(pattern)
		if err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
		for range 4 {
			var b strings.Builder
			for range d.IntN(9) {
				b.WriteRune(letters[d.IntN(len(letters))])
			}
			got, err := re.Find(b.String())
			if want := linear.FindStringSubmatchIndex(b.String()); !slices.Equal(got, want) || err != nil {
				t.Fatalf("%s in %q: %v, want %v, %v", pattern, b.String(), got, want, err)
			}
		}
	}
}

// FuzzCompile holds that nothing panics, and that matches are within the subject.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{`(?<a>x)\k<a>`, `(?<=a|bc)d`, `[[:alpha:]\d-z]`, `(?(1)a|b)(c)`, `\Qa\E{2}`, `(?i-s:a)*+`, `\p{Greek}\x{41}`} {
		f.Add(s, "abcd")
	}
	f.Fuzz(func(t *testing.T, pattern, subject string) {
		re, err := backtrack.Compile(pattern)
		if err != nil {
			return
		}
		found, err := re.Find(subject)
		if err != nil || found == nil {
			return
		}
		if len(found) != 2*len(re.Names()) {
			t.Fatalf("%d offsets of %d groups", len(found), len(re.Names()))
		}
		for i := 0; i < len(found); i += 2 {
			if from, to := found[i], found[i+1]; from < -1 || to > len(subject) || i > 0 && from > to {
				t.Fatalf("group %d is at %d to %d of %d", i/2, from, to, len(subject))
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	re, err := backtrack.Compile(`^/(?!admin|internal)([a-z]+)/(\d+)(?:/|$)`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, _ := re.Match("/orders/1234567/items"); !ok {
			b.Fatal("no match")
		}
	}
}

func ExampleCompile() {
	re, _ := backtrack.Compile(`^/(?!admin)(?<who>\w+)`)
	at, _ := re.Find("/user/1")
	fmt.Println(at, re.Names())
	// Output: [0 5 1 5] [ who]
}
