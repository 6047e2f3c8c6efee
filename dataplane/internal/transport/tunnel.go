package transport

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/rawio"
)

// Upgraded is an upstream connection after a 101 response.
type Upgraded struct {
	Conn net.Conn
	left []byte // what came behind the head
}

// Close closes the connection without a tunnel.
func (u *Upgraded) Close() error { return u.Conn.Close() }

// A tunnel that is idle has buffers of tunnelStart; those of a busy one grow.
const (
	tunnelStart = 2 << 10
	tunnelMax   = 32 << 10
)

var errTunnelIdle = errors.New("nothing moved through the tunnel in time")

// Tunnel copies both ways between the client and the upgraded upstream until both sides
// have ended, one of them fails or nothing moves for the read or write timeout, and
// closes both. A side that only stops sending is told to the other one, which may go on.
// buffered is what reads the client; nil means the client itself.
func Tunnel(client net.Conn, buffered *bufio.Reader, u *Upgraded, t Timeouts) error {
	j := &joint{client: client, upstream: u.Conn, timeouts: t}
	j.moved.Store(time.Now().UnixNano())
	_ = u.Conn.SetDeadline(time.Time{})
	_ = client.SetDeadline(time.Time{})
	var in io.Reader = client
	if buffered != nil {
		in = buffered
	}
	up := &direction{joint: j, from: client, in: in, to: u.Conn}
	down := &direction{joint: j, from: u.Conn, in: u.Conn, to: client}
	var wait sync.WaitGroup
	wait.Go(up.run)
	if len(u.left) > 0 {
		down.err = down.write(u.left)
	}
	if down.err == nil {
		down.run()
	} else {
		j.close()
	}
	wait.Wait()
	j.close()
	return errors.Join(up.err, down.err)
}

// joint is what both directions share.
type joint struct {
	client, upstream net.Conn
	timeouts         Timeouts
	moved            atomic.Int64 // when anything moved last, nanoseconds
	closed           atomic.Bool
}

// close closes both sides and tells whether they were open.
func (j *joint) close() bool {
	if j.closed.Swap(true) {
		return false
	}
	_ = j.client.Close()
	_ = j.upstream.Close()
	return true
}

// direction moves what one side sends.
type direction struct {
	*joint
	from, to net.Conn
	in       io.Reader // reads from
	readBy   rawio.Deadline
	writeBy  rawio.Deadline
	err      error
}

// run moves until the side ends. When the direction failed, so has the tunnel.
func (d *direction) run() {
	if d.err = d.copy(); d.err != nil && !d.close() {
		d.err = nil // the other direction closed both
	}
}

func (d *direction) copy() error {
	buf := make([]byte, tunnelStart)
	for {
		if at, ok := d.readBy.Due(time.Now(), d.timeouts.Read); ok {
			_ = d.from.SetReadDeadline(at)
		}
		n, err := d.in.Read(buf)
		if n > 0 {
			if err := d.write(buf[:n]); err != nil {
				return err
			}
			if n == len(buf) && n < tunnelMax {
				buf = make([]byte, min(4*n, tunnelMax))
			}
		}
		switch {
		case err == nil:
		case err == io.EOF:
			return d.endOf()
		case isTimeout(err):
			if time.Since(time.Unix(0, d.moved.Load())) >= d.timeouts.Read {
				return errTunnelIdle
			}
			d.readBy = zeroDeadline // the other direction is busy
		default:
			return err
		}
	}
}

func (d *direction) write(p []byte) error {
	now := time.Now()
	d.moved.Store(now.UnixNano())
	if at, ok := d.writeBy.Due(now, d.timeouts.Write); ok {
		_ = d.to.SetWriteDeadline(at)
	}
	_, err := d.to.Write(p)
	return err
}

// endOf passes the end on, where the other side can be told so.
func (d *direction) endOf() error {
	half, ok := d.to.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		d.close()
	}
	return nil
}
