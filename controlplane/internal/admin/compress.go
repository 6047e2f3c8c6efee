package admin

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// leastCompressed is the smallest body in bytes that is worth compressing: one entity fits
// into a few packets as it is.
const leastCompressed = 4 << 10

const encodingGzip = "gzip"

var compressors = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool is shared
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return w
}}

// compress returns the body as gzip, false when that is of no use.
func compress(body []byte) ([]byte, bool) {
	var out bytes.Buffer
	w, _ := compressors.Get().(*gzip.Writer)
	defer compressors.Put(w)
	w.Reset(&out)
	if _, err := w.Write(body); err != nil {
		return nil, false
	}
	if err := w.Close(); err != nil || out.Len() >= len(body) {
		return nil, false
	}
	return out.Bytes(), true
}

// acceptsGzip reads Accept-Encoding.
func acceptsGzip(h http.Header) bool {
	accepted := false
	for _, line := range h.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			coding, parameter, _ := strings.Cut(part, ";")
			coding = strings.ToLower(strings.TrimSpace(coding))
			if coding != encodingGzip && coding != "x-gzip" && coding != "*" {
				continue
			}
			quality := 1.0
			if q, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(parameter), " ", ""), "q="); ok {
				quality, _ = strconv.ParseFloat(q, 64) // what is no number accepts nothing
			}
			if coding != "*" {
				return quality > 0 // it is named, whatever the rest says
			}
			accepted = quality > 0
		}
	}
	return accepted
}

// decompress puts a reader in front of a body that is compressed.
func (c *call) decompress() error {
	coding := strings.ToLower(strings.TrimSpace(c.r.Header.Get("Content-Encoding")))
	switch coding {
	case "", "identity":
		return nil
	case encodingGzip, "x-gzip":
		c.r.Body = &gzipBody{body: c.r.Body}
		c.r.ContentLength = -1
		return nil
	}
	out := message(http.StatusUnsupportedMediaType, "Content-Encoding '"+coding+"' is not supported")
	out.header = [][2]string{{"Accept-Encoding", encodingGzip}}
	return refusal{out}
}

// gzipBody decompresses a body as it is read.
type gzipBody struct {
	body   io.ReadCloser
	reader *gzip.Reader
}

func (b *gzipBody) Read(p []byte) (int, error) {
	if b.reader == nil {
		reader, err := gzip.NewReader(b.body)
		if err != nil {
			return 0, fmt.Errorf("decompress body: %w", err)
		}
		b.reader = reader
	}
	return b.reader.Read(p) //nolint:wrapcheck // io.EOF must stay what it is
}

func (b *gzipBody) Close() error { return b.body.Close() } //nolint:wrapcheck // it is only passed on
