package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// in tells whether a text is in any file below a folder.
func in(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// With keys, nothing of the configuration is in clear on either plane's disk; a wrong key
// stops the start and changes nothing; keys can be changed.
func TestEncryptedAtRest(t *testing.T) {
	const secret = "key-that-nobody-may-read"
	first, second := strings.Repeat("1a", 32), strings.Repeat("2b", 32)
	file := filepath.Join(t.TempDir(), "cache.key")
	if err := os.WriteFile(file, []byte(strings.Repeat("3c", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, 0)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.must("POST", "/consumers", form("username", "luka"), 201)
	c.must("POST", "/consumers/luka/key-auth", form("key", secret), 201)
	c.must("POST", "/plugins", form("name", "key-auth"), 201)
	plain := c.control.args
	c.control.stop()
	if !in(t, c.prefix, secret) {
		t.Fatal("the test looks for the wrong text")
	}

	with := func(settings ...string) { c.control.args = append(append([]string{}, plain...), settings...) }
	with("--store_encryption_key", first)
	c.control.start()
	c.up()
	n := c.addNode("--cache_encryption_key", file)
	n.get("/one", headers{"apikey", secret})
	c.must("POST", "/consumers/luka/key-auth", form("key", secret+"-2"), 201)
	c.control.stop()
	if in(t, c.prefix, secret) {
		t.Error("the store is in clear")
	}
	with()
	if out := c.control.fails(); !strings.Contains(out, "can't be decrypted") || !strings.Contains(out, "no key is given") {
		t.Errorf("without the key: %s", out)
	}
	with("--store_encryption_key", second)
	if out := c.control.fails(); !strings.Contains(out, "can't be decrypted") || strings.Contains(out, second) {
		t.Errorf("with another key: %s", out)
	}
	with("--store_encryption_key", "not-a-key")
	if out := c.control.fails(); !strings.Contains(out, "store_encryption_key: ") || strings.Contains(out, "not-a-key") {
		t.Errorf("with what is no key: %s", out)
	}
	with("--store_encryption_key", second, "--store_encryption_key_previous", first)
	c.control.start()
	c.up()
	c.get("/key-auths/" + secret)
	c.control.stop()
	with("--store_encryption_key", second)
	c.control.start()
	c.up()
	c.get("/key-auths/" + secret)
	n.get("/one", headers{"apikey", secret + "-2"})

	// The node restarts from its disk while the control plane is away.
	c.control.stop()
	n.stop()
	if in(t, n.prefix, secret) {
		t.Error("the node's cache is in clear")
	}
	n.start()
	n.ready()
	n.get("/one", headers{"apikey", secret + "-2"})
}
