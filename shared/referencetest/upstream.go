package referencetest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// RecordedPorts are those of the recorded upstreams.
var RecordedPorts = []int{28900, 28901} //nolint:gochecknoglobals // a constant

// Upstream is what the recorded exchanges were made with: it echoes the request with its
// lines in order, and obeys the header x-up.
type Upstream struct {
	listener net.Listener
	// port that it says it has.
	port int
}

// orders are what x-up may say.
type orders struct {
	Status  int         `json:"status"`
	Headers [][2]string `json:"headers"`
	Body    *string     `json:"body"`
	Delay   int         `json:"delay"`
	Close   bool        `json:"close"`
	Raw     *string     `json:"raw"`
	Chunked bool        `json:"chunked"`
	Big     int         `json:"big"`
}

// Upstreams starts one for each of RecordedPorts, until the test ends. Targets that are
// made at once take turns in the order of their names, which is that of the addresses.
func Upstreams(t testing.TB) []*Upstream {
	t.Helper()
	all := make([]*Upstream, len(RecordedPorts))
	for i := range all {
		all[i] = NewUpstream(t, 0)
	}
	slices.SortFunc(all, func(a, b *Upstream) int { return strings.Compare(a.Address(), b.Address()) })
	for i, u := range all {
		u.port = RecordedPorts[i]
	}
	return all
}

// NewUpstream starts one that says it has a port, until the test ends.
func NewUpstream(t testing.TB, port int) *Upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &Upstream{listener: l, port: port}
	var open sync.Map
	var work sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		open.Range(func(nc, _ any) bool { _ = nc.(net.Conn).Close(); return true }) //nolint:forcetypeassert // it has no others
		work.Wait()
	})
	work.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(nc, nil)
			work.Go(func() {
				u.serve(nc)
				open.Delete(nc)
			})
		}
	})
	return u
}

// Address is where it listens, host:port.
func (u *Upstream) Address() string { return u.listener.Addr().String() }

func (u *Upstream) serve(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	r := bufio.NewReader(nc)
	var err error
	for err == nil {
		err = u.exchange(nc, r)
	}
}

func (u *Upstream) exchange(nc net.Conn, r *bufio.Reader) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	parts := strings.Fields(line)
	if len(parts) != 3 {
		return io.ErrUnexpectedEOF
	}
	var headers [][2]string
	length, chunked := 0, false
	var up orders
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		headers = append(headers, [2]string{name, latin1(value)})
		switch strings.ToLower(name) {
		case "content-length":
			length, _ = strconv.Atoi(value)
		case "transfer-encoding":
			chunked = true
		case "x-up":
			if err := json.Unmarshal([]byte(value), &up); err != nil {
				return err
			}
		}
	}
	body, err := readBody(r, length, chunked)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(up.Delay) * time.Millisecond)
	switch {
	case up.Close:
		return io.EOF
	case up.Raw != nil:
		_, _ = io.WriteString(nc, *up.Raw)
		return io.EOF
	}
	var echo strings.Builder
	encoder := json.NewEncoder(&echo)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]any{
		"port": u.port, "method": parts[0], "url": parts[1], "version": strings.TrimPrefix(parts[2], "HTTP/"), "headers": headers, "body": body,
	}); err != nil {
		return err
	}
	return reply(nc, &up, strings.TrimSuffix(echo.String(), "\n"))
}

// latin1 reads bytes as the recorded upstream did.
func latin1(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}

func readBody(r *bufio.Reader, length int, chunked bool) (string, error) {
	if !chunked {
		b := make([]byte, length)
		_, err := io.ReadFull(r, b)
		return string(b), err
	}
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return "", err
		}
		if _, err := io.CopyN(&all, r, n); err != nil {
			return "", err
		}
		if n == 0 {
			_, err := textproto.NewReader(r).ReadMIMEHeader()
			if err == io.EOF { //nolint:errorlint // readers return it bare
				err = nil
			}
			return all.String(), err
		}
		if _, err := r.Discard(2); err != nil {
			return "", err
		}
	}
}

func reply(nc net.Conn, up *orders, body string) error {
	status := 200
	if up.Status != 0 {
		status = up.Status
	}
	if up.Body != nil {
		body = *up.Body
	}
	var big string
	if up.Big > 0 {
		big = fmt.Sprintf("X-Big: %s\r\n", strings.Repeat("b", up.Big))
	}
	reason := map[int]string{
		200: "OK", 204: "No Content", 301: "Moved Permanently", 304: "Not Modified", 404: "Not Found", 500: "Internal Server Error",
		502: "Bad Gateway", 503: "Service Unavailable",
	}[status]
	if reason == "" {
		reason = "unknown"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, reason)
	typed, closing := false, false
	for _, h := range up.Headers {
		typed = typed || strings.EqualFold(h[0], "Content-Type")
		closing = closing || strings.EqualFold(h[0], "Connection") && strings.Contains(h[1], "close")
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if big != "" {
		body = ""
		b.WriteString(big)
	} else if !typed {
		b.WriteString("Content-Type: application/json\r\n")
	}
	switch {
	case status == 204 || status == 304:
		b.WriteString("\r\n")
	case up.Chunked:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	if _, err := io.WriteString(nc, b.String()); err != nil {
		return err
	}
	if closing {
		return io.EOF
	}
	return nil
}
