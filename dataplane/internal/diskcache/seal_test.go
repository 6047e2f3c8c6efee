package diskcache_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/diskcache"
)

var (
	keyA = bytes.Repeat([]byte{'a'}, 32)
	keyB = bytes.Repeat([]byte{'b'}, 32)
)

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, name := range names {
		if out[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestEncryptedCache(t *testing.T) {
	dir := t.TempDir()
	w := newKeyedWriter(t, dir, keyA)
	w.put(true, "secret-one", "secret-two")
	want := w.put(false, "secret-three")
	for name, content := range files(t, dir) {
		if bytes.Contains(content, []byte("secret")) {
			t.Errorf("%s is in clear", name)
		}
	}
	got := loadKeyed(t, dir, keyA)
	if got.Update.To != want || len(got.Update.Changes) != 3 || len(got.Faults) > 0 {
		t.Fatalf("loaded %v %v", got.Update.To, got.Faults)
	}
	for name, test := range map[string]struct {
		key  []byte
		want string
	}{"another key": {keyB, "another key"}, "no key": {nil, "no key is set"}} {
		got := loadKeyed(t, dir, test.key)
		if !got.Update.To.IsZero() || len(got.Faults) == 0 || !strings.Contains(got.Faults[0], test.want) {
			t.Errorf("%s: loaded %v %v", name, got.Update.To, got.Faults)
		}
	}
	if _, err := diskcache.Open(dir, []byte("short")); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("a short key: %v", err)
	}
	// A node goes on with the log that it has.
	c, err := diskcache.Open(dir, keyA)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	c.Load(nil)
	w.cache = c
	want = w.put(false, "secret-four")
	if got := loadKeyed(t, dir, keyA); got.Update.To != want || len(got.Update.Changes) != 4 || len(got.Faults) > 0 {
		t.Errorf("after another update: %v %v", got.Update.To, got.Faults)
	}
}

// TestCacheInClearIsNotTrusted: with a key, what anybody could have written is not served.
func TestCacheInClearIsNotTrusted(t *testing.T) {
	dir := t.TempDir()
	newWriter(t, dir).put(true, "one")
	got := loadKeyed(t, dir, keyA)
	if !got.Update.To.IsZero() || len(got.Faults) != 1 || !strings.Contains(got.Faults[0], "not encrypted, although a key is set") {
		t.Errorf("loaded %v %v", got.Update.To, got.Faults)
	}
}

func TestTamperedCache(t *testing.T) {
	dir := t.TempDir()
	w := newKeyedWriter(t, dir, keyA)
	w.put(true, "one", "two")
	w.put(false, "three")
	good := files(t, dir)
	for name, content := range good {
		for i := range content {
			changed := bytes.Clone(content)
			changed[i] ^= 1
			if err := os.WriteFile(name, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			got := loadKeyed(t, dir, keyA)
			if len(got.Faults) == 0 || len(got.Update.Changes) == 3 {
				t.Errorf("byte %d of %s: loaded %v %v", i, filepath.Base(name), got.Update.To, got.Faults)
			}
			// Loading cuts a bad log.
			for name, content := range good {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
