package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

func (p *Payload) parseJSON(body []byte) error {
	d := json.NewDecoder(bytes.NewReader(body))
	open, err := d.Token()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if open != json.Delim('{') {
		return fmt.Errorf("%w: not a JSON object", ErrMalformed)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if len(p.items) == MaxArguments {
			return fmt.Errorf("%w: more than %d arguments", ErrMalformed, MaxArguments)
		}
		it := item{name: key.(string), value: string(value), raw: string(value)}
		if value[0] == '"' {
			if err := json.Unmarshal(value, &it.value); err != nil {
				return fmt.Errorf("%w: %w", ErrMalformed, err)
			}
			it.text = true
		}
		// Of names that repeat the last one counts, as everywhere in JSON.
		p.Del(it.name)
		p.items = append(p.items, it)
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: something follows the JSON object", ErrMalformed)
	}
	return nil
}

func (p *Payload) encodeJSON() []byte {
	b := []byte{'{'}
	for i := range p.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(pdk.AppendQuoted(b, p.items[i].name), ':')
		b = append(b, p.items[i].json()...)
	}
	return append(b, '}')
}

// json returns the value as JSON.
func (it *item) json() string {
	switch {
	case it.raw != "":
		return it.raw
	case it.text:
		return string(pdk.AppendQuoted(nil, it.value))
	}
	return it.value
}

// appendElement appends to a list, or makes a list of two.
func appendElement(old, more string) string {
	if strings.HasPrefix(old, "[") {
		old = strings.TrimSpace(old[1 : len(old)-1])
		if old == "" {
			return "[" + more + "]"
		}
		return "[" + old + "," + more + "]"
	}
	return "[" + old + "," + more + "]"
}
