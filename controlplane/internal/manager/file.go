package manager

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// assets is where files are whose names change with their contents.
const assets = "assets/"

// file is one file as it is sent.
type file struct {
	contentType, cacheControl, etag string
	body                            []byte
	compressed                      bool
}

// load reads all files, by their paths without .gz. The index's own addresses are
// relative; they get the prefix, because the index is served for pages below others.
func load(files fs.FS, prefix string) (map[string]*file, error) {
	loaded := map[string]*file{}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == "README.md" {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		name, compressed := strings.CutSuffix(name, ".gz")
		if name == "index.html" {
			if compressed {
				if body, err = inflate(body); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			body = bytes.ReplaceAll(body, []byte(`="./`), []byte(`="`+prefix))
			compressed = false
		}
		loaded[name] = newFile(name, body, compressed)
		return nil
	})
	return loaded, err
}

func newFile(name string, body []byte, compressed bool) *file {
	sum := sha256.Sum256(body)
	f := &file{
		contentType: contentType(name), cacheControl: "no-cache", etag: `"` + hex.EncodeToString(sum[:12]) + `"`,
		body: body, compressed: compressed,
	}
	if strings.HasPrefix(name, assets) {
		f.cacheControl = "public, max-age=31536000, immutable"
	}
	return f
}

// contentType does not ask the system, whose tables differ.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".ttf":
		return "font/ttf"
	case ".wasm":
		return "application/wasm"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// ServeHTTP implements http.Handler. The entity tag is one for both encodings, so it
// is weak where there are two.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", f.cacheControl)
	etag := f.etag
	if f.compressed {
		etag = "W/" + etag
		h.Set("Vary", "Accept-Encoding")
	}
	h.Set("ETag", etag)
	if match := r.Header.Get("If-None-Match"); match == "*" || strings.Contains(match, f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.body
	if f.compressed {
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
		} else {
			var err error
			if body, err = inflate(body); err != nil {
				http.Error(w, "An unexpected error occurred", http.StatusInternalServerError)
				return
			}
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, parameters, _ := strings.Cut(coding, ";")
		if name = strings.TrimSpace(name); name != "gzip" && name != "*" {
			continue
		}
		q, weighed := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !weighed || err != nil || weight > 0
	}
	return false
}

func inflate(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
