package h2

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
	"github.com/sluice-gateway/sluice/dataplane/internal/rawio"
)

// Options of a connection.
type Options struct {
	// Server is true for the end that clients open streams at.
	Server bool
	// MaxStreams is how many streams of the peer may be open at once; 0 means 128.
	MaxStreams int
	// MaxHead bounds a head in bytes, as RFC 9113 counts them; 0 means 32 KiB. A larger one
	// marks its stream, see Stream.TooLarge.
	MaxHead int
	// Connect announces extended CONNECT (RFC 8441).
	Connect bool
	// WriteTimeout bounds one write to the connection; 0 means 60s.
	WriteTimeout time.Duration
	// OnStream is called with each stream that the peer opens, once its head is there, by
	// the goroutine that reads: it must not wait. Servers only.
	OnStream func(*Stream)
}

// Windows that we give to peers, in bytes. That of the connection bounds nothing: some
// bodies that nobody reads must not hold up those of others. Those of streams do. A server
// begins with little, since clients open as many streams as they may, and gives more to
// streams whose readers wait for the peer, until all of the connection have got growth.
const (
	connWindow   = 1 << 30
	clientWindow = 256 << 10 // of a stream, for responses
	serverWindow = 64 << 10  // of a stream, for requests
	largeWindow  = 512 << 10
	growth       = 4 << 20
	// giveAt is how much is taken before the connection's window is given back.
	giveAt = 512 << 10
)

// Conn is one connection. It is safe for concurrent use.
type Conn struct {
	o  Options
	nc net.Conn

	// The goroutine that reads owns these.
	in      []byte // read and not handled
	decoder *hpack.Decoder
	block   headerBlock
	woken   []*Stream
	opened  []*Stream

	mu       sync.Mutex
	settled  bool   // the peer's first SETTINGS came
	out      []byte // frames to write
	spare    []byte
	flushing bool
	writeBy  rawio.Deadline // of whoever flushes
	drained  sync.Cond      // out was written
	encoder  *hpack.Encoder
	encoded  bytes.Buffer
	known    map[hpack.HeaderField]hpack.HeaderField

	streams map[uint32]*Stream
	nextID  uint32 // of the next stream that we open
	// lastID is of the newest stream of the peer that counts, seenID of the newest at all:
	// streams that it opens behind Final do not count.
	lastID, seenID uint32
	// remote counts the peer's streams that are open, running those whose owner has not
	// closed them.
	remote, running int
	reserved        int // streams that somebody is about to open
	// sendWindow is what we may send, window what the peer may.
	sendWindow, window int64
	// resets are the last streams that we have reset.
	resets  [64]uint32
	resetAt int
	// unacked are bytes that were taken since the last WINDOW_UPDATE of the connection.
	unacked int64
	// grown is what the windows of streams have beyond their first.
	grown int64
	peer  peerSettings

	started   time.Time
	idleSince time.Time // zero while there are streams
	partSince time.Time // a frame or header block is incomplete since then
	heard     time.Time
	pinged    time.Time // a ping of ours is not answered
	goingAway bool      // we said so
	final     bool      // with the id of the last stream that counts
	away      bool      // the peer said so
	err       error     // why it ended
	ended     chan struct{}
	ready     chan struct{} // closed when settled is set
}

type peerSettings struct {
	maxStreams int
	window     int64
	maxFrame   int
}

// New makes a connection; Serve runs it.
func New(nc net.Conn, o Options) *Conn {
	if o.MaxStreams == 0 {
		o.MaxStreams = 128
	}
	if o.MaxHead == 0 {
		o.MaxHead = 32 << 10
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = time.Minute
	}
	now := time.Now()
	c := &Conn{
		o: o, nc: nc, streams: map[uint32]*Stream{}, nextID: 1, sendWindow: defaultWindow, window: connWindow, known: map[hpack.HeaderField]hpack.HeaderField{},
		peer:    peerSettings{maxStreams: defaultMaxStreams, window: defaultWindow, maxFrame: maxFrame},
		started: now, idleSince: now, heard: now, ended: make(chan struct{}), ready: make(chan struct{}),
	}
	c.drained.L = &c.mu
	c.encoder = hpack.NewEncoder(&c.encoded)
	c.decoder = hpack.NewDecoder(4096, c.block.emit)
	c.decoder.SetMaxStringLength(2 * maxBlock)
	c.block.limit = o.MaxHead
	if !o.Server {
		c.out = append(c.out, preface...)
	}
	c.appendSettings()
	return c
}

