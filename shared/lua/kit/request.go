package kit

import (
	"errors"
	"net"
	"strings"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func requestMethods() map[string]method {
	get := func(of func(x *pdk.Exchange) string) method {
		return func(c call) int {
			c.allow(anyPhase)
			return c.give(of(c.s.x))
		}
	}
	return map[string]method{
		"get_scheme":           get(func(x *pdk.Exchange) string { return x.Request.Scheme }),
		"get_host":             get(func(x *pdk.Exchange) string { return hostOf(x.Request.Host) }),
		"get_port":             func(c call) int { return c.giveNumber(float64(c.s.x.Request.Local.Port())) },
		"get_forwarded_scheme": get(func(x *pdk.Exchange) string { return strings.ToLower(x.Request.ForwardedProto) }),
		"get_forwarded_host":   get(func(x *pdk.Exchange) string { return hostOf(x.Request.ForwardedHost) }),
		"get_forwarded_port":   func(c call) int { return c.giveNumber(float64(c.s.x.Request.ForwardedPort)) },
		"get_forwarded_path":   get(forwardedPath),
		"get_forwarded_prefix": func(c call) int {
			x := c.s.x
			if v := x.Request.Header.Get("X-Forwarded-Prefix"); v != "" && x.Request.Trusted {
				return c.give(v)
			}
			if x.MatchedPrefix == "" {
				return c.giveNil()
			}
			return c.give(x.MatchedPrefix)
		},
		"get_http_version":    func(c call) int { return c.giveNumber(httpVersion(c.s.x)) },
		"get_method":          get(func(x *pdk.Exchange) string { return x.Request.Method }),
		"get_path":            get(func(x *pdk.Exchange) string { return schema.NormalizePath(x.Request.RawPath) }),
		"get_raw_path":        get(func(x *pdk.Exchange) string { return x.Request.RawPath }),
		"get_path_with_query": get(requestURI),
		"get_raw_query":       get(func(x *pdk.Exchange) string { return x.Request.RawQuery }),
		"get_query_arg": func(c call) int {
			name := c.str(1, "query argument name")
			arg, ok := pdk.QueryArg(c.s.x.Request.RawQuery, name)
			switch {
			case !ok:
				return c.giveNil()
			case !arg.HasValue:
				return c.giveBool(true)
			}
			return c.give(string(pdk.AppendUnescaped(nil, arg.Value)))
		},
		"get_query":  func(c call) int { return c.args(c.s.x.Request.RawQuery, c.bounded(1, "max_args")) },
		"get_header": func(c call) int { return c.header(&c.s.x.Request.Header, c.str(1, "header name"), c.s.x.Request.Host) },
		"get_headers": func(c call) int {
			return c.headers(&c.s.x.Request.Header, c.bounded(1, "max_headers"), c.s.x.Request.Host)
		},
		"get_raw_body":     func(c call) int { c.allow(toServer); return c.rawBody() },
		"get_body":         getBody,
		"get_start_time":   func(c call) int { return c.giveNumber(float64(c.s.x.Start.UnixMilli())) },
		"get_uri_captures": uriCaptures,
	}
}

func hostOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

func httpVersion(x *pdk.Exchange) float64 {
	switch x.Request.Proto {
	case 10:
		return 1
	case 20:
		return 2
	case 30:
		return 3
	}
	return 1.1
}

func forwardedPath(x *pdk.Exchange) string {
	if v := x.Request.Header.Get("X-Forwarded-Path"); v != "" && x.Request.Trusted {
		return v
	}
	return schema.NormalizePath(x.Request.RawPath)
}

func requestURI(x *pdk.Exchange) string {
	if x.Request.HasQuery {
		return x.Request.RawPath + "?" + x.Request.RawQuery
	}
	return x.Request.RawPath
}

// dashed is how Lua names a header: case does not count, and _ stands for -.
func dashed(name string) string { return strings.ReplaceAll(name, "_", "-") }

func (c call) header(h *pdk.Header, name, host string) int {
	for _, n := range []string{name, dashed(name)} {
		if host != "" && pdk.EqualFold(n, "host") {
			return c.give(host)
		}
		if h.Has(n) {
			return c.give(h.Get(n))
		}
	}
	return c.giveNil()
}

// headers makes a table of lines by lower-case name; repeated ones are arrays. Its
// metatable finds X-My-Header, x_my_header and the like.
func (c call) headers(h *pdk.Header, most int, host string) int {
	t := c.CreateTable(0, min(h.Len()+1, most))
	r := lua.RunOf(c.LState)
	n := 0
	add := func(name, value string) {
		r.Alloc(c.LState, 160+len(name)+len(value))
		put(c.LState, t, strings.ToLower(name), glua.LString(strings.Clone(value)))
		n++
	}
	if host != "" {
		add("host", host)
	}
	for _, f := range h.Fields() {
		if n >= most {
			break
		}
		add(strings.Clone(f.Name), f.Value)
	}
	if c.k.headerMeta(c.LState) != nil {
		t.Metatable = c.k.headerMeta(c.LState)
	}
	c.Push(t)
	return 1
}

// headerMeta is the metatable of tables of headers, one a machine.
func (k *kit) headerMeta(l *glua.LState) *glua.LTable {
	const key = "sluice.headers"
	if m, ok := l.G.Registry.RawGetString(key).(*glua.LTable); ok {
		return m
	}
	m := l.NewTable()
	m.RawSetString("__index", l.NewFunction(func(l *glua.LState) int {
		t, key := l.CheckTable(1), l.Get(2)
		if s, ok := key.(glua.LString); ok {
			l.Push(t.RawGetString(strings.ToLower(dashed(string(s)))))
		} else {
			l.Push(glua.LNil)
		}
		return 1
	}))
	l.G.Registry.RawSetString(key, m)
	return m
}

// put sets a field, or appends to it when it is there.
func put(l *glua.LState, t *glua.LTable, name string, value glua.LValue) {
	switch old := t.RawGetString(name).(type) {
	case *glua.LNilType:
		t.RawSetString(name, value)
	case *glua.LTable:
		old.Append(value)
	default:
		list := l.CreateTable(2, 0)
		list.RawSetInt(1, old)
		list.RawSetInt(2, value)
		t.RawSetString(name, list)
	}
}

// args makes a table of a query or a form; an argument without value is true.
func (c call) args(raw string, most int) int {
	t := c.CreateTable(0, 4)
	r := lua.RunOf(c.LState)
	for range most {
		arg, rest, ok := pdk.NextArg(raw)
		if !ok {
			break
		}
		raw = rest
		r.Alloc(c.LState, 160+len(arg.Name)+len(arg.Value))
		value := glua.LValue(glua.LTrue)
		if arg.HasValue {
			value = glua.LString(pdk.AppendUnescaped(nil, arg.Value))
		}
		put(c.LState, t, string(pdk.AppendUnescaped(nil, arg.Name)), value)
	}
	c.Push(t)
	return 1
}

// body reads the request body whole. Others use the machine while the client sends it.
func (c call) body() ([]byte, string) {
	x := c.s.x
	if x.Request.Body == nil {
		return x.Request.Buffered, ""
	}
	var b []byte
	var err error
	lua.RunOf(c.LState).Block(func() { b, err = x.BufferBody(MaxBody) })
	switch {
	case errors.Is(err, pdk.ErrBodyTooLarge):
		return nil, "request body did not fit into client body buffer, consider raising 'client_body_buffer_size'"
	case err != nil:
		return nil, "request body could not be read: " + err.Error()
	}
	return b, ""
}

func (c call) rawBody() int {
	b, problem := c.body()
	if problem != "" {
		return c.fail(problem)
	}
	return c.give(string(b))
}

func getBody(c call) int {
	c.allow(toServer)
	contentType, _ := c.Get(1).(glua.LString)
	if contentType == "" {
		contentType = glua.LString(c.s.x.Request.Header.Get("Content-Type"))
	}
	if contentType == "" {
		return c.fail("missing content type")
	}
	most := c.bounded(2, "max_args")
	b, problem := c.body()
	return c.parsed(b, problem, string(contentType), most)
}

// parsed pushes a body as table, nil and its type; or nil, why not and the type.
func (c call) parsed(b []byte, problem, contentType string, most int) int {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	switch media {
	case "application/x-www-form-urlencoded", "application/json", "multipart/form-data":
	default:
		c.fail("unsupported content type '" + contentType + "'")
		return 2 + c.give(media)
	}
	n := 0
	if problem == "" {
		switch media {
		case "application/x-www-form-urlencoded":
			n = c.args(string(b), most)
		case "application/json":
			v, err := lua.DecodeJSON(c.LState, b)
			if t, ok := v.(*glua.LTable); ok && err == nil {
				c.Push(t)
				n = 1
			}
			problem = "invalid json body"
		default:
			n, problem = c.multipart(b, contentType)
		}
	}
	if n == 1 {
		c.Push(glua.LNil)
	} else {
		c.fail(problem)
	}
	return 2 + c.give(media)
}

func uriCaptures(c call) int {
	captures := &c.s.x.Captures
	t, named, unnamed := c.CreateTable(0, 2), c.CreateTable(0, 0), c.CreateTable(0, 0)
	for i, v := range captures.Values {
		value := glua.LString(strings.Clone(v))
		unnamed.RawSet(glua.LNumber(i), value)
		if i < len(captures.Names) && captures.Names[i] != "" {
			named.RawSetString(strings.Clone(captures.Names[i]), value)
		}
	}
	t.RawSetString("named", named)
	t.RawSetString("unnamed", unnamed)
	c.Push(t)
	return 1
}
