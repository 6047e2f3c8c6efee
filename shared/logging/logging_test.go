package logging_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/logging"
)

func TestLevelsAreKongs(t *testing.T) {
	for name, want := range map[string]hclog.Level{
		"debug": hclog.Debug, "info": hclog.Info, "notice": hclog.Info, "warn": hclog.Warn,
		"error": hclog.Error, "crit": hclog.Error, "alert": hclog.Error, "emerg": hclog.Error,
	} {
		if got, ok := logging.Level(name); !ok || got != want {
			t.Errorf("Level(%q) = %v, %v; want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "trace", "warning", "NOTICE"} {
		if got, ok := logging.Level(name); ok {
			t.Errorf("Level(%q) = %v, want none", name, got)
		}
	}
}

func TestNewRefusesAnUnknownLevel(t *testing.T) {
	if _, err := logging.New(logging.Options{Level: "loud"}); err == nil || !strings.Contains(err.Error(), `"loud"`) {
		t.Errorf("New with level loud: error %v, want one that names it", err)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		log, err := logging.New(logging.Options{Name: "cp", Level: "debug", JSON: asJSON, Output: &out})
		if err != nil {
			t.Fatal(err)
		}
		log.Named("admin").With("admin_token", "hunter1").Info("login", "Password", "hunter2", "user", "ann")
		log.Log(hclog.Error, "other", "cluster_cert_key", "hunter3")
		log.ResetNamed("x").Debug("odd", "client_secret")
		if strings.Contains(out.String(), "hunter") {
			t.Errorf("json=%v: a secret was logged: %s", asJSON, out.String())
		}
		if !strings.Contains(out.String(), "ann") || !strings.Contains(out.String(), "cp.admin") {
			t.Errorf("json=%v: harmless pairs or names are missing: %s", asJSON, out.String())
		}
	}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	var out bytes.Buffer
	log, err := logging.New(logging.Options{JSON: true, Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("first", "revision", 7)
	log.Debug("hidden")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if line["@message"] != "first" || line["revision"] != float64(7) {
		t.Errorf("line = %v", line)
	}
}

func TestLevelChangesForNamedLoggersToo(t *testing.T) {
	var out bytes.Buffer
	log, err := logging.New(logging.Options{Level: "error", Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	named := log.Named("hub")
	named.Debug("before")
	log.SetLevel(hclog.Debug)
	named.Debug("after")
	if got := out.String(); strings.Contains(got, "before") || !strings.Contains(got, "after") {
		t.Errorf("log = %q, want only what came after the change", got)
	}
}
