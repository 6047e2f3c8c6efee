package h2

import (
	"io"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Stream is one exchange on a connection. One goroutine may read it while another writes.
type Stream struct {
	c  *Conn
	id uint32

	// The connection's lock guards what follows.
	heads    [][]hpack.HeaderField // that came and were not taken
	trailer  []hpack.HeaderField
	in       []byte // that came and was not read: in[at:]
	at       int
	window   int64 // that the peer may still send
	room     int64 // what window is when nothing of it was used
	taken    int64 // bytes that were read since the last WINDOW_UPDATE
	got      int64 // bytes of the body that came
	expected int64 // the announced length, -1 for none
	headed   bool  // the final head came
	inEnded  bool  // the peer has ended its side
	// readClosed means that the owner wants no more.
	readClosed bool
	dropped    bool // something that came then
	outHeaded  bool // our final head was appended
	outEnded   bool // we have ended ours
	closed     bool // its owner is done with it
	tooLarge   bool
	bodiless   bool // a response that has no body whatever its length says
	err        error
	out        int64 // that we may still send
	queued     bool  // the reading goroutine's: it is in Conn.woken
	readWake   chan struct{}
	writeWake  chan struct{}
}

func (c *Conn) newStreamLocked(id uint32) *Stream {
	s := &Stream{
		c: c, id: id, window: c.streamWindow(), room: c.streamWindow(), out: c.peer.window, expected: -1,
		readWake: make(chan struct{}, 1), writeWake: make(chan struct{}, 1),
	}
	c.streams[id] = s
	c.idleSince = time.Time{}
	return s
}

// Reserve keeps room for a stream that is about to be opened; false means that there is none.
func (c *Conn) Reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spareLocked() <= 0 {
		return false
	}
	c.reserved++
	return true
}

// Open opens a stream with a request's head, for which there is room since Reserve. false
// means that the connection takes no more streams all the same; an error with true that it
// failed.
func (c *Conn) Open(fields Fields, end, noBody bool) (s *Stream, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved = max(c.reserved-1, 0)
	if c.spareLocked() <= 0 {
		return nil, false, nil
	}
	s = c.newStreamLocked(c.nextID)
	c.nextID += 2
	c.running++
	s.bodiless = noBody
	c.headLocked(s.id, fields, end)
	s.outEnded = end
	if end {
		c.flushLocked()
	}
	return s, true, s.err
}

// Spare is how many streams more the connection takes; negative when it takes none any more.
func (c *Conn) Spare() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spareLocked()
}

func (c *Conn) spareLocked() int {
	if c.err != nil || c.away || c.goingAway || c.nextID > maxID {
		return -1
	}
	return max(c.peer.maxStreams-len(c.streams)-c.reserved, 0)
}

func (s *Stream) signal() {
	select {
	case s.readWake <- struct{}{}:
	default:
	}
}

func (s *Stream) signalWrite() {
	select {
	case s.writeWake <- struct{}{}:
	default:
	}
}

func (s *Stream) failLocked(err error) {
	if s.err == nil {
		s.err = err
	}
	s.signal()
	s.signalWrite()
}

// wait waits for a signal, giving up the lock meanwhile; false means that the time is over.
func (s *Stream) waitLocked(wake chan struct{}, limit time.Duration) bool {
	s.c.mu.Unlock()
	defer s.c.mu.Lock()
	if limit <= 0 {
		<-wake
		return true
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-wake:
		return true
	case <-timer.C:
		return false
	}
}

// Head waits for the next head: a request's, or a response's, which interim ones come
// before. ended is true when nothing follows it. What was appended is written first.
func (s *Stream) Head(limit time.Duration) (fields []hpack.HeaderField, ended bool, err error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.flushLocked()
	for {
		switch {
		case len(s.heads) > 0:
			fields = s.heads[0]
			s.heads = s.heads[1:]
			return fields, len(s.heads) == 0 && s.inEnded && s.at == len(s.in), nil
		case s.err != nil:
			return nil, false, s.err
		case s.inEnded:
			return nil, false, io.ErrUnexpectedEOF
		}
		if !s.waitLocked(s.readWake, limit) && len(s.heads) == 0 && s.err == nil {
			return nil, false, ErrTimeout
		}
	}
}

