package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// What the command line may ask for instead of a start.
var (
	ErrHelp    = errors.New("help requested")
	ErrVersion = errors.New("version requested")
)

// DefaultFiles are looked for, in this order, when no --conf is given; the first
// that exists is read. The second lets a Kong machine's own file serve.
var DefaultFiles = []string{"/etc/sluice/sluice.conf", "/etc/kong/kong.conf"}

// Options say where to read from.
type Options struct {
	// Plane is ControlPlane or DataPlane.
	Plane Plane
	// Args are the command line without the program's name.
	Args []string
	// Environ is as from os.Environ.
	Environ []string
	// Files replaces DefaultFiles; nil means them, empty means none.
	Files []string
	// Pass are names of flags that belong to a command. Behind the first argument they are
	// left among the arguments, as they are.
	Pass []string
}

// value is a key's text and the place that it came from.
type value struct {
	text, source string
}

// Settings are the checked settings of one plane. They do not change.
type Settings struct {
	plane    Plane
	values   map[string]value
	parsed   map[string]any
	file     string
	args     []string
	warnings []string
}

// Load reads, merges and checks. Its errors are ErrHelp, ErrVersion, an *Error
// with every problem found, or that of a file that can't be read.
func Load(o Options) (*Settings, error) {
	if o.Plane != ControlPlane && o.Plane != DataPlane {
		panic("settings: Load needs one plane")
	}
	l := loader{Settings: Settings{plane: o.Plane, values: map[string]value{}, parsed: map[string]any{}}, environ: o.Environ, pass: o.Pass}
	flags, err := l.readFlags(o.Args)
	if err != nil {
		return nil, err
	}
	if err := l.readFiles(flags.conf, o.Files); err != nil {
		return nil, err
	}
	l.readEnviron()
	for _, f := range flags.values {
		l.set(f.name, f.text, "flag --"+f.name)
	}
	l.check()
	if len(l.problems) > 0 {
		return nil, &Error{Problems: l.problems}
	}
	return &l.Settings, nil
}

// loader is Settings in the making.
type loader struct {
	Settings
	environ  []string
	pass     []string
	problems []Problem
}

func (l *loader) problem(key, source, format string, args ...any) {
	l.problems = append(l.problems, Problem{Key: key, Source: source, Message: fmt.Sprintf(format, args...)})
}

