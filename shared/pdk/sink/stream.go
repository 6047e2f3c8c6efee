package sink

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// StreamOptions of a Stream.
type StreamOptions struct {
	// Address is host:port.
	Address string
	// Timeout bounds the connection, the handshake and each write; 0 means 10s.
	Timeout time.Duration
	// Idle is how long an unused connection stays; 0 means 60s.
	Idle time.Duration
	// TLS encrypts without checking the certificate; ServerName is the SNI, "" sends the
	// host's.
	TLS        bool
	ServerName string
}

// Stream writes to one address over a connection that it keeps. It is used by one
// goroutine, but for Close.
type Stream struct {
	o    StreamOptions
	conn net.Conn
	gone chan struct{} // closed when the other side has ended conn
	used time.Time
	done sync.WaitGroup
}

// NewStream makes a sink. Nothing is dialled before the first write.
func NewStream(o StreamOptions) *Stream {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Idle <= 0 {
		o.Idle = time.Minute
	}
	return &Stream{o: o}
}

// Write writes all of p. A connection that turns out to be broken is replaced once.
func (s *Stream) Write(ctx context.Context, p []byte) error {
	for {
		fresh, err := s.ready(ctx)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = s.conn.SetWriteDeadline(time.Unix(1, 0)) })
		_ = s.conn.SetWriteDeadline(time.Now().Add(s.o.Timeout))
		n, err := s.conn.Write(p)
		stop()
		s.used = time.Now()
		if err == nil {
			return nil
		}
		s.drop()
		if p = p[n:]; fresh || ctx.Err() != nil || n > 0 {
			return fmt.Errorf("write to %s: %w", s.o.Address, err)
		}
	}
}

// ready has a connection that is not known to be broken; fresh tells a new one.
func (s *Stream) ready(ctx context.Context) (fresh bool, err error) {
	if s.conn != nil {
		select {
		case <-s.gone:
			s.drop()
		default:
			if time.Since(s.used) < s.o.Idle {
				return false, nil
			}
			s.drop()
		}
	}
	ctx, stop := context.WithTimeout(ctx, s.o.Timeout)
	defer stop()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.o.Address)
	if err != nil {
		return false, fmt.Errorf("connect to %s: %w", s.o.Address, err)
	}
	if s.o.TLS {
		name := s.o.ServerName
		if name == "" {
			name, _, _ = net.SplitHostPort(s.o.Address)
		}
		secure := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // as Kong: the plugin's documentation says so
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return false, fmt.Errorf("handshake with %s: %w", s.o.Address, err)
		}
		conn = secure
	}
	gone := make(chan struct{})
	s.conn, s.gone = conn, gone
	s.done.Go(func() {
		_, _ = io.Copy(io.Discard, conn)
		close(gone)
	})
	return true, nil
}

func (s *Stream) drop() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.done.Wait()
		s.conn = nil
	}
}

// Close closes the connection, when nobody writes any more.
func (s *Stream) Close() error {
	s.drop()
	return nil
}
