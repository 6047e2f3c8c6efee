package kit

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// ngxNumbers are the constants of ngx.
var ngxNumbers = map[string]int{ //nolint:gochecknoglobals // a constant
	"OK": 0, "ERROR": -1, "AGAIN": -2, "DONE": -4, "DECLINED": -5,
	"STDERR": 0, "EMERG": 1, "ALERT": 2, "CRIT": 3, "ERR": 4, "WARN": 5, "NOTICE": 6, "INFO": 7, "DEBUG": 8,
	"HTTP_GET": 2, "HTTP_HEAD": 4, "HTTP_POST": 8, "HTTP_PUT": 16, "HTTP_DELETE": 32, "HTTP_MKCOL": 64, "HTTP_COPY": 128, "HTTP_MOVE": 256,
	"HTTP_OPTIONS": 512, "HTTP_PROPFIND": 1024, "HTTP_PROPPATCH": 2048, "HTTP_LOCK": 4096, "HTTP_UNLOCK": 8192, "HTTP_PATCH": 16384, "HTTP_TRACE": 32768,
	"HTTP_CONTINUE": 100, "HTTP_SWITCHING_PROTOCOLS": 101, "HTTP_OK": 200, "HTTP_CREATED": 201, "HTTP_ACCEPTED": 202, "HTTP_NO_CONTENT": 204,
	"HTTP_PARTIAL_CONTENT": 206, "HTTP_SPECIAL_RESPONSE": 300, "HTTP_MOVED_PERMANENTLY": 301, "HTTP_MOVED_TEMPORARILY": 302, "HTTP_SEE_OTHER": 303,
	"HTTP_NOT_MODIFIED": 304, "HTTP_TEMPORARY_REDIRECT": 307, "HTTP_PERMANENT_REDIRECT": 308, "HTTP_BAD_REQUEST": 400, "HTTP_UNAUTHORIZED": 401,
	"HTTP_PAYMENT_REQUIRED": 402, "HTTP_FORBIDDEN": 403, "HTTP_NOT_FOUND": 404, "HTTP_NOT_ALLOWED": 405, "HTTP_NOT_ACCEPTABLE": 406,
	"HTTP_REQUEST_TIMEOUT": 408, "HTTP_CONFLICT": 409, "HTTP_GONE": 410, "HTTP_UPGRADE_REQUIRED": 426, "HTTP_TOO_MANY_REQUESTS": 429,
	"HTTP_CLOSE": 444, "HTTP_ILLEGAL": 451, "HTTP_INTERNAL_SERVER_ERROR": 500, "HTTP_METHOD_NOT_IMPLEMENTED": 501, "HTTP_BAD_GATEWAY": 502,
	"HTTP_SERVICE_UNAVAILABLE": 503, "HTTP_GATEWAY_TIMEOUT": 504, "HTTP_VERSION_NOT_SUPPORTED": 505, "HTTP_INSUFFICIENT_STORAGE": 507,
}

