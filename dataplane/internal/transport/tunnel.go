package transport

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Upgraded is an upstream connection after a 101 response.
type Upgraded struct {
	Conn net.Conn
	left []byte // what came behind the head
}

// Close closes the connection without a tunnel.
func (u *Upgraded) Close() error { return u.Conn.Close() }

// tunnelSize is how much is moved at once.
const tunnelSize = 32 << 10

// Tunnel copies both ways between the client and the upgraded upstream until both sides
// have ended, one of them fails or nothing moves for the read or write timeout, and
// closes both. A side that only stops sending is told to the other one, which may go on.
func Tunnel(client net.Conn, buffered *bufio.Reader, u *Upgraded, t Timeouts) error {
	var moved atomic.Int64
	moved.Store(time.Now().UnixNano())
	j := &joint{client: client, upstream: u.Conn, timeouts: t, moved: &moved}
	_ = u.Conn.SetDeadline(time.Time{})
	_ = client.SetDeadline(time.Time{})
	var wait sync.WaitGroup
	var errs [2]error
	wait.Go(func() { errs[0] = j.copy(u.Conn, buffered, client) })
	if len(u.left) > 0 {
		if _, err := client.Write(u.left); err != nil {
			errs[1] = err
			j.close()
		}
	}
	if errs[1] == nil {
		errs[1] = j.copy(client, u.Conn, u.Conn)
	}
	wait.Wait()
	j.close()
	return errors.Join(errs[0], errs[1])
}

// joint is what both directions share.
type joint struct {
	client, upstream net.Conn
	timeouts         Timeouts
	moved            *atomic.Int64 // when anything moved last, nanoseconds
	once             sync.Once
}

func (j *joint) close() {
	j.once.Do(func() {
		_ = j.client.Close()
		_ = j.upstream.Close()
	})
}

// copy moves one direction; from is what in reads, for its deadlines.
func (j *joint) copy(to net.Conn, in io.Reader, from net.Conn) error {
	buf := make([]byte, tunnelSize)
	for {
		if j.timeouts.Read > 0 {
			_ = from.SetReadDeadline(time.Now().Add(j.timeouts.Read))
		}
		n, err := in.Read(buf)
		if n > 0 {
			j.moved.Store(time.Now().UnixNano())
			if j.timeouts.Write > 0 {
				_ = to.SetWriteDeadline(time.Now().Add(j.timeouts.Write))
			}
			if _, err := to.Write(buf[:n]); err != nil {
				j.close()
				return err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, j.moved.Load())) < j.timeouts.Read:
			// The other direction is busy.
		case err == io.EOF:
			if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
				return nil
			}
			j.close()
			return nil
		default:
			j.close()
			return err
		}
	}
}
