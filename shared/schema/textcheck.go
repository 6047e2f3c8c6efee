package schema

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// onString adapts a check of strings.
func onString(check func(string) error) func(any) error {
	return func(v any) error {
		if s, ok := v.(string); ok {
			return check(s)
		}
		return nil
	}
}

func checkTag(s string) error {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < utf8.RuneSelf && (c < ' ' || c > '~' || c == ',' || c == '/') {
			return fmt.Errorf("invalid tag '%s': expected printable ascii (except `,` and `/`) or valid utf-8 sequences", s)
		}
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("invalid tag '%s': expected printable ascii (except `,` and `/`) or valid utf-8 sequences", s)
	}
	return nil
}

func checkName(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("invalid value '%s': the only accepted ascii characters are alphanumerics or ., -, _, and ~", s)
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < utf8.RuneSelf && !isAlnum(c) && c != '.' && c != '-' && c != '_' && c != '~' {
			return fmt.Errorf("invalid value '%s': the only accepted ascii characters are alphanumerics or ., -, _, and ~", s)
		}
	}
	return nil
}

// checkPath: unreserved and reserved characters of RFC 3986, whole escapes.
func checkPath(s string) error {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isAlnum(c) && !strings.ContainsRune("-._~:/?#[]@!$&'()*+,;=%", rune(c)) {
			return fmt.Errorf("invalid path: '%s' (characters outside of the reserved list of RFC 3986 found)", s)
		}
	}
	return checkEscapes(s)
}

func checkEscapes(s string) error {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
			return fmt.Errorf("invalid url-encoded value: '%s'", s[i:min(i+3, len(s))])
		}
		i += 2
	}
	return nil
}

func checkRouterPath(s string) error {
	if !strings.HasPrefix(s, "~") {
		return checkFixedPath(strings.TrimPrefix(s, "="))
	}
	if _, err := CompileRegex(s[1:]); err != nil {
		return fmt.Errorf("invalid regex: '%s' (PCRE returned: %w)", s[1:], err)
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("could not parse url")
	case u.Host == "":
		return errors.New("missing host in url")
	case u.Scheme == "":
		return errors.New("missing scheme in url")
	}
	return nil
}

func checkHeaderName(s string) error {
	if !isAll(s, func(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }) {
		return fmt.Errorf("bad header name '%s', allowed characters are A-Z, a-z, 0-9, '_', and '-'", s)
	}
	return nil
}

func checkCookieName(s string) error {
	if !isAll(s, func(c byte) bool { return isAlnum(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 }) {
		return fmt.Errorf("bad cookie name '%s', allowed characters are A-Z, a-z, 0-9, '_', and '-'", s)
	}
	return nil
}
