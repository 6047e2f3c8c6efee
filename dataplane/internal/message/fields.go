package message

import (
	"bytes"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// maxFields bounds the number of field lines of one message.
const maxFields = 1000

// framing is what field lines say about the message's borders and the connection.
type framing struct {
	hosts, lengths, codings int
	host                    string
	length                  int64
	chunked                 bool
	close, keepAlive        bool
	upgradeListed           bool
	upgrade, expect         string
	trailers                bool
}

// fields parses field lines up to and including the empty line, which are all of b,
// and appends them to h. Host is kept out of h when keepHost is false.
func (f *framing) fields(b []byte, h *pdk.Header, keepHost bool) error {
	f.length = -1
	for n := 0; ; n++ {
		i := bytes.IndexByte(b, '\n')
		if i < 1 || b[i-1] != '\r' {
			return ErrLineEnd
		}
		if i > MaxLine {
			return ErrHeadTooLarge
		}
		line := view(b[:i-1])
		b = b[i+1:]
		if line == "" {
			if len(b) != 0 {
				return ErrLineEnd
			}
			return nil
		}
		if n == maxFields {
			return ErrTooManyFields
		}
		name, value, err := cutField(line)
		if err != nil {
			return err
		}
		known, err := f.note(name, value)
		if err != nil {
			return err
		}
		if known && !keepHost {
			continue
		}
		h.Add(name, value)
	}
}

// cutField splits a field line without its line end.
func cutField(line string) (name, value string, err error) {
	i := 0
	for i < len(line) && is(line[i], classToken) {
		i++
	}
	if i == len(line) || line[i] != ':' || i == 0 {
		if line[0] == ' ' || line[0] == '\t' {
			return "", "", ErrFold
		}
		return "", "", ErrFieldName
	}
	value = trim(line[i+1:])
	if !ValidValue(value) {
		return "", "", ErrFieldValue
	}
	return line[:i], value, nil
}

// note takes what a field says about framing. host is true for a Host line.
func (f *framing) note(name, value string) (host bool, err error) {
	switch len(name) {
	case 2:
		if pdk.EqualFold(name, "TE") && HasToken(value, "trailers") {
			f.trailers = true
		}
	case 4:
		if pdk.EqualFold(name, "Host") {
			f.hosts++
			f.host = value
			if f.hosts > 1 {
				return true, ErrHostTwice
			}
			return true, nil
		}
	case 6:
		if pdk.EqualFold(name, "Expect") {
			f.expect = value
		}
	case 7:
		if pdk.EqualFold(name, "Upgrade") {
			f.upgrade = value
		}
	case 10:
		if pdk.EqualFold(name, "Connection") {
			f.connection(value)
		}
	case 14:
		if pdk.EqualFold(name, "Content-Length") {
			f.lengths++
			if f.lengths > 1 {
				return false, ErrLengthTwice
			}
			n, ok := parseLength(value)
			if !ok {
				return false, ErrLength
			}
			f.length = n
		}
	case 17:
		if pdk.EqualFold(name, "Transfer-Encoding") {
			f.codings++
			if f.codings > 1 {
				return false, ErrCodingTwice
			}
			if !pdk.EqualFold(value, "chunked") {
				return false, ErrCoding
			}
			f.chunked = true
		}
	}
	return false, nil
}

func (f *framing) connection(list string) {
	for list != "" {
		var token string
		token, list = NextToken(list)
		switch len(token) {
		case 5:
			f.close = f.close || pdk.EqualFold(token, "close")
		case 7:
			f.upgradeListed = f.upgradeListed || pdk.EqualFold(token, "upgrade")
		case 10:
			f.keepAlive = f.keepAlive || pdk.EqualFold(token, "keep-alive")
		}
	}
}

// parseLength reads up to 18 digits and nothing else.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		if !is(s[i], classDigit) {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// trim removes optional white space at both ends.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
