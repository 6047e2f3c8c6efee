// Package referencetest finds the recorded facts about Kong that tests compare
// with. They live beside the repository, in shared/reference, or where the
// environment variable SLUICE_REFERENCE says. Tests skip without them, and fail
// when CI=true.
package referencetest

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Exchange is one recorded HTTP exchange.
type Exchange struct {
	N       int    `json:"n"`
	Mode    string `json:"mode"`
	Group   string `json:"group"`
	Note    string `json:"note"`
	Target  string `json:"target"`
	Request struct {
		Method  string      `json:"method"`
		Path    string      `json:"path"`
		HTTP    string      `json:"http"`
		Headers [][2]string `json:"headers"`
		Body    string      `json:"body"`
		Raw     string      `json:"raw"`
	} `json:"request"`
	// Response is nil where the call matters only for what follows.
	Response *struct {
		HTTP    string      `json:"http"`
		Status  int         `json:"status"`
		Reason  string      `json:"reason"`
		Headers [][2]string `json:"headers"`
		Body    string      `json:"body"`
	} `json:"response"`
}

// Dir returns the folder of recorded facts.
func Dir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("SLUICE_REFERENCE"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		candidate := filepath.Join(dir, "shared", "reference", "exchanges")
		if info, err := os.Stat(candidate); err == nil && info.IsDir() {
			return filepath.Dir(candidate)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no shared/reference beside the repository and no SLUICE_REFERENCE, which CI must have")
	}
	t.Skip("skipped: needs the recorded facts in shared/reference beside the repository (or SLUICE_REFERENCE)")
	return ""
}

// Exchanges reads a file of recorded exchanges in order.
func Exchanges(t testing.TB, name string) []Exchange {
	t.Helper()
	f, err := os.Open(filepath.Join(Dir(t), "exchanges", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []Exchange
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 1<<20), 64<<20)
	for lines.Scan() {
		var e Exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Config reads a recorded declarative document as the objects that JSON would give.
func Config(t testing.TB, name string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Dir(t), "exchanges", name))
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(b, &document); err != nil {
		t.Fatal(err)
	}
	return document
}
