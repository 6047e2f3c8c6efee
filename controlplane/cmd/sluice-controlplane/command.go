package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// verb is one thing that the program does.
type verb struct {
	// words name it, such as "token create".
	words string
	// args are the names of its arguments; one that ends in ... takes the rest.
	args []string
	// about is one line for the list of commands, help is what --help says besides.
	about, help string
	// flags adds the command's own flags; nil adds none.
	flags func(*flag.FlagSet)
	run   func(ctx context.Context, c *call) error
}

// call is a verb with what it was given.
type call struct {
	s         *settings.Settings
	args      []string
	flags     *flag.FlagSet
	out, errs io.Writer
}

// is tells whether a flag that takes no value was given.
func (c *call) is(name string) bool { return c.flags.Lookup(name).Value.String() == "true" }

// text of a flag.
func (c *call) text(name string) string { return c.flags.Lookup(name).Value.String() }

// usageError is a mistake in the words of the command line.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
	exitFound  = 3 // verify has found something wrong
)

// find returns the command that words begin with, and the rest of them.
func find(words []string) (*verb, []string, error) {
	if len(words) == 0 {
		return &commands[0], nil, nil
	}
	var best *verb
	var size int
	var below []string
	for i := range commands {
		name := strings.Fields(commands[i].words)
		if len(words) >= len(name) && len(name) > size && slices.Equal(words[:len(name)], name) {
			best, size = &commands[i], len(name)
		}
		if len(name) > 1 && name[0] == words[0] {
			below = append(below, commands[i].words)
		}
	}
	// A word more than "nodes" is a command below it, or wrong.
	if len(below) > 0 && size < 2 && (best == nil || len(words) > 1 && !strings.HasPrefix(words[1], "-")) {
		return nil, nil, &usageError{fmt.Sprintf("%s: want one of: %s", words[0], strings.Join(below, ", "))}
	}
	if best != nil {
		return best, words[size:], nil
	}
	return nil, nil, &usageError{fmt.Sprintf("unknown command %q; --help lists the commands", words[0])}
}

// parse reads flags and arguments, which may be mixed.
func (c *verb) parse(words []string) (args []string, flags *flag.FlagSet, err error) {
	flags = flag.NewFlagSet(c.words, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if c.flags != nil {
		c.flags(flags)
	}
	for {
		err := flags.Parse(words)
		if errors.Is(err, flag.ErrHelp) {
			return nil, nil, flag.ErrHelp
		}
		if err != nil {
			return nil, nil, &usageError{fmt.Sprintf("%s: %v", c.words, err)}
		}
		if flags.NArg() == 0 {
			break
		}
		args, words = append(args, flags.Arg(0)), flags.Args()[1:]
	}
	for i, name := range c.args {
		if strings.HasSuffix(name, "...") {
			return args, flags, nil
		}
		if len(args) <= i {
			return nil, nil, &usageError{fmt.Sprintf("%s: %s is missing", c.words, name)}
		}
	}
	if len(args) > len(c.args) {
		return nil, nil, &usageError{fmt.Sprintf("%s: %q is too much", c.words, args[len(c.args)])}
	}
	return args, flags, nil
}

// usage is what --help of a command says.
func (c *verb) usage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s %s", program, c.synopsis())
	flags := flag.NewFlagSet(c.words, flag.ContinueOnError)
	if c.flags != nil {
		c.flags(flags)
		b.WriteString(" [FLAGS]")
	}
	fmt.Fprintf(&b, "\n\n%s.\n", strings.ToUpper(c.about[:1])+c.about[1:])
	if c.help != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(c.help))
	}
	if c.flags != nil {
		b.WriteString("\nFlags:\n")
		flags.VisitAll(func(f *flag.Flag) {
			value, text := flag.UnquoteUsage(f)
			fmt.Fprintf(&b, "  --%-20s %s\n", strings.TrimSpace(f.Name+" "+value), text)
		})
	}
	b.WriteString("\nSettings such as --prefix say which control plane is meant, as for a start.\n")
	return b.String()
}

func (c *verb) synopsis() string {
	return strings.Join(append([]string{c.words}, c.args...), " ")
}

// list is the part of --help that names the commands.
func list() string {
	var b strings.Builder
	b.WriteString("\nCommands (each has --help):\n")
	for i := range commands {
		fmt.Fprintf(&b, "  %-32s %s\n", commands[i].synopsis(), commands[i].about)
	}
	b.WriteString("\nExit codes: 0 done, 1 failed, 2 wrong words on the command line, 3 verify found something wrong.\n")
	return b.String()
}

// flagNames are the flags of all commands, which are no settings.
func flagNames() []string {
	names := []string{"help", "h"}
	for i := range commands {
		if commands[i].flags == nil {
			continue
		}
		set := flag.NewFlagSet("", flag.ContinueOnError)
		commands[i].flags(set)
		set.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	}
	return names
}