func (k *kit) openNgx(l *glua.LState) {
	ngx := l.NewTable()
	l.SetGlobal("ngx", ngx)
	for name, n := range ngxNumbers {
		ngx.RawSetString(name, glua.LNumber(n))
	}
	ngx.RawSetString("null", lua.Null())
	for path, library := range map[string]map[string]method{
		"req": ngxRequestMethods(), "resp": {"get_headers": func(c call) int {
			return c.headers(&c.s.x.Response.Header, c.bounded(1, "max_headers"), "")
		}},
		"re": reMethods(), "worker": workerMethods(), "timer": {"at": noTimer, "every": noTimer},
	} {
		k.library(l, at(l, ngx, path), library)
	}
	k.library(l, ngx, ngxMethods())
	for name, fn := range encodings() {
		ngx.RawSetString(name, l.NewFunction(fn))
	}
	config := at(l, ngx, "config")
	config.RawSetString("subsystem", glua.LString("http"))
	config.RawSetString("debug", glua.LFalse)
	config.RawSetString("nginx_version", glua.LNumber(1025003))
	config.RawSetString("ngx_lua_version", glua.LNumber(10026))
	k.index(l, at(l, ngx, "var"), varGet, varSet)
	k.index(l, at(l, ngx, "arg"), argGet, argSet)
	k.index(l, at(l, ngx, "header"), func(c call) int {
		h := &c.s.x.Response.Header
		name := c.Get(2).String()
		if h.Count(name) < 2 {
			return c.header(h, name, "")
		}
		t := c.CreateTable(0, 0)
		for _, v := range h.Values(nil, name) {
			t.Append(glua.LString(strings.Clone(v)))
		}
		c.Push(t)
		return 1
	}, func(c call) int {
		if c.s.x.Response.HeadSent {
			c.s.log(c.k, hclog.Error, "attempt to set ngx.header after sending out response headers")
			return 0
		}
		name := strings.ReplaceAll(c.Get(2).String(), "_", "-")
		if c.Get(3) == glua.LNil {
			c.s.x.Response.Header.Del(name)
			return 0
		}
		setHeader(c, &c.s.x.Response.Header, name, c.headerValue(3))
		return 0
	})
	k.index(l, ngx, ngxGet, ngxSet)
}

// ngxGet is what of ngx changes with the request.
func ngxGet(c call) int {
	switch c.Get(2).String() {
	case "ctx":
		if c.s.ctx == nil {
			c.s.ctx = c.s.table(c.LState)
		}
		c.Push(c.s.ctx)
		return 1
	case "status":
		return c.giveNumber(float64(c.s.x.Response.Status))
	case "headers_sent":
		return c.giveBool(c.s.x.Response.HeadSent)
	case "is_subrequest":
		return c.giveBool(false)
	}
	return c.giveNil()
}

func ngxSet(c call) int {
	switch name := c.Get(2).String(); name {
	case "status":
		c.s.x.Response.Status = c.status(3, 100)
	case "ctx":
		t, ok := c.Get(3).(*glua.LTable)
		if !ok {
			c.errorf("ngx.ctx must be a table")
		}
		c.s.machine = lua.RunOf(c.LState).Machine()
		c.s.machine.Forget(c.s.ctx)
		c.s.machine.Keep(t)
		c.s.ctx = t
	default:
		c.RawSet(c.CheckTable(1), c.Get(2), c.Get(3))
	}
	return 0
}

func noTimer(c call) int {
	return c.fail("timers are not available: functions run within requests")
}

func workerMethods() map[string]method {
	return map[string]method{
		"id":      func(c call) int { return c.giveNumber(float64(lua.RunOf(c.LState).Machine().ID)) },
		"pid":     func(c call) int { return c.giveNumber(float64(os.Getpid())) },
		"count":   func(c call) int { return c.giveNumber(1) },
		"exiting": func(c call) int { return c.giveBool(false) },
	}
}