func (c *Conn) appendSettings() {
	list := [][2]uint32{{settingWindow, uint32(c.streamWindow())}, {settingMaxHeaderList, uint32(c.o.MaxHead)}} //nolint:gosec // it fits
	switch {
	case !c.o.Server:
		list = append(list, [2]uint32{settingPush, 0})
	default:
		list = append(list, [2]uint32{settingMaxStreams, uint32(c.o.MaxStreams)}) //nolint:gosec // it fits
		if c.o.Connect {
			list = append(list, [2]uint32{settingConnect, 1})
		}
	}
	c.out = appendFrameHead(c.out, settingSize*len(list), frameSettings, 0, 0)
	for _, s := range list {
		c.out = appendSetting(c.out, uint16(s[0]), s[1]) //nolint:gosec // ids are small
	}
	c.out = appendWindow(c.out, 0, c.window-defaultWindow)
}

// streamWindow is what a peer may send on a stream at first.
func (c *Conn) streamWindow() int64 {
	if c.o.Server {
		return serverWindow
	}
	return clientWindow
}

// Serve reads the connection until it ends, and returns why: nil when both sides agreed.
func (c *Conn) Serve() error {
	c.mu.Lock()
	c.flushLocked()
	c.mu.Unlock()
	err := c.read()
	var broken *ConnError
	if errors.As(err, &broken) {
		c.mu.Lock()
		c.out = appendGoAway(c.out, c.lastID, broken.Code, broken.Reason)
		c.writtenLocked()
		c.mu.Unlock()
	}
	c.end(err)
	c.linger(broken != nil)
	_ = c.nc.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, ErrClosed) {
		return nil
	}
	return c.err
}

// linger lets the peer read a GOAWAY: closing with unread bytes would take it away.
func (c *Conn) linger(broken bool) {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !broken || !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(time.Second))
	for range 64 {
		if _, err := c.nc.Read(c.in[:cap(c.in)]); err != nil {
			return
		}
	}
}

// end wakes everybody who waits: nothing comes any more.
func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if err == nil {
		err = ErrClosed
	}
	c.err = err
	close(c.ended)
	for _, s := range c.streams {
		s.failLocked(err)
	}
	c.drained.Broadcast()
}

// Close ends the connection at once.
func (c *Conn) Close() {
	c.end(ErrClosed)
	_ = c.nc.Close()
}

// Ended is closed when the connection has ended.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// Settled is closed when the peer's settings have come.
func (c *Conn) Settled() <-chan struct{} { return c.ready }

// State is what a connection does.
type State struct {
	// Streams that are open, and owners that are at work.
	Streams, Running int
	// Settled is true once the peer's settings came.
	Settled bool
}

// State returns the state of now.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{len(c.streams), c.running, c.settled}
}

// Limits bound how long a connection may do nothing; 0 means for ever.
type Limits struct {
	// Idle is without streams, Partial inside of a frame or a head, Start until the peer's
	// settings are there. Silent is without a byte while there are streams: the peer is
	// asked then, and has Answer to say something.
	Idle, Partial, Start, Silent, Answer time.Duration
}

// Sweep ends the connection when it is over a limit. Somebody calls it from time to time.
func (c *Conn) Sweep(now time.Time, l Limits) {
	over := func(since time.Time, limit time.Duration) bool {
		return limit > 0 && !since.IsZero() && now.Sub(since) > limit
	}
	c.mu.Lock()
	switch {
	case c.err != nil:
	case !c.settled && over(c.started, l.Start), over(c.partSince, l.Partial), over(c.pinged, l.Answer):
		c.mu.Unlock()
		c.end(ErrTimeout)
		_ = c.nc.Close()
		return
	case over(c.idleSince, l.Idle):
		c.goAwayLocked()
	case len(c.streams) > 0 && c.pinged.IsZero() && over(c.heard, l.Silent):
		c.pinged = now
		c.out = append(appendFrameHead(c.out, pingSize, framePing, 0, 0), make([]byte, pingSize)...)
		c.flushSoonLocked()
	}
	c.mu.Unlock()
}

// GoAway lets streams that are open end, takes no new ones, and then ends the connection.
// A peer may not know of it yet: what it opened meanwhile still counts until Final.
func (c *Conn) GoAway() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.goingAway {
		return
	}
	c.goAwayLocked()
}

