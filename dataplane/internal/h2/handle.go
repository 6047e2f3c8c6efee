package h2

import (
	"encoding/binary"
)

// handleLocked handles one frame. An error ends the connection.
func (c *Conn) handleLocked(f *frame) *ConnError {
	switch {
	case !c.settled && (f.kind != frameSettings || f.has(flagAck)):
		return protocol("the first frame is not SETTINGS")
	case c.block.open && (f.kind != frameContinuation || f.stream != c.block.stream):
		return protocol("a head is cut by another frame")
	}
	switch f.kind {
	case frameData:
		return c.dataLocked(f)
	case frameHeaders:
		return c.headersLocked(f)
	case frameContinuation:
		return c.continuationLocked(f)
	case framePriority:
		return c.priorityLocked(f)
	case frameReset:
		return c.peerResetLocked(f)
	case frameSettings:
		return c.settingsLocked(f)
	case framePing:
		return c.pingLocked(f)
	case frameGoAway:
		return c.peerGoesLocked(f)
	case frameWindow:
		return c.windowLocked(f)
	case framePushPromise:
		return protocol("a push that nobody asked for")
	}
	return nil // of an extension
}

// idle tells whether a stream of that id was never opened.
func (c *Conn) idle(id uint32) bool {
	if c.ours(id) {
		return id >= c.nextID
	}
	return id > c.seenID
}

// spoil resets a stream whose peer broke the rules for it.
func (c *Conn) spoilLocked(id uint32, code ErrCode) {
	c.out = appendReset(c.out, id, code)
	c.rememberReset(id)
	if s := c.streams[id]; s != nil {
		s.failLocked(&ResetError{code})
		c.goneLocked(s)
	}
}

// rememberReset keeps the ids of streams that we have reset: more of them may be on its way.
func (c *Conn) rememberReset(id uint32) {
	c.resets[c.resetAt%len(c.resets)] = id
	c.resetAt++
}

func (c *Conn) wasReset(id uint32) bool {
	for _, r := range c.resets {
		if r == id {
			return true
		}
	}
	return false
}

func (c *Conn) dataLocked(f *frame) *ConnError {
	size := len(f.payload)
	switch {
	case f.stream == 0:
		return protocol("DATA without a stream")
	case c.idle(f.stream):
		return protocol("DATA of a stream that was not opened")
	}
	if c.window -= int64(size); c.window < 0 {
		return &ConnError{FlowControlError, "more is sent than the connection has room for"}
	}
	p, err := f.unpad()
	if err != nil {
		return err
	}
	s := c.streams[f.stream]
	switch {
	case s == nil:
		c.giveLocked(size)
		if !c.wasReset(f.stream) && (c.ours(f.stream) || f.stream <= c.lastID) {
			c.spoilLocked(f.stream, StreamClosed)
		}
		return nil
	case s.inEnded:
		c.giveLocked(size)
		c.spoilLocked(f.stream, StreamClosed)
		return nil
	case !c.o.Server && !s.headed:
		c.giveLocked(size)
		c.spoilLocked(f.stream, ProtocolError)
		return nil
	}
	if s.window -= int64(size); s.window < 0 {
		c.giveLocked(size)
		c.spoilLocked(f.stream, FlowControlError)
		return nil
	}
	if padding := size - len(p); padding > 0 {
		s.consumedLocked(padding)
	}
	s.got += int64(len(p))
	if s.expected >= 0 && s.got > s.expected {
		c.giveLocked(len(p))
		c.spoilLocked(f.stream, ProtocolError)
		return nil
	}
	switch {
	case len(p) == 0:
	case s.readClosed: // nobody reads it: the room is for others
		c.giveLocked(len(p))
		s.dropped = true
	default:
		if s.at > 0 && len(s.in)+len(p) > cap(s.in) {
			s.in = s.in[:copy(s.in, s.in[s.at:])]
			s.at = 0
		}
		s.in = append(s.in, p...)
		c.wakeLater(s)
	}
	if f.has(flagEndStream) {
		c.endInLocked(s)
	}
	return nil
}

// endInLocked takes the end of the peer's side.
func (c *Conn) endInLocked(s *Stream) {
	if s.expected >= 0 && s.got != s.expected {
		c.spoilLocked(s.id, ProtocolError)
		return
	}
	s.inEnded = true
	c.wakeLater(s)
	s.doneLocked()
}

func (c *Conn) headersLocked(f *frame) *ConnError {
	if f.stream == 0 || c.o.Server && f.stream%2 == 0 {
		return protocol("HEADERS of stream %d", f.stream)
	}
	p, err := f.unpad()
	if err != nil {
		return err
	}
	b := &c.block
	b.reset()
	b.stream, b.end, b.frames = f.stream, f.has(flagEndStream), 0
	if f.has(flagPriority) {
		if len(p) < prioritySize {
			return &ConnError{FrameSizeError, "HEADERS without their priority"}
		}
		b.selfish = binary.BigEndian.Uint32(p)&maxID == f.stream
		p = p[prioritySize:]
	}
	if f.has(flagEndHeaders) {
		return c.headedLocked(p)
	}
	b.open = true
	b.bytes = append(b.bytes[:0], p...)
	return nil
}

