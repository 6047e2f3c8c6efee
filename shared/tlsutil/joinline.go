package tlsutil

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// JoinLine is what a node is given to join a cluster: a token, the pin of the
// cluster's authority, and where the control plane is.
type JoinLine struct {
	// TokenID is no secret, Secret is.
	TokenID, Secret string
	Pin             Pin
	// Address is host:port.
	Address string
}

// joinMark begins every join line, so that scanners of leaked secrets know it.
const joinMark = "sluicejoin"

const (
	// Sizes of what is between the dots.
	tokenIDSize = 16 // 8 bytes in hex
	secretSize  = 43 // 32 bytes in base64
	// longestJoinLine bounds what is looked at.
	longestJoinLine = 512
)

// Token is the line without the address.
func (l JoinLine) Token() string {
	return strings.Join([]string{joinMark, l.TokenID, l.Secret, l.Pin.String()}, ".")
}

// String is the whole line: it holds a secret.
func (l JoinLine) String() string { return l.Token() + "@" + l.Address }

// ParseJoinLine reads TOKEN@host:port. Its errors do not show the secret.
func ParseJoinLine(text string) (l JoinLine, err error) {
	text = strings.TrimSpace(text)
	if len(text) > longestJoinLine {
		return l, fmt.Errorf("a join line has at most %d characters", longestJoinLine)
	}
	token, address, found := strings.Cut(text, "@")
	if !found {
		return l, errors.New("want TOKEN@host:port")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 4 || parts[0] != joinMark {
		return l, fmt.Errorf("the token is not of the form %s.ID.SECRET.HASH", joinMark)
	}
	l.TokenID, l.Secret, l.Address = parts[1], parts[2], address
	switch {
	case len(l.TokenID) != tokenIDSize || !only(l.TokenID, "0123456789abcdef"):
		return JoinLine{}, errors.New("the token's id is not 16 hexadecimal digits")
	case len(l.Secret) != secretSize || !only(l.Secret, alphabet):
		return JoinLine{}, errors.New("the token's secret is cut or has other characters")
	}
	if l.Pin, err = ParsePin(parts[3]); err != nil {
		return JoinLine{}, fmt.Errorf("the hash of the authority: %w", err)
	}
	if err := CheckAddress(address); err != nil {
		return JoinLine{}, err
	}
	return l, nil
}

// alphabet of base64 for URLs.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func only(s, characters string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(characters, r) }) < 0
}

// CheckAddress tells whether an address is of the form host:port.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("the address %q is not host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, " /@") {
		return fmt.Errorf("the address %q is not host:port", address)
	}
	return nil
}
