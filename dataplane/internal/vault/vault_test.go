package vault_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/vault"
	"github.com/sluice-gateway/sluice/shared/entity"
)

type room struct {
	*vault.Vaults

	dir string
	env map[string]string
	now time.Time
}

func newRoom(t *testing.T) *room {
	r := &room{dir: t.TempDir(), env: map[string]string{}, now: time.Unix(1e9, 0)}
	r.Vaults = vault.New(vault.Options{
		FilePath: r.dir, Now: func() time.Time { return r.now },
		LookupEnv: func(name string) (string, bool) { v, ok := r.env[name]; return v, ok },
	})
	return r
}

func (r *room) write(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGet(t *testing.T) {
	r := newRoom(t)
	r.env["MY_SECRET"], r.env["KV_DB"], r.env["MY_SECRET_PREVIOUS"], r.env["B64"] = "s1", `{"user":"joe","n":1}`, "s0", "aGk="
	r.write(t, "plain", "from file\n")
	r.write(t, "db/password", "deep")
	r.write(t, "json", `{"key":"of json"}`)
	r.write(t, "long", strings.Repeat("x", vault.MaxFile+1))
	if err := os.Symlink("/etc/hostname", filepath.Join(r.dir, "out")); err != nil {
		t.Fatal(err)
	}
	r.Configure(map[string]*entity.Vault{
		"my-env":  {Prefix: "my-env", Name: "env", Config: []byte(`{"prefix":"KV_"}`)},
		"my-file": {Prefix: "my-file", Name: "file", Config: []byte(`{"path":"` + r.dir + `/db"}`)},
		"strange": {Prefix: "strange", Name: "hcv"},
	})
	for text, want := range map[string]string{
		"{vault://env/my-secret}":              "s1",
		"{vault://env/my-secret#2}":            "s0",
		"{vault://env/db/user?prefix=KV_}":     "joe",
		"{vault://my-env/db/user}":             "joe",
		"{vault://env/b64?base64_decode=true}": "hi",
		"{vault://file/plain}":                 "from file",
		"{vault://file/db/password}":           "deep",
		"{vault://file/json/key}":              "of json",
		"{vault://my-file/password}":           "deep",
	} {
		if got, err := r.Get(text); got != want || err != nil {
			t.Errorf("%s: got %q, want %q, %v", text, got, want, err)
		}
	}
	for text, want := range map[string]string{
		"{vault://env/none}":                         "no value found",
		"{vault://env/my-secret/key}":                "unable to json decode",
		"{vault://my-env/db/none}":                   "subfield none not found",
		"{vault://my-env/db/n}":                      "unexpected value",
		"{vault://env/my-secret?base64_decode=true}": "not in Base64",
		"{vault://env/my-secret?ttl=x}":              "ttl",
		"{vault://nope/x}":                           "could not find vault (nope)",
		"{vault://strange/x}":                        "could not find vault (hcv)",
		"{vault://file/none}":                        "no such file",
		"{vault://file/..%2f..%2fetc%2fpasswd}":      "no value found",
		"{vault://file/out}":                         "no value found",
		"{vault://file/db}":                          "not a regular file",
		"{vault://file/long}":                        "longer than",
		"{vault://}":                                 "missing host",
	} {
		got, err := r.Get(text)
		if err == nil || !strings.Contains(err.Error(), want) || got != "" {
			t.Errorf("%s: got %q, %v, want %s", text, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s1") {
			t.Errorf("%s: the error tells the secret: %v", text, err)
		}
	}
}

func TestTimes(t *testing.T) {
	r := newRoom(t)
	text := "{vault://file/s?ttl=10&neg_ttl=5&resurrect_ttl=20}"
	step := func(d time.Duration, want string, found bool) {
		t.Helper()
		r.now = r.now.Add(d)
		if got, err := r.Get(text); got != want || (err == nil) != found {
			t.Errorf("at %v: got %q, %v, want %q", r.now.Unix()-1e9, got, err, want)
		}
	}
	step(0, "", false)
	r.write(t, "s", "one")
	step(4*time.Second, "", false) // neg_ttl
	step(2*time.Second, "one", true)
	r.write(t, "s", "two")
	step(9*time.Second, "one", true) // ttl
	step(2*time.Second, "two", true)
	if err := os.Remove(filepath.Join(r.dir, "s")); err != nil {
		t.Fatal(err)
	}
	step(11*time.Second, "two", true) // resurrect_ttl
	step(18*time.Second, "two", true)
	step(5*time.Second, "", false)
	// Its end counts although the next look would come later.
	text = "{vault://file/s?ttl=10&neg_ttl=1000&resurrect_ttl=20}"
	r.write(t, "s", "three")
	step(0, "three", true)
	if err := os.Remove(filepath.Join(r.dir, "s")); err != nil {
		t.Fatal(err)
	}
	step(11*time.Second, "three", true)
	step(20*time.Second, "", false)
	step(time.Hour, "", false)
}

func TestConfigureForgets(t *testing.T) {
	r := newRoom(t)
	r.env["A_X"], r.env["B_X"] = "a", "b"
	vaults := func(prefix string) map[string]*entity.Vault {
		return map[string]*entity.Vault{"v": {Prefix: "v", Name: "env", Config: []byte(`{"prefix":"` + prefix + `"}`)}}
	}
	for _, step := range []struct {
		prefix, want string
		changed      bool
	}{{"A_", "a", true}, {"A_", "a", false}, {"B_", "b", true}} {
		if changed := r.Configure(vaults(step.prefix)); changed["v"] != step.changed {
			t.Errorf("%s: changed %v", step.prefix, changed)
		}
		if got, err := r.Get("{vault://v/x}"); got != step.want || err != nil {
			t.Errorf("%s: got %q, %v", step.prefix, got, err)
		}
	}
	if changed := r.Configure(nil); !changed["v"] {
		t.Error("a vault that went is no change")
	}
	if _, err := r.Get("{vault://v/x}"); err == nil {
		t.Error("a vault that went has secrets")
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var env sync.Map
		env.Store("X", "1")
		env.Store("Y", "1")
		v := vault.New(vault.Options{LookupEnv: func(name string) (string, bool) {
			value, ok := env.Load(name)
			s, _ := value.(string)
			return s, ok
		}})
		var seen []string
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- v.Run(ctx, func(_ context.Context, references map[string]bool) {
				for r := range references {
					value, _ := v.Use(r)
					seen = append(seen, r+"="+value)
				}
			})
		}()
		for _, text := range []string{"{vault://env/x?ttl=5}", "{vault://env/y?ttl=5}"} {
			if _, err := v.Use(text); err != nil {
				t.Error(err)
			}
		}
		if _, err := v.Get("{vault://env/x}"); err != nil { // nobody's configuration
			t.Error(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(seen) != 0 {
			t.Errorf("nothing changed, and yet %q", seen)
		}
		env.Store("X", "2")
		time.Sleep(7 * time.Second)
		synctest.Wait()
		v.Keep(map[string]bool{"{vault://env/x?ttl=5}": true})
		env.Store("Y", "2") // not used any more
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if len(seen) != 1 || seen[0] != "{vault://env/x?ttl=5}=2" {
			t.Errorf("saw %q", seen)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
