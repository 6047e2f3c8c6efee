package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// reopened is a file that is opened by its name again after it was moved away.
type reopened struct {
	path string

	mu   sync.Mutex
	file *os.File
}

// Reopen opens the file by its name.
func (r *reopened) Reopen() error {
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.file
	r.file = f
	if old != nil {
		return old.Close()
	}
	return nil
}

// Write implements io.Writer.
func (r *reopened) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return 0, errors.New("log is closed")
	}
	return r.file.Write(p)
}

// Close closes the file.
func (r *reopened) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.file
	r.file = nil
	return f.Close()
}
