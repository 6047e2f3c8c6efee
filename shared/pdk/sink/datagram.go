package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// maxSocketAge is how long a socket keeps the address that its name had.
const maxSocketAge = 30 * time.Second

// Datagram sends datagrams to one address. It is used by one goroutine, but for Close.
type Datagram struct {
	address string
	timeout time.Duration
	conn    net.Conn
	dialled time.Time
}

// NewDatagram makes a sink for UDP. timeout bounds the look-up of the name and each
// write; 0 means 10s. Nothing is opened before the first datagram.
func NewDatagram(address string, timeout time.Duration) *Datagram {
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	return &Datagram{address: address, timeout: timeout}
}

// Send sends one datagram. A socket that reports an earlier failure is tried again.
func (d *Datagram) Send(ctx context.Context, p []byte) error {
	for try := 0; ; try++ {
		if err := d.ready(ctx); err != nil {
			return err
		}
		_ = d.conn.SetWriteDeadline(time.Now().Add(d.timeout))
		_, err := d.conn.Write(p)
		if err == nil {
			return nil
		}
		if try == 1 {
			return fmt.Errorf("send %d bytes to %s: %w", len(p), d.address, err)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) { // an earlier datagram's: the socket is as good as another
			_ = d.Close()
		}
	}
}

func (d *Datagram) ready(ctx context.Context) error {
	if d.conn != nil && time.Since(d.dialled) < maxSocketAge {
		return nil
	}
	_ = d.Close()
	ctx, stop := context.WithTimeout(ctx, d.timeout)
	defer stop()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", d.address)
	if err != nil {
		return fmt.Errorf("open socket for %s: %w", d.address, err)
	}
	d.conn, d.dialled = conn, time.Now()
	return nil
}

// Close closes the socket, when nobody sends any more.
func (d *Datagram) Close() error {
	if d.conn == nil {
		return nil
	}
	err := d.conn.Close()
	d.conn = nil
	return err
}
