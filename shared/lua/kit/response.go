package kit

import (
	"fmt"
	"strings"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func responseMethods() map[string]method {
	return map[string]method{
		"get_status": func(c call) int { c.allow(toClient); return c.giveNumber(float64(c.s.x.Response.Status)) },
		"get_header": func(c call) int {
			c.allow(toClient)
			return c.header(&c.s.x.Response.Header, c.str(1, "header name"), "")
		},
		"get_headers": func(c call) int {
			c.allow(toClient)
			return c.headers(&c.s.x.Response.Header, c.bounded(1, "max_headers"), "")
		},
		"get_source": func(c call) int { c.allow(toClient); return c.give(source(c.s.x)) },
		"set_status": func(c call) int { c.beforeHead(); c.s.x.Response.Status = c.status(1, 100); return 0 },
		"set_header": func(c call) int {
			c.beforeHead()
			setHeader(c, &c.s.x.Response.Header, c.headerName(1), c.headerValue(2))
			return 0
		},
		"add_header": func(c call) int {
			c.beforeHead()
			name := c.headerName(1)
			for _, v := range c.headerValue(2) {
				c.s.x.Response.Header.Add(name, v)
			}
			return 0
		},
		"clear_header": func(c call) int { c.beforeHead(); delHeader(&c.s.x.Response.Header, c.str(1, "header name")); return 0 },
		"set_headers": func(c call) int {
			c.beforeHead()
			c.eachHeader(1, func(name string, values []string) { setHeader(c, &c.s.x.Response.Header, name, values) })
			return 0
		},
		"get_raw_body": getRawBody,
		"set_raw_body": setRawBody,
		"exit":         exit,
		"error":        exitError,
	}
}

func source(x *pdk.Exchange) string {
	switch x.Source {
	case pdk.SourceExit:
		return "exit"
	case pdk.SourceUpstream:
		return "service"
	}
	return "error"
}

// beforeHead allows what changes the head of the answer.
func (c call) beforeHead() {
	c.allow(mayAnswer)
	if c.s.x.Response.HeadSent {
		c.errorf("headers have already been sent")
	}
}

func (c call) status(n, least int) int {
	v, ok := c.Get(n).(glua.LNumber)
	if !ok {
		c.errorf("code must be a number")
	}
	if int(v) < least || v > 599 {
		c.errorf("code must be a number between %d and %d", least, 599)
	}
	return int(v)
}

func (c call) headerName(n int) string {
	v := c.Get(n)
	s, ok := v.(glua.LString)
	if !ok {
		c.errorf("invalid header name %q: got %s, expected string", v.String(), v.Type().String())
	}
	return string(s)
}

// headerValue is a string, number or boolean, or an array of them.
func (c call) headerValue(n int) []string {
	values, problem := valuesOf(c.Get(n))
	if problem != "" {
		c.errorf("invalid header value for %q: got %s, expected array of string, string, number or boolean", c.Get(n-1).String(), problem)
	}
	return values
}

func valuesOf(v glua.LValue) (values []string, problem string) {
	if s, ok := text(v); ok {
		return []string{clean(s)}, ""
	}
	t, ok := v.(*glua.LTable)
	if !ok {
		return nil, v.Type().String()
	}
	for i := 1; i <= t.Len(); i++ {
		s, ok := text(t.RawGetInt(i))
		if !ok {
			return nil, "array with a " + t.RawGetInt(i).Type().String()
		}
		values = append(values, clean(s))
	}
	return values, ""
}

// clean keeps a value from being more than one line.
func clean(s string) string {
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	return strings.NewReplacer("\r", "%0D", "\n", "%0A", "\x00", "%00").Replace(s)
}

// eachHeader reads a table of headers.
func (c call) eachHeader(n int, fn func(name string, values []string)) {
	t, ok := c.Get(n).(*glua.LTable)
	if !ok {
		c.errorf("headers must be a table")
	}
	for key, v := t.Next(glua.LNil); key != glua.LNil; key, v = t.Next(key) {
		name, isName := key.(glua.LString)
		if !isName {
			c.errorf("invalid header name %q: got %s, expected string", key.String(), key.Type().String())
		}
		values, problem := valuesOf(v)
		if problem != "" {
			c.errorf("invalid header value for %q: got %s, expected array of string, string, number or boolean", string(name), problem)
		}
		fn(string(name), values)
	}
}

func setHeader(c call, h *pdk.Header, name string, values []string) {
	if !validName(name) {
		c.errorf("invalid header name %q", name)
	}
	if n := dashed(name); pdk.EqualFold(n, "transfer-encoding") {
		c.s.log(c.k, levels["warn"], "manually setting Transfer-Encoding. Ignored.")
		return
	}
	if len(values) == 0 {
		h.Del(name)
		return
	}
	h.Set(name, values[0])
	for _, v := range values[1:] {
		h.Add(name, v)
	}
}

func validName(name string) bool {
	if name == "" {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return true
}

func delHeader(h *pdk.Header, name string) {
	h.Del(name)
	if n := dashed(name); n != name {
		h.Del(n)
	}
}

func exit(c call) int {
	c.beforeHead()
	status := c.status(1, 100)
	body := c.Get(2)
	switch body.(type) {
	case *glua.LNilType, glua.LString, *glua.LTable:
	default:
		c.errorf("body must be a nil, string or table")
	}
	x, h := c.s.x, &c.s.x.Response.Header
	hasType := c.exitHeaders(3)
	grpc := x.IsGRPC()
	if grpc && !h.Has("grpc-status") {
		h.Set("grpc-status", fmt.Sprint(pdk.GRPCStatus(status)))
	}
	var b []byte
	switch v := body.(type) {
	case glua.LString:
		b = []byte(v)
	case *glua.LTable:
		if message, ok := v.RawGetString("message").(glua.LString); grpc && ok {
			h.Set("grpc-message", clean(string(message)))
			break
		}
		encoded, err := lua.EncodeJSON(c.LState, v)
		if err != nil {
			c.errorf("body encoding failed while flushing response: %s", err.Error())
		}
		b = encoded
		if !hasType {
			h.Set("Content-Type", pdk.JSONType)
		}
	}
	if body != glua.LNil && !h.Has("Content-Type") {
		h.Set("Content-Type", "text/plain")
	}
	return c.leave(status, b)
}

// exitHeaders sets the headers of an answer, and tells whether its type is among them.
func (c call) exitHeaders(n int) (hasType bool) {
	switch c.Get(n).(type) {
	case *glua.LNilType:
	case *glua.LTable:
		c.eachHeader(n, func(name string, values []string) {
			hasType = hasType || pdk.EqualFold(dashed(name), "content-type")
			if pdk.EqualFold(dashed(name), "content-length") {
				return // it is what the body is
			}
			setHeader(c, &c.s.x.Response.Header, name, values)
		})
	default:
		c.errorf("headers must be a nil or table")
	}
	return hasType
}

// leave answers and ends the run.
func (c call) leave(status int, body []byte) int {
	x := c.s.x
	x.Response.Trailer.Reset()
	_ = x.ExitBody(status, "", body)
	c.s.printed = c.s.printed[:0]
	lua.RunOf(c.LState).Exit(c.LState)
	return 0
}

func exitError(c call) int {
	c.beforeHead()
	status := c.status(1, 400)
	message := ""
	switch v := c.Get(2).(type) {
	case *glua.LNilType:
	case glua.LString:
		message = string(v)
	case *glua.LTable:
		b, err := lua.EncodeJSON(c.LState, v)
		if err != nil {
			c.errorf("could not JSON encode the error message: %s", err.Error())
		}
		message = string(b)
	default:
		c.errorf("message must be a nil, a string or a table")
	}
	c.exitHeaders(3)
	_ = c.s.x.Fail(status, message)
	lua.RunOf(c.LState).Exit(c.LState)
	return 0
}
