package kit

import (
	"strings"
	"sync"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// regexes caches compiled patterns for all machines.
type regexes struct {
	mu sync.Mutex
	by map[string]*schema.Regex
}

var patterns = &regexes{by: map[string]*schema.Regex{}} //nolint:gochecknoglobals // a cache

func (r *regexes) get(pattern string) (*schema.Regex, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.by[pattern]; ok {
		return p, nil
	}
	p, err := schema.CompileRegex(pattern)
	if err != nil {
		return nil, err
	}
	if len(r.by) >= 1024 {
		clear(r.by)
	}
	r.by[strings.Clone(pattern)] = p
	return p, nil
}

// regex is the pattern of a call with its options.
func (c call) regex(pattern, options string) (*schema.Regex, error) {
	flags := ""
	for _, o := range options {
		switch o {
		case 'i', 's', 'm', 'x':
			flags += string(o)
		case 'a':
			pattern = `\A(?:` + pattern + ")"
		}
	}
	if strings.ContainsRune(flags, 'x') {
		pattern, flags = withoutSpace(pattern), strings.ReplaceAll(flags, "x", "")
	}
	if flags != "" {
		pattern = "(?" + flags + ")" + pattern
	}
	return patterns.get(pattern)
}

// withoutSpace takes out what the option x ignores.
func withoutSpace(pattern string) string {
	var b strings.Builder
	class := false
	for i := 0; i < len(pattern); i++ {
		switch ch := pattern[i]; {
		case ch == '\\' && i+1 < len(pattern):
			b.WriteString(pattern[i : i+2])
			i++
		case ch == '[':
			class = true
			b.WriteByte(ch)
		case ch == ']':
			class = false
			b.WriteByte(ch)
		case !class && strings.IndexByte(" \t\r\n", ch) >= 0:
		case !class && ch == '#':
			for i < len(pattern) && pattern[i] != '\n' {
				i++
			}
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}

// search looks for a pattern from an offset on. The offsets that it returns are of s.
func (c call) search(re *schema.Regex, s string, from int) []int {
	lua.RunOf(c.LState).Work(c.LState, 8+(len(s)-from)/4)
	at := re.Find(s[from:])
	if at == nil {
		return nil
	}
	out := make([]int, len(at))
	for i, n := range at {
		if out[i] = n; n >= 0 {
			out[i] = n + from
		}
	}
	return out
}

// groups makes the table of a match: 0 is the whole one, false stands for no match.
func (c call) groups(re *schema.Regex, s string, at []int) *glua.LTable {
	t := c.CreateTable(len(at)/2, 1)
	lua.RunOf(c.LState).Alloc(c.LState, 128+len(at)*40)
	names := re.Names()
	for i := 0; i < len(at); i += 2 {
		v := glua.LValue(glua.LFalse)
		if at[i] >= 0 {
			v = glua.LString(s[at[i]:at[i+1]])
		}
		t.RawSet(glua.LNumber(i/2), v)
		if i/2 < len(names) && names[i/2] != "" {
			t.RawSetString(names[i/2], v)
		}
	}
	return t
}

// begin is where a call starts to look: its ctx argument's pos.
func begin(ctx *glua.LTable) int {
	if ctx == nil {
		return 0
	}
	n, _ := ctx.RawGetString("pos").(glua.LNumber)
	return max(int(n)-1, 0)
}

func (c call) context(n int) *glua.LTable {
	t, _ := c.Get(n).(*glua.LTable)
	return t
}

func (c call) regexArguments() (s string, re *schema.Regex, problem string) {
	s, _ = text(c.Get(1))
	pattern := c.CheckString(2)
	re, err := c.regex(pattern, c.OptString(3, ""))
	if err != nil {
		return "", nil, err.Error()
	}
	return s, re, ""
}

func reMethods() map[string]method {
	return map[string]method{
		"match": func(c call) int {
			s, re, problem := c.regexArguments()
			if problem != "" {
				return c.fail(problem)
			}
			ctx := c.context(4)
			from := begin(ctx)
			if from > len(s) {
				return c.giveNil()
			}
			at := c.search(re, s, from)
			if at == nil {
				return c.giveNil()
			}
			if ctx != nil {
				ctx.RawSetString("pos", glua.LNumber(at[1]+1))
			}
			c.Push(c.groups(re, s, at))
			return 1
		},
		"find": func(c call) int {
			s, re, problem := c.regexArguments()
			if problem != "" {
				c.Push(glua.LNil)
				return 1 + c.fail(problem)
			}
			ctx := c.context(4)
			from, group := begin(ctx), c.OptInt(5, 0)
			var at []int
			if from <= len(s) {
				at = c.search(re, s, from)
			}
			if at == nil || 2*group+1 >= len(at) || at[2*group] < 0 {
				return c.giveNil()
			}
			if ctx != nil {
				ctx.RawSetString("pos", glua.LNumber(at[1]+1))
			}
			c.giveNumber(float64(at[2*group] + 1))
			return 1 + c.giveNumber(float64(at[2*group+1]))
		},
		"gmatch": func(c call) int {
			s, re, problem := c.regexArguments()
			if problem != "" {
				return c.fail(problem)
			}
			from := 0
			k := c.k
			c.Push(c.NewFunction(k.wrap(func(c call) int {
				if from > len(s) {
					return c.giveNil()
				}
				at := c.search(re, s, from)
				if at == nil {
					from = len(s) + 1
					return c.giveNil()
				}
				from = at[1]
				if at[1] == at[0] {
					from++
				}
				c.Push(c.groups(re, s, at))
				return 1
			})))
			return 1
		},
		"sub":  func(c call) int { return substitute(c, 1) },
		"gsub": func(c call) int { return substitute(c, 1<<30) },
	}
}

// substitute is ngx.re.sub and gsub.
func substitute(c call, most int) int {
	s, _ := text(c.Get(1))
	re, err := c.regex(c.CheckString(2), c.OptString(4, ""))
	if err != nil {
		c.Push(glua.LNil)
		c.Push(glua.LNil)
		c.Push(glua.LString(err.Error()))
		return 3
	}
	by := c.Get(3)
	r := lua.RunOf(c.LState)
	var out strings.Builder
	at, n := 0, 0
	for from := 0; n < most && from <= len(s); {
		m := c.search(re, s, from)
		if m == nil {
			break
		}
		n++
		var piece string
		if fn, ok := by.(*glua.LFunction); ok {
			c.Push(fn)
			c.Push(c.groups(re, s, m))
			c.Call(1, 1)
			piece, _ = text(c.Get(-1))
			c.Pop(1)
		} else {
			template, _ := text(by)
			piece = dollars(template, s, m)
		}
		r.Alloc(c.LState, 2*(m[0]-at+len(piece)))
		if out.Len()+len(piece) > MaxBody {
			c.errorf("%s", errLarge("the result"))
		}
		out.WriteString(s[at:m[0]])
		out.WriteString(piece)
		at, from = m[1], m[1]
		if m[1] == m[0] {
			from++
		}
	}
	out.WriteString(s[min(at, len(s)):])
	c.give(out.String())
	return 1 + c.giveNumber(float64(n))
}

// dollars fills $0, $1, ${1} and $$ of a replacement.
func dollars(template, s string, at []int) string {
	if !strings.Contains(template, "$") {
		return template
	}
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		if template[i] != '$' || i+1 == len(template) {
			b.WriteByte(template[i])
			continue
		}
		i++
		if template[i] == '$' {
			b.WriteByte('$')
			continue
		}
		braces := template[i] == '{'
		if braces {
			i++
		}
		n, from := 0, i
		for i < len(template) && template[i] >= '0' && template[i] <= '9' && n < 1000 {
			n = 10*n + int(template[i]-'0')
			i++
		}
		if i > from && 2*n+1 < len(at) && at[2*n] >= 0 {
			b.WriteString(s[at[2*n]:at[2*n+1]])
		}
		if !braces {
			i--
		}
	}
	return b.String()
}
