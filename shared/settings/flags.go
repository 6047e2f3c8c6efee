package settings

import (
	"slices"
	"strings"
)

type flagValue struct{ name, text string }

type flagSet struct {
	conf   string
	values []flagValue
}

// readFlags takes --key value and --key=value, with dashes or underscores; a Bool
// alone is on. What is no flag is an argument, and so are flags of a command behind its
// name; -- ends the flags.
func (l *loader) readFlags(args []string) (flagSet, error) {
	var set flagSet
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			l.args = append(l.args, args[i+1:]...)
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			l.args = append(l.args, arg)
			continue
		}
		name, text, inline := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		name = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
		if len(l.args) > 0 && slices.Contains(l.pass, name) {
			l.args = append(l.args, arg)
			continue
		}
		switch name {
		case "h", "help":
			return set, ErrHelp
		case "v", "version":
			return set, ErrVersion
		case "c":
			name = "conf"
		}
		key := lookup(l.plane, name)
		if key == nil && name != "conf" {
			if next := i + 1; !inline && next < len(args) && !strings.HasPrefix(args[next], "-") {
				i = next
			}
			l.unknownFlag(name)
			continue
		}
		if !inline {
			next := i + 1
			has := next < len(args) && !strings.HasPrefix(args[next], "--")
			switch {
			case key != nil && key.Kind == Bool && (!has || !isBool(args[next])):
				text = "on"
			case has:
				text, i = args[next], next
			default:
				l.problem(name, "flag --"+name, "needs a value")
				continue
			}
		}
		if name == "conf" {
			set.conf = text
		} else {
			set.values = append(set.values, flagValue{name: name, text: text})
		}
	}
	return set, nil
}

func (l *loader) unknownFlag(name string) {
	source := "flag --" + name
	switch l.known(name) {
	case others:
		l.problem(name, source, "is a setting of the other plane")
	case isKongs:
		l.problem(name, source, "this setting of Kong has no meaning in Sluice")
	default:
		l.unknown(name, source, name)
	}
}
