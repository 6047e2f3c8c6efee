package declarative_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/controlplane/internal/declarative"
)

var plainTexts = []string{
	"a: b\n", "a: 1\nb: -7\nc: 0\nd: 1.5\ne: true\nf: null\ng: ''\nh: \"\"\ni: {}\nj: []\n",
	"- a: b\n  c:\n  - d\n  - e: f\n    g: h\n- i: j\n", "a:\n- b\n-   c\n- - d\n  - e\n-\n  f: g\nh: i\n",
	"a:\n  b:\n    c: d\n  e: f\ng:\nh:\n  # comment\n  i: j\n", "---\na: b\n",
	"a: 127.0.0.1:80\nb: 00129920-a483-5774-ba6e-50605a67976e\nc: /x/y:z\nd: ~/regex$\ne: two words\nf: 2020-01-01\ng: 0x10\nh: 1e5\ni: yes\nj: No\nk: on\nl: ~\n",
	"a: 'it''s'\nb: \"q\\\"u\\n\\u0041\\ud83d\\ude00\"\nc: 'open\nd: x\n", "\"a b\": c\n\"d\":\n- e\n", "a: b # c\nd: e#f\n", "a: b: c\n",
	"a: &x b\nc: *x\n", "a: |\n  b\n", "a: [b, c]\n", "a: {b: c}\n", "a: b\n c: d\n", "a: b\n  c\n", "a:\n   - b\n  - c\n", "a: 1\na: 2\n", "? a\n: b\n",
	"a: b\n- c\n", "- a\nb: c\n", "- a\n - b\n", "a:\n- b\n c: d\n", "a: null\nnull: a\ntrue: b\n", "a: - b\n", "- - a\n  b: c\n", "-  a: b\n   c: d\n", "a: x*y\n", "a: !x y\n", "<<: a\n",
	"a: \"b\"c\n", "a: \"b\" c\n", "a: 'b'c'\n", "a: '\n", "a: .5\nb: +1\nc: 01\nd: 1_000\ne: 1.\nf: 12:30\n", "a: NULL\nb: True\nc: .nan\n", "a :b\n", "a:  b\n", "a: b  \n", "\ta: b\n", "a: %x\nb: @x\nc: x%\n",
	"...\n", "a: ...\n", "--- a\n", "a: ---\n", "a: -\n", "-\n", "- -\n", "a:\n-\n", "a.b/c-d: e\n", "_: a\n", "a: =\n", "a: b=\n",
}

// TestPlainYAML: what is read without the library is what the library reads.
func TestPlainYAML(t *testing.T) {
	read := 0
	for _, text := range plainTexts {
		if got, ok := declarative.PlainYAML([]byte(text)); ok {
			read++
			comparePlain(t, text, got)
		}
	}
	if read < 15 {
		t.Errorf("only %d texts were read", read)
	}
}

func comparePlain(t *testing.T, text string, got any) {
	t.Helper()
	want, err := declarative.AnyYAML([]byte(text))
	if err != nil {
		t.Fatalf("%q is read as %v, the library says %v", text, got, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q (-library +got):\n%s", text, diff)
	}
}

func FuzzPlainYAML(f *testing.F) {
	for _, text := range plainTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := declarative.PlainYAML([]byte(text)); ok {
			comparePlain(t, text, got)
		}
	})
}

// TestExportsArePlain: what is exported is read without the library, but for rare texts.
func TestExportsArePlain(t *testing.T) {
	w := newWorld(t)
	if _, err := w.load(nested); err != nil {
		t.Fatal(err)
	}
	exported, err := w.Export(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	got, ok := declarative.PlainYAML([]byte(exported))
	if !ok {
		for _, line := range strings.SplitAfter(exported, "\n") {
			if _, ok := declarative.PlainYAML([]byte(strings.TrimLeft(line, " "))); !ok {
				t.Logf("%q", line)
			}
		}
		t.Fatal("an export is left to the library")
	}
	comparePlain(t, exported, got)
}
