package kit

import (
	"math"
	"strings"
	"time"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func serviceMethods() map[string]method {
	return map[string]method{
		"set_upstream": func(c call) int {
			c.allow(Access)
			name := c.str(1, "host")
			if c.s.x.View == nil || c.s.x.View.ByKey(entity.Upstreams, "name", name) == nil {
				return c.fail("could not find an Upstream named '" + name + "'")
			}
			c.s.x.Upstream.Host = name
			return c.giveBool(true)
		},
		"set_target": func(c call) int {
			c.allow(toServer)
			host := c.str(1, "host")
			c.s.x.Upstream.Host, c.s.x.Upstream.Port = host, c.integer(2, "port", 0, 65535)
			return 0
		},
		"set_retries": func(c call) int {
			c.allow(Access)
			c.s.x.Upstream.Retries, c.s.x.Upstream.HasRetries = c.integer(1, "retries", 0, 32767), true
			return 0
		},
		"set_timeouts": func(c call) int {
			c.allow(Access)
			up := &c.s.x.Upstream
			for i, into := range []*time.Duration{&up.ConnectTimeout, &up.WriteTimeout, &up.ReadTimeout} {
				name := []string{"connect_timeout", "write_timeout", "read_timeout"}[i]
				*into = time.Duration(c.integer(i+1, name, 1, 2147483646)) * time.Millisecond
			}
			return 0
		},
	}
}

// integer is a whole number within bounds.
func (c call) integer(n int, name string, least, most int) int {
	v, ok := c.Get(n).(glua.LNumber)
	if !ok || float64(v) != math.Trunc(float64(v)) {
		c.errorf("%s must be an integer", name)
	}
	if float64(v) < float64(least) || float64(v) > float64(most) {
		c.errorf("%s must be an integer between %d and %d: given %s", name, least, most, lua.Number(float64(v)))
	}
	return int(v)
}

func upstreamMethods() map[string]method {
	in := func(m method) method {
		return func(c call) int {
			c.allow(toServer)
			return m(c)
		}
	}
	return map[string]method{
		"enable_buffering": in(func(c call) int { c.s.x.Upstream.BufferResponse = true; return 0 }),
		"set_scheme": in(func(c call) int {
			scheme := c.str(1, "scheme")
			switch scheme {
			case "http", "https", "grpc", "grpcs":
			default:
				c.errorf("invalid scheme: %s", scheme)
			}
			c.s.x.Upstream.Scheme = scheme
			return 0
		}),
		"set_path": in(func(c call) int {
			path := c.str(1, "path")
			if !strings.HasPrefix(path, "/") {
				c.errorf("path must start with /")
			}
			c.s.x.Upstream.Path = escapePath(path)
			return 0
		}),
		"set_raw_query": in(func(c call) int { c.setQuery(escapeQuery(c.str(1, "query"))); return 0 }),
		"set_method": in(func(c call) int {
			method := c.str(1, "method")
			if !validName(method) || method != strings.ToUpper(method) {
				c.errorf("invalid method: %s", method)
			}
			c.setMethod(method)
			return 0
		}),
		"set_query": in(func(c call) int {
			t, ok := c.Get(1).(*glua.LTable)
			if !ok {
				c.errorf("args must be a table")
			}
			c.setQuery(c.encodeArgs(t))
			return 0
		}),
		"clear_query_arg": in(func(c call) int {
			name := c.str(1, "query argument name")
			raw := c.s.x.Upstream.RawQuery
			if c.s.phase == Rewrite {
				raw = c.s.x.Request.RawQuery
			}
			c.setQuery(pdk.WithoutQueryArg(&c.s.x.Text, raw, name))
			return 0
		}),
		"set_header": in(func(c call) int {
			c.upstreamHeader(c.headerName(1), c.headerValue(2))
			return 0
		}),
		"add_header": in(func(c call) int {
			name, values := c.headerName(1), c.headerValue(2)
			if pdk.EqualFold(name, "host") {
				c.upstreamHeader(name, values)
				return 0
			}
			for _, v := range values {
				c.s.x.Request.Header.Add(name, v)
			}
			return 0
		}),
		"clear_header": in(func(c call) int { delHeader(&c.s.x.Request.Header, c.str(1, "header")); return 0 }),
		"set_headers": in(func(c call) int {
			c.eachHeader(1, c.upstreamHeader)
			return 0
		}),
		"set_raw_body": in(func(c call) int { c.s.x.SetBody([]byte(c.str(1, "body"))); return 0 }),
		"set_body":     in(setBody),
		"disable_tls":  in(func(call) int { return 0 }),
	}
}

func (c call) upstreamHeader(name string, values []string) {
	if pdk.EqualFold(name, "host") {
		if len(values) > 0 {
			c.s.x.Upstream.HostHeader = values[0]
		}
		return
	}
	setHeader(c, &c.s.x.Request.Header, name, values)
}

// setQuery sets what the upstream gets. Before routing, which takes it from the request,
// it is the request's.
func (c call) setQuery(raw string) {
	x := c.s.x
	x.Upstream.RawQuery, x.Upstream.HasQuery = raw, raw != ""
	if c.s.phase == Rewrite {
		x.Request.RawQuery, x.Request.HasQuery = raw, raw != ""
	}
}

// setMethod does the same for the method; routes are matched with it then.
func (c call) setMethod(method string) {
	c.s.x.Upstream.Method = method
	if c.s.phase == Rewrite {
		c.s.x.Request.Method = method
	}
}

// encodeArgs writes a table as a query; true stands for an argument without value.
func (c call) encodeArgs(t *glua.LTable) string {
	var b []byte
	add := func(name string, v glua.LValue) {
		if v == glua.LFalse {
			return
		}
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = pdk.AppendEscaped(b, name)
		if v == glua.LTrue {
			return
		}
		s, ok := text(v)
		if !ok {
			c.errorf("invalid value for argument %q: got %s, expected string, number, boolean or array", name, v.Type().String())
		}
		b = pdk.AppendEscaped(append(b, '='), s)
	}
	for key, v := t.Next(glua.LNil); key != glua.LNil; key, v = t.Next(key) {
		name, ok := text(key)
		if !ok {
			c.errorf("invalid argument name %q: got %s, expected string", key.String(), key.Type().String())
		}
		if list, ok := v.(*glua.LTable); ok {
			for i := 1; i <= list.Len(); i++ {
				add(name, list.RawGetInt(i))
			}
		} else {
			add(name, v)
		}
	}
	lua.RunOf(c.LState).Alloc(c.LState, len(b))
	return string(b)
}

// setBody encodes a table as a body of a type, the request's when it is not given.
func setBody(c call) int {
	t, ok := c.Get(1).(*glua.LTable)
	if !ok {
		c.errorf("args must be a table")
	}
	contentType := c.s.x.Request.Header.Get("Content-Type")
	if v := c.Get(2); v != glua.LNil {
		contentType = c.str(2, "mime")
	}
	if contentType == "" {
		return c.fail("content type was neither explicitly given as an argument or received as a header")
	}
	media, _, _ := strings.Cut(contentType, ";")
	var body []byte
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "application/x-www-form-urlencoded":
		body = []byte(c.encodeArgs(t))
	case "application/json":
		b, err := lua.EncodeJSON(c.LState, t)
		if err != nil {
			c.errorf("%s", err.Error())
		}
		body = b
	case "multipart/form-data":
		_, boundary, _ := strings.Cut(contentType, "boundary=")
		if boundary = strings.Trim(boundary, `"`); boundary == "" {
			boundary = "8fd84e9444e3946c"
			contentType = "multipart/form-data; boundary=" + boundary
		}
		var fields [][2]string
		for key, v := t.Next(glua.LNil); key != glua.LNil; key, v = t.Next(key) {
			value, ok := text(v)
			if !ok {
				c.errorf("invalid value %q: got %s, expected string, number or boolean", key.String(), v.Type().String())
			}
			fields = append(fields, [2]string{key.String(), value})
		}
		b, err := encodeParts(fields, boundary)
		if err != nil {
			c.errorf("%s", err.Error())
		}
		body = b
	default:
		c.errorf("unsupported content type %s", contentType)
	}
	c.s.x.SetBody(body)
	c.s.x.Request.Header.Set("Content-Type", contentType)
	return c.giveBool(true)
}

