package transport

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
)

const (
	// inlineBody is the largest body that is copied behind the head to go out with it.
	inlineBody = 16 << 10
	// pieceSize is how much of a body that streams is moved at once.
	pieceSize = 32 << 10
	// lastWords is how long an upstream that stopped reading may take to say why.
	lastWords = time.Second
)

// converse writes the request and waits for the answer in one go.
func (t *trip) converse(now time.Time, reused bool) *Error {
	cn := t.cn
	cn.armRead(now, t.timeouts.head())
	written, n, err := cn.exchange(t.out, t.in, reused)
	if t.sent = written > 0; written == len(t.out) && n == 0 && err != nil && isTimeout(err) {
		n, err = cn.lookAgain(t.in)
	}
	switch {
	case err == nil && written == len(t.out):
		t.complete, t.silent, t.n = true, false, n
		return nil
	case err == nil:
		return t.outcome(t.writeRest(t.out[written:]), nil)
	case written == len(t.out) || errors.Is(err, errGone) || isTimeout(err):
		return t.readError(err)
	}
	return t.outcome(err, nil)
}

// send writes the request step by step.
func (t *trip) send(now time.Time, reused bool) *Error {
	if reused && t.cn.dead() {
		return t.readError(errGone)
	}
	t.cn.armWrite(now, t.timeouts.Write)
	err := t.write(t.out)
	if err == nil && t.inline != nil {
		err = t.write(t.inline)
	}
	var fault *Error
	if err == nil && t.stream != nil {
		err, fault = t.copyBody()
	}
	return t.outcome(err, fault)
}

// outcome tells how sending went. err is the upstream's fault, fault the client's. nil
// means that an answer may be there.
func (t *trip) outcome(err error, fault *Error) *Error {
	readErr := t.early.stop()
	if t.n > 0 {
		t.silent = false
	}
	t.complete = err == nil && fault == nil
	switch {
	case finalBegun(t.in[:t.n]):
		return nil
	case fault != nil:
		fault.Sent = t.sent
		return fault
	case readErr != nil && err == nil:
		return t.readError(readErr)
	case err == nil:
		return nil
	case readErr != nil:
		if err == errAnswered || isTimeout(err) { //nolint:errorlint // ours; the watcher ended the write
			return t.readError(readErr)
		}
		return t.writeError(err)
	case isTimeout(err):
		return t.writeError(err)
	}
	// The upstream may have answered before it stopped reading.
	cn := t.cn
	cn.readBy = zeroDeadline
	cn.armRead(time.Now(), lastWords)
	n, _ := cn.Read(t.in[t.n:])
	if n == 0 {
		return t.writeError(err)
	}
	t.n += n
	t.silent = false
	return nil
}

// write writes all of p. When the upstream does not take it at once, an answer of it is
// watched for.
func (t *trip) write(p []byte) error {
	if t.cn.raw != nil {
		n, err := t.cn.push(p)
		t.sent = t.sent || n > 0
		if err != nil || n == len(p) {
			return err
		}
		p = p[n:]
	}
	return t.writeRest(p)
}

func (t *trip) writeRest(p []byte) error {
	t.early.start()
	if t.early.answered.Load() {
		return errAnswered
	}
	for len(p) > 0 {
		// The timeout is one between two writes, and a write of much may take long.
		part := p[:min(len(p), 8*pieceSize)]
		t.cn.armWrite(clock.Now(), t.timeouts.Write)
		n, err := t.cn.Write(part)
		t.sent = t.sent || n > 0
		if err != nil {
			return err
		}
		// An answer to all of it is none that came too early.
		if p = p[n:]; len(p) > 0 && t.early.answered.Load() {
			return errAnswered
		}
	}
	return nil
}

// copyBody streams the request's body. err is the upstream's fault, fault the client's.
func (t *trip) copyBody() (err error, fault *Error) { //nolint:revive,staticcheck // two kinds of errors
	if t.piece == nil {
		t.piece = make([]byte, pieceSize)
	}
	s, again := t.stream.(*stored)
	_, closes := t.stream.(io.Closer)
	if again {
		s.read = 0
	} else if closes || t.cn.raw == nil {
		t.early.start() // an answer may end the wait for the client
	}
	const before, after = 8, 2
	total := int64(0)
	for left := t.length; ; {
		room := t.piece[before : len(t.piece)-after]
		if t.length >= 0 {
			if left == 0 {
				return nil, nil
			}
			room = room[:min(int64(len(room)), left)]
		}
		n, readErr := t.stream.Read(room)
		if !again && !t.early.running && t.cn.dead() {
			t.early.start() // something came; is it an answer?
		}
		if t.early.answered.Load() {
			t.taken = t.taken || n > 0 && !again
			return errAnswered, nil
		}
		if n > 0 {
			t.taken = t.taken || !again
			if total += int64(n); t.limit > 0 && total > t.limit {
				return nil, &Error{Kind: ErrBodyTooLarge, BodyTaken: true, Err: errTooLarge}
			}
			p := room[:n]
			if t.length < 0 {
				p = t.chunk(n, before)
			}
			left -= int64(n)
			t.cn.armWrite(clock.Now(), t.timeouts.Write)
			if err := t.write(p); err != nil {
				return err, nil
			}
		}
		switch ended := errors.Is(readErr, io.EOF); {
		case readErr == nil:
			continue
		case ended && t.length < 0:
			return t.write(appendLastChunk(t.piece[:0], t.request)), nil
		case ended && left > 0:
			readErr = io.ErrUnexpectedEOF
		case ended:
			return nil, nil
		}
		return nil, bodyError(readErr)
	}
}

// chunk frames n bytes of t.piece that begin at before.
func (t *trip) chunk(n, before int) []byte {
	var hex [8]byte
	size := strconv.AppendUint(hex[:0], uint64(n), 16)
	start := before - 2 - len(size)
	copy(t.piece[start:], size)
	copy(t.piece[before-2:], "\r\n")
	copy(t.piece[before+n:], "\r\n")
	return t.piece[start : before+n+2]
}
