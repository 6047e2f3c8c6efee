package declarative

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// A large YAML document is taken apart by its lines: sections begin at the left margin,
// entities of a list with a dash at the indent of its first. Anything that lines do not
// tell (anchors, tags, several documents, quoted names, lists in brackets) makes the
// document be parsed as one piece, as does a part that can't be parsed on its own.

var (
	sectionLine = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*):[ \t]*(#.*)?$`)
	valueLine   = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*):[ \t]+[^ \t#|>&*!\[{].*$`)
)

// tangled finds anchors, aliases, tags and merge keys, and takes some harmless texts for
// them.
func tangled(text []byte) bool {
	for at := 0; ; at++ {
		n := bytes.IndexAny(text[at:], "&*!")
		if n < 0 {
			return bytes.Contains(text, []byte("<<:"))
		}
		if at += n; at+1 < len(text) && text[at+1] > ' ' && (at == 0 || bytes.IndexByte([]byte(" \n,[{-"), text[at-1]) >= 0) {
			return true
		}
	}
}

func readYAML(text []byte, kinds func(name string) bool) (*document, error) {
	atOnce := func() (*document, error) {
		top, err := parse(text)
		if err != nil {
			return nil, parseError{err}
		}
		return whole(top, kinds), nil
	}
	d := splitYAML(text, kinds)
	if d == nil {
		return atOnce()
	}
	d.atOnce = atOnce
	return d, nil
}

// part is a piece of a document at the left margin.
type part struct {
	name string
	from int // of its first line
	list bool
}

// splitYAML returns nil when lines do not tell enough.
func splitYAML(text []byte, kinds func(name string) bool) *document {
	if tangled(text) || bytes.IndexByte(text, '\t') >= 0 || bytes.Contains(text, []byte("\r")) {
		return nil
	}
	parts := sections(text)
	if parts == nil {
		return nil
	}
	d := &document{top: schema.Object{}, lists: map[string][]item{}}
	seen := map[string]bool{}
	for i, p := range parts {
		to := len(text)
		if i+1 < len(parts) {
			to = parts[i+1].from
		}
		if seen[p.name] {
			return nil
		}
		seen[p.name] = true
		if p.list && kinds(p.name) {
			items, ok := listItems(text[p.from:to])
			if !ok {
				return nil
			}
			d.lists[p.name] = items
			continue
		}
		top, err := parse(text[p.from:to])
		if err != nil || len(top) != 1 {
			return nil
		}
		d.top[p.name] = top[p.name]
	}
	return d
}

// sections finds what begins at the left margin.
func sections(text []byte) []part {
	var parts []part
	for at := 0; at < len(text); {
		end := lineEnd(text, at)
		line := bytes.TrimRight(text[at:end], "\n")
		switch {
		case len(line) == 0 || line[0] == ' ' || line[0] == '#':
		case line[0] == '-' && len(line) > 1 && line[1] == ' ' && len(parts) > 0 && parts[len(parts)-1].list:
		case len(parts) == 0 && string(line) == "---":
		case sectionLine.Match(line):
			parts = append(parts, part{string(sectionLine.FindSubmatch(line)[1]), at, true})
		case valueLine.Match(line):
			parts = append(parts, part{string(valueLine.FindSubmatch(line)[1]), at, false})
		default:
			return nil
		}
		at = end
	}
	return parts
}

func lineEnd(text []byte, at int) int {
	if n := bytes.IndexByte(text[at:], '\n'); n >= 0 {
		return at + n + 1
	}
	return len(text)
}

// listItems takes a section apart; its first line is its name.
func listItems(section []byte) ([]item, bool) {
	var starts []int
	indent := -1
	for at := lineEnd(section, 0); at < len(section); {
		end := lineEnd(section, at)
		line := section[at:end]
		trimmed := bytes.TrimLeft(line, " ")
		depth := len(line) - len(trimmed)
		switch {
		case len(bytes.TrimSpace(trimmed)) == 0 || trimmed[0] == '#':
		case indent < 0:
			if !dash(trimmed) {
				return nil, false // it is no list
			}
			indent = depth
			starts = append(starts, at)
		case depth < indent, depth == indent && !dash(trimmed):
			return nil, false
		case depth == indent:
			starts = append(starts, at)
		}
		at = end
	}
	items := make([]item, len(starts))
	for i, from := range starts {
		to := len(section)
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		items[i] = yamlItem(section[from:to])
	}
	return items, true
}

func dash(line []byte) bool {
	return line[0] == '-' && (len(line) == 1 || line[1] == ' ' || line[1] == '\n')
}

// yamlItem parses a list of one.
func yamlItem(text []byte) item {
	return func() (any, error) {
		v, err := parseYAML(text)
		if err != nil {
			return nil, err
		}
		list, ok := v.([]any)
		if !ok || len(list) != 1 {
			return nil, fmt.Errorf("expected one entity in %.40q", text)
		}
		return list[0], nil
	}
}
