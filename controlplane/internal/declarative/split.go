package declarative

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// smallDocument is what is parsed as one piece, in bytes; a larger document is taken apart
// as it is read, so that it is never there as objects. Tests make it smaller.
var smallDocument int64 = 4 << 20

var errNoObject = errors.New("expected an object")

// list are the entities of a list at the top of a document: as values, or as texts that are
// parsed when they are needed.
type list struct {
	values []any
	texts  *spool.Spool
	parse  func(text []byte) (any, error)
}

// take calls fn for the entities, which are not there any more then.
func (l *list) take(fn func(i int, v any)) error {
	for i, v := range l.values {
		fn(i, v)
	}
	l.values = nil
	if l.texts == nil {
		return nil
	}
	i := 0
	return l.texts.Drain(func(text []byte) error { //nolint:wrapcheck // it is this function's
		v, err := l.parse(text)
		if err != nil {
			return parseError{fmt.Errorf("%d: %w", i+1, err)}
		}
		fn(i, v)
		i++
		return nil
	})
}

// document is a document, taken apart.
type document struct {
	// top has what is not a list of entities.
	top schema.Object
	// lists are the entities by kind.
	lists map[string]*list
	// atOnce parses the document as one piece, for one whose parts can't be parsed on
	// their own; nil where that would not help.
	atOnce func() (*document, error)
}

func newDocument() *document { return &document{top: schema.Object{}, lists: map[string]*list{}} }

// splitter reads documents.
type splitter struct {
	// kinds are the names at the top that are lists of entities.
	kinds func(name string) bool
	codec *spool.Codec
	// large is called when a document turns out to be large.
	large func()
}

func (sp *splitter) read(r io.Reader) (*document, error) {
	d, err := sp.readParts(r)
	if err != nil {
		return nil, err
	}
	// Clients that send JSON put the document's text below "config".
	if text, ok := d.top["config"].(string); ok && d.top["_format_version"] == nil {
		return sp.readParts(strings.NewReader(text))
	}
	return d, nil
}

func (sp *splitter) readParts(r io.Reader) (*document, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var start bytes.Buffer
	n, err := io.CopyN(&start, in, smallDocument)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n < smallDocument {
		top, err := parse(start.Bytes())
		if err != nil {
			return nil, parseError{err}
		}
		return sp.whole(top), nil
	}
	sp.large()
	if text := bytes.TrimSpace(start.Bytes()); len(text) > 0 && text[0] == '{' {
		return sp.readJSON(io.MultiReader(&start, in))
	}
	return sp.readYAML(io.MultiReader(&start, in))
}

// parseError is the client's mistake, other errors are of the reader.
type parseError struct{ error }

func (e parseError) Unwrap() error { return e.error }

// whole takes a parsed document apart.
func (sp *splitter) whole(top schema.Object) *document {
	d := newDocument()
	for name, v := range top {
		if values, ok := v.([]any); ok && sp.kinds(name) {
			d.lists[name] = &list{values: values}
		} else {
			d.top[name] = v
		}
	}
	return d
}

// readJSON reads an object one entity at a time and keeps their texts.
func (sp *splitter) readJSON(r io.Reader) (*document, error) {
	d := newDocument()
	dec := json.NewDecoder(r)
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, parsing(err, errNoObject)
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, parsing(err, nil)
		}
		name, _ := t.(string)
		if !sp.kinds(name) {
			v, err := decodeNext(dec)
			if err != nil {
				return nil, err
			}
			d.top[name] = v
			continue
		}
		if err := sp.jsonList(d, dec, name); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, parsing(err, nil)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, parsing(err, errors.New("something follows the object"))
	}
	return d, nil
}

// jsonList reads what a kind is: a list, or a value that is no list and is refused later.
func (sp *splitter) jsonList(d *document, dec *json.Decoder, name string) error {
	t, err := dec.Token()
	if err != nil {
		return parsing(err, nil)
	}
	switch t {
	case json.Delim('['):
	case json.Delim('{'):
		if dec.More() {
			d.top[name] = "an object"
			return parseError{fmt.Errorf("%s: expected an array", name)}
		}
		d.top[name] = schema.Object{}
		_, err := dec.Token()
		return parsing(err, nil)
	default:
		d.top[name] = t
		return nil
	}
	texts := sp.codec.New()
	var text json.RawMessage
	for dec.More() {
		if err := dec.Decode(&text); err != nil {
			return parsing(err, nil)
		}
		texts.Append(text)
	}
	d.lists[name] = &list{texts: texts, parse: schema.DecodeJSON}
	_, err = dec.Token()
	return parsing(err, nil)
}

func decodeNext(dec *json.Decoder) (any, error) {
	var text json.RawMessage
	if err := dec.Decode(&text); err != nil {
		return nil, parsing(err, nil)
	}
	v, err := schema.DecodeJSON(text)
	return v, parsing(err, nil)
}

// parsing tells errors of the text from those of the reader, which are not JSON's.
func parsing(err, otherwise error) error {
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case err == nil && otherwise == nil:
		return nil
	case err == nil:
		return parseError{otherwise}
	case errors.As(err, &syntax):
		return parseError{fmt.Errorf("%w at byte %d", err, syntax.Offset)}
	case errors.As(err, &kind), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return parseError{err}
	case otherwise != nil:
		return parseError{otherwise}
	}
	return err
}
