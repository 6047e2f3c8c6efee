package crashloop_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/crashloop"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

func at(revision uint64) config.Position {
	return config.Position{Lineage: "l", Generation: 1, Revision: revision, Root: roothash.Root{byte(revision), 1}}
}

// machine has a clock and a folder over many processes.
type machine struct {
	t   *testing.T
	dir string
	now time.Time
}

func newMachine(t *testing.T) *machine {
	return &machine{t: t, dir: t.TempDir(), now: time.Now()}
}

func (m *machine) start() *crashloop.Guard {
	m.t.Helper()
	g, err := crashloop.Open(crashloop.Options{Dir: m.dir, Now: func() time.Time { return m.now }})
	if err != nil {
		m.t.Fatal(err)
	}
	return g
}

// crash is a process that applies revisions and ends after a while.
func (m *machine) crash(after time.Duration, revisions ...uint64) {
	m.t.Helper()
	g := m.start()
	for _, r := range revisions {
		g.Applying(at(r))
		g.Applied(at(r))
	}
	m.now = m.now.Add(after)
	g.Check()
}

func TestLoops(t *testing.T) {
	for name, test := range map[string]struct {
		life    func(m *machine)
		refused []uint64
		fine    []uint64
	}{
		"three of one":        {func(m *machine) { m.crash(time.Second, 5); m.crash(time.Second, 5); m.crash(time.Second, 5) }, []uint64{5}, []uint64{4, 6}},
		"two":                 {func(m *machine) { m.crash(time.Second, 5); m.crash(time.Second, 5) }, nil, []uint64{5}},
		"the cache is behind": {func(m *machine) { m.crash(time.Second, 4, 5); m.crash(time.Second, 4, 5); m.crash(time.Second, 4, 5) }, []uint64{5}, []uint64{4}},
		"of several":          {func(m *machine) { m.crash(time.Second, 5); m.crash(time.Second, 6); m.crash(time.Second, 7) }, []uint64{5, 6, 7}, []uint64{4, 8}},
		"one went well":       {func(m *machine) { m.crash(time.Second, 5); m.crash(2*time.Minute, 5); m.crash(time.Second, 5) }, nil, []uint64{5}},
		"trusted before": {func(m *machine) {
			m.crash(2*time.Minute, 5)
			for range 5 {
				m.crash(time.Second, 5)
			}
		}, nil, []uint64{5}},
		"told to end": {func(m *machine) {
			m.crash(time.Second, 5)
			m.crash(time.Second, 5)
			g := m.start()
			g.Applying(at(5))
			if err := g.Close(); err != nil {
				m.t.Error(err)
			}
		}, nil, []uint64{5}},
		"did not get so far in between": {func(m *machine) {
			m.crash(time.Second, 5)
			m.crash(time.Second, 5)
			if err := m.start().Close(); err != nil { // a port was taken
				m.t.Error(err)
			}
			m.crash(time.Second, 5)
		}, []uint64{5}, []uint64{4}},
		"long ago": {func(m *machine) {
			m.crash(2*time.Minute, 4)
			m.crash(time.Second, 5)
			m.crash(time.Second, 5)
			m.crash(2*time.Minute, 4)
			m.crash(time.Second, 6)
		}, nil, []uint64{4, 5, 6}},
		"refused, and a later one went well": {func(m *machine) {
			for range 3 {
				m.crash(time.Second, 5)
			}
			m.crash(2*time.Minute, 4, 6)
		}, nil, []uint64{4, 5, 6}},
		"refused, and the later one is no better": {func(m *machine) {
			for range 3 {
				m.crash(time.Second, 5)
			}
			for range 3 {
				m.crash(time.Second, 6)
			}
		}, []uint64{6}, []uint64{4, 7}},
		"tried again": {func(m *machine) {
			for range 3 {
				m.crash(time.Second, 5)
			}
			m.start().Relent()
		}, nil, []uint64{5}},
		"tried again, and no better": {func(m *machine) {
			for _, r := range []uint64{5, 6, 7} {
				m.crash(time.Second, r)
			}
			m.start().Relent()
			m.crash(time.Second, 7)
		}, []uint64{5, 6, 7}, []uint64{4, 8}},
		"tried again, and it went well": {func(m *machine) {
			for range 3 {
				m.crash(time.Second, 5)
			}
			m.start().Relent()
			m.crash(2*time.Minute, 5)
			m.crash(time.Second, 6)
			m.crash(time.Second, 6)
		}, nil, []uint64{5, 6}},
		"nothing to try again": {func(m *machine) {
			m.crash(time.Second, 5)
			m.start().Relent()
			m.crash(time.Second, 5)
		}, nil, []uint64{5}},
		"could not be applied": {func(m *machine) {
			for range 4 {
				g := m.start()
				g.Applying(at(4))
				m.now = m.now.Add(2 * time.Minute)
				g.Applying(at(5))
				g.Applying(at(4)) // it was refused
			}
		}, nil, []uint64{4, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			test.life(m)
			g := m.start()
			for _, r := range test.refused {
				if !g.Excludes(at(r)) {
					t.Errorf("revision %d is not refused", r)
				}
			}
			for _, r := range test.fine {
				if g.Excludes(at(r)) {
					t.Errorf("revision %d is refused", r)
				}
			}
			if _, _, ok := g.Refused(); ok != (len(test.refused) > 0) {
				t.Errorf("refused: %v", ok)
			}
		})
	}
}