// TooLarge is true when the head was larger than is allowed, and is not all there.
func (s *Stream) TooLarge() bool { return s.tooLarge }

// Read reads the body. After io.EOF Trailer has what came behind it. It waits for at most
// limit, 0 for ever, and has what was appended written before it waits.
func (s *Stream) Read(p []byte, limit time.Duration) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if s.at < len(s.in) {
			n := copy(p, s.in[s.at:])
			if s.at += n; s.at == len(s.in) {
				s.in, s.at = recycle(s.in), 0
			}
			if s.consumedLocked(n) {
				c.flushLocked()
			}
			return n, nil
		}
		switch {
		case s.dropped:
			return 0, ErrEnded
		case s.inEnded:
			return 0, io.EOF
		case s.err != nil:
			return 0, s.err
		case s.readClosed:
			return 0, ErrEnded
		case len(p) == 0:
			return 0, nil
		}
		c.flushLocked()
		if !s.waitLocked(s.readWake, limit) && s.at == len(s.in) && !s.inEnded && !s.readClosed && s.err == nil {
			return 0, ErrTimeout
		}
	}
}

// recycle keeps a buffer for what comes next, unless it is large.
func recycle(b []byte) []byte {
	if cap(b) > 64<<10 {
		return nil
	}
	return b[:0]
}

// Ready tells whether Read would not wait.
func (s *Stream) Ready() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.at < len(s.in) || s.inEnded || s.err != nil
}

// Came tells whether all of the body has come.
func (s *Stream) Came() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.inEnded
}

// Whole returns what there is of the body when all of it is there, and takes it.
func (s *Stream) Whole() ([]byte, bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.inEnded || s.dropped {
		return nil, false
	}
	b := s.in[s.at:]
	s.in, s.at = nil, 0
	if s.consumedLocked(len(b)) {
		s.c.flushLocked()
	}
	return b, true
}

// consumedLocked gives the peer room for what was read, and tells whether that has to be
// written.
func (s *Stream) consumedLocked(n int) (write bool) {
	c := s.c
	write = c.giveLocked(n)
	if s.inEnded {
		return write
	}
	if s.taken += int64(n); s.taken < s.room/2 {
		return write
	}
	more := s.taken
	if s.at == len(s.in) {
		more += s.growLocked()
	}
	c.out = appendWindow(c.out, s.id, more)
	s.window += more
	s.taken = 0
	return true
}

// growLocked makes the window of a stream whose reader waits for the peer larger, and
// returns by how much.
func (s *Stream) growLocked() int64 {
	c := s.c
	more := s.room
	if !c.o.Server || more >= largeWindow || c.grown+more > growth || c.streams[s.id] != s {
		return 0
	}
	s.room += more
	c.grown += more
	return more
}

// giveLocked gives the peer room on the connection.
func (c *Conn) giveLocked(n int) (write bool) {
	if c.unacked += int64(n); c.unacked < giveAt {
		return false
	}
	c.out = appendWindow(c.out, 0, c.unacked)
	c.window += c.unacked
	c.unacked = 0
	return true
}

// Trailer is what came behind the body, once it has ended.
func (s *Stream) Trailer() []hpack.HeaderField {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.trailer
}

// WriteHead appends a head, an interim one or trailers. end ends our side. It is written
// with what follows, by Flush, or before somebody waits.
func (s *Stream) WriteHead(fields Fields, end bool) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if err := s.roomLocked(); err != nil {
		return err
	}
	s.outHeaded = true
	s.c.headLocked(s.id, fields, end)
	if end {
		s.endLocked()
	}
	return nil
}

// WriteInterim appends an interim head, unless the final one was before it: that happens
// when a request is answered while its body begins to be read.
func (s *Stream) WriteInterim(fields Fields) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if err := s.roomLocked(); err != nil {
		return err
	}
	if s.outHeaded {
		return ErrEnded
	}
	s.c.headLocked(s.id, fields, false)
	return nil
}

