package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// What HTTP/2 says (RFC 9113).
const (
	defaultWindow = 1<<16 - 1
	largestWindow = 1<<31 - 1
	defaultFrame  = 16 << 10
	frameHeader   = 9
	tableSize     = 4096
)

const (
	// heldFrame is the size from which a frame's buffer is not kept.
	heldFrame = 1 << 10
	// linger is how long a peer may take to read why its connection ends.
	linger = time.Second
	// Frames besides messages cost the peer nothing, and are answered: this many a second
	// are taken, and this many at once. What it is sent brings it more, for its windows.
	framesPerSecond, framesAtOnce = 200, 2000
)

// conn is one connection. Its reader runs in run; others write.
type conn struct {
	server *Server
	raw    net.Conn // below TLS
	tls    net.Conn
	ctx    context.Context //nolint:containedctx // of its streams
	cancel context.CancelFunc

	// of the reader
	reader   *http2.Framer
	last     uint32 // the highest stream there was
	unheard  int    // bytes of the window for all streams that were not given back
	frames   float64
	framesAt time.Time

	writing sync.Mutex   // held while writing
	since   atomic.Int64 // when the write began that goes on, nanoseconds since 1970; 0 for none

	earned atomic.Int64 // frames that the peer may send for what it was sent

	mu      sync.Mutex // guards below, and the same of streams
	room    *sync.Cond // windows have grown, or something has ended
	window  int64      // bytes that may be sent
	initial int64      // the window of a new stream
	frame   int        // the largest that the peer takes
	streams []*Stream
	idle    time.Time // since when there are none
	refused [4]uint32 // the last streams that were ended before the peer had said all
	leaving bool      // GOAWAY was sent
	over    error     // why nothing can be sent
}

func newConn(s *Server, raw, secure net.Conn, auth credentials.AuthInfo) *conn {
	c := &conn{
		server: s, raw: raw, tls: secure, window: defaultWindow, initial: defaultWindow, frame: defaultFrame, frames: framesAtOnce,
		framesAt: time.Now(), idle: time.Now(),
	}
	ctx := peer.NewContext(context.Background(), &peer.Peer{Addr: raw.RemoteAddr(), LocalAddr: raw.LocalAddr(), AuthInfo: auth})
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.room = sync.NewCond(&c.mu)
	c.newReader(hpack.NewDecoder(tableSize, nil))
	return c
}

func (c *conn) newReader(decoder *hpack.Decoder) {
	c.reader = http2.NewFramer(nil, c.tls)
	c.reader.SetReuseFrames()
	c.reader.SetMaxReadFrameSize(defaultFrame)
	c.reader.ReadMetaHeaders, c.reader.MaxHeaderListSize = decoder, uint32(c.server.o.MaxHeader) //nolint:gosec // a limit
}

// run reads until the connection ends.
func (c *conn) run() {
	defer c.server.forget(c)
	err := c.read()
	c.end(err)
	// What is on its way to a peer is lost when there is something unread.
	if _, ok := errors.AsType[http2.ConnectionError](err); ok {
		_ = c.raw.SetReadDeadline(time.Now().Add(linger))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.raw, 1<<20))
	}
	_ = c.tls.Close()
}

var errPreface = errors.New("the peer does not speak HTTP/2")

func (c *conn) read() error {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.tls, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return errPreface
	}
	if err := c.greet(); err != nil {
		return err
	}
	f, err := c.reader.ReadFrame()
	if err != nil {
		return c.refuse(err)
	}
	if s, ok := f.(*http2.SettingsFrame); !ok || s.IsAck() {
		return c.refuse(http2.ConnectionError(http2.ErrCodeProtocol))
	}
	_ = c.raw.SetDeadline(time.Time{})
	for {
		err := c.take(f)
		if stream, ok := errors.AsType[http2.StreamError](err); ok {
			err = c.abort(stream.StreamID, stream.Code)
		}
		if err != nil {
			return c.refuse(err)
		}
		if f.Header().Length > heldFrame {
			c.newReader(c.reader.ReadMetaHeaders)
		}
		for {
			f, err = c.reader.ReadFrame()
			stream, ok := errors.AsType[http2.StreamError](err)
			if !ok {
				break
			}
			c.last = max(c.last, stream.StreamID)
			if err = c.abort(stream.StreamID, stream.Code); err != nil {
				break
			}
			if !c.affords(1) {
				err = http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
				break
			}
		}
		if err != nil {
			return c.refuse(err)
		}
	}
}