func TestOtherStoresAreNotCompared(t *testing.T) {
	m := newMachine(t)
	for range 3 {
		m.crash(time.Second, 5)
	}
	g := m.start()
	for name, p := range map[string]config.Position{
		"lineage":    {Lineage: "other", Generation: 1, Revision: 5},
		"generation": {Lineage: "l", Generation: 2, Revision: 5},
	} {
		if g.Excludes(p) {
			t.Errorf("another %s is refused", name)
		}
	}
	g.Applied(config.Position{Lineage: "other", Generation: 1, Revision: 1})
	if g.Excludes(at(5)) {
		t.Error("what was refused is remembered after another store's configuration was applied")
	}
}

func TestReason(t *testing.T) {
	m := newMachine(t)
	m.crash(time.Second, 5)
	m.crash(time.Second, 5)
	f, err := m.start().Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\npanic: boom\n\ngoroutine 1 [running]:\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m.crash(time.Second, 5)
	p, why, ok := m.start().Refused()
	if !ok || p != at(5) || !strings.Contains(why, "3 times") || !strings.HasSuffix(why, "panic: boom") {
		t.Errorf("%v %q %v", p, why, ok)
	}
}

// TestDamagedRecordStopsNothing holds that a start never depends on the record.
func TestDamagedRecordStopsNothing(t *testing.T) {
	for name, text := range map[string]string{
		"torn": `{"trusted":`, "no JSON": "x", "empty": "", "short root": `{"trying":{"lineage":"l","root":"AA=="}}`,
		"many crashes": `{"crashes":[{"root":""},{"root":""},{"root":""},{"root":""}]}`, "no last": `{"refused":{"first":1}}`,
	} {
		m := newMachine(t)
		if err := os.WriteFile(filepath.Join(m.dir, "crashes.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g := m.start()
		if _, _, ok := g.Refused(); ok {
			t.Errorf("%s: something is refused", name)
		}
		g.Applying(at(1))
		if err := g.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := newMachine(t)
	g := m.start()
	if err := os.RemoveAll(m.dir); err != nil {
		t.Fatal(err)
	}
	g.Applying(at(1))
	if g.Err() == nil {
		t.Error("a record that is not written is not told")
	}
	if _, err := crashloop.Open(crashloop.Options{}); err == nil {
		t.Error("no folder: no error")
	}
}

// TestRecordIsWrittenOver: the file stays the same one, and what was longer before leaves
// nothing that a reader minds.
func TestRecordIsWrittenOver(t *testing.T) {
	m := newMachine(t)
	path := filepath.Join(m.dir, "crashes.json")
	for _, before := range []string{"", "{}", strings.Repeat("x", 5000), strings.Repeat("x", 100_000)} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		was, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		m.crash(time.Second, 5)
		m.crash(time.Second, 5)
		m.crash(time.Second, 5)
		if g := m.start(); !g.Excludes(at(5)) {
			t.Errorf("after %d bytes the crashes are not remembered", len(before))
		}
		now, err := os.Stat(path)
		if err != nil || !os.SameFile(was, now) {
			t.Errorf("after %d bytes there is another file, %v", len(before), err)
		}
	}
}