func (c *Conn) continuationLocked(f *frame) *ConnError {
	b := &c.block
	if !b.open {
		return protocol("CONTINUATION of nothing")
	}
	b.frames++
	if b.bytes = append(b.bytes, f.payload...); len(b.bytes) > maxBlock || b.frames > maxContinuations {
		return &ConnError{EnhanceYourCalm, "head is too large"}
	}
	if !f.has(flagEndHeaders) {
		return nil
	}
	b.open = false
	err := c.headedLocked(b.bytes)
	if cap(b.bytes) > 2*maxFrame {
		b.bytes = nil
	}
	return err
}

// headedLocked takes a head whose block is whole.
func (c *Conn) headedLocked(block []byte) *ConnError {
	b := &c.block
	if _, err := c.decoder.Write(block); err != nil {
		return &ConnError{CompressionError, err.Error()}
	}
	if err := c.decoder.Close(); err != nil {
		return &ConnError{CompressionError, err.Error()}
	}
	s := c.streams[b.stream]
	switch {
	case s == nil && c.idle(b.stream) && c.o.Server:
		return c.requestLocked()
	case s == nil && c.idle(b.stream):
		return protocol("HEADERS of a stream that was not opened")
	case s == nil && (!c.o.Server || c.wasReset(b.stream) || b.stream > c.lastID):
		return nil
	case s == nil:
		return &ConnError{StreamClosed, "HEADERS of a stream that has ended"}
	case s.inEnded:
		c.spoilLocked(b.stream, StreamClosed)
	case b.selfish:
		c.spoilLocked(b.stream, ProtocolError)
	case c.o.Server || s.headed:
		if !b.end || b.pseudo != 0 || b.malformed != "" || b.tooLarge {
			c.spoilLocked(b.stream, ProtocolError)
			return nil
		}
		s.trailer = b.fields
		c.endInLocked(s)
	default:
		c.responseLocked(s)
	}
	return nil
}

// requestLocked opens a stream of a client.
func (c *Conn) requestLocked() *ConnError {
	b := &c.block
	c.seenID = b.stream
	if c.final {
		return nil // the client was told that it does not count
	}
	c.lastID = b.stream
	switch {
	case b.selfish, b.malformed != "", !b.tooLarge && b.requestMalformed() != "", b.end && b.length > 0:
		c.spoilLocked(b.stream, ProtocolError)
		return nil
	case c.running >= 4*c.o.MaxStreams:
		return &ConnError{EnhanceYourCalm, "streams are opened and reset faster than they end"}
	case c.remote >= c.o.MaxStreams:
		c.spoilLocked(b.stream, RefusedStream)
		return nil
	}
	s := c.newStreamLocked(b.stream)
	c.remote++
	c.running++
	s.heads, s.tooLarge, s.expected, s.inEnded = append(s.heads, b.fields), b.tooLarge, b.length, b.end
	c.opened = append(c.opened, s)
	return nil
}

// responseLocked takes the head of a response, or of an interim one.
func (c *Conn) responseLocked(s *Stream) {
	b := &c.block
	if b.tooLarge {
		c.out = appendReset(c.out, s.id, Cancel)
		c.rememberReset(s.id)
		s.failLocked(ErrTooLarge)
		c.goneLocked(s)
		return
	}
	status, why := b.responseMalformed()
	if why != "" || status < 200 && b.end {
		c.spoilLocked(s.id, ProtocolError)
		return
	}
	if status < 200 && len(s.heads) >= maxInterim {
		c.spoilLocked(s.id, EnhanceYourCalm)
		return
	}
	s.heads = append(s.heads, b.fields)
	c.wakeLater(s)
	if status < 200 {
		return
	}
	s.headed = true
	if !s.bodiless && status != 204 && status != 304 {
		s.expected = b.length
	}
	if b.end {
		c.endInLocked(s)
	}
}

// maxInterim bounds the interim responses that nobody has taken.
const maxInterim = 16

func (c *Conn) priorityLocked(f *frame) *ConnError {
	switch {
	case f.stream == 0:
		return protocol("PRIORITY without a stream")
	case len(f.payload) != prioritySize:
		if c.idle(f.stream) {
			return &ConnError{FrameSizeError, "PRIORITY of another size"}
		}
		c.spoilLocked(f.stream, FrameSizeError)
	case binary.BigEndian.Uint32(f.payload)&maxID == f.stream:
		if c.idle(f.stream) {
			return protocol("stream that depends on itself")
		}
		c.spoilLocked(f.stream, ProtocolError)
	}
	return nil
}

