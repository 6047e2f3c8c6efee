package transport

import (
	"errors"
	"strconv"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

var (
	errMethod = errors.New("method of the upstream request is not a token")
	errTarget = errors.New("path or query of the upstream request has a byte that needs escaping")
	errField  = errors.New("header of the upstream request has an invalid name or a control byte")
)

// appendRequestHead appends the head of the upstream request. length is that of the
// body, -1 for a chunked one.
func appendRequestHead(b []byte, x *pdk.Exchange, upgrade bool, fallbackHost string, length int64) ([]byte, error) {
	u := &x.Upstream
	if !message.ValidMethod(u.Method) {
		return b, errMethod
	}
	b = append(b, u.Method...)
	b = append(b, ' ')
	path := u.Path
	if path == "" {
		path = "/"
	}
	b = append(b, path...)
	if !message.ValidTarget(path) || u.HasQuery && u.RawQuery != "" && !message.ValidTarget(u.RawQuery) {
		return b, errTarget
	}
	if u.HasQuery {
		b = append(b, '?')
		b = append(b, u.RawQuery...)
	}
	host := u.HostHeader
	if host == "" {
		host = fallbackHost
	}
	if !message.ValidValue(host) {
		return b, errField
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	if upgrade {
		b = append(b, "\r\nConnection: Upgrade\r\n"...)
	} else {
		b = append(b, "\r\nConnection: keep-alive\r\n"...)
	}
	framed := false
	for i, fields := 0, x.Request.Header.Fields(); i < len(fields); i++ {
		f := &fields[i]
		switch whose(f.Name) {
		case fieldOurs:
			continue
		case fieldUpgrade:
			if !upgrade {
				continue
			}
		case fieldLength:
			if !framed {
				framed = true
				b = appendFraming(b, length)
			}
			continue
		}
		if !message.ValidName(f.Name) || !message.ValidValue(f.Value) {
			return b, errField
		}
		b = append(b, f.Name...)
		b = append(b, ':', ' ')
		b = append(b, f.Value...)
		b = append(b, '\r', '\n')
	}
	if !framed && length != 0 {
		b = appendFraming(b, length)
	}
	return append(b, '\r', '\n'), nil
}

func appendFraming(b []byte, length int64) []byte {
	if length < 0 {
		return append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, length, 10)
	return append(b, '\r', '\n')
}

// Who writes a field.
const (
	fieldTheirs = iota
	fieldOurs
	fieldLength
	fieldUpgrade
)

func whose(name string) int {
	switch len(name) {
	case 4:
		if pdk.EqualFold(name, "Host") {
			return fieldOurs
		}
	case 6:
		if pdk.EqualFold(name, "Expect") {
			return fieldOurs
		}
	case 7:
		if pdk.EqualFold(name, "Upgrade") {
			return fieldUpgrade
		}
	case 14:
		if pdk.EqualFold(name, "Content-Length") {
			return fieldLength
		}
	case 10, 16, 17:
		if message.HopByHop(name) {
			return fieldOurs
		}
	}
	return fieldTheirs
}
