package referencetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Answer is an answer of a proxy in a form that can be compared with cmp.Diff.
type Answer struct {
	Status  int
	Headers []string
	Body    any
}

// Masks says what of an answer is new each time.
type Masks struct {
	// Text masks ports and names in texts. Ids are masked besides.
	Text func(string) string
	// Port of the proxy; the recorded one has 28000.
	Port string
	// AnyLength does not compare Content-Length.
	AnyLength bool
}

var (
	counted = regexp.MustCompile(`^(X-Kong-(Upstream|Proxy|Response)-Latency|Ratelimit-Reset|Retry-After|Age)$`)
	ids     = regexp.MustCompile(`\b[0-9a-f]{32}\b|\b[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
)

// Recorded is the answer that an exchange has.
func (m *Masks) Recorded(e *Exchange) Answer {
	a := Answer{Status: e.Response.Status}
	for _, h := range e.Response.Headers {
		a.Headers = append(a.Headers, m.header(h[0], h[1])...)
	}
	return m.finish(e, a, e.Response.Body)
}

// Got is an answer to the request of an exchange.
func (m *Masks) Got(e *Exchange, resp *http.Response, body string) Answer {
	a := Answer{Status: resp.StatusCode}
	for name, values := range resp.Header {
		for _, v := range values {
			a.Headers = append(a.Headers, m.header(name, v)...)
		}
	}
	// net/http takes these out of the header.
	for _, coding := range resp.TransferEncoding {
		a.Headers = append(a.Headers, "Transfer-Encoding: "+coding)
	}
	if resp.Close && resp.Header.Get("Connection") == "" {
		a.Headers = append(a.Headers, "Connection: close")
	}
	return m.finish(e, a, body)
}

func (m *Masks) finish(e *Exchange, a Answer, body string) Answer {
	slices.Sort(a.Headers)
	a.Body = m.body(body)
	if strings.HasPrefix(e.Request.Path, "/hash") || strings.HasPrefix(e.Request.Path, "/cookie") {
		// Which target a value leads to is the ring's own.
		anyTarget(a.Body)
	}
	return a
}

func anyTarget(body any) {
	echo, ok := body.(map[string]any)
	if !ok {
		return
	}
	echo["port"] = "any"
	if lines, ok := echo["headers"].([]string); ok {
		for i := range lines {
			lines[i] = strings.ReplaceAll(lines[i], ":28901", ":28900")
		}
	}
}

// header is a line without what is new each time.
func (m *Masks) header(name, value string) []string {
	name = http.CanonicalHeaderKey(name)
	switch {
	case name == "Date", name == "Connection" && value == "keep-alive", name == "Content-Length" && m.AnyLength:
		return nil
	case counted.MatchString(name):
		value = "a number"
	case name == "X-Cache-Key":
		value = "a key"
	}
	return []string{name + ": " + strings.TrimSpace(m.text(value))}
}

func (m *Masks) text(s string) string { return ids.ReplaceAllString(m.Text(s), "ID") }

// body makes echoes comparable: the order of lines is the engines' own.
func (m *Masks) body(text string) any {
	var echo map[string]any
	if json.Unmarshal([]byte(text), &echo) != nil {
		return m.text(text)
	}
	if lines, ok := echo["headers"].([]any); ok {
		var out []string
		for _, l := range lines {
			pair, ok := l.([]any)
			if !ok || len(pair) != 2 {
				continue
			}
			name, value := fmt.Sprint(pair[0]), fmt.Sprint(pair[1])
			if name == "X-Forwarded-Port" && value == m.Port {
				value = "28000"
			}
			out = append(out, name+": "+m.text(value))
		}
		slices.Sort(out)
		echo["headers"] = out
	}
	for k, v := range echo {
		if s, ok := v.(string); ok {
			echo[k] = m.text(s)
		}
	}
	return echo
}
