// Package accesslog writes one line a request, in the format that nginx calls
// combined with Kong's request id and the configuration's revision at the end. It owns a
// buffer and its file; a reopened file takes the lines from then on. It refuses to block a request for
// longer than a write to a buffer: when the disk does not keep up lines are dropped
// and counted.
package accesslog

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

const (
	flushEvery = 500 * time.Millisecond
	flushSize  = 64 << 10
	maxSize    = 4 << 20
)

// Log is an access log. It is safe for concurrent use.
type Log struct {
	path    string
	Dropped atomic.Int64

	mu     sync.Mutex
	buffer []byte

	fileMu sync.Mutex
	file   *os.File

	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

// Open opens the log; the folder must exist.
func Open(path string) (*Log, error) {
	l := &Log{path: path, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	if err := l.Reopen(); err != nil {
		return nil, err
	}
	l.done.Go(l.run)
	return l, nil
}

// Reopen opens the file by its name again, after it was moved away.
func (l *Log) Reopen() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open access log: %w", err)
	}
	l.flush()
	l.fileMu.Lock()
	old := l.file
	l.file = f
	l.fileMu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Close writes what is left and closes the file.
func (l *Log) Close() error {
	close(l.stop)
	l.done.Wait()
	l.flush()
	l.fileMu.Lock()
	defer l.fileMu.Unlock()
	return l.file.Close()
}

func (l *Log) run() {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
		case <-l.wake:
		}
		l.flush()
	}
}

func (l *Log) flush() {
	l.mu.Lock()
	b := l.buffer
	l.buffer = nil
	l.mu.Unlock()
	if len(b) == 0 {
		return
	}
	l.fileMu.Lock()
	defer l.fileMu.Unlock()
	if l.file == nil {
		return
	}
	if _, err := l.file.Write(b); err != nil {
		l.Dropped.Add(1)
	}
}

// Write adds the line of an exchange.
func (l *Log) Write(x *pdk.Exchange) {
	l.mu.Lock()
	if len(l.buffer) > maxSize {
		l.mu.Unlock()
		l.Dropped.Add(1)
		return
	}
	b := l.buffer
	b = x.Request.Client.Addr().Unmap().AppendTo(b)
	b = append(b, " - - ["...)
	b = x.Start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendEscaped(b, x.Request.Method)
	b = append(b, ' ')
	b = appendEscaped(b, x.Request.RawPath)
	if x.Request.HasQuery {
		b = append(b, '?')
		b = appendEscaped(b, x.Request.RawQuery)
	}
	b = append(b, " HTTP/"...)
	b = strconv.AppendInt(b, int64(x.Request.Proto/10), 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(x.Request.Proto%10), 10)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(x.Response.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, x.Response.Sent, 10)
	b = append(b, ` "`...)
	b = appendOr(b, x.Request.Header.Get("Referer"))
	b = append(b, `" "`...)
	b = appendOr(b, x.Request.Header.Get("User-Agent"))
	b = append(b, `" kong_request_id: "`...)
	b = append(b, x.ID...)
	b = append(b, `" sluice_revision: `...)
	b = strconv.AppendUint(b, x.Revision, 10)
	b = append(b, '\n')
	l.buffer = b
	full := len(b) > flushSize
	l.mu.Unlock()
	if full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func appendOr(b []byte, s string) []byte {
	if s == "" {
		return append(b, '-')
	}
	return appendEscaped(b, s)
}

// appendEscaped writes s so that it can end neither the field nor the line.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
