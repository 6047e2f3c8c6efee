package message

import (
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// NextToken returns the first member of a comma list without its parameters, and
// the rest of the list. token is "" when there is none left.
func NextToken(list string) (token, rest string) {
	for list != "" {
		token, list, _ = strings.Cut(list, ",")
		token, _, _ = strings.Cut(token, ";")
		if token = trim(token); token != "" {
			return token, list
		}
	}
	return "", ""
}

// HasToken tells whether a comma list has a member, without regard to case.
func HasToken(list, token string) bool {
	for {
		var t string
		if t, list = NextToken(list); t == "" {
			return false
		}
		if pdk.EqualFold(t, token) {
			return true
		}
	}
}

// HopByHop tells whether a field belongs to one connection only, whatever
// Connection lists. Trailer, TE and Upgrade are not among them: what becomes of
// those is the walk's decision.
func HopByHop(name string) bool {
	switch len(name) {
	case 10:
		return pdk.EqualFold(name, "Connection") || pdk.EqualFold(name, "Keep-Alive")
	case 16:
		return pdk.EqualFold(name, "Proxy-Connection")
	case 17:
		return pdk.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// DropListed removes the fields that the Connection lines of h list. Fields that
// frame or route the message can not be listed away.
func DropListed(h *pdk.Header) {
	for nth := 0; ; nth++ {
		list, ok := connectionLine(h, nth)
		if !ok {
			return
		}
		for list != "" {
			var token string
			token, list = NextToken(list)
			if token != "" && !keepListed(token) {
				h.Del(token)
			}
		}
	}
}

func connectionLine(h *pdk.Header, nth int) (string, bool) {
	for _, f := range h.Fields() {
		if len(f.Name) == 10 && pdk.EqualFold(f.Name, "Connection") {
			if nth == 0 {
				return f.Value, true
			}
			nth--
		}
	}
	return "", false
}

func keepListed(token string) bool {
	switch len(token) {
	case 4:
		return pdk.EqualFold(token, "Host")
	case 5:
		return pdk.EqualFold(token, "close")
	case 7:
		return pdk.EqualFold(token, "Upgrade")
	case 10:
		return pdk.EqualFold(token, "keep-alive") || pdk.EqualFold(token, "Connection")
	case 14:
		return pdk.EqualFold(token, "Content-Length")
	case 17:
		return pdk.EqualFold(token, "Transfer-Encoding")
	}
	return false
}

// TrailerRefused tells whether a field may not stand in a trailer section.
func TrailerRefused(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer",
		"upgrade", "expect", "max-forwards", "content-encoding", "content-type", "content-range", "cache-control",
		"authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "cookie", "set-cookie",
		"range", "location", "age", "expires", "date", "vary", "retry-after":
		return true
	}
	return false
}
