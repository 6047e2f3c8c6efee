package lua

import "fmt"

// checkSyntax reads a function as LuaJIT does and returns what it would complain about:
// users know its messages, and the interpreter's own parser bounds no depth.
func checkSyntax(source string) (err error) {
	p := &syntax{scanner: scanner{chunk: chunkName(source), src: source, line: 1}}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*SyntaxError)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	p.variadic = true
	p.advance()
	p.block()
	if p.now.kind != kindEnd {
		p.expected(kindEnd)
	}
	return nil
}

type syntax struct {
	scanner
	now, ahead token
	peeked     bool
	last       int // line of the token before
	levels     int
	loops      int
	variadic   bool
}

func (p *syntax) advance() {
	p.last = p.now.line
	if p.peeked {
		p.now, p.peeked = p.ahead, false
		return
	}
	p.now = p.next()
}

func (p *syntax) peek() token {
	if !p.peeked {
		p.ahead, p.peeked = p.next(), true
	}
	return p.ahead
}

func (p *syntax) complain(message string) { p.fail(p.now.line, message, p.now.text) }

func (p *syntax) expected(kind string) { p.complain("'" + kind + "' expected") }

func (p *syntax) is(kind string) bool { return p.now.kind == kind }

func (p *syntax) try(kind string) bool {
	if p.now.kind != kind {
		return false
	}
	p.advance()
	return true
}

func (p *syntax) need(kind string) {
	if !p.try(kind) {
		p.expected(kind)
	}
}

// closing needs what ends something that began with opened in a line.
func (p *syntax) closing(kind, opened string, line int) {
	switch {
	case p.try(kind):
	case line == p.now.line:
		p.expected(kind)
	default:
		p.complain(fmt.Sprintf("'%s' expected (to close '%s' at line %d)", kind, opened, line))
	}
}

func (p *syntax) enter() {
	if p.levels++; p.levels > maxLevels {
		p.fail(p.now.line, "chunk has too many syntax levels", "")
	}
}

func (p *syntax) leave() { p.levels-- }

func (p *syntax) blockEnds() bool {
	switch p.now.kind {
	case "else", "elseif", "end", kindEnd, "until":
		return true
	}
	return false
}

func (p *syntax) block() {
	p.enter()
	for !p.blockEnds() {
		if p.statement() {
			p.try(";")
			break
		}
		p.try(";")
	}
	p.leave()
}

// statement reports whether it must be the last one.
func (p *syntax) statement() (last bool) {
	line := p.now.line
	switch p.now.kind {
	case "if":
		p.advance()
		p.expression()
		p.need("then")
		p.block()
		for p.is("elseif") {
			p.advance()
			p.expression()
			p.need("then")
			p.block()
		}
		if p.try("else") {
			p.block()
		}
		p.closing("end", "if", line)
	case "while":
		p.advance()
		p.expression()
		p.need("do")
		p.loop()
		p.closing("end", "while", line)
	case "do":
		p.advance()
		p.block()
		p.closing("end", "do", line)
	case "for":
		p.forLoop(line)
	case "repeat":
		p.advance()
		p.loop()
		p.closing("until", "repeat", line)
		p.expression()
	case "function":
		p.advance()
		p.need(kindName)
		for p.is(".") || p.is(":") {
			method := p.is(":")
			p.advance()
			p.need(kindName)
			if method {
				break
			}
		}
		p.body(line)
	case "local":
		p.local()
	case "return":
		p.advance()
		if !p.blockEnds() && !p.is(";") {
			p.expressions()
		}
		return true
	case "break":
		if p.loops == 0 {
			p.fail(line, "break outside a loop at line "+fmt.Sprint(line), kindEnd)
		}
		p.advance()
	case ";":
	case "::":
		p.advance()
		p.need(kindName)
		p.need("::")
	case "goto":
		p.advance()
		p.need(kindName)
	default:
		p.assignmentOrCall()
	}
	return false
}

func (p *syntax) loop() {
	p.loops++
	p.block()
	p.loops--
}

func (p *syntax) forLoop(line int) {
	p.advance()
	p.need(kindName)
	switch p.now.kind {
	case "=":
		p.advance()
		p.expression()
		p.need(",")
		p.expression()
		if p.try(",") {
			p.expression()
		}
	case ",", "in":
		for p.try(",") {
			p.need(kindName)
		}
		p.need("in")
		p.expressions()
	default:
		p.complain("'=' or 'in' expected")
	}
	p.need("do")
	p.loop()
	p.closing("end", "for", line)
}

func (p *syntax) local() {
	p.advance()
	if p.is("function") {
		line := p.now.line
		p.advance()
		p.need(kindName)
		p.body(line)
		return
	}
	p.need(kindName)
	for p.try(",") {
		p.need(kindName)
	}
	if p.try("=") {
		p.expressions()
	}
}

func (p *syntax) assignmentOrCall() {
	call := p.suffixed()
	if call && !p.is("=") && !p.is(",") {
		return
	}
	for {
		if call {
			p.complain("syntax error")
		}
		if !p.try(",") {
			break
		}
		call = p.suffixed()
	}
	p.need("=")
	p.expressions()
}

// body is a function from its parameters on.
func (p *syntax) body(line int) {
	loops, variadic := p.loops, p.variadic
	p.loops, p.variadic = 0, false
	p.need("(")
	if !p.is(")") {
		for {
			if p.try("...") {
				p.variadic = true
				break
			}
			if !p.try(kindName) {
				p.complain("<name> or '...' expected")
			}
			if !p.try(",") {
				break
			}
		}
	}
	p.need(")")
	p.block()
	p.closing("end", "function", line)
	p.loops, p.variadic = loops, variadic
}
