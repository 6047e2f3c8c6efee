package kit

import (
	"fmt"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Collected is what functions of a body filter collect of an answer, one for each exchange
// and plugin.
type Collected struct {
	body []byte
	on   bool
}

// Filter runs functions over a piece of the response body and returns what goes on.
func Filter(functions []*Function, x *pdk.Exchange, kept *Collected, piece []byte, last bool) ([]byte, error) {
	for _, f := range functions {
		err := f.run(x, BodyFilter, func(r *lua.Run, s *session) error {
			s.piece, s.last, s.chunk, s.finished = piece, last, nil, false
			s.collected = kept
			err := r.CallKept(f.program)
			piece = s.out()
			s.piece, s.collected, s.chunk = nil, nil, nil
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return piece, nil
}

// out is the piece that a function left.
func (s *session) out() []byte {
	switch v := s.chunk.(type) {
	case nil:
		return s.piece
	case glua.LString:
		return []byte(v)
	case glua.LNumber:
		return []byte(lua.Number(float64(v)))
	case *glua.LTable:
		var b []byte
		for i := 1; i <= v.Len(); i++ {
			if t, ok := text(v.RawGetInt(i)); ok {
				b = append(b, t...)
			}
		}
		return b
	}
	return nil
}

// argGet is ngx.arg[1] and ngx.arg[2].
func argGet(c call) int {
	n, _ := c.Get(2).(glua.LNumber)
	if c.s.phase != BodyFilter {
		return c.giveNil()
	}
	switch n {
	case 1:
		if c.s.chunk != nil {
			c.Push(c.s.chunk)
			return 1
		}
		return c.give(string(c.s.piece))
	case 2:
		return c.giveBool(c.s.last || c.s.finished)
	}
	return c.giveNil()
}

func argSet(c call) int {
	c.allow(BodyFilter)
	switch n, _ := c.Get(2).(glua.LNumber); n {
	case 1:
		c.s.chunk = c.Get(3)
	case 2:
		c.s.finished = c.ToBool(3)
	}
	return 0
}

// getRawBody collects the body: nil until its end, then all of it.
func getRawBody(c call) int {
	c.allow(BodyFilter)
	s := c.s
	piece := s.out()
	k := s.collected
	if s.last && !k.on {
		return c.give(string(piece))
	}
	if len(k.body)+len(piece) > MaxBody {
		c.errorf("response body is larger than %d bytes", MaxBody)
	}
	k.body, k.on = append(k.body, piece...), true
	if !s.last {
		s.chunk = glua.LNil
		return c.giveNil()
	}
	lua.RunOf(c.LState).Alloc(c.LState, len(k.body)+24)
	whole := glua.LString(k.body)
	*k = Collected{}
	s.chunk = whole
	c.Push(whole)
	return 1
}

func setRawBody(c call) int {
	c.allow(BodyFilter)
	body := c.str(1, "body")
	if !c.s.last {
		// What comes after this piece is not sent: nginx ends the body here.
		c.s.collected.body, c.s.collected.on = nil, false
	}
	if body == "" {
		body = "\n"
	}
	c.s.chunk = glua.LString(body)
	c.s.finished = true
	return 0
}

// errLarge says that a body does not fit.
func errLarge(what string) string { return fmt.Sprintf("%s is larger than %d bytes", what, MaxBody) }
