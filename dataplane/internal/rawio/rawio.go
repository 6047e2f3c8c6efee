// Package rawio reads and writes sockets in the way that costs least: inside one
// wait of the runtime's poller, without the read that only finds out that there is
// nothing yet, and without telling the scheduler about calls that never block.
//
// A Loop is a function that runs inside syscall.RawConn.Read of a connection. The
// poller's readiness is reset once, when the loop starts; from then on each edge is
// kept until the loop waits. A loop that has read less than it asked for may
// therefore wait at once, without asking again: bytes that came since leave an edge.
//
// While a loop runs, nothing else may read the connection: net.Conn.Read would wait
// for the loop. Writing, deadlines and Close are free.
package rawio

import (
	"errors"
	"net"
	"syscall"
)

// ErrAgain says that a call would have blocked.
var ErrAgain = errors.New("not ready")

// Of returns the raw connection below c, or nil when c is not a plain socket: then
// only its own Read and Write give the bytes that its peer means.
func Of(c net.Conn) syscall.RawConn {
	switch c := c.(type) {
	case *net.TCPConn:
		raw, err := c.SyscallConn()
		if err == nil {
			return raw
		}
	case *net.UnixConn:
		raw, err := c.SyscallConn()
		if err == nil {
			return raw
		}
	}
	return nil
}

// result turns what a call returned into the terms of io.Reader: 0 and nil at the end.
func result(n int, errno syscall.Errno) (int, error) {
	switch errno {
	case 0:
		return n, nil
	case syscall.EAGAIN:
		return 0, ErrAgain
	}
	return 0, errno
}
