package declarative

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// smallDocument is what is parsed as one piece, in bytes; a larger document is taken apart
// as it is read, so that it is never there as objects. Tests make it smaller.
var smallDocument int64 = 4 << 20

var errNoObject = errors.New("expected an object")

// item is an entity of a list at the top of a document, which is parsed when it is needed.
type item func() (any, error)

// document is a document, taken apart.
type document struct {
	// top has what is not a list of entities.
	top schema.Object
	// lists are the entities by kind.
	lists map[string][]item
	// atOnce parses the document as one piece, for one whose parts can't be parsed on
	// their own; nil where that would not help.
	atOnce func() (*document, error)
}

// read reads a document. kinds are the names at the top that are lists of entities.
func read(r io.Reader, kinds func(name string) bool) (*document, error) {
	d, err := readParts(r, kinds)
	if err != nil {
		return nil, err
	}
	// Clients that send JSON put the document's text below "config".
	if text, ok := d.top["config"].(string); ok && d.top["_format_version"] == nil {
		return readParts(strings.NewReader(text), kinds)
	}
	return d, nil
}

func readParts(r io.Reader, kinds func(name string) bool) (*document, error) {
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
		return whole(top, kinds), nil
	}
	if text := bytes.TrimSpace(start.Bytes()); len(text) > 0 && text[0] == '{' {
		return readJSON(io.MultiReader(&start, in), kinds)
	}
	if _, err := start.ReadFrom(in); err != nil {
		return nil, err
	}
	return readYAML(start.Bytes(), kinds)
}

// parseError is the client's mistake, other errors are of the reader.
type parseError struct{ error }

func (e parseError) Unwrap() error { return e.error }

// whole takes a parsed document apart.
func whole(top schema.Object, kinds func(name string) bool) *document {
	d := &document{top: schema.Object{}, lists: map[string][]item{}}
	for name, v := range top {
		list, ok := v.([]any)
		if !ok || !kinds(name) {
			d.top[name] = v
			continue
		}
		items := make([]item, len(list))
		for i, e := range list {
			items[i] = func() (any, error) { return e, nil }
		}
		d.lists[name] = items
	}
	return d
}

// readJSON reads an object one entity at a time and keeps their texts.
func readJSON(r io.Reader, kinds func(name string) bool) (*document, error) {
	d := &document{top: schema.Object{}, lists: map[string][]item{}}
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
		if !kinds(name) {
			v, err := decodeNext(dec)
			if err != nil {
				return nil, err
			}
			d.top[name] = v
			continue
		}
		if err := d.jsonList(dec, name); err != nil {
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
func (d *document) jsonList(dec *json.Decoder, name string) error {
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
	items := []item{}
	for dec.More() {
		var text json.RawMessage
		if err := dec.Decode(&text); err != nil {
			return parsing(err, nil)
		}
		text = bytes.Clone(text)
		items = append(items, func() (any, error) { return schema.DecodeJSON(text) })
	}
	d.lists[name] = items
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
