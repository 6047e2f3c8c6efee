// Package sink delivers batches of a queue over HTTP, over a stream such as TCP or TLS,
// and as datagrams. A sink owns its connections and is used again after any error. It
// refuses to retry beyond a connection that went stale: the queue does that.
package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// HTTPOptions of an HTTP sink.
type HTTPOptions struct {
	// URL that bodies are sent to; its user information is not used.
	URL string
	// Method; "" means POST.
	Method string
	// Header of each request.
	Header http.Header
	// Connect, Send and Read bound the connection, the sending and the wait for an answer;
	// 0 means 60s.
	Connect, Send, Read time.Duration
	// Idle is how long an unused connection stays; 0 means 60s.
	Idle time.Duration
	// Verify checks the server's certificate.
	Verify bool
	// Taken tells which answers mean that a body was taken; nil means those below 300.
	Taken func(status int) bool
}

// HTTP sends bodies to one URL. It is safe for concurrent use.
type HTTP struct {
	o      HTTPOptions
	client *http.Client
}

// shown is how much of the body of a refusal is told.
const shown = 200

// NewHTTP makes a sink. Nothing is dialled before the first body.
func NewHTTP(o HTTPOptions) *HTTP {
	for _, d := range []*time.Duration{&o.Connect, &o.Send, &o.Read, &o.Idle} {
		if *d <= 0 {
			*d = time.Minute
		}
	}
	if o.Method == "" {
		o.Method = http.MethodPost
	}
	if o.Taken == nil {
		o.Taken = func(status int) bool { return status < 300 }
	}
	dialer := net.Dialer{Timeout: o.Connect}
	return &HTTP{o: o, client: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: o.Connect, ResponseHeaderTimeout: o.Read,
			IdleConnTimeout: o.Idle, MaxIdleConnsPerHost: 32, DisableCompression: true,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !o.Verify}, //nolint:gosec // as Kong: the plugin's documentation says so
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send sends a body.
func (h *HTTP) Send(ctx context.Context, body []byte) error {
	ctx, stop := context.WithTimeout(ctx, h.o.Connect+h.o.Send+h.o.Read)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, h.o.Method, h.o.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	r.Header = h.o.Header.Clone()
	answer, err := h.client.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // what the URL holds is nobody's business
		}
		return fmt.Errorf("send request to %s: %w", r.URL.Host, err)
	}
	defer func() { _ = answer.Body.Close() }()
	start, err := io.ReadAll(io.LimitReader(answer.Body, shown))
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	}
	if !h.o.Taken(answer.StatusCode) {
		return fmt.Errorf("request returned status code %d and body %q", answer.StatusCode, start)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// Close closes the connections.
func (h *HTTP) Close() error {
	h.client.CloseIdleConnections()
	return nil
}
