package declarative

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
)

// A large YAML document is taken apart by its lines as they come: sections begin at the left
// margin, entities of a list with a dash at the indent of its first. Anything that lines do
// not tell (anchors, tags, several documents, quoted names, lists in brackets) makes the
// document be parsed as one piece, as does a part that can't be parsed on its own.

var (
	sectionLine = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*):[ \t]*(#.*)?$`)
	valueLine   = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*):[ \t]+[^ \t#|>&*!\[{].*$`)
)

// tangled finds anchors, aliases, tags and merge keys, and takes some harmless texts for
// them. What is between quotes on one line is none of it.
func tangled(line []byte) bool {
	for at := 0; ; at++ {
		n := bytes.IndexAny(line[at:], "&*!")
		if n < 0 {
			return bytes.Contains(line, []byte("<<:"))
		}
		if at += n; at+1 < len(line) && line[at+1] > ' ' && (at == 0 || bytes.IndexByte([]byte(" \n,[{-"), line[at-1]) >= 0) {
			return true
		}
	}
}

// quotedLine is a line that ends in a quoted value, and has nothing else that could be tangled.
var quotedLine = regexp.MustCompile(`^ *(?:- )*(?:[A-Za-z_][A-Za-z0-9_./-]*: )?(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\n?$`)

// yamlLines takes a document apart, a line at a time.
type yamlLines struct {
	sp *splitter
	d  *document
	// failed tells that lines do not tell enough.
	failed bool
	seen   map[string]bool
	// name of the section that lines belong to; "" before the first.
	name string
	// list tells that the section may be a list, indent of its dashes, -1 before the first.
	list   bool
	indent int
	// text is the section, or the entity of a list that is to be taken apart.
	text  []byte
	texts *spool.Spool // entities of a list that is taken apart, nil for other sections
}

func (sp *splitter) readYAML(r io.Reader) (*document, error) {
	raw := sp.codec.New()
	y := &yamlLines{sp: sp, d: newDocument(), seen: map[string]bool{}}
	in := bufio.NewReaderSize(r, 64<<10)
	for long := []byte(nil); ; {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line...)
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(long) > 0 {
			line = append(long, line...)
			long = nil
		}
		if len(line) > 0 {
			raw.Append(line)
			if !y.failed {
				y.failed = !y.line(line)
			}
			if y.failed {
				y.d = nil // its memory is needed for the other way
			}
		}
		if err != nil {
			break
		}
	}
	atOnce := func() (*document, error) {
		text := make([]byte, 0, raw.Bytes())
		if err := raw.Drain(func(line []byte) error {
			text = append(text, line...)
			return nil
		}); err != nil {
			return nil, err //nolint:wrapcheck // it can't be
		}
		top, err := parse(text)
		if err != nil {
			return nil, parseError{err}
		}
		return sp.whole(top), nil
	}
	if y.failed || !y.end() {
		return atOnce()
	}
	y.d.atOnce = atOnce
	return y.d, nil
}

// line takes a line with its end. It returns false when lines do not tell enough.
func (y *yamlLines) line(line []byte) bool {
	if bytes.IndexByte(line, '\t') >= 0 || bytes.IndexByte(line, '\r') >= 0 || tangled(line) && !quotedLine.Match(line) {
		return false
	}
	text := bytes.TrimRight(line, "\n")
	switch {
	case len(text) == 0 || text[0] == ' ' || text[0] == '#':
	case text[0] == '-' && len(text) > 1 && text[1] == ' ' && y.list:
	case text[0] == '-' && len(text) == 1 && y.list:
	case y.name == "" && string(text) == "---":
		return true
	case sectionLine.Match(text):
		return y.end() && y.begin(string(sectionLine.FindSubmatch(text)[1]), line, true)
	case valueLine.Match(text):
		return y.end() && y.begin(string(valueLine.FindSubmatch(text)[1]), line, false)
	default:
		return false
	}
	if y.name == "" {
		return true // a comment
	}
	if y.texts == nil {
		y.text = append(y.text, line...)
		return true
	}
	return y.listLine(line)
}

// listLine takes a line of a list of entities.
func (y *yamlLines) listLine(line []byte) bool {
	trimmed := bytes.TrimLeft(line, " ")
	depth := len(line) - len(trimmed)
	switch {
	case len(bytes.TrimSpace(trimmed)) == 0 || trimmed[0] == '#':
	case y.indent < 0:
		if !dash(trimmed) {
			return false // it is no list
		}
		y.indent = depth
		y.text = y.text[:0] // comments in front of the first
	case depth < y.indent, depth == y.indent && !dash(trimmed):
		return false
	case depth == y.indent:
		y.texts.Append(y.text)
		y.text = y.text[:0]
	}
	y.text = append(y.text, line...)
	return true
}

// begin begins a section with its first line.
func (y *yamlLines) begin(name string, line []byte, list bool) bool {
	if y.seen[name] {
		return false
	}
	y.seen[name] = true
	y.name, y.list, y.indent, y.texts = name, list, -1, nil
	if y.text = y.text[:0]; list && y.sp.kinds(name) {
		y.texts = y.sp.codec.New()
	} else {
		y.text = append(y.text, line...)
	}
	return true
}

// end ends the section, if there is one.
func (y *yamlLines) end() bool {
	switch {
	case y.name == "":
		return len(y.seen) == 0
	case y.texts != nil:
		if y.indent >= 0 {
			y.texts.Append(y.text)
		}
		y.d.lists[y.name] = &list{texts: y.texts, parse: parseOne}
		return true
	}
	top, err := parse(y.text)
	if err != nil || len(top) != 1 {
		return false
	}
	y.d.top[y.name] = top[y.name]
	return true
}

func dash(line []byte) bool {
	return line[0] == '-' && (len(line) == 1 || line[1] == ' ' || line[1] == '\n')
}

// parseOne parses a list of one.
func parseOne(text []byte) (any, error) {
	v, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	values, ok := v.([]any)
	if !ok || len(values) != 1 {
		return nil, fmt.Errorf("expected one entity in %.40q", text)
	}
	return values[0], nil
}
