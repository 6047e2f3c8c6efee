package declarative_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

// writeDocument writes a document of seven entities a service: three routes, a plugin, and a
// consumer with a key. It returns how many bytes it has.
func writeDocument(to io.Writer, services int) (int64, error) {
	counted := &counter{Writer: to}
	w := bufio.NewWriter(counted)
	encoder := json.NewEncoder(w)
	type object = map[string]any
	list := func(name string, entity func(i int) object) {
		_, _ = fmt.Fprintf(w, "%q:[", name)
		for i := range services {
			if i > 0 {
				_ = w.WriteByte(',')
			}
			_ = encoder.Encode(entity(i))
		}
		_ = w.WriteByte(']')
	}
	_, _ = w.WriteString(`{"_format_version":"3.0",`)
	list("services", func(i int) object {
		var routes []object
		for j := range 3 {
			routes = append(routes, object{
				"name": fmt.Sprintf("route-%06d-%d", i, j), "paths": []string{fmt.Sprintf("/api/v1/%d/%d", i, j)},
				"hosts": []string{fmt.Sprintf("h%d.example.com", i)}, "methods": []string{"GET", "POST"}, "tags": []string{"made", fmt.Sprint("team-", i%100)},
			})
		}
		return object{
			"name": fmt.Sprintf("service-%06d", i), "host": fmt.Sprintf("upstream-%d.internal", i), "tags": []string{"made"}, "routes": routes,
			"plugins": []object{{"name": "rate-limiting", "config": object{"minute": 5, "policy": "local"}}},
		}
	})
	_ = w.WriteByte(',')
	list("consumers", func(i int) object {
		return object{"username": fmt.Sprintf("consumer-%06d", i), "custom_id": fmt.Sprint("id-", i), "keyauth_credentials": []object{{"key": fmt.Sprintf("key-%06d", i)}}}
	})
	_ = w.WriteByte('}')
	return counted.n, w.Flush()
}

type counter struct {
	io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return c.Writer.Write(b)
}

// BenchmarkLoad imports into an empty store. peak is what the process took at most, so that
// each size has to be asked for alone.
func BenchmarkLoad(b *testing.B) {
	for _, services := range []int{2860, 30_000, 180_000} {
		b.Run(fmt.Sprint(7*services), func(b *testing.B) {
			for b.Loop() {
				w := newWorld(b)
				r, out := io.Pipe()
				go func() {
					n, err := writeDocument(out, services)
					b.ReportMetric(float64(n)/1e6, "MB-document")
					_ = out.CloseWithError(err)
				}()
				if _, _, err := w.Load(b.Context(), "", r, "", false); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(peak(b), "MB-peak")
		})
	}
}

// peak returns the most memory that the process had, in MB.
func peak(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(n) / 1e3
}
