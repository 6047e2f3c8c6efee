package payload

import (
	"fmt"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

func (p *Payload) parseForm(body string) error {
	for arg, rest, ok := pdk.NextArg(body); ok; arg, rest, ok = pdk.NextArg(rest) {
		if len(p.items) == MaxArguments {
			return fmt.Errorf("%w: more than %d arguments", ErrMalformed, MaxArguments)
		}
		raw := arg.Name
		if arg.HasValue {
			raw += "=" + arg.Value
		}
		p.items = append(p.items, item{name: unescape(arg.Name), value: unescape(arg.Value), text: true, raw: raw})
	}
	return nil
}

func (p *Payload) encodeForm() []byte {
	var b []byte
	for i := range p.items {
		it := &p.items[i]
		if i > 0 {
			b = append(b, '&')
		}
		if it.raw != "" {
			b = append(b, it.raw...)
			continue
		}
		b = append(pdk.AppendEscaped(b, it.name), '=')
		b = pdk.AppendEscaped(b, it.value)
	}
	return b
}

func unescape(s string) string { return string(pdk.AppendUnescaped(make([]byte, 0, len(s)), s)) }