func ngxMethods() map[string]method {
	now := func(format func(t time.Time) string) method {
		return func(c call) int { return c.give(format(time.Now())) }
	}
	return map[string]method{
		"log": func(c call) int {
			level := hclog.Info
			switch n, _ := c.Get(1).(glua.LNumber); {
			case n <= 4:
				level = hclog.Error
			case n == 5:
				level = hclog.Warn
			case n == 8:
				level = hclog.Debug
			}
			if level >= c.k.log.GetLevel() {
				c.s.log(c.k, level, c.joined(2))
			}
			return 0
		},
		"say":          func(c call) int { return c.print("\n") },
		"print":        func(c call) int { return c.print("") },
		"flush":        func(c call) int { return c.giveNumber(1) },
		"eof":          func(c call) int { return c.giveNumber(1) },
		"exit":         ngxExit,
		"redirect":     ngxRedirect,
		"send_headers": func(c call) int { return c.giveNumber(1) },
		"sleep": func(c call) int {
			c.allow(toServer)
			d := time.Duration(float64(c.CheckNumber(1)) * float64(time.Second))
			if d < 0 || d > time.Minute {
				c.errorf("invalid sleep duration %s", lua.ToString(c.LState, c.Get(1)))
			}
			lua.RunOf(c.LState).Block(func() { time.Sleep(d) })
			return 0
		},
		"get_phase":   func(c call) int { return c.give(c.s.phase.String()) },
		"now":         func(c call) int { return c.giveNumber(float64(time.Now().UnixMilli()) / 1000) },
		"time":        func(c call) int { return c.giveNumber(float64(time.Now().Unix())) },
		"update_time": func(call) int { return 0 },
		"today":       now(func(t time.Time) string { return t.Format(time.DateOnly) }),
		"localtime":   now(func(t time.Time) string { return t.Format(time.DateTime) }),
		"utctime":     now(func(t time.Time) string { return t.UTC().Format(time.DateTime) }),
		"http_time": func(c call) int {
			return c.give(time.Unix(int64(c.CheckNumber(1)), 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
		},
		"cookie_time": func(c call) int {
			return c.give(time.Unix(int64(c.CheckNumber(1)), 0).UTC().Format("Mon, 02-Jan-06 15:04:05 GMT"))
		},
		"parse_http_time": func(c call) int {
			t, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", c.CheckString(1))
			if err != nil {
				return c.giveNil()
			}
			return c.giveNumber(float64(t.Unix()))
		},
		"encode_args": func(c call) int { return c.give(c.encodeArgs(c.CheckTable(1))) },
		"decode_args": func(c call) int { return c.args(c.CheckString(1), c.bounded(2, "max_args")) },
	}
}

// print collects what an answer's body will be.
func (c call) print(end string) int {
	c.beforeHead()
	var add func(v glua.LValue, depth int)
	add = func(v glua.LValue, depth int) {
		if t, ok := v.(*glua.LTable); ok && depth < 10 {
			for i := 1; i <= t.Len(); i++ {
				add(t.RawGetInt(i), depth+1)
			}
			return
		}
		s := lua.ToString(c.LState, v)
		lua.RunOf(c.LState).Alloc(c.LState, len(s))
		if len(c.s.printed)+len(s) > MaxBody {
			c.errorf("%s", errLarge("what is printed"))
		}
		c.s.printed = append(c.s.printed, s...)
	}
	for i := 1; i <= c.GetTop(); i++ {
		add(c.Get(i), 0)
	}
	c.s.printed = append(c.s.printed, end...)
	c.s.said = true
	return c.giveNumber(1)
}

// answer sends what a function printed, once it has ended.
func (s *session) answer(r *lua.Run) error {
	if !s.said || r.Exited() {
		return nil
	}
	status := s.x.Response.Status
	if status == 0 {
		status = 200
	}
	return s.respond(status)
}

func (s *session) respond(status int) error {
	contentType := ""
	if !s.x.Response.Header.Has("Content-Type") {
		contentType = "text/plain"
	}
	s.said = false
	return s.x.ExitBody(status, contentType, append([]byte(nil), s.printed...))
}

// ngxExit ends the phase: with an answer for a status from 200 on, and on with the
// request for ngx.OK and the like.
func ngxExit(c call) int {
	status := c.CheckInt(1)
	x := c.s.x
	switch {
	case c.s.said && c.s.phase&mayAnswer != 0:
		if status < 100 {
			status = max(x.Response.Status, 200)
		}
		_ = c.s.respond(status)
	case status >= 200 && c.s.phase&mayAnswer != 0 && !x.Response.HeadSent:
		if status >= 400 {
			_ = x.Fail(status, "")
			x.Source = pdk.SourceExit
		} else {
			_ = x.ExitBody(status, "", nil)
		}
	case status == -1 && c.s.phase&toServer != 0:
		_ = x.Fail(500, "")
		x.Source = pdk.SourceError
	}
	lua.RunOf(c.LState).Exit(c.LState)
	return 0
}

func ngxRedirect(c call) int {
	c.beforeHead()
	uri, status := c.CheckString(1), c.OptInt(2, 302)
	switch status {
	case 301, 302, 303, 307, 308:
	default:
		c.errorf("only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, ngx.HTTP_PERMANENT_REDIRECT, ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT are allowed")
	}
	c.s.x.Response.Header.Set("Location", clean(uri))
	c.s.x.Response.Header.Set("Content-Type", "text/html")
	body := fmt.Sprintf("<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %[2]s</h1></center>\r\n</body>\r\n</html>\r\n", status, redirectText(status), status)
	return c.leave(status, []byte(body))
}

func redirectText(status int) string {
	return map[int]string{301: "Moved Permanently", 302: "Found", 303: "See Other", 307: "Temporary Redirect", 308: "Permanent Redirect"}[status]
}

func ngxRequestMethods() map[string]method {
	return map[string]method{
		"get_method": func(c call) int { return c.give(c.s.x.Request.Method) },
		"set_method": func(c call) int {
			n := c.CheckInt(1)
			for name, number := range ngxNumbers {
				if number == n && strings.HasPrefix(name, "HTTP_") && n >= 2 && n <= 32768 && n&(n-1) == 0 {
					c.setMethod(name[len("HTTP_"):])
					return 0
				}
			}
			c.errorf("unsupported HTTP method: %d", n)
			return 0
		},
		"get_headers": func(c call) int {
			return c.headers(&c.s.x.Request.Header, c.bounded(1, "max_headers"), c.s.x.Request.Host)
		},
		"set_header":   func(c call) int { c.allow(toServer); c.setRequestHeader(); return 0 },
		"clear_header": func(c call) int { c.allow(toServer); delHeader(&c.s.x.Request.Header, c.CheckString(1)); return 0 },
		"get_uri_args": func(c call) int { return c.args(c.s.x.Upstream.RawQuery, c.bounded(1, "max_args")) },
		"set_uri_args": func(c call) int {
			c.allow(toServer)
			if t, ok := c.Get(1).(*glua.LTable); ok {
				c.setQuery(c.encodeArgs(t))
			} else {
				c.setQuery(escapeQuery(c.CheckString(1)))
			}
			return 0
		},
		"set_uri": func(c call) int {
			c.allow(toServer)
			c.s.x.Upstream.Path = escapePath(c.CheckString(1))
			return 0
		},
		"read_body": func(c call) int {
			c.allow(toServer)
			if _, problem := c.body(); problem != "" {
				c.errorf("%s", problem)
			}
			return 0
		},
		"discard_body": func(c call) int { c.s.x.SetBody(nil); return 0 },
		"get_body_data": func(c call) int {
			if b := c.s.x.Request.Buffered; len(b) > 0 {
				return c.give(string(b))
			}
			return c.giveNil()
		},
		"get_body_file": func(c call) int { return c.giveNil() },
		"set_body_data": func(c call) int { c.allow(toServer); c.s.x.SetBody([]byte(c.CheckString(1))); return 0 },
		"get_post_args": func(c call) int { return c.args(string(c.s.x.Request.Buffered), c.bounded(1, "max_args")) },
		"http_version":  func(c call) int { return c.giveNumber(httpVersion(c.s.x)) },
		"start_time":    func(c call) int { return c.giveNumber(float64(c.s.x.Start.UnixMilli()) / 1000) },
		"is_internal":   func(c call) int { return c.giveBool(false) },
	}
}

func (c call) setRequestHeader() {
	name := c.headerName(1)
	if c.Get(2) == glua.LNil {
		delHeader(&c.s.x.Request.Header, name)
		return
	}
	c.upstreamHeader(name, c.headerValue(2))
}
