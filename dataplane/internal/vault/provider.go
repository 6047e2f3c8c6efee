package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// MaxFile is the longest file that is read as a secret, in bytes.
const MaxFile = 1 << 20

// env reads an environment variable, whose name is in capitals with _ for -. Version 2 is
// the one with _PREVIOUS.
func (v *Vaults) env(c *entity.VaultConfig, r schema.Reference) (string, error) {
	name := strings.ToUpper(strings.ReplaceAll(c.Prefix+r.Resource, "-", "_"))
	if r.Version == 2 {
		name += "_PREVIOUS"
	}
	value, ok := v.o.LookupEnv(name)
	if !ok {
		return "", ErrNotFound
	}
	return value, nil
}

// file reads a file below the vault's folder, without a line break at its end. The last
// part of the path is a field of the file before it when there is no such file.
func (v *Vaults) file(c *entity.VaultConfig, r schema.Reference) (value, key string, err error) {
	folder := c.Path
	if folder == "" {
		folder = v.o.FilePath
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return "", "", fmt.Errorf("no value found (%w)", reason(err))
	}
	defer func() { _ = root.Close() }() // it was only read
	value, err = readFile(root, r.Path)
	if err == nil || r.Key == "" {
		return value, "", err
	}
	value, err = readFile(root, r.Resource)
	return value, r.Key, err
}

func readFile(root *os.Root, name string) (string, error) {
	info, err := root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return "", errors.New("no value found (not a regular file)")
	}
	f, err := root.Open(name)
	if err != nil {
		return "", fmt.Errorf("no value found (%w)", reason(err))
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return "", fmt.Errorf("no value found (%w)", reason(err))
	}
	if len(b) > MaxFile {
		return "", fmt.Errorf("the file is longer than %d bytes", MaxFile)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// reason is an error without the path, which the reference tells already.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
