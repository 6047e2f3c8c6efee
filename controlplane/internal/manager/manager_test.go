package manager_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sluice-gateway/sluice/controlplane/internal/manager"
)

const script = "console.log('hello')"

func built(t *testing.T) fstest.MapFS {
	t.Helper()
	pack := func(text string) *fstest.MapFile {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return &fstest.MapFile{Data: b.Bytes()}
	}
	return fstest.MapFS{
		"README.md":         {Data: []byte("not served")},
		"index.html.gz":     pack(`<script src="./kconfig.js"></script><script type="module" src="./assets/a.js"></script>`),
		"favicon.svg.gz":    pack("<svg/>"),
		"assets/a.js.gz":    pack(script),
		"assets/font.woff2": {Data: []byte("font")},
	}
}

func handler(t *testing.T, o manager.Options) http.Handler {
	t.Helper()
	h, err := manager.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, target string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestFiles(t *testing.T) {
	h := handler(t, manager.Options{Path: "/", Port: 8001, Files: built(t)})
	for _, c := range []struct {
		path, accept                      string
		status                            int
		contentType, cache, encoding, has string
	}{
		{"/", "", 200, "text/html; charset=utf-8", "no-cache", "", `src="/assets/a.js"`},
		{"/services/a.b/edit", "", 200, "text/html; charset=utf-8", "no-cache", "", `src="/kconfig.js"`},
		{"/assets/a.js", "gzip, br", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "gzip", ""},
		{"/assets/a.js", "br", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "", script},
		{"/assets/a.js", "gzip;q=0", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "", script},
		{"/assets/font.woff2", "gzip", 200, "font/woff2", "public, max-age=31536000, immutable", "", "font"},
		{"/favicon.svg", "", 200, "image/svg+xml", "no-cache", "", "<svg/>"},
		{"/assets/gone.js", "", 404, "text/plain; charset=utf-8", "", "", ""},
		{"/kconfig.js", "", 200, "text/javascript; charset=utf-8", "no-cache", "", `"ADMIN_API_PORT":"8001"`},
		{"/README.md", "", 200, "text/html; charset=utf-8", "no-cache", "", "kconfig.js"},
	} {
		w := get(h, c.path, map[string]string{"Accept-Encoding": c.accept})
		if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || w.Header().Get("Cache-Control") != c.cache {
			t.Errorf("%s: got %d %q %q, want %d %q %q", c.path, w.Code, w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"),
				c.status, c.contentType, c.cache)
		}
		if got := w.Header().Get("Content-Encoding"); got != c.encoding {
			t.Errorf("%s with %q: got encoding %q, want %q", c.path, c.accept, got, c.encoding)
		}
		if !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%s: got %q, want %q in it", c.path, w.Body, c.has)
		}
	}
}

func TestNotModified(t *testing.T) {
	h := handler(t, manager.Options{Path: "/", Files: built(t)})
	for _, path := range []string{"/", "/assets/a.js", "/kconfig.js"} {
		tag := get(h, path, nil).Header().Get("ETag")
		if w := get(h, path, map[string]string{"If-None-Match": tag}); tag == "" || w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%s with %s: got %d and %d bytes, want 304 and none", path, tag, w.Code, w.Body.Len())
		}
		if w := get(h, path, map[string]string{"If-None-Match": `"other"`}); w.Code != 200 {
			t.Errorf("%s with another tag: got %d, want 200", path, w.Code)
		}
	}
}

func TestPrefix(t *testing.T) {
	h := handler(t, manager.Options{Path: "/manager", Port: 8001, Files: built(t)})
	for path, want := range map[string]string{
		"/manager/":             `src="/manager/assets/a.js"`,
		"/manager/services":     `src="/manager/assets/a.js"`,
		"/manager/assets/a.js":  script,
		"/manager/kconfig.js":   `"ADMIN_GUI_PATH":"/manager/"`,
		"/manager/services?a=b": `src="/manager/kconfig.js"`,
	} {
		if w := get(h, path, nil); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: got %d %q, want %q in it", path, w.Code, w.Body, want)
		}
	}
	if w := get(h, "/", nil); w.Code != 302 || w.Header().Get("Location") != "/manager/" {
		t.Errorf("/: got %d to %q, want 302 to /manager/", w.Code, w.Header().Get("Location"))
	}
	if w := get(h, "/services", nil); w.Code != 404 {
		t.Errorf("/services: got %d, want 404", w.Code)
	}
}

func TestWithoutFiles(t *testing.T) {
	h := handler(t, manager.Options{Path: "/", Port: 8001, Files: fstest.MapFS{"README.md": {}}})
	for _, path := range []string{"/", "/services", "/assets/"} {
		if w := get(h, path, nil); w.Code != 200 || !strings.Contains(w.Body.String(), "make manager") {
			t.Errorf("%s: got %d %q, want how to get the manager", path, w.Code, w.Body)
		}
	}
	if w := get(h, "/kconfig.js", nil); w.Code != 200 || !strings.HasPrefix(w.Body.String(), "window.K_CONFIG = {") {
		t.Errorf("kconfig.js: got %d %q", w.Code, w.Body)
	}
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		name, target string
		o            manager.Options
		want         string
	}{
		{"port", "http://gateway.example:8002/", manager.Options{Port: 8001}, "connect-src 'self' http://gateway.example:8001"},
		{"ports", "http://10.0.0.1:8002/", manager.Options{Port: 8001, SecurePort: 8444}, "connect-src 'self' http://10.0.0.1:8001 https://10.0.0.1:8444"},
		{"IPv6", "http://[::1]:8002/", manager.Options{Port: 8001}, "connect-src 'self' http://*:8001"},
		{"address", "http://a:8002/", manager.Options{Port: 8001, APIURL: "https://admin.example/api"}, "connect-src 'self' https://admin.example"},
		{"address without scheme", "http://a:8002/", manager.Options{APIURL: "admin.example:9001"}, "connect-src 'self' http://admin.example:9001 https://admin.example:9001"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Path, c.o.Files = "/", built(t)
			policy := get(handler(t, c.o), c.target, nil).Header().Get("Content-Security-Policy")
			if !strings.HasSuffix(policy, c.want) {
				t.Errorf("got %q, want %q at its end", policy, c.want)
			}
			if !strings.Contains(policy, "script-src 'self';") || !strings.HasPrefix(policy, "default-src 'none';") {
				t.Errorf("got %q, want no script but our own", policy)
			}
		})
	}
	// A host that is no name can not add to the policy.
	h := handler(t, manager.Options{Path: "/", Port: 8001, Files: built(t), Expressions: true})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = "a; script-src *"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.HasSuffix(policy, "connect-src 'self' http://*:8001") || !strings.Contains(policy, "script-src 'self' 'wasm-unsafe-eval';") {
		t.Errorf("got %q", policy)
	}
}
