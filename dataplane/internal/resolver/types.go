package resolver

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Type is a type of records, or a way to choose one.
type Type uint8

// Types. Last stands for the type that a name was found with before; Hosts is that of
// answers from the hosts file.
const (
	Last Type = iota + 1
	SRV
	A
	AAAA
	CNAME
	Hosts
)

var typeNames = map[Type]string{Last: "LAST", SRV: "SRV", A: "A", AAAA: "AAAA", CNAME: "CNAME", Hosts: "hosts"}

// String returns the name that users write.
func (t Type) String() string { return typeNames[t] }

// ParseOrder reads a list such as LAST, SRV, A, CNAME.
func ParseOrder(names []string) ([]Type, error) {
	var out []Type
	for _, name := range names {
		found := Type(0)
		for t, n := range typeNames {
			if t != Hosts && strings.EqualFold(n, strings.TrimSpace(name)) {
				found = t
			}
		}
		if found == 0 {
			return nil, fmt.Errorf("%q is not one of LAST, SRV, A, AAAA and CNAME", name)
		}
		out = append(out, found)
	}
	return out, nil
}

// code is the type's number on the wire.
func (t Type) code() uint16 {
	switch t {
	case SRV:
		return dns.TypeSRV
	case AAAA:
		return dns.TypeAAAA
	case CNAME:
		return dns.TypeCNAME
	default:
		return dns.TypeA
	}
}
