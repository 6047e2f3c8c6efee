package declarative_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
)

// kongs is what Kong made of "bp" for bob.
const (
	kongs = "423de2d43a0b9e249b23c670196ee2d9d17c57f8"
	bob   = "00000003-0000-4000-8000-000000000001"
)

func withPassword(transform, password string) string {
	return fmt.Sprintf("_format_version: '3.0'\n%sconsumers:\n- id: %s\n  username: bob\n  basicauth_credentials:\n  - {username: bu, password: '%s'}\n", transform, bob, password)
}

func (w *world) password() string {
	w.t.Helper()
	page, err := w.c.List(w.t.Context(), w.kinds.ByKind("basicauth_credentials"), catalog.ListOptions{})
	if err != nil || len(page.Entities) != 1 {
		w.t.Fatal(page, err)
	}
	text, _ := page.Entities[0]["password"].(string)
	return text
}

// TestPasswordsInDocuments loads a password in all the ways that documents have them, and
// upgrades it: from then on, the same document changes nothing.
func TestPasswordsInDocuments(t *testing.T) {
	for name, document := range map[string]string{
		"in clear":                        withPassword("", "bp"),
		"in clear, and said so":           withPassword("_transform: true\n", "bp"),
		"hashed by Kong":                  withPassword("_transform: false\n", kongs),
		"a dump that does not say either": withPassword("", kongs),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if _, err := w.load(document); err != nil {
				t.Fatal(err)
			}
			if got := w.password(); got != kongs {
				t.Fatalf("loaded as %s", got)
			}
			if n, err := w.c.Upgrade(t.Context()); n != 1 || err != nil {
				t.Fatalf("%d were upgraded: %v", n, err)
			}
			better := w.password()
			if !strings.HasPrefix(better, "$sha1+argon2id$") {
				t.Fatalf("upgraded to %s", better)
			}
			if n, err := w.c.Upgrade(t.Context()); n != 0 || err != nil {
				t.Errorf("%d were upgraded again: %v", n, err)
			}
			before, _ := w.store.Position()
			if _, err := w.load(document); err != nil {
				t.Fatal(err)
			}
			exported, err := w.Export(t.Context(), "")
			if err != nil || !strings.Contains(exported, better) {
				t.Fatalf("exported %s: %v", exported, err)
			}
			if _, err := w.load(exported); err != nil {
				t.Fatal(err)
			}
			if after, _ := w.store.Position(); after != before || w.password() != better {
				t.Errorf("loading it again changed %v to %v, %s", before, after, w.password())
			}
			if _, err := w.load(withPassword("", "another")); err != nil {
				t.Fatal(err)
			}
			if w.password() == better {
				t.Error("another password changes nothing")
			}
			if err := w.store.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	w := newWorld(t)
	if _, err := w.load(withPassword("_transform: true\n", kongs)); err != nil || w.password() == kongs {
		t.Errorf("40 hex digits that are a password by their document: %s %v", w.password(), err)
	}
	if _, err := w.load(withPassword("_transform: false\n", "bp")); err == nil || !strings.Contains(err.Error(), "expected a hash") {
		t.Errorf("a password in clear in a document that was transformed: %v", err)
	}
}

// TestManyPasswords upgrades in batches.
func TestManyPasswords(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	b.WriteString("_format_version: '3.0'\nconsumers:\n- username: bob\n  basicauth_credentials:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "  - {username: u%d, password: p%d}\n", i, i)
	}
	if _, err := w.load(b.String()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{16, 4, 0} {
		if n, err := w.c.Upgrade(t.Context()); n != want || err != nil {
			t.Errorf("%d were upgraded, want %d: %v", n, want, err)
		}
	}
}
