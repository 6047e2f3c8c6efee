package payload

import (
	"fmt"
	"mime"
	"strings"
)

func (p *Payload) parseMultipart(body string) error {
	delimiter := "--" + p.boundary
	if !strings.HasPrefix(body, delimiter) {
		_, after, ok := strings.Cut(body, "\r\n"+delimiter)
		if !ok {
			return fmt.Errorf("%w: multipart body without its boundary", ErrMalformed)
		}
		body = after
	} else {
		body = body[len(delimiter):]
	}
	for {
		if strings.HasPrefix(body, "--") {
			p.epilogue = strings.TrimPrefix(body[2:], "\r\n")
			return nil
		}
		start, ok := strings.CutPrefix(strings.TrimLeft(body, " \t"), "\r\n")
		if !ok {
			return fmt.Errorf("%w: multipart boundary is followed by something else", ErrMalformed)
		}
		raw, after, ok := strings.Cut(start, "\r\n"+delimiter)
		if !ok {
			return fmt.Errorf("%w: multipart body ends within a part", ErrMalformed)
		}
		if len(p.items) == MaxArguments {
			return fmt.Errorf("%w: more than %d parts", ErrMalformed, MaxArguments)
		}
		head, value, ok := strings.Cut(raw, "\r\n\r\n")
		if !ok {
			if value, ok = strings.CutPrefix(raw, "\r\n"); !ok {
				return fmt.Errorf("%w: multipart part without an empty line", ErrMalformed)
			}
			head = ""
		}
		p.items = append(p.items, item{name: partName(head), value: value, text: true, raw: raw})
		body = after
	}
}

// partName returns the name in a part's Content-Disposition.
func partName(head string) string {
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if !strings.EqualFold(strings.TrimSpace(name), "Content-Disposition") {
			continue
		}
		if _, parameters, err := mime.ParseMediaType(value); err == nil {
			return parameters["name"]
		}
	}
	return ""
}

var quoteName = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "")

func (p *Payload) encodeMultipart() []byte {
	var b strings.Builder
	for i := range p.items {
		it := &p.items[i]
		b.WriteString("--" + p.boundary + "\r\n")
		if it.raw != "" {
			b.WriteString(it.raw)
		} else {
			b.WriteString(`Content-Disposition: form-data; name="` + quoteName.Replace(it.name) + "\"\r\n\r\n" + it.value)
		}
		b.WriteString("\r\n")
	}
	b.WriteString("--" + p.boundary + "--\r\n" + p.epilogue)
	return []byte(b.String())
}

// renamePart returns how an argument is sent under another name, "" to make it anew.
// A multipart part keeps its other header lines.
func renamePart(kind Kind, raw, from, to string) string {
	switch kind {
	case JSON:
		return raw
	case Multipart:
		head, value, _ := strings.Cut(raw, "\r\n\r\n")
		old := `name="` + quoteName.Replace(from) + `"`
		if strings.Count(head, old) >= 1 {
			at := strings.Index(head, old)
			// filename="..." ends in the same letters.
			for at > 0 && (head[at-1]|0x20 >= 'a' && head[at-1]|0x20 <= 'z') {
				next := strings.Index(head[at+1:], old)
				if next < 0 {
					return ""
				}
				at += 1 + next
			}
			return head[:at] + `name="` + quoteName.Replace(to) + `"` + head[at+len(old):] + "\r\n\r\n" + value
		}
	}
	return ""
}