// roomLocked waits until there is room for another frame of the stream. The stream may have
// ended meanwhile: nothing may follow then.
func (s *Stream) roomLocked() error {
	err := s.c.roomLocked()
	if ended := s.writableLocked(); ended != nil {
		return ended
	}
	return err
}

func (s *Stream) writableLocked() error {
	switch {
	case s.err != nil:
		return s.err
	case s.outEnded:
		return ErrEnded
	}
	return nil
}

// Write appends a piece of the body, and ends our side after it if end is set. It waits for
// the peer for at most limit at a time, 0 for ever. n is how much was appended.
func (s *Stream) Write(p []byte, end bool, limit time.Duration) (n int, err error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	var until time.Time // room for a byte is waited for, whatever else moves on the connection
	for {
		if err := s.roomLocked(); err != nil {
			return n, err
		}
		part := int64(min(len(p), c.peer.maxFrame))
		part = min(part, s.out, c.sendWindow)
		if part <= 0 && len(p) > 0 {
			c.flushLocked()
			if min(s.out, c.sendWindow) > 0 || s.err != nil {
				continue
			}
			rest := limit
			if limit > 0 {
				now := time.Now()
				if until.IsZero() {
					until = now.Add(limit)
				}
				rest = max(until.Sub(now), 1)
			}
			if !s.waitLocked(s.writeWake, rest) && min(s.out, c.sendWindow) <= 0 && s.err == nil {
				return n, ErrStalled
			}
			continue
		}
		until = time.Time{}
		last := int(part) == len(p)
		flags := uint8(0)
		if last && end {
			flags = flagEndStream
		}
		if len(p) > 0 || end {
			c.out = append(appendFrameHead(c.out, int(part), frameData, flags, s.id), p[:part]...)
			s.out -= part
			c.sendWindow -= part
			n += int(part)
		}
		if p = p[part:]; last {
			if end {
				s.endLocked()
			}
			return n, nil
		}
	}
}

// Flush has what was appended written.
func (s *Stream) Flush() {
	s.c.mu.Lock()
	s.c.flushLocked()
	s.c.mu.Unlock()
}

// endLocked ends our side. A stream that has ended is off the connection before the peer
// hears of it: it may open another one in its place.
func (s *Stream) endLocked() {
	s.outEnded = true
	s.doneLocked()
	s.c.flushLocked()
}

// doneLocked takes the stream off the connection when both sides have ended.
func (s *Stream) doneLocked() {
	if s.outEnded && s.inEnded || s.err != nil {
		s.c.goneLocked(s)
	}
}

// Reset ends the stream at once with a code.
func (s *Stream) Reset(code ErrCode) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.resetLocked(code)
}

func (s *Stream) resetLocked(code ErrCode) {
	if s.err != nil || s.inEnded && s.outEnded {
		return
	}
	s.failLocked(ErrEnded)
	s.c.out = appendReset(s.c.out, s.id, code)
	s.c.rememberReset(s.id)
	s.c.goneLocked(s)
	s.c.flushLocked()
}

// Close ends the work of the stream's owner. What is not ended then is reset: a server
// that has answered does not want the rest of a request, a client gives up.
func (s *Stream) Close() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	c.running--
	if left := len(s.in) - s.at; left > 0 {
		c.giveLocked(left)
	}
	s.in, s.at = nil, 0
	code := Cancel
	if c.o.Server {
		code = InternalError
		if s.outEnded {
			code = NoError
		}
	}
	s.resetLocked(code)
	c.flushLocked()
	c.maybeEndLocked()
}

// CloseRead ends a Read that waits, and those that come: its owner wants no more. The peer
// may still send.
func (s *Stream) CloseRead() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.readClosed = true
	s.signal()
	left := len(s.in) - s.at
	s.in, s.at, s.dropped = nil, 0, s.dropped || left > 0
	if s.c.giveLocked(left) {
		s.c.flushLocked()
	}
}
