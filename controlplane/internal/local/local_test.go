package local_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/controlplane/internal/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, prefix string) (stop func()) {
	t.Helper()
	l, err := local.Listen(prefix)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			_, _ = io.Copy(w, r.Body)
		case "/refused":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"message":"not so"}`)
		case "/strange":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "?")
		case "/cut":
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
			panic(http.ErrAbortHandler)
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return func() {
		_ = server.Close()
		<-done
	}
}

func TestSocket(t *testing.T) {
	// Longer than the kernel takes for a socket's name.
	prefix := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(prefix, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Dial(t.Context(), prefix); !errors.Is(err, local.ErrNobody) {
		t.Errorf("before: %v", err)
	}
	if _, err := local.Dial(t.Context(), filepath.Join(prefix, "none")); !errors.Is(err, local.ErrNobody) {
		t.Errorf("no prefix: %v", err)
	}
	stop := serve(t, prefix)
	path := filepath.Join(prefix, local.File)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the socket: %v, %v", info, err)
	}
	c, err := local.Dial(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var back map[string]int
	if err := c.Call(t.Context(), http.MethodPost, "/echo", map[string]int{"n": 7}, &back); err != nil || back["n"] != 7 {
		t.Errorf("echo: %v, %v", back, err)
	}
	if err := c.Call(t.Context(), http.MethodGet, "/refused", nil, nil); err == nil || err.Error() != "not so" {
		t.Errorf("refused: %v", err)
	}
	var answer *local.Answer
	if err := c.Call(t.Context(), http.MethodGet, "/strange", nil, nil); !errors.As(err, &answer) || answer.Status != 500 {
		t.Errorf("strange: %v", err)
	}
	body, err := c.Get(t.Context(), "/cut")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, body); err == nil {
		t.Errorf("what is cut off looks whole after %d bytes", n)
	}
	_ = body.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Call(ended, http.MethodGet, "/echo", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}

	// Of a process that was killed.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Dial(t.Context(), prefix); !errors.Is(err, local.ErrNobody) {
		t.Errorf("a left one: %v", err)
	}
	stop = serve(t, prefix)
	defer stop()
	if c, err := local.Dial(t.Context(), prefix); err != nil {
		t.Errorf("over a left one: %v", err)
	} else {
		c.Close()
	}
	if left, err := filepath.Glob(filepath.Join(prefix, ".control-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