// greet sends our settings.
func (c *conn) greet() error {
	o := &c.server.o
	b := appendFrame(nil, http2.FrameSettings, 0, 0, 18)
	for _, s := range []http2.Setting{
		{ID: http2.SettingMaxConcurrentStreams, Val: uint32(o.MaxStreams)}, //nolint:gosec // a limit
		{ID: http2.SettingInitialWindowSize, Val: uint32(o.Window)},        //nolint:gosec // a limit
		{ID: http2.SettingMaxHeaderListSize, Val: uint32(o.MaxHeader)},     //nolint:gosec // a limit
	} {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(s.ID)), s.Val)
	}
	if more := o.Window - defaultWindow; more > 0 {
		b = appendWindow(b, 0, more)
	}
	return c.write(b)
}

// refuse tells the peer why its connection ends, when it is to blame.
func (c *conn) refuse(err error) error {
	code, ok := errors.AsType[http2.ConnectionError](err)
	if errors.Is(err, http2.ErrFrameTooLarge) {
		code, ok = http2.ConnectionError(http2.ErrCodeFrameSize), true
	}
	if !ok {
		return err
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(linger))
	_ = c.write(c.away(http2.ErrCode(code)))
	return code
}

func (c *conn) away(code http2.ErrCode) []byte {
	b := appendFrame(nil, http2.FrameGoAway, 0, 0, 8)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, c.last), uint32(code))
}

// affords takes from what the peer may send besides messages.
func (c *conn) affords(n float64) bool {
	now := time.Now()
	c.frames = min(framesAtOnce, c.frames+now.Sub(c.framesAt).Seconds()*framesPerSecond) + float64(c.earned.Swap(0)) - n
	c.framesAt = now
	return c.frames >= 0
}

// take does what a frame says.
func (c *conn) take(f http2.Frame) error {
	if data, ok := f.(*http2.DataFrame); ok && len(data.Data()) > 0 {
		return c.data(data)
	}
	if !c.affords(1) {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		return c.data(f)
	case *http2.MetaHeadersFrame:
		return c.headers(f)
	case *http2.WindowUpdateFrame:
		return c.grown(f)
	case *http2.SettingsFrame:
		return c.settings(f)
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		return c.write(append(appendFrame(nil, http2.FramePing, http2.FlagPingAck, 0, 8), f.Data[:]...))
	case *http2.RSTStreamFrame:
		if f.StreamID > c.last || f.StreamID%2 == 0 {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		if st := c.find(f.StreamID); st != nil {
			st.reset.Store(true)
			st.lost(status.Errorf(codes.Canceled, "the peer has ended the call: %v", f.ErrCode))
		}
		c.settle(f.StreamID)
	case *http2.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol}
		}
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil // of no meaning here, or known to nobody
}

func (c *conn) find(id uint32) *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, st := range c.streams {
		if st.id == id {
			return st
		}
	}
	return nil
}

