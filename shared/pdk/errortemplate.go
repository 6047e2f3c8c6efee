package pdk

import (
	"errors"
	"strings"
)

// ErrorTemplates replace the bodies of the gateway's own errors, by their form. The zero
// value replaces none. They are not changed any more once exchanges use them.
type ErrorTemplates struct {
	forms [errorGRPC]*errorTemplate
}

// errorTemplate is what is before, between and behind the message and the request's id.
type errorTemplate struct {
	pieces []string
}

var errTemplate = errors.New("may have one %s for the message, a second one for the request's id, and %% for a percent sign")

// Set replaces the body of a form. In text, the first %s is the message and a second one the
// request's id; %% is a percent sign.
func (t *ErrorTemplates) Set(form ErrorType, text string) error {
	var e errorTemplate
	var piece strings.Builder
	for text != "" {
		before, rest, found := strings.Cut(text, "%")
		piece.WriteString(before)
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(rest, "%"):
			piece.WriteByte('%')
		case strings.HasPrefix(rest, "s") && len(e.pieces) < 2:
			e.pieces = append(e.pieces, piece.String())
			piece.Reset()
		default:
			return errTemplate
		}
		text = rest[1:]
	}
	e.pieces = append(e.pieces, piece.String())
	t.forms[form] = &e
	return nil
}

// appendBody appends the error to b, in the form's template if it has one.
func (t *ErrorTemplates) appendBody(b []byte, form ErrorType, message, requestID string) []byte {
	if t == nil || form >= errorGRPC || t.forms[form] == nil {
		return form.appendBody(b, message, requestID)
	}
	for i, piece := range t.forms[form].pieces {
		switch i {
		case 1:
			b = form.appendText(b, message)
		case 2:
			b = append(b, requestID...)
		}
		b = append(b, piece...)
	}
	return b
}

// appendText appends s as what stands in the form's text or, with JSON, between quotes.
func (e ErrorType) appendText(b []byte, s string) []byte {
	switch e {
	case ErrorHTML, ErrorXML:
		return appendMarkup(b, s)
	case ErrorJSON:
		quoted := AppendQuoted(nil, s)
		return append(b, quoted[1:len(quoted)-1]...)
	case ErrorText, errorGRPC:
	}
	return append(b, s...)
}
