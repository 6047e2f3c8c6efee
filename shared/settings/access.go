package settings

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// The accessors panic on a name that the plane does not have, or has as another
// kind: that is a mistake in the program.

// String returns a String, Address or URL, "" when it is unset.
func (s *Settings) String(name string) string { return get[string](s, name, String, Address, URL) }

// Bool returns a Bool.
func (s *Settings) Bool(name string) bool { return get[bool](s, name, Bool) }

// Int returns an Int.
func (s *Settings) Int(name string) int { return get[int](s, name, Int) }

// Share returns a Share.
func (s *Settings) Share(name string) float64 { return get[float64](s, name, Share) }

// Duration returns a Duration, 0 when it is unset.
func (s *Settings) Duration(name string) time.Duration {
	return get[time.Duration](s, name, Duration)
}

// Size returns a Size in bytes.
func (s *Settings) Size(name string) int64 { return get[int64](s, name, Size) }

// List returns the parts of a List or of Networks.
func (s *Settings) List(name string) []string { return get[[]string](s, name, List, Networks) }

// Labels returns the pairs of Labels.
func (s *Settings) Labels(name string) map[string]string {
	return get[map[string]string](s, name, Labels)
}

// Listeners returns the addresses of Listeners, none for "off".
func (s *Settings) Listeners(name string) []Listener { return get[[]Listener](s, name, Listeners) }

// Path returns an absolute Path, "" when it is unset.
func (s *Settings) Path(name string) string { return get[string](s, name, Path) }

// Log returns where a Log goes; a relative path is below the prefix.
func (s *Settings) Log(name string) LogTarget {
	target := get[LogTarget](s, name, Log)
	if !target.Off && !filepath.IsAbs(target.Path) {
		target.Path = filepath.Join(s.Path("prefix"), target.Path)
	}
	return target
}

// PEM reads the text of a PEM, nil when it is unset.
func (s *Settings) PEM(name string) ([]byte, error) {
	text := get[string](s, name, PEM)
	if text == "" {
		return nil, nil
	}
	return readPEM(name, text)
}

// AESKey reads an AESKey, nil when it is unset.
func (s *Settings) AESKey(name string) ([]byte, error) {
	text := get[string](s, name, AESKey)
	if text == "" {
		return nil, nil
	}
	return readAESKey(name, text)
}

// PEMs reads the texts of PEMs. The entry "system" of lua_ssl_trusted_certificate
// is left out: ask HasSystem.
func (s *Settings) PEMs(name string) ([][]byte, error) {
	var out [][]byte
	for _, text := range get[[]string](s, name, PEMs) {
		if text == "system" {
			continue
		}
		data, err := readPEM(name, text)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

// HasSystem reports whether the machine's own authorities are among the PEMs.
func (s *Settings) HasSystem(name string) bool {
	return slices.Contains(get[[]string](s, name, PEMs), "system")
}

// IsSet reports whether the operator, rather than the default, gave the value.
func (s *Settings) IsSet(name string) bool { return s.Source(name) != "default" }

// Source says where a value came from: a file and line, "environment NAME", "flag
// --name" or "default".
func (s *Settings) Source(name string) string {
	v, ok := s.values[name]
	if !ok {
		panic(fmt.Sprintf("settings: the %s has no key %s", s.plane, name))
	}
	return v.source
}

// File is the settings file that was read, "" for none.
func (s *Settings) File() string { return s.file }

// Args are the arguments that are no flags.
func (s *Settings) Args() []string { return s.args }

// Warnings are sentences to log once logging works.
func (s *Settings) Warnings() []string { return s.warnings }

func get[T any](s *Settings, name string, kinds ...Kind) T {
	k := lookup(s.plane, name)
	if k == nil {
		panic(fmt.Sprintf("settings: the %s has no key %s", s.plane, name))
	}
	if !slices.Contains(kinds, k.Kind) {
		panic(fmt.Sprintf("settings: %s is of another kind", name))
	}
	return s.parsed[name].(T)
}
