// Package nodeid keeps the id of a process in its prefix, so that a node is the same one
// after a restart. Both planes have one, in the file that Kong uses.
package nodeid

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// File is the name of the file in the prefix.
const File = "kong.id"

// Load returns the id that is set, a UUID, else the one in the prefix, which is made
// once and made again when the file holds something else.
func Load(prefix, set string) (string, error) {
	if set != "" {
		if !valid(set) {
			return "", fmt.Errorf("node_id: %q is not a UUID", set)
		}
		return set, nil
	}
	path := filepath.Join(prefix, File)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read node id: %w", err)
	}
	if id := strings.TrimSpace(string(b)); err == nil && valid(id) {
		return id, nil
	}
	id := uuid.NewString()
	next := path + ".new"
	if err := os.WriteFile(next, []byte(id+"\n"), 0o640); err != nil {
		return "", fmt.Errorf("keep node id: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return "", fmt.Errorf("keep node id: %w", err)
	}
	return id, nil
}

func valid(id string) bool {
	_, err := uuid.Parse(id)
	return err == nil && len(id) == 36
}