func (c *Conn) peerResetLocked(f *frame) *ConnError {
	switch {
	case f.stream == 0 || c.idle(f.stream):
		return protocol("reset of stream %d", f.stream)
	case len(f.payload) != 4:
		return &ConnError{FrameSizeError, "RST_STREAM of another size"}
	}
	s := c.streams[f.stream]
	if s == nil {
		return nil
	}
	code := ErrCode(binary.BigEndian.Uint32(f.payload))
	if code == RefusedStream && !c.o.Server {
		s.failLocked(ErrUnsent)
	} else {
		s.failLocked(&ResetError{code})
	}
	c.goneLocked(s)
	return nil
}

func (c *Conn) settingsLocked(f *frame) *ConnError {
	switch {
	case f.stream != 0:
		return protocol("SETTINGS of a stream")
	case f.has(flagAck) && len(f.payload) != 0, len(f.payload)%settingSize != 0:
		return &ConnError{FrameSizeError, "SETTINGS of another size"}
	case f.has(flagAck):
		return nil
	}
	window := c.peer.window
	for p := f.payload; len(p) > 0; p = p[settingSize:] {
		if err := c.settingLocked(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	if more := c.peer.window - window; more != 0 {
		for _, s := range c.streams {
			if s.out += more; s.out > maxWindow {
				return &ConnError{FlowControlError, "INITIAL_WINDOW_SIZE makes a window too large"}
			}
			s.signalWrite()
		}
	}
	if !c.settled {
		c.settled = true
		close(c.ready)
	}
	c.out = appendFrameHead(c.out, 0, frameSettings, flagAck, 0)
	return nil
}

func (c *Conn) settingLocked(id uint16, v uint32) *ConnError {
	switch id {
	case settingTableSize:
		c.encoder.SetMaxDynamicTableSize(v)
	case settingPush:
		if v > 1 || v == 1 && !c.o.Server {
			return protocol("ENABLE_PUSH is %d", v)
		}
	case settingMaxStreams:
		c.peer.maxStreams = int(min(v, maxWindow))
	case settingWindow:
		if v > maxWindow {
			return &ConnError{FlowControlError, "INITIAL_WINDOW_SIZE is too large"}
		}
		c.peer.window = int64(v)
	case settingMaxFrame:
		if v < maxFrame || v > 1<<24-1 {
			return protocol("MAX_FRAME_SIZE is %d", v)
		}
		c.peer.maxFrame = int(min(v, 4*maxFrame))
	case settingConnect:
		if v > 1 {
			return protocol("ENABLE_CONNECT_PROTOCOL is %d", v)
		}
	}
	return nil
}

func (c *Conn) pingLocked(f *frame) *ConnError {
	switch {
	case f.stream != 0:
		return protocol("PING of a stream")
	case len(f.payload) != pingSize:
		return &ConnError{FrameSizeError, "PING of another size"}
	case !f.has(flagAck):
		c.out = append(appendFrameHead(c.out, pingSize, framePing, flagAck, 0), f.payload...)
	}
	return nil
}

func (c *Conn) peerGoesLocked(f *frame) *ConnError {
	switch {
	case f.stream != 0:
		return protocol("GOAWAY of a stream")
	case len(f.payload) < 8:
		return &ConnError{FrameSizeError, "GOAWAY of another size"}
	}
	c.away = true
	last := binary.BigEndian.Uint32(f.payload) & maxID
	for id, s := range c.streams {
		if c.ours(id) && id > last {
			s.failLocked(ErrUnsent)
			c.goneLocked(s)
		}
	}
	c.maybeEndLocked() // there may have been none
	return nil
}

func (c *Conn) windowLocked(f *frame) *ConnError {
	if len(f.payload) != windowBytes {
		return &ConnError{FrameSizeError, "WINDOW_UPDATE of another size"}
	}
	n := int64(binary.BigEndian.Uint32(f.payload) & maxID)
	switch {
	case f.stream == 0 && n == 0, f.stream != 0 && c.idle(f.stream):
		return protocol("WINDOW_UPDATE of stream %d by %d", f.stream, n)
	case f.stream == 0:
		if c.sendWindow += n; c.sendWindow > maxWindow {
			return &ConnError{FlowControlError, "window of the connection is too large"}
		}
		for _, s := range c.streams {
			s.signalWrite()
		}
		return nil
	case n == 0:
		c.spoilLocked(f.stream, ProtocolError)
		return nil
	}
	s := c.streams[f.stream]
	if s == nil {
		return nil
	}
	if s.out += n; s.out > maxWindow {
		c.spoilLocked(f.stream, FlowControlError)
		return nil
	}
	s.signalWrite()
	return nil
}
