package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// storeOptions say where the store is, and with which keys.
func storeOptions(s *settings.Settings) (o bolt.Options, err error) {
	o.Path = filepath.Join(s.Path("prefix"), StoreFile)
	if o.Key, err = s.AESKey("store_encryption_key"); err != nil {
		return o, err
	}
	o.PreviousKey, err = s.AESKey("store_encryption_key_previous")
	return o, err
}

// Backup copies the store of a control plane that does not run into a new file.
func Backup(ctx context.Context, s *settings.Settings, file string) (err error) {
	from := filepath.Join(s.Path("prefix"), StoreFile)
	if _, err := os.Stat(from); err != nil {
		return fmt.Errorf("backup: %w", err) // Open would make a store
	}
	options, err := storeOptions(s)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	opened, err := bolt.Open(ctx, options)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator's path
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	_, err = opened.Backup(out)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("backup: %w", err), os.Remove(file))
	}
	return nil
}

// Restore makes a file that Backup wrote the store, with its generation raised, so that
// nodes follow it. The control plane must not run.
func Restore(ctx context.Context, s *settings.Settings, file string) error {
	prefix := s.Path("prefix")
	if err := os.MkdirAll(prefix, 0o750); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	in, err := os.Open(file) //nolint:gosec // the operator's path
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer func() { _ = in.Close() }()
	options, err := storeOptions(s)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	_, err = bolt.Restore(ctx, in, options)
	return err
}
