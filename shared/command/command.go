// Package command holds the commands that both programs have: asking one that runs for
// its health, draining a node, printing an example file of all settings, and those words
// of Kong's command line that its container files and scripts use. It owns what they
// print and refuse; it starts nothing and reads no settings by itself.
package command

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Words brings the arguments that are no flags into the form of our own commands, so that
// the commands of Kong's container files serve: a leading "kong" is dropped, and
// docker-start is start.
func Words(args []string) []string {
	words := slices.Clone(args)
	if len(words) > 0 && words[0] == "kong" {
		words = words[1:]
	}
	if len(words) > 0 && words[0] == "docker-start" {
		words[0] = "start"
	}
	return words
}

// Migrations answers `migrations bootstrap|up|finish|list|status` of Kong, which container
// files run before they start it. Words behind the first are ignored, as Kong does with
// "up && kong migrations finish" in a file without a shell. It refuses what would remove
// something.
func Migrations(words []string, out io.Writer) error {
	if len(words) == 0 {
		return errors.New("migrations: want bootstrap, up, finish, list or status")
	}
	switch words[0] {
	case "bootstrap", "up", "finish", "list", "status":
		_, err := fmt.Fprintf(out, "migrations %s: nothing to do, for there is no database: the control plane makes its store at its first start\n", words[0])
		return err
	}
	return fmt.Errorf("migrations %s: there is no database that this could be done to", strings.Join(words, " "))
}
