// Package local is the way from the command line to the control plane that runs on the
// same machine with the same prefix: a socket in the prefix that only the user of the
// process can open, so that no token is needed. It owns the socket and how it is reached.
// It refuses to know what is asked there.
package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// File is the name of the socket in the prefix.
const File = "control.sock"

// ErrNobody means that no control plane listens.
var ErrNobody = errors.New("no control plane runs with this prefix")

// Listen makes the socket. A left one of an earlier process is replaced: whoever calls has
// the store open, so that there is no other process. Closing the listener removes it.
func Listen(prefix string) (net.Listener, error) {
	// It gets its mode where nobody else can come before it is under its name.
	folder, err := os.MkdirTemp(prefix, ".control-")
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", File, err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	l, err := listenIn(folder)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", File, err)
	}
	path := filepath.Join(prefix, File)
	err = errors.Join(os.Chmod(filepath.Join(folder, File), 0o600), os.Rename(filepath.Join(folder, File), path))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make %s: %w", File, err), l.Close())
	}
	return &listener{l, path}, nil
}

type listener struct {
	net.Listener
	path string
}

func (l *listener) Close() error {
	_ = os.Remove(l.path)
	return l.Listener.Close()
}

// The kernel takes paths of about 100 bytes, which prefixes can be longer than: the folder
// is named by an open file where the system allows it.
func short(folder string, use func(path string) error) error {
	f, err := os.Open(folder) //nolint:gosec // the operator's path
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	under := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if _, err := os.Stat(under); err != nil {
		under = folder
	}
	return use(filepath.Join(under, File))
}

func listenIn(folder string) (l net.Listener, err error) {
	err = short(folder, func(path string) (err error) {
		l, err = net.Listen("unix", path)
		return err
	})
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // it goes under another name
	}
	return l, err
}

// Client talks to the control plane that runs. Close ends it.
type Client struct {
	http *http.Client
}

// Dial finds out whether a control plane runs with the prefix; ErrNobody when none does.
func Dial(ctx context.Context, prefix string) (*Client, error) {
	conn, err := dial(ctx, prefix)
	if err != nil {
		return nil, err
	}
	_ = conn.Close()
	return &Client{&http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, prefix) },
		DisableCompression: true,
	}}}, nil
}

func dial(ctx context.Context, prefix string) (conn net.Conn, err error) {
	err = short(prefix, func(path string) (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		return err
	})
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNobody
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s can only be used by the user of the control plane: %w", filepath.Join(prefix, File), err)
	}
	return conn, err
}

// Close ends the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Answer is a refusal of the control plane.
type Answer struct {
	Status int
	Body   []byte
}

func (a *Answer) Error() string {
	var body struct {
		Message string            `json:"message"`
		Fields  map[string]string `json:"fields"`
	}
	if json.Unmarshal(a.Body, &body) == nil && body.Message != "" {
		return body.Message
	}
	return fmt.Sprintf("the control plane answers %d: %s", a.Status, a.Body)
}

const longestAnswer = 64 << 20

// Call sends body as JSON, nil for none, and decodes the answer into into, nil for
// nothing. A refusal is an *Answer.
func (c *Client) Call(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		content = bytes.NewReader(b)
	}
	answer, err := c.do(ctx, method, path, content)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer, longestAnswer))
	if err != nil {
		return fmt.Errorf("ask the control plane that runs: %w", err)
	}
	if into == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read the control plane's answer: %w", err)
	}
	return nil
}

// Get returns what a path has, which the caller closes. A refusal is an *Answer.
func (c *Client) Get(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.do(ctx, http.MethodGet, path, nil)
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://local"+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask the control plane that runs: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the control plane that runs: %w", err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		return nil, &Answer{response.StatusCode, text}
	}
	return response.Body, nil
}
