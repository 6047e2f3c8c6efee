package luapattern_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/schema/luapattern"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{`^%u+$`, "GET", true},
		{`^%u+$`, "get", false},
		{`^%u+$`, "", false},
		{`^[^*]*%*?[^*]*$`, "*.a", true},
		{`^[^*]*%*?[^*]*$`, "*.*.a", false},
		{`^%*%.`, "*.a", true},
		{`^%*%.`, "a.*", false},
		{`%.%*$`, "a.*", true},
		{`^[^*]*$`, "a*", false},
		{`//`, "/a//b", true},
		{`//`, "/a/b", false},
		{`^[Hh][Oo][Ss][Tt]$`, "HoSt", true},
		{`^[Hh][Oo][Ss][Tt]$`, "hosts", false},
		{`^[a-z][a-z%d-]-[a-z%d]+$`, "my-env", true},
		{`^[a-z][a-z%d-]-[a-z%d]+$`, "Bad Prefix", false},
		{`^[a-z][a-z%d-]-[a-z%d]+$`, "a", false},
		{`^.*[^:]$`, "a:", false},
		{`^[^:]+:.*$`, "x:1", true},
		{`^[^:]+:.*$`, "bad", false},
		{`%w*%p*@+%w*%.?%w*`, "bad", false},
		{`%w*%p*@+%w*%.?%w*`, "a@b.c", true},
		{`^[^*&%%\` + "`" + `]+$`, "/tmp/a.log", true},
		{`^[^*&%%\` + "`" + `]+$`, "/tmp/a%.log", false},
		{`^%d+[%.%d]*%-?.*$`, "3.9.1-x", true},
		{`%bxy`, "axbyyc", true},
		{`^%b()$`, "(a(b)c)", true},
		{`^%b()$`, "(a(b)c", false},
		{`%f[%w]%w+`, "  the", true},
		{`^(a+)%1$`, "aaaa", true},
		{`^(a+)%1$`, "aaa", false},
		{`()a()`, "ba", true},
		{`[]]`, "]", true},
		{`[^]]`, "]", false},
		{`[a-]`, "-", true},
		{`a$b`, "a$b", true},
		{`%S`, " x", true},
		{`^%z$`, "\x00", true},
		{``, "", true},
		{`^$`, "x", false},
		{`a-b`, "aaab", true},
		{`^ab?c$`, "ac", true},
	}
	for _, tt := range tests {
		p, err := luapattern.Compile(tt.pattern)
		if err != nil {
			t.Errorf("Compile(%q): %v", tt.pattern, err)
			continue
		}
		if got := p.Match(tt.s); got != tt.want {
			t.Errorf("Match(%q, %q) = %v, want %v", tt.pattern, tt.s, got, tt.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, bad := range []string{"%", "[", "[^", "[a", "[%", "(", ")", "(()", "%b", "%bx", "%f", "%fx", "%1", "(%1)", strings.Repeat("()", 33)} {
		if _, err := luapattern.Compile(bad); err == nil {
			t.Errorf("Compile(%q) gave no error", bad)
		}
	}
}

func TestMustCompilePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("MustCompile of a bad pattern did not panic")
		}
	}()
	luapattern.MustCompile("[")
}

func TestMatchIsBounded(t *testing.T) {
	p := luapattern.MustCompile(strings.Repeat(".-", 12) + "x$")
	start := time.Now()
	if p.Match(strings.Repeat("a", 4000)) {
		t.Error("matched what does not match")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add(`^[a-z][a-z%d-]-[a-z%d]+$`, "my-env")
	f.Add(`%b()(.)%1`, "(x)yy")
	f.Add(`%f[%a]`, "a")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		p, err := luapattern.Compile(pattern)
		if err != nil {
			return
		}
		first := p.Match(s)
		if second := p.Match(s); first != second {
			t.Error("two matches differ")
		}
	})
}
