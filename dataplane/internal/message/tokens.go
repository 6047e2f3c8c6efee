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

// TrailerRefused tells whether a field may not stand in a trailer section: what frames or
// routes a message, changes how it is read, says who sends it or is about its format (RFC
// 9110, 6.5.1), and what only makes sense to whoever sees the head.
func TrailerRefused(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer",
		"upgrade", "expect", "max-forwards", "content-encoding", "content-type", "content-range", "cache-control",
		"authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate", "cookie", "set-cookie",
		"range", "location", "age", "expires", "date", "vary", "retry-after", "pragma", "warning", "http2-settings":
		return true
	}
	return strings.HasPrefix(name, "if-")
}

// RequestTrailerRefused tells whether a client's trailer may not go on to an upstream that
// may read it as one of the head's fields: h is that head's. No trailer takes the name of a
// field that is there, nor one by which a gateway tells who the client is.
func RequestTrailerRefused(name string, h *pdk.Header) bool {
	if TrailerRefused(name) || h.Has(name) {
		return true
	}
	return Identifying(name)
}

// Identifying tells whether gateways tell upstreams about a client by a field of that name.
func Identifying(name string) bool {
	dashed := strings.ReplaceAll(strings.ToLower(name), "_", "-") // CGI can't tell them apart
	for _, known := range identifying {
		if strings.HasPrefix(dashed, known) {
			return true
		}
	}
	return false
}

// identifying are how names begin that gateways and their plugins tell upstreams about a
// client by, and that upstreams believe.
var identifying = []string{
	"x-forwarded", "forwarded", "x-real-ip", "via", "x-consumer", "x-credential", "x-anonymous-consumer", "x-authenticated",
	"x-kong-", "x-sluice-", "x-user", "x-client-", "x-ssl-", "x-original-", "x-rewrite-", "x-http-method", "true-client-ip", "proxy",
	"origin", "referer", "sec-", "apikey", "x-api-key",
}
