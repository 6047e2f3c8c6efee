package command_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/command"
	"github.com/sluice-gateway/sluice/shared/settings"
)

func TestWords(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", ""},
		{"kong docker-start", "start"},
		{"kong start", "start"},
		{"docker-start", "start"},
		{"kong", ""},
		{"kong health", "health"},
		{"kong kong", "kong"},
		{"backup kong", "backup kong"},
	} {
		in := strings.Fields(test.in)
		if got := command.Words(in); !slices.Equal(got, strings.Fields(test.want)) {
			t.Errorf("Words(%q) = %q, want %q", test.in, got, test.want)
		}
		if !slices.Equal(in, strings.Fields(test.in)) {
			t.Errorf("Words changed its argument to %q", in)
		}
	}
}

func TestMigrations(t *testing.T) {
	for words, good := range map[string]bool{
		"bootstrap": true, "up && kong migrations finish": true, "finish": true, "list": true, "status": true,
		"": false, "reset": false, "reset --yes": false, "bootstarp": false,
	} {
		var out bytes.Buffer
		err := command.Migrations(strings.Fields(words), &out)
		if (err == nil) != good || good != strings.Contains(out.String(), "nothing to do") {
			t.Errorf("migrations %s: %v, printed %q", words, err, out.String())
		}
	}
}

// listener serves ready on an address of a kind, and returns what settings call it.
func listener(t *testing.T, kind string, handler http.Handler) []settings.Listener {
	t.Helper()
	network, address, flags := "tcp", "127.0.0.1:0", ""
	if kind == "unix" {
		network, address = "unix", filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener = l
	address = l.Addr().String()
	switch kind {
	case "tls":
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		server.StartTLS()
		flags = " ssl"
	case "unix":
		server.Start()
		address = "unix:" + address
	default:
		server.Start()
	}
	t.Cleanup(server.Close)
	out, err := settings.ParseListeners(address + flags)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHealth(t *testing.T) {
	for _, kind := range []string{"tcp", "tls", "unix"} {
		t.Run(kind, func(t *testing.T) {
			code := 200
			l := listener(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/status/ready" {
					t.Errorf("asked %s %s", r.Method, r.URL)
				}
				w.WriteHeader(code)
				_, _ = io.WriteString(w, "{\"message\":\"so\"}\n")
			}))
			var out bytes.Buffer
			if err := command.Health(t.Context(), l, nil, &out); err != nil || out.String() != "{\"message\":\"so\"}\n" {
				t.Errorf("ready: %v, printed %q", err, out.String())
			}
			code = 503
			if err := command.Health(t.Context(), l, nil, io.Discard); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "so") {
				t.Errorf("not ready: %v", err)
			}
			// Without the status listener, another one that takes connections will do.
			out.Reset()
			if err := command.Health(t.Context(), nil, l, &out); err != nil || !strings.Contains(out.String(), "takes connections") {
				t.Errorf("other: %v, printed %q", err, out.String())
			}
		})
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := []settings.Listener{{Network: "tcp", Address: gone.Addr().String()}}
	_ = gone.Close()
	if err := command.Health(t.Context(), dead, nil, io.Discard); err == nil {
		t.Error("a dead program is healthy")
	}
	if err := command.Health(t.Context(), nil, dead, io.Discard); err == nil {
		t.Error("a dead listener is healthy")
	}
	if err := command.Health(t.Context(), nil, nil, io.Discard); err == nil {
		t.Error("nothing is healthy")
	}
}

func TestDrain(t *testing.T) {
	marked := ""
	l := listener(t, "tcp", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		marked = r.Method + " " + r.FormValue("status")
		w.WriteHeader(http.StatusNoContent)
	}))
	start := time.Now()
	if err := command.Drain(t.Context(), []string{"0.05"}, l, io.Discard); err != nil {
		t.Error(err)
	}
	if marked != "POST draining" || time.Since(start) < 50*time.Millisecond {
		t.Errorf("asked %q, waited %v", marked, time.Since(start))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := command.Drain(ctx, nil, l, io.Discard); err == nil {
		t.Error("drain waits although it is ended")
	}
	for _, args := range [][]string{{"x"}, {"-1"}, {"3601"}, {"NaN"}, {"1", "2"}} {
		if err := command.Drain(t.Context(), args, l, io.Discard); err == nil {
			t.Errorf("drain %q is done", args)
		}
	}
	if err := command.Drain(t.Context(), nil, nil, io.Discard); err == nil {
		t.Error("drained without a listener")
	}
	refuses := listener(t, "tcp", http.NotFoundHandler())
	if err := command.Drain(t.Context(), nil, refuses, io.Discard); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("refused: %v", err)
	}
}
