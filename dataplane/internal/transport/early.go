package transport

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/rawio"
)

var (
	// errAnswered ends the sending of a body that the upstream does not want any more.
	errAnswered  = errors.New("upstream answered before it had the whole request")
	zeroDeadline rawio.Deadline
	past         = time.Unix(1, 0)
)

// early reads what an upstream answers while a request body is still being sent. Once
// the final answer has begun, it ends the sending. From start to stop it owns the
// trip's buffer and the reading side of the connection.
type early struct {
	t        *trip
	run      func() // watch, bound once
	running  bool
	done     sync.WaitGroup
	stopping atomic.Bool
	answered atomic.Bool
	err      error
}

func (w *early) init(t *trip) {
	w.t = t
	w.run = w.watch
}

// start begins to watch, unless it does already.
func (w *early) start() {
	if w.running {
		return
	}
	w.running, w.err = true, nil
	w.stopping.Store(false)
	cn := w.t.cn
	cn.armRead(time.Time{}, 0) // the wait for an answer begins when all was sent
	w.done.Add(1)
	go w.run()
}

// stop waits for the watching to end and returns why reading failed, if it did.
func (w *early) stop() error {
	if !w.running {
		return nil
	}
	cn := w.t.cn
	w.stopping.Store(true)
	_ = cn.SetReadDeadline(past)
	w.done.Wait()
	w.running = false
	_ = cn.SetReadDeadline(time.Time{})
	if w.answered.Swap(false) {
		_ = cn.SetWriteDeadline(time.Time{})
		cn.writeBy = zeroDeadline
	}
	return w.err
}

func (w *early) watch() {
	defer w.done.Done()
	t := w.t
	for !finalBegun(t.in[:t.n]) {
		if t.n == len(t.in) {
			return // interim responses: they are seen to later
		}
		n, err := t.cn.Read(t.in[t.n:])
		t.n += n
		if n > 0 || err == nil {
			continue
		}
		if w.stopping.Load() && isTimeout(err) {
			return
		}
		w.err = err
		break
	}
	w.answered.Store(true)
	if w.stopping.Load() {
		return
	}
	_ = t.cn.SetWriteDeadline(past)
	if c, ok := t.stream.(io.Closer); ok {
		_ = c.Close()
	}
}

var endOfHead = []byte("\r\n\r\n")

// finalBegun tells whether b holds the start of something other than an interim
// response.
func finalBegun(b []byte) bool {
	for len(b) >= len("HTTP/1.1 101") {
		if b[9] != '1' || string(b[:7]) != "HTTP/1." || string(b[9:12]) == "101" {
			return true
		}
		i := bytes.Index(b, endOfHead)
		if i < 0 {
			return false
		}
		b = b[i+len(endOfHead):]
	}
	return false
}
