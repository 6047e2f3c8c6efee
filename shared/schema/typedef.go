package schema

import "math"

// Typed fields that recur in entities and plugins. Each returns a Field without a
// name: schema.Port().Named("port").Defaults(8000).

// UUID is a string that holds a UUID.
func UUID() Field { return Field{Type: String, UUID: true} }

// ID is the field "id": a UUID that is made when absent.
func ID() Field { return Field{Name: "id", Type: String, UUID: true, Auto: true} }

// CreatedAt is the field "created_at", in seconds, set once.
func CreatedAt() Field { return Timestamp().Named("created_at") }

// UpdatedAt is the field "updated_at", in seconds, set on each write.
func UpdatedAt() Field { return Timestamp().Named("updated_at") }

// Timestamp is a time in seconds that is filled in.
func Timestamp() Field { return Field{Type: Integer, Timestamp: true, Auto: true} }

// TimestampMillis is a time in seconds with milliseconds that is filled in.
func TimestampMillis() Field { return Field{Type: Number, Timestamp: true, Auto: true} }

// Tags is the field "tags".
func Tags() Field {
	return SetOf(Tag().AsRequired()).Named("tags")
}

// Tag is one tag.
func Tag() Field { return Field{Type: String, Check: onString(checkTag), CheckName: "tag"} }

// Name is a name of letters, digits and .-_~ or any other UTF-8.
func Name() Field {
	return Field{Type: String, Check: onString(checkName), CheckName: "utf8_name"}
}

// Host is a host name or an IP, without port.
func Host() Field { return Field{Type: String, Check: onString(checkHost), CheckName: "host"} }

// HostWithOptionalPort is a host name or an IP, with or without port.
func HostWithOptionalPort() Field {
	return Field{Type: String, Check: onString(checkHostPort), CheckName: "host_with_optional_port"}
}

// WildcardHost is a host name, with or without port, of which one label at an
// end may be "*".
func WildcardHost() Field {
	return Field{
		Type: String,
		MatchAny: &PatternSet{
			Patterns: []string{`^%*%.`, `%.%*$`, `^[^*]*$`},
			Err:      "invalid wildcard: must be placed at leftmost or rightmost label",
		},
		MatchAll:  []Pattern{{`^[^*]*%*?[^*]*$`, "invalid wildcard: must have at most one wildcard"}},
		Check:     onString(checkWildcardHost),
		CheckName: "wildcard_host",
	}
}

// SNI is a DNS name without port.
func SNI() Field { return Field{Type: String, Check: onString(checkSNI), CheckName: "sni"} }

// WildcardSNI is a DNS name without port, of which one end may be "*".
func WildcardSNI() Field {
	return Field{Type: String, Check: onString(checkWildcardSNI), CheckName: "wildcard_host"}
}

// IP is an IPv4 or IPv6 address.
func IP() Field { return Field{Type: String, Check: onString(checkIP), CheckName: "ip"} }

// IPOrCIDR is an address or a range in CIDR notation.
func IPOrCIDR() Field {
	return Field{Type: String, Check: onString(checkIPOrCIDR), CheckName: "ip_or_cidr"}
}

// CIDR is a range in CIDR notation.
func CIDR() Field { return Field{Type: String, Check: onString(checkCIDR), CheckName: "cidr_v4"} }

// Port is a TCP or UDP port.
func Port() Field { return Field{Type: Integer, Between: []float64{0, math.MaxUint16}} }

// Timeout is a time in milliseconds, 0 allowed.
func Timeout() Field { return Field{Type: Integer, Between: []float64{0, math.MaxInt32 - 1}} }

// Path is the path of a URL.
func Path() Field {
	return Field{
		Type:       String,
		StartsWith: "/",
		MatchNone:  []Pattern{{"//", "must not have empty segments"}},
		Check:      onString(checkPath),
		CheckName:  "path",
	}
}

// RouterPath is the path of a route: fixed, or a regex that starts with "~/". Beyond
// Kong "=/foo" is a path of whole segments: /foo and what is below it, but not /foobar.
func RouterPath() Field {
	return Field{
		Type:      String,
		MatchAny:  &PatternSet{Patterns: []string{"^/", "^~/"}, Err: "should start with: / (fixed path) or ~/ (regex path)", Beyond: []string{"^=/"}},
		MatchNone: []Pattern{{"//", "must not have empty segments"}},
		Check:     onString(checkRouterPath),
		CheckName: "router_path",
	}
}

// URL is a URL with scheme and host.
func URL() Field { return Field{Type: String, Check: onString(checkURL), CheckName: "url"} }

// HeaderName is the name of an HTTP header.
func HeaderName() Field {
	return Field{Type: String, Check: onString(checkHeaderName), CheckName: "header_name"}
}

// CookieName is the name of a cookie.
func CookieName() Field {
	return Field{Type: String, Check: onString(checkCookieName), CheckName: "cookie_name"}
}

// HTTPMethod is an HTTP method in capitals.
func HTTPMethod() Field { return Field{Type: String, Match: "^%u+$"} }

// ValidRegex is a regular expression that must compile.
func ValidRegex() Field { return Field{Type: String, IsRegex: true} }

// Certificate is an X.509 certificate in PEM.
func Certificate() Field {
	return Field{Type: String, Check: onString(checkCertificate), CheckName: "certificate"}
}

// Key is a private key in PEM.
func Key() Field { return Field{Type: String, Check: onString(checkKey), CheckName: "key"} }

// Protocols is the field "protocols": a set of some of the known ones.
func Protocols(known []string, defaults ...string) Field {
	f := SetOf(OneOf(known...)).Named("protocols").AsRequired()
	list := make([]any, len(defaults))
	for i, d := range defaults {
		list[i] = d
	}
	f.Default = list
	return f
}

// AllProtocols are the protocols of services, routes and plugins.
var AllProtocols = []string{"grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"}

// HTTPProtocols are those that carry HTTP.
var HTTPProtocols = []string{"grpc", "grpcs", "http", "https"}
