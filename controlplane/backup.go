package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sluice-gateway/sluice/controlplane/internal/local"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// storeOptions say where the store is, and with which keys.
func storeOptions(s *settings.Settings) (o bolt.Options, err error) {
	o.Path = filepath.Join(s.Path("prefix"), StoreFile)
	o.LogRevisions, o.LogBytes = uint64(max(0, s.Int("history_revisions"))), uint64(max(0, s.Size("history_size"))) //nolint:gosec // not negative
	if o.Key, err = s.AESKey("store_encryption_key"); err != nil {
		return o, err
	}
	o.PreviousKey, err = s.AESKey("store_encryption_key_previous")
	return o, err
}

// Backup copies the store into a new file: through the control plane that runs with the
// same prefix, which goes on, or from one that does not run. What is cut off is removed.
func Backup(ctx context.Context, s *settings.Settings, file string) error {
	var from io.ReadCloser
	client, err := local.Dial(ctx, s.Path("prefix"))
	switch {
	case err == nil:
		defer client.Close()
		if from, err = client.Get(ctx, localBackup); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	case errors.Is(err, local.ErrNobody):
		if from, err = stoppedStore(ctx, s); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	default:
		return fmt.Errorf("backup: %w", err)
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator's path
	if err != nil {
		return errors.Join(fmt.Errorf("backup: %w", err), from.Close())
	}
	_, err = io.Copy(out, from)
	if err = errors.Join(err, from.Close(), out.Sync(), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("backup: %w", err), os.Remove(file))
	}
	return nil
}

// stoppedStore reads a copy of the store of a control plane that does not run.
func stoppedStore(ctx context.Context, s *settings.Settings) (io.ReadCloser, error) {
	if _, err := os.Stat(filepath.Join(s.Path("prefix"), StoreFile)); err != nil {
		return nil, err // Open would make a store
	}
	options, err := storeOptions(s)
	if err != nil {
		return nil, err
	}
	opened, err := bolt.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := opened.Backup(writer)
		_ = writer.CloseWithError(err)
		done <- opened.Close()
	}()
	return closing{reader, func() error { return errors.Join(reader.Close(), <-done) }}, nil
}

// closing is a reader with another Close.
type closing struct {
	io.Reader
	close func() error
}

// Close implements io.Closer.
func (c closing) Close() error { return c.close() }

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
