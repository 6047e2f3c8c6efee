package settings

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LogTarget is where a log of lines goes.
type LogTarget struct {
	// Off is true for no log at all.
	Off bool
	// Path may be /dev/stdout or /dev/stderr; it is relative to the prefix, or absolute.
	Path string
	// Format is the name after the path, "" for the default.
	Format string
}

// parse turns text into what the accessor of the key's kind returns.
func parse(k *Key, text string) (any, error) {
	switch k.Kind {
	case String:
		return parseString(k, text)
	case Bool:
		return parseBool(text)
	case Int:
		return parseInt(k, text)
	case Share:
		return parseShare(text)
	case Duration:
		return parseDuration(text)
	case Size:
		return parseSize(text)
	case List:
		return parseList(k, text)
	case Networks:
		return parseNetworks(text)
	case Labels:
		return parseLabels(text)
	case Listeners:
		return ParseListeners(text)
	case Address:
		return text, checkAddress(text)
	case URL:
		return text, checkURL(text)
	case Path:
		if text == "" {
			return "", nil
		}
		return filepath.Abs(text)
	case Log:
		return parseLog(text)
	case PEM, AESKey:
		return text, nil
	case PEMs:
		return split(text), nil // PEM text and paths with commas do not mix; the text has none
	}
	panic(fmt.Sprintf("settings: %s has no kind", k.Name))
}

func parseString(k *Key, text string) (string, error) {
	switch {
	case k.Name == "ssl_protocols":
		for name := range strings.FieldsSeq(text) {
			if !slices.Contains(tlsNames, name) {
				return "", fmt.Errorf("%q is not one of: %s", name, strings.Join(tlsNames, ", "))
			}
		}
	case len(k.OneOf) > 0 && !slices.Contains(k.OneOf, text):
		return "", fmt.Errorf("expected one of: %s", strings.Join(k.OneOf, ", "))
	}
	return text, nil
}

func isBool(text string) bool {
	_, err := parseBool(text)
	return err == nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "on", "true", "yes":
		return true, nil
	case "off", "false", "no":
		return false, nil
	}
	return false, errors.New("expected on, off, true, false, yes or no")
}

func parseShare(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q is not a number from 0 to 1", text)
	}
	return v, nil
}

func parseInt(k *Key, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("expected a whole number")
	}
	if (k.Min != 0 || k.Max != 0) && (n < k.Min || n > k.Max) {
		return 0, fmt.Errorf("expected a number between %d and %d", k.Min, k.Max)
	}
	return n, nil
}

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// ParseDuration reads a time as settings have it: seconds, or numbers with units.
func ParseDuration(text string) (time.Duration, error) { return parseDuration(text) }

// parseDuration reads seconds, or a chain of numbers with units such as 1h30m.
func parseDuration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	wrong := errors.New("expected seconds, or a time such as 500ms, 30s, 5m, 1h or 1d")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return scale(seconds, time.Second, wrong)
	}
	var total time.Duration
	for rest := text; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		number, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return 0, wrong
		}
		rest = rest[digits:]
		letters := strings.IndexAny(rest, "0123456789.")
		if letters < 0 {
			letters = len(rest)
		}
		unit, ok := durationUnits[rest[:letters]]
		if !ok {
			return 0, wrong
		}
		part, err := scale(number, unit, wrong)
		if err != nil || total+part < total {
			return 0, wrong
		}
		total += part
		rest = rest[letters:]
	}
	return total, nil
}

func scale(number float64, unit time.Duration, wrong error) (time.Duration, error) {
	product := number * float64(unit)
	if math.IsNaN(product) || product < 0 || product >= math.MaxInt64 {
		return 0, wrong
	}
	return time.Duration(product), nil
}

func parseSize(text string) (int64, error) {
	shift := 0
	number := strings.ToLower(text)
	for unit, bits := range map[string]int{"k": 10, "m": 20, "g": 30} {
		if rest, ok := strings.CutSuffix(number, unit); ok {
			number, shift = rest, bits
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, errors.New("expected a number of bytes such as 0, 8k, 10m or 1g")
	}
	return n << shift, nil
}

func split(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// parseList writes each part as OneOf does, whatever its case was.
func parseList(k *Key, text string) ([]string, error) {
	out := split(text)
	if len(k.OneOf) == 0 {
		return out, nil
	}
	for i, part := range out {
		at := slices.IndexFunc(k.OneOf, func(s string) bool { return strings.EqualFold(s, part) })
		if at < 0 {
			return nil, fmt.Errorf("%q is not one of: %s", part, strings.Join(k.OneOf, ", "))
		}
		out[i] = k.OneOf[at]
	}
	if slices.Contains(out, "off") && len(out) > 1 {
		return nil, errors.New("off stands alone")
	}
	return out, nil
}

func parseNetworks(text string) ([]string, error) {
	out := split(text)
	for _, part := range out {
		if part == "unix:" {
			continue
		}
		if _, err := netip.ParsePrefix(part); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(part); err != nil {
			return nil, fmt.Errorf("%q is neither an IP address nor a CIDR range nor the word unix:, which stands for sockets", part)
		}
	}
	return out, nil
}

func parseLabels(text string) (map[string]string, error) {
	out := map[string]string{}
	for _, part := range split(text) {
		name, v, ok := strings.Cut(part, ":")
		name, v = strings.TrimSpace(name), strings.TrimSpace(v)
		if !ok || !isLabel(name) || !isLabel(v) {
			return nil, fmt.Errorf("%q is not of the form key:value, each 1 to 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends", part)
		}
		out[name] = v
	}
	return out, nil
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		inside := i > 0 && i < len(s)-1
		if !alphanumeric && (!inside || !strings.ContainsRune("-_.", rune(c))) {
			return false
		}
	}
	return true
}

func checkAddress(text string) error {
	if text == "" {
		return nil // unset
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || strings.ContainsAny(host, "/@ ") {
		return errors.New("expected host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q is not a port", port)
	}
	return nil
}

func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("expected a URL that begins with http:// or https://")
	}
	return nil
}

func parseLog(text string) (LogTarget, error) {
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0 || len(fields) == 1 && fields[0] == "off":
		return LogTarget{Off: true}, nil
	case len(fields) > 2:
		return LogTarget{}, errors.New("expected off, or a path and at most one format name")
	}
	target := LogTarget{Path: fields[0]}
	if len(fields) == 2 {
		target.Format = fields[1]
	}
	return target, nil
}
