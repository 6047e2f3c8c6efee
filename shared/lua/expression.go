package lua

func (p *syntax) expressions() {
	p.expression()
	for p.try(",") {
		p.expression()
	}
}

// suffixed is a name or a bracket with what follows it. It reports whether a call is last.
func (p *syntax) suffixed() (call bool) {
	p.enter()
	defer p.leave()
	switch line := p.now.line; p.now.kind {
	case "(":
		p.advance()
		p.expression()
		p.closing(")", "(", line)
	case kindName:
		p.advance()
	default:
		p.complain("unexpected symbol")
	}
	for {
		switch p.now.kind {
		case ".":
			p.advance()
			p.need(kindName)
			call = false
		case "[":
			p.advance()
			p.expression()
			p.need("]")
			call = false
		case ":":
			p.advance()
			p.need(kindName)
			p.arguments()
			call = true
		case "(", kindString, "{":
			p.arguments()
			call = true
		default:
			return call
		}
	}
}

func (p *syntax) arguments() {
	switch line := p.now.line; p.now.kind {
	case "(":
		p.advance()
		if !p.is(")") {
			p.expressions()
		}
		p.closing(")", "(", line)
	case "{":
		p.table()
	case kindString:
		p.advance()
	default:
		p.complain("function arguments expected")
	}
}

func (p *syntax) table() {
	line := p.now.line
	p.enter()
	p.need("{")
	for !p.is("}") {
		switch {
		case p.is("["):
			p.advance()
			p.expression()
			p.need("]")
			p.need("=")
		case p.is(kindName) && p.peek().kind == "=":
			p.advance()
			p.advance()
		}
		p.expression()
		if !p.try(",") && !p.try(";") {
			break
		}
	}
	p.closing("}", "{", line)
	p.leave()
}

// simple is an operand without operators.
func (p *syntax) simple() {
	switch line := p.now.line; p.now.kind {
	case kindNumber, kindString, "nil", "true", "false":
		p.advance()
	case "...":
		if !p.variadic {
			p.complain("cannot use '...' outside a vararg function")
		}
		p.advance()
	case "{":
		p.table()
	case "function":
		p.advance()
		p.body(line)
	default:
		p.suffixed()
	}
}

func (p *syntax) expression() { p.operation(0) }

// operation is an expression of operators that bind more tightly than limit.
func (p *syntax) operation(limit int) {
	p.enter()
	switch p.now.kind {
	case "not", "-", "#":
		p.advance()
		p.operation(unaryPriority)
	default:
		p.simple()
	}
	for {
		left, right := priority(p.now.kind)
		if left <= limit {
			break
		}
		p.advance()
		p.operation(right)
	}
	p.leave()
}

const unaryPriority = 8

// priority says how tightly an operator binds to its left and right; 0 for none.
func priority(op string) (left, right int) {
	switch op {
	case "+", "-":
		return 6, 6
	case "*", "/", "%":
		return 7, 7
	case "^":
		return 10, 9
	case "..":
		return 5, 4
	case "~=", "==", "<", "<=", ">", ">=":
		return 3, 3
	case "and":
		return 2, 2
	case "or":
		return 1, 1
	}
	return 0, 0
}