func upstreamResponseMethods() map[string]method {
	from := func(m method) method {
		return func(c call) int {
			c.allow(toClient)
			return m(c)
		}
	}
	return map[string]method{
		"get_status": from(func(c call) int {
			if c.s.x.Response.UpstreamStatus == 0 {
				return c.giveNil()
			}
			return c.giveNumber(float64(c.s.x.Response.UpstreamStatus))
		}),
		"get_header":  from(func(c call) int { return c.header(&c.s.x.Response.Header, c.str(1, "header name"), "") }),
		"get_headers": from(func(c call) int { return c.headers(&c.s.x.Response.Header, c.bounded(1, "max_headers"), "") }),
		"get_raw_body": from(func(c call) int {
			c.buffered()
			lua.RunOf(c.LState).Alloc(c.LState, len(c.s.x.Response.Buffered))
			return c.give(string(c.s.x.Response.Buffered))
		}),
		"get_body": from(func(c call) int {
			c.buffered()
			contentType := c.s.x.Response.Header.Get("Content-Type")
			return c.parsed(c.s.x.Response.Buffered, "", contentType, c.bounded(2, "max_args"))
		}),
	}
}

// buffered raises an error when the upstream's body is not there as a whole.
func (c call) buffered() {
	if !c.s.x.Upstream.BufferResponse {
		c.errorf("service body is only available with buffered proxying (see: kong.service.request.enable_buffering function)")
	}
}

// escapePath escapes what may not be in a path; % stays.
func escapePath(path string) string { return escape(path, " \"<>?#\\^`{|}") }

func escapeQuery(query string) string { return escape(query, " \"<>#") }

func escape(s, unsafe string) string {
	const hex = "0123456789ABCDEF"
	var b []byte
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(unsafe, c) >= 0 {
			if b == nil {
				b = append(make([]byte, 0, len(s)+16), s[:i]...)
			}
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else if b != nil {
			b = append(b, c)
		}
	}
	if b == nil {
		return s
	}
	return string(b)
}
