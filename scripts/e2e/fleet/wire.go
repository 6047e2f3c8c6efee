package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

const (
	// window is what the other side may send before it hears of being read; it is what
	// HTTP/2 starts with.
	window = 64<<10 - 1
	// credit is how much is read before the other side hears of it.
	credit = window / 4
	// maxMessage bounds one message.
	maxMessage = 64 << 20
)

// Conn is one gRPC stream on a connection of its own: HTTP/2 with no more than a single
// call needs, so that thousands of them fit beside what is measured.
type Conn struct {
	conn net.Conn
	fr   *http2.Framer

	mu sync.Mutex // guards writing

	buf  []byte // received and not yet parsed
	read int    // received and not yet credited
}

// Dial connects and opens the stream.
func Dial(ctx context.Context, address string, config *tls.Config, timeout time.Duration) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	w := &Conn{conn: conn, fr: http2.NewFramer(conn, conn)}
	w.fr.SetReuseFrames()
	w.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := w.open(address); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open stream to %s: %w", address, err)
	}
	return w, nil
}

func (w *Conn) open(address string) error {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&b, nil)
	if err := fr.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}); err != nil {
		return err
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "https"},
		{":path", configv1.SyncService_Sync_FullMethodName},
		{":authority", address},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return err
		}
	}
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	_, err := w.conn.Write(b.Bytes())
	return err
}

// Send writes messages in one go.
func (w *Conn) Send(messages ...*configv1.SyncRequest) error {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	for _, m := range messages {
		data := make([]byte, 5, 5+proto.Size(m))
		data, err := proto.MarshalOptions{}.MarshalAppend(data, m)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		binary.BigEndian.PutUint32(data[1:], uint32(len(data)-5))
		for len(data) > 0 {
			part := data[:min(len(data), 16<<10)]
			data = data[len(part):]
			if err := fr.WriteData(1, false, part); err != nil {
				return err
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.conn.Write(b.Bytes())
	return err
}

// EndError is how the control plane ended a stream.
type EndError struct{ Status, Message string }

func (e *EndError) Error() string {
	return fmt.Sprintf("the stream ended with gRPC status %s: %s", e.Status, e.Message)
}

// Receive returns the next message.
func (w *Conn) Receive() (*configv1.SyncResponse, error) {
	b, err := w.receive()
	if err != nil {
		return nil, err
	}
	m := &configv1.SyncResponse{}
	return m, proto.Unmarshal(b, m)
}

// receive returns the next message's bytes, which are valid until the next call.
func (w *Conn) receive() ([]byte, error) {
	for {
		if len(w.buf) >= 5 {
			size := int(binary.BigEndian.Uint32(w.buf[1:]))
			if size > maxMessage {
				return nil, fmt.Errorf("message of %d bytes", size)
			}
			if len(w.buf) >= 5+size {
				m := w.buf[5 : 5+size]
				w.buf = w.buf[5+size:]
				return m, nil
			}
		}
		if err := w.frame(); err != nil {
			return nil, err
		}
	}
}

// frame reads and handles one frame.
func (w *Conn) frame() error {
	f, err := w.fr.ReadFrame()
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		if cap(w.buf)-len(w.buf) < len(f.Data()) || len(w.buf) == 0 {
			// What was returned before is not moved under the caller's feet.
			w.buf = append(make([]byte, 0, max(len(w.buf)+len(f.Data()), 512)), w.buf...)
		}
		w.buf = append(w.buf, f.Data()...)
		w.read += int(f.Length)
		if w.read < credit {
			return nil
		}
		n := uint32(w.read)
		w.read = 0
		return w.write(func(fr *http2.Framer) error {
			return errors.Join(fr.WriteWindowUpdate(0, n), fr.WriteWindowUpdate(1, n))
		})
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return w.write(func(fr *http2.Framer) error { return fr.WriteSettingsAck() })
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			data := f.Data
			return w.write(func(fr *http2.Framer) error { return fr.WritePing(true, data) })
		}
	case *http2.MetaHeadersFrame:
		if f.StreamEnded() {
			e := &EndError{}
			for _, h := range f.Fields {
				switch h.Name {
				case "grpc-status":
					e.Status = h.Value
				case "grpc-message":
					e.Message = h.Value
				}
			}
			if e.Status == "0" {
				return io.EOF
			}
			return e
		}
	case *http2.GoAwayFrame:
		if f.ErrCode != http2.ErrCodeNo {
			return fmt.Errorf("the connection ends: %v", f.ErrCode)
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("the stream was reset: %v", f.ErrCode)
	}
	return nil
}

func (w *Conn) write(fn func(fr *http2.Framer) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fn(w.fr)
}

// Close ends the connection.
func (w *Conn) Close() { _ = w.conn.Close() }
