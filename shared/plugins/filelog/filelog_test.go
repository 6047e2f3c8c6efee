package filelog_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/filelog"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, filelog.Plugin.Schema, "plugins/file-log.json")
	schematest.ConfigAgrees(t, filelog.Plugin.Schema, filelog.Config{})
}

// send runs requests on a node of their own, which has written all when it returns.
func send(t *testing.T, config string, requests int) {
	t.Helper()
	t.Run("requests", func(t *testing.T) {
		p := pdktest.Build(t, pdktest.Options{Plugin: filelog.Plugin, Config: config})
		for range requests {
			p.Do(pdktest.Request{Path: "/a"})
		}
	})
}

func lines(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(b) {
		if !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
		n++
	}
	return n
}

func TestAppends(t *testing.T) {
	for _, reopen := range []string{"false", "true"} {
		path := filepath.Join(t.TempDir(), "log")
		config := `{"path":"` + path + `","reopen":` + reopen + `}`
		send(t, config, 300)
		send(t, config, 3)
		if n := lines(t, path); n != 303 {
			t.Errorf("%d lines with reopen %s", n, reopen)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&^0o644 != 0 {
			t.Errorf("%v %v", info.Mode(), err)
		}
	}
}

// wait waits for what the queue writes.
func wait(t *testing.T, path string, n int) {
	t.Helper()
	for {
		b, _ := os.ReadFile(path)
		if bytes.Count(b, []byte("\n")) >= n {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("nothing is written")
		}
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	p := pdktest.Build(t, pdktest.Options{Plugin: filelog.Plugin, Config: `{"path":"` + path + `","reopen":true}`})
	p.Do(pdktest.Request{})
	wait(t, path, 1)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	p.Do(pdktest.Request{})
	wait(t, path, 1)
	if lines(t, path) != 1 || lines(t, path+".1") != 1 {
		t.Error("lines are in the wrong file")
	}
}

// TestNoFolder: the file can not be opened until its folder is there.
func TestNoFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(folder, "log")
	send(t, `{"path":"`+path+`"}`, 3)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	send(t, `{"path":"`+path+`"}`, 3)
	if n := lines(t, path); n != 3 {
		t.Errorf("%d lines", n)
	}
}

func TestRefusedPath(t *testing.T) {
	for _, path := range []string{"", "/tmp/*", "/tmp/a&b", "/tmp/`x`"} {
		_, err := pdktest.TryBuild(t, pdktest.Options{Plugin: filelog.Plugin, Config: `{"path":"` + path + `"}`})
		if err == nil || !strings.Contains(err.Error(), "path") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