// data hears.
func (c *conn) data(f *http2.DataFrame) error {
	length := int(f.Header().Length) // padding counts
	if c.unheard += length; c.unheard > c.server.o.Window {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	st := c.find(f.StreamID)
	switch {
	case st != nil && st.closed():
		return http2.ConnectionError(http2.ErrCodeStreamClosed)
	case st != nil:
	case f.StreamID > c.last || f.StreamID%2 == 0:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case !c.hasRefused(f.StreamID):
		return http2.ConnectionError(http2.ErrCodeStreamClosed)
	}
	// What was on its way when its call ended costs little: it may be a window of it.
	if (st == nil || st.failed) && !c.affords(0.1) {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	var err error
	if st != nil {
		switch st.unheard += length; {
		case st.ended.Load():
			err = http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
		case st.unheard > c.server.o.Window:
			err = http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeFlowControl}
		default:
			if !st.feed(f.Data()) && !st.failed && len(f.Data()) > 0 && !c.affords(1) {
				return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
			}
			if f.StreamEnded() {
				st.allSaid()
			}
		}
	}
	if st == nil && f.StreamEnded() {
		c.settle(f.StreamID)
	}
	return errors.Join(err, c.giveBack(st))
}

// giveBack lets the peer send more, when half of what it may is heard.
func (c *conn) giveBack(st *Stream) error {
	var b []byte
	half := c.server.o.Window / 2
	if c.unheard >= half {
		b, c.unheard = appendWindow(b, 0, c.unheard), 0
	}
	if st != nil && !st.ended.Load() && st.unheard >= half {
		b, st.unheard = appendWindow(b, st.id, st.unheard), 0
	}
	if b == nil {
		return nil
	}
	return c.write(b)
}

// headers begin a stream, or end what the peer says on one.
func (c *conn) headers(f *http2.MetaHeadersFrame) error {
	id := f.StreamID
	if st := c.find(id); st != nil {
		switch {
		case st.closed():
			return http2.ConnectionError(http2.ErrCodeStreamClosed)
		case st.ended.Load():
			return http2.StreamError{StreamID: id, Code: http2.ErrCodeStreamClosed}
		case !f.StreamEnded() || len(f.PseudoFields()) > 0:
			return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
		}
		st.allSaid()
		return nil
	}
	switch {
	case id%2 == 0:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case c.hasRefused(id) && (!f.StreamEnded() || len(f.PseudoFields()) > 0):
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case c.hasRefused(id):
		c.settle(id)
		return nil // it did not know
	case id <= c.last:
		return http2.ConnectionError(http2.ErrCodeStreamClosed)
	}
	c.last = id
	if f.HasPriority() && f.Priority.StreamDep == id {
		return http2.StreamError{StreamID: id, Code: http2.ErrCodeProtocol}
	}
	return c.begin(f)
}

// begin starts the call that a peer's headers ask for.
func (c *conn) begin(f *http2.MetaHeadersFrame) error {
	st := &Stream{conn: c, id: f.StreamID}
	open, problem := c.server.request(st, f)
	if errors.Is(problem, errMalformed) {
		st.cancel()
		c.mu.Lock()
		c.refuseLocked(st.id)
		c.mu.Unlock()
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeProtocol}
	}
	c.mu.Lock()
	if c.leaving || c.over != nil || len(c.streams) >= c.server.o.MaxStreams {
		if !f.StreamEnded() {
			c.refuseLocked(st.id)
		}
		c.mu.Unlock()
		st.cancel()
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeRefusedStream}
	}
	st.window = c.initial
	c.streams = append(c.streams, st)
	c.mu.Unlock()
	if open == nil {
		open = func(*Stream) Handler { return refusing{problem} }
	}
	st.handler = open(st)
	st.ended.Store(f.StreamEnded()) // before it can be over
	c.server.work.Go(st.serve)
	if f.StreamEnded() {
		st.allSaid()
	}
	return nil
}

// abort ends a stream that the peer has got wrong.
func (c *conn) abort(id uint32, code http2.ErrCode) error {
	if st := c.find(id); st != nil {
		defer st.lost(status.Errorf(codes.Internal, "the call breaks HTTP/2: %v", code))
	}
	return c.write(appendReset(nil, id, code))
}

