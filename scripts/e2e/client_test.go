package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// client calls one address. Each call has its own connection, as curl's have, so
// that a restart in between is no fault.
type client struct {
	t    testing.TB
	base string
}

var transport = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       30 * time.Second,
}

// headers are a call's, as name and value in turn.
type headers []string

// form is a body as curl --data sends it; pairs are name and value in turn.
func form(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values
}

// object is a JSON body.
type object map[string]any

// try makes a call and returns whatever came of it. body is url.Values for a form,
// string for raw JSON, nil for none, anything else becomes JSON.
func (c *client) try(method, path string, body any, with ...headers) *response {
	var reader io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
		contentType = ""
	case url.Values:
		contentType = "application/x-www-form-urlencoded"
		reader = strings.NewReader(b.Encode())
	case string:
		reader = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return &response{err: err}
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, c.base+path, reader)
	if err != nil {
		return &response{err: err}
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for _, h := range with {
		for i := 0; i < len(h); i += 2 {
			switch {
			case strings.EqualFold(h[i], "Host"):
				request.Host = h[i+1]
				continue
			case strings.EqualFold(h[i], "Content-Type"):
				request.Header.Del("Content-Type")
			}
			request.Header.Add(h[i], h[i+1])
		}
	}
	r := &response{what: method + " " + path}
	answer, err := transport.Do(request)
	if err != nil {
		r.err = err
		return r
	}
	defer func() { _ = answer.Body.Close() }()
	r.status, r.header = answer.StatusCode, answer.Header
	if r.body, err = io.ReadAll(answer.Body); err != nil {
		r.err = fmt.Errorf("body of %s: %w", r.what, err)
	}
	return r
}

// must makes a call that is to have a status.
func (c *client) must(method, path string, body any, status int, with ...headers) *response {
	c.t.Helper()
	r := c.try(method, path, body, with...)
	if err := r.is(status); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// get is must("GET") with 200.
func (c *client) get(path string, with ...headers) *response {
	c.t.Helper()
	return c.must("GET", path, nil, 200, with...)
}

// response is what came of a call.
type response struct {
	what   string
	err    error
	status int
	header http.Header
	body   []byte
}

// is returns an error unless the call succeeded with that status.
func (r *response) is(status int) error {
	if r.err != nil {
		return r.err
	}
	if r.status != status {
		return fmt.Errorf("%s: status %d, want %d: %s", r.what, r.status, status, r.body)
	}
	return nil
}

// json decodes the body, nil when it is no object.
func (r *response) json() map[string]any {
	var out map[string]any
	if json.Unmarshal(r.body, &out) != nil {
		return nil
	}
	return out
}

// at follows the path of members into the body; nil when there is none.
func (r *response) at(path ...string) any {
	var v any = r.json()
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// text is at for a string.
func (r *response) text(path ...string) string {
	s, _ := r.at(path...).(string)
	return s
}

// number is a number at a path, 0 when there is none.
func (r *response) number(path ...string) float64 {
	n, _ := r.at(path...).(float64)
	return n
}

// list is at for an array of objects.
func (r *response) list(path ...string) []map[string]any {
	var out []map[string]any
	array, _ := r.at(path...).([]any)
	for _, v := range array {
		m, _ := v.(map[string]any)
		out = append(out, m)
	}
	return out
}
