// Package payload reads and edits the arguments of a request or response body: a
// form, a JSON object or multipart parts. It keeps the order and the bytes of what is
// not touched. It refuses to read from a connection: bodies come whole.
package payload

import (
	"errors"
	"mime"
	"strings"
)

// Kind of a body.
type Kind uint8

// Kinds of bodies that have arguments.
const (
	None Kind = iota
	Form
	JSON
	Multipart
)

// ErrMalformed is in every error about a body that is not what its type says.
var ErrMalformed = errors.New("malformed body")

// MaxArguments bounds how many arguments a body may have.
const MaxArguments = 1000

// Payload is a body taken apart. It is not safe for concurrent use.
type Payload struct {
	kind     Kind
	boundary string
	items    []item
	// epilogue follows the last part of a multipart body.
	epilogue string
}

// item is one argument. raw is how it was sent, "" once it was changed or added.
type item struct {
	name  string
	value string // decoded; of JSON the text of a string, or the JSON of anything else
	text  bool   // of JSON: value is a string
	raw   string
}

// KindOf returns the kind that a Content-Type names.
func KindOf(contentType string) Kind {
	media, _, _ := strings.Cut(contentType, ";")
	switch media = strings.ToLower(strings.TrimSpace(media)); media {
	case "application/x-www-form-urlencoded":
		return Form
	case "multipart/form-data":
		return Multipart
	case "application/json":
		return JSON
	}
	return None
}

// Parse takes a body apart. A body without arguments, such as a JSON array, is an
// error; so is a kind of None.
func Parse(contentType string, body []byte) (*Payload, error) {
	p := &Payload{kind: KindOf(contentType)}
	switch p.kind {
	case Form:
		return p, p.parseForm(string(body))
	case JSON:
		return p, p.parseJSON(body)
	case Multipart:
		_, parameters, err := mime.ParseMediaType(contentType)
		if err != nil || parameters["boundary"] == "" {
			return nil, errors.Join(ErrMalformed, errors.New("multipart body without boundary"))
		}
		p.boundary = parameters["boundary"]
		return p, p.parseMultipart(string(body))
	}
	return nil, errors.New("content type has no arguments")
}

// Kind returns the kind of the body.
func (p *Payload) Kind() Kind { return p.kind }

// Len returns the number of arguments.
func (p *Payload) Len() int { return len(p.items) }

// Get returns the value of the first argument of that name. Of JSON it is the text
// of a string, or the JSON of anything else; text tells which.
func (p *Payload) Get(name string) (value string, text, ok bool) {
	for i := range p.items {
		if p.items[i].name == name {
			return p.items[i].value, p.items[i].text, true
		}
	}
	return "", false, false
}

// Count returns the number of arguments of that name.
func (p *Payload) Count(name string) int {
	n := 0
	for i := range p.items {
		if p.items[i].name == name {
			n++
		}
	}
	return n
}

// Has tells whether there is an argument of that name.
func (p *Payload) Has(name string) bool { return p.Count(name) > 0 }

// Del removes the arguments of that name and tells whether there were any.
func (p *Payload) Del(name string) bool {
	kept := p.items[:0]
	for _, it := range p.items {
		if it.name != name {
			kept = append(kept, it)
		}
	}
	changed := len(kept) < len(p.items)
	p.items = kept
	return changed
}

// Set replaces the first argument of that name by a string, keeping its place, and
// removes the others; without one it adds an argument at the end.
func (p *Payload) Set(name, value string) { p.set(item{name: name, value: value, text: true}) }

// SetJSON does what Set does with a value that is JSON already. Of other kinds it
// sets the text.
func (p *Payload) SetJSON(name, value string) { p.set(item{name: name, value: value}) }

func (p *Payload) set(it item) {
	for i := range p.items {
		if p.items[i].name != it.name {
			continue
		}
		p.items[i] = it
		kept := p.items[:i+1]
		for _, later := range p.items[i+1:] {
			if later.name != it.name {
				kept = append(kept, later)
			}
		}
		p.items = kept
		return
	}
	p.items = append(p.items, it)
}

// Add adds an argument at the end. Of JSON, the value becomes the last one of a list: of
// the list that is there, of one with the string that is there, or of a new one, as Kong
// has it.
func (p *Payload) Add(name, value string) { p.add(item{name: name, value: value, text: true}) }

// AddJSON does what Add does with a value that is JSON already.
func (p *Payload) AddJSON(name, value string) { p.add(item{name: name, value: value}) }

func (p *Payload) add(it item) {
	if p.kind != JSON {
		p.items = append(p.items, it)
		return
	}
	for i := range p.items {
		old := &p.items[i]
		if old.name != it.name {
			continue
		}
		before := old.json()
		if !old.text && !strings.HasPrefix(before, "[") {
			before = "[]"
		}
		old.value, old.text, old.raw = appendElement(before, it.json()), false, ""
		return
	}
	p.items = append(p.items, item{name: it.name, value: appendElement("[]", it.json())})
}

// Rename gives the arguments of a name another one, which replaces arguments that
// had it. It tells whether there were any.
func (p *Payload) Rename(from, to string) bool {
	if !p.Has(from) || from == to {
		return from == to && p.Has(from)
	}
	p.Del(to)
	for i := range p.items {
		if it := &p.items[i]; it.name == from {
			it.raw, it.name = renamePart(p.kind, it.raw, it.name, to), to
		}
	}
	return true
}

// Encode puts the body together again. Its Content-Type stays as it was.
func (p *Payload) Encode() []byte {
	switch p.kind {
	case Form:
		return p.encodeForm()
	case Multipart:
		return p.encodeMultipart()
	}
	return p.encodeJSON()
}