func (c *Conn) goAwayLocked() {
	c.goingAway = true
	if len(c.streams) == 0 || !c.o.Server {
		c.finalLocked()
		return
	}
	c.out = appendGoAway(c.out, maxID, NoError, "")
	c.flushSoonLocked()
}

// Final says which stream is the last one that counts, some time after GoAway.
func (c *Conn) Final() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.goingAway && !c.final {
		c.finalLocked()
	}
}

func (c *Conn) finalLocked() {
	if c.final {
		return
	}
	c.final = true
	c.out = appendGoAway(c.out, c.lastID, NoError, "")
	c.flushSoonLocked()
}

// maybeEndLocked ends a connection that goes away and has no streams left.
func (c *Conn) maybeEndLocked() {
	if len(c.streams) > 0 || c.err != nil || !c.final && (!c.away || c.o.Server) {
		return
	}
	if c.flushing || len(c.out) > 0 {
		return // whoever writes looks again
	}
	c.err = ErrClosed
	close(c.ended)
	c.drained.Broadcast()
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || !c.o.Server {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(time.Second)) // the peer's own end
	go func() { _ = half.CloseWrite() }()                 // TLS writes, which may take its time
}

// goneLocked takes a stream off the connection.
func (c *Conn) goneLocked(s *Stream) {
	if _, ok := c.streams[s.id]; !ok {
		return
	}
	delete(c.streams, s.id)
	c.grown -= s.room - c.streamWindow()
	if !c.ours(s.id) {
		c.remote--
	}
	if len(c.streams) == 0 {
		c.idleSince = clock.Now()
		c.maybeEndLocked()
	}
}

// ours tells whether an id is of a stream that we open.
func (c *Conn) ours(id uint32) bool { return (id%2 == 1) != c.o.Server }

// wake tells the owners of streams that something has come, once everything has.
func (c *Conn) wakeAll() {
	for _, s := range c.woken {
		s.queued = false
		s.signal()
	}
	c.woken = c.woken[:0]
	for _, s := range c.opened {
		c.o.OnStream(s)
	}
	clear(c.opened)
	c.opened = c.opened[:0]
}

func (c *Conn) wakeLater(s *Stream) {
	if !s.queued {
		s.queued = true
		c.woken = append(c.woken, s)
	}
}

const readStart = 4 << 10

// read reads and handles frames until the connection ends.
func (c *Conn) read() error {
	c.in = make([]byte, 0, readStart)
	wantPreface := c.o.Server
	for {
		if len(c.in) == cap(c.in) {
			c.in = slices.Grow(c.in, min(max(cap(c.in), readStart), 32<<10))
		}
		n, err := c.nc.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		if n > 0 {
			if err := c.handleAll(&wantPreface); err != nil {
				return err
			}
		}
		if err != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.err != nil {
				return c.err
			}
			if len(c.streams) == 0 {
				return ErrClosed // nobody misses anything
			}
			return err
		}
	}
}

// handleAll handles the frames that are whole.
func (c *Conn) handleAll(wantPreface *bool) error {
	b := c.in
	if *wantPreface {
		n := min(len(b), len(preface))
		if string(b[:n]) != preface[:n] {
			return protocol("no connection preface")
		}
		if n < len(preface) {
			return nil
		}
		b, *wantPreface = b[n:], false
	}
	c.mu.Lock()
	c.heard, c.pinged = clock.Now(), time.Time{}
	var err error
	whole := false
	for err == nil {
		f, n, bad := parseFrame(b)
		if bad != nil {
			err = bad
			break
		}
		if n == 0 {
			break
		}
		b, whole = b[n:], true
		if bad := c.handleLocked(&f); bad != nil {
			err = bad
		}
	}
	switch {
	case len(b) == 0 && !c.block.open:
		c.partSince = time.Time{}
	case c.partSince.IsZero(), whole && !c.block.open: // of a body that comes without a pause, a frame is always cut
		c.partSince = c.heard
	}
	if len(c.out) > 4*maxPending && err == nil {
		// Answers to pings and the like that the peer does not read.
		err = &ConnError{EnhanceYourCalm, "too much is asked for and not read"}
	}
	c.flushSoonLocked()
	c.mu.Unlock()
	c.in = c.in[:copy(c.in[:cap(c.in)], b)]
	c.wakeAll()
	return err
}