// grown takes more room for what is sent.
func (c *conn) grown(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.StreamID == 0 {
		if c.window += int64(f.Increment); c.window > largestWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.room.Broadcast()
		return nil
	}
	if f.StreamID > c.last || f.StreamID%2 == 0 {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	for _, st := range c.streams {
		if st.id != f.StreamID {
			continue
		}
		if st.window += int64(f.Increment); st.window > largestWindow {
			return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeFlowControl}
		}
		c.room.Broadcast()
	}
	return nil
}

func (c *conn) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err //nolint:wrapcheck // it is a connection's
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		switch s.ID {
		case http2.SettingInitialWindowSize:
			more := int64(s.Val) - c.initial
			c.initial = int64(s.Val)
			for _, st := range c.streams {
				if st.window += more; st.window > largestWindow {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
			c.room.Broadcast()
		case http2.SettingMaxFrameSize:
			c.frame = int(s.Val)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.write(appendFrame(nil, http2.FrameSettings, http2.FlagSettingsAck, 0, 0))
}

// write sends frames that are complete.
func (c *conn) write(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.writeLocked(b)
}

func (c *conn) writeLocked(b []byte) error {
	c.since.Store(time.Now().UnixNano())
	_, err := c.tls.Write(b)
	c.since.Store(0)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// look ends a connection that is of no use any more.
func (c *conn) look(now time.Time) {
	if since := c.since.Load(); since != 0 && now.Sub(time.Unix(0, since)) > c.server.o.Stall {
		c.cut()
		return
	}
	c.mu.Lock()
	useless := len(c.streams) == 0 && now.Sub(c.idle) > c.server.o.Idle
	deaf := slices.ContainsFunc(c.streams, func(st *Stream) bool { return !st.since.IsZero() && now.Sub(st.since) > c.server.o.Stall })
	c.mu.Unlock()
	switch {
	case deaf:
		c.cut()
	case useless:
		_ = c.raw.SetWriteDeadline(now.Add(linger)) // there is nothing else to write
		c.drain()
	}
}

// drain lets the streams end, and takes no new ones.
func (c *conn) drain() {
	c.mu.Lock()
	first := !c.leaving
	c.leaving = true
	empty := len(c.streams) == 0
	c.mu.Unlock()
	if !first {
		return
	}
	// The number of the last stream is the reader's, and what it begins from now on it refuses.
	_ = c.write(appendAway(nil, largestWindow))
	if empty {
		c.part()
	}
}

// part gives the peer time to go by itself, so that it reads all it was sent.
func (c *conn) part() { _ = c.raw.SetReadDeadline(time.Now().Add(linger)) }

// cut ends a connection at once; the reader does the rest. It closes the socket, not TLS,
// which would want to say goodbye to who does not read.
func (c *conn) cut() { _ = c.raw.Close() }

// end ends what is left of a connection that can't be read any more.
func (c *conn) end(why error) {
	why = status.Errorf(codes.Unavailable, "the connection is lost: %v", why)
	c.mu.Lock()
	c.over = why
	streams := slices.Clone(c.streams)
	c.room.Broadcast()
	c.mu.Unlock()
	for _, st := range streams {
		st.lost(why)
	}
	c.cancel()
}

func (c *conn) hasRefused(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.refused[:], id)
}

// refuseLocked notes a stream of which more may come that does not count.
func (c *conn) refuseLocked(id uint32) {
	copy(c.refused[1:], c.refused[:])
	c.refused[0] = id
}

// settle notes that the peer knows of the end of a stream, so that no more of it may come.
func (c *conn) settle(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.refused {
		if c.refused[i] == id {
			c.refused[i] = 0
		}
	}
}

// remove forgets a stream whose handler has ended.
func (c *conn) remove(st *Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !st.ended.Load() && !st.reset.Load() {
		c.refuseLocked(st.id)
	}
	c.streams = slices.DeleteFunc(c.streams, func(other *Stream) bool { return other == st })
	if len(c.streams) > 0 {
		return
	}
	c.idle = time.Now()
	if c.leaving {
		c.part()
	}
}
