package h2

import "encoding/binary"

// frameType is the type of a frame.
type frameType uint8

// Types of RFC 9113, section 6.
const (
	frameData         frameType = 0x0
	frameHeaders      frameType = 0x1
	framePriority     frameType = 0x2
	frameReset        frameType = 0x3
	frameSettings     frameType = 0x4
	framePushPromise  frameType = 0x5
	framePing         frameType = 0x6
	frameGoAway       frameType = 0x7
	frameWindow       frameType = 0x8
	frameContinuation frameType = 0x9
)

// Flags of frames.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// Settings of RFC 9113, section 6.5.2, and of RFC 8441.
const (
	settingTableSize      = 0x1
	settingPush           = 0x2
	settingMaxStreams     = 0x3
	settingWindow         = 0x4
	settingMaxFrame       = 0x5
	settingMaxHeaderList  = 0x6
	settingConnect        = 0x8
	settingSize           = 6
	frameHeadSize         = 9
	maxFrame              = 16 << 10 // the most that we take, and the least that a peer must
	defaultWindow         = 64<<10 - 1
	maxWindow             = 1<<31 - 1
	maxID                 = 1<<31 - 1
	defaultMaxStreams     = 100 // what a server is taken to allow before it says so
	preface               = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	prioritySize          = 5
	pingSize, windowBytes = 8, 4
)

// frame is a frame as it was read. payload is a view of the read buffer.
type frame struct {
	kind    frameType
	flags   uint8
	stream  uint32
	payload []byte
}

func (f *frame) has(flag uint8) bool { return f.flags&flag != 0 }

// parseFrame takes a whole frame off b. n is 0 when b does not hold one yet.
func parseFrame(b []byte) (f frame, n int, err *ConnError) {
	if len(b) < frameHeadSize {
		return f, 0, nil
	}
	size := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	if size > maxFrame {
		return f, 0, &ConnError{FrameSizeError, "frame is too large"}
	}
	if len(b) < frameHeadSize+size {
		return f, 0, nil
	}
	n = frameHeadSize + size
	return frame{frameType(b[3]), b[4], binary.BigEndian.Uint32(b[5:]) & maxID, b[frameHeadSize:n:n]}, n, nil
}

// unpad takes the padding off a payload.
func (f *frame) unpad() ([]byte, *ConnError) {
	p := f.payload
	if !f.has(flagPadded) {
		return p, nil
	}
	if len(p) == 0 {
		return nil, &ConnError{FrameSizeError, "padded frame without a length of padding"}
	}
	n := int(p[0])
	if p = p[1:]; n > len(p) {
		return nil, protocol("padding is longer than the frame")
	}
	return p[:len(p)-n], nil
}

func appendFrameHead(b []byte, size int, kind frameType, flags uint8, stream uint32) []byte {
	b = append(b, byte(size>>16), byte(size>>8), byte(size), byte(kind), flags)
	return binary.BigEndian.AppendUint32(b, stream)
}

func appendSetting(b []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, id), value)
}

func appendReset(b []byte, stream uint32, code ErrCode) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHead(b, 4, frameReset, 0, stream), uint32(code))
}

func appendWindow(b []byte, stream uint32, n int64) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHead(b, windowBytes, frameWindow, 0, stream), uint32(n)) //nolint:gosec // windows fit
}

func appendGoAway(b []byte, last uint32, code ErrCode, reason string) []byte {
	b = appendFrameHead(b, 8+len(reason), frameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	return append(binary.BigEndian.AppendUint32(b, uint32(code)), reason...)
}