func (l *loader) readFiles(conf string, defaults []string) error {
	if conf != "" {
		return l.readFile(conf)
	}
	if defaults == nil {
		defaults = DefaultFiles
	}
	for _, path := range defaults {
		err := l.readFile(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (l *loader) readFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	l.file = path
	var ignored []string
	lines, bad := parseFile(string(text))
	for _, line := range bad {
		l.problem("", fmt.Sprintf("%s:%d", path, line.number), "%q is not of the form key = value", line.text)
	}
	for _, line := range lines {
		source := fmt.Sprintf("%s:%d", path, line.number)
		switch l.known(line.key) {
		case mine:
			l.set(line.key, line.text, source)
		case others:
		case isKongs:
			ignored = append(ignored, line.key)
		case unknown:
			l.unknown(line.key, source, line.key)
		}
	}
	l.ignore("settings in "+path, ignored)
	return nil
}

func (l *loader) readEnviron() {
	var kongs, ignored []string
	environ := slices.Sorted(slices.Values(l.environ))
	for _, pair := range environ {
		name, text, ok := strings.Cut(pair, "=")
		key, found := strings.CutPrefix(name, "KONG_")
		if !ok || !found || isServiceLink(key) {
			continue
		}
		key = strings.ToLower(key)
		switch k := lookup(l.plane, key); {
		case k != nil && !k.Own:
			l.set(key, text, "environment "+name)
		case k == nil && lookup(BothPlanes, key) != nil:
			// The other plane's: one environment may serve both.
		default:
			kongs = append(kongs, name)
		}
	}
	l.ignore("environment variables", kongs)
	for _, pair := range environ {
		name, text, ok := strings.Cut(pair, "=")
		key, found := strings.CutPrefix(name, "SLUICE_")
		if !ok || !found || isServiceLink(key) || slices.Contains(outside, key) {
			continue
		}
		key = strings.ToLower(key)
		switch l.known(key) {
		case mine:
			l.set(key, text, "environment "+name)
		case others:
			ignored = append(ignored, name)
		case isKongs:
			l.problem(key, "environment "+name, "this setting of Kong has no meaning in Sluice")
		case unknown:
			l.unknown(key, "environment "+name, name)
		}
	}
	l.ignore("environment variables of the other plane", ignored)
}

// outside are names after SLUICE_ that belong to tests and scripts.
var outside = []string{"REFERENCE"}

func (l *loader) ignore(what string, names []string) {
	if len(names) > 0 {
		sort.Strings(names)
		l.warnings = append(l.warnings, fmt.Sprintf("ignored %s without a meaning here: %s", what, strings.Join(slices.Compact(names), ", ")))
	}
}

func (l *loader) unknown(key, source, shown string) {
	message := "unknown setting " + shown
	if near := nearest(l.plane, key); near != "" {
		message += "; did you mean " + strings.TrimSuffix(shown, shown[len(shown)-len(key):]) + matchCase(near, shown) + "?"
	}
	l.problem(key, source, "%s", message)
}

func matchCase(name, like string) string {
	if like == strings.ToUpper(like) {
		return strings.ToUpper(name)
	}
	return name
}

// set records a value; empty text takes the key back to its default.
func (l *loader) set(name, text, source string) {
	text = strings.TrimSpace(strings.ReplaceAll(text, `\#`, "#"))
	if text == "" {
		delete(l.values, name)
		return
	}
	l.values[name] = value{text: text, source: source}
}

func (l *loader) check() {
	for i := range keys {
		k := &keys[i]
		if k.Planes&l.plane == 0 {
			continue
		}
		v, ok := l.values[k.Name]
		if !ok {
			v = value{text: k.Default, source: "default"}
			l.values[k.Name] = v
		}
		text, err := dereference(v.text, l.environ)
		if err == nil {
			l.parsed[k.Name], err = parse(k, text)
		}
		if err != nil {
			shown := fmt.Sprintf("%q", v.text)
			if k.Secret {
				shown = "the value"
			}
			l.problem(k.Name, v.source, "%s: %s", shown, err)
		}
	}
	if len(l.problems) == 0 {
		l.checkTogether()
	}
}

// checkTogether holds the rules that span keys.
func (l *loader) checkTogether() {
	s := &l.Settings
	for _, cert := range []string{"cluster_cert", "ssl_cert", "admin_ssl_cert"} {
		key := cert + "_key"
		if lookup(l.plane, cert) == nil {
			continue
		}
		if s.IsSet(cert) && !s.IsSet(key) {
			l.problem(key, "default", "must be set with %s (%s)", cert, s.Source(cert))
		}
		if s.IsSet(key) && !s.IsSet(cert) {
			l.problem(cert, "default", "must be set with %s (%s)", key, s.Source(key))
		}
		if certs, ok := l.parsed[cert].([]string); ok {
			if n := len(l.parsed[key].([]string)); n > 0 && len(certs) > 0 && n != len(certs) {
				l.problem(key, s.Source(key), "has %d entries and %s has %d", n, cert, len(certs))
			}
		}
	}
	if s.String("cluster_mtls") == "pki" {
		for _, name := range []string{"cluster_cert", "cluster_ca_cert"} {
			if !s.IsSet(name) {
				l.problem(name, s.Source(name), "must be set when cluster_mtls is pki (%s)", s.Source("cluster_mtls"))
			}
		}
	}
	if prefix := s.Path("prefix"); !filepath.IsAbs(prefix) {
		l.problem("prefix", s.Source("prefix"), "%q is not an absolute path", prefix)
	}
}
