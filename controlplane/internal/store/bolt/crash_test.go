package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// crashEnv makes the test binary a writer that is going to be killed.
const crashEnv = "SLUICE_TEST_CRASH_STORE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		crashWriter(path)
	}
	os.Exit(m.Run())
}

// crashWriter writes from several goroutines until it is killed, and prints each
// revision once it was acknowledged.
func crashWriter(path string) {
	ctx := context.Background()
	s, err := bolt.Open(ctx, bolt.Options{Path: path, LogRevisions: 300})
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, "error", err)
		os.Exit(1)
	}
	var line sync.Mutex
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for {
				p, err := s.Update(ctx, store.Info{}, crashWrite)
				if err != nil {
					_, _ = fmt.Fprintln(os.Stdout, "error", err)
					os.Exit(1)
				}
				line.Lock()
				_, _ = fmt.Fprintln(os.Stdout, p.Revision, p.Root)
				line.Unlock()
			}
		})
	}
	wait.Wait()
}

// crashWrite changes some entities of two kinds. Entities "pair-a" and "pair-b" have
// equal bodies after each transaction.
func crashWrite(w store.WriteTx) error {
	for range 1 + rand.IntN(20) { //nolint:gosec // no secret
		kind, id := fmt.Sprintf("k%d", rand.IntN(2)), fmt.Sprintf("%03d", rand.IntN(400)) //nolint:gosec // no secret
		if rand.IntN(4) == 0 {                                                            //nolint:gosec // no secret
			if err := w.Delete(kind, id); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			continue
		}
		body := strings.Repeat(fmt.Sprint(rand.Int64()), 1+rand.IntN(60)) //nolint:gosec // no secret
		if err := w.Put(kind, id, []byte(body), []store.Index{
			{Name: kind + ".u", Key: id, Exclusive: true}, {Name: kind + ".m", Key: body[:1]},
		}); err != nil {
			return err
		}
	}
	pair := []byte(fmt.Sprint(w.Position().Revision))
	return errors.Join(w.Put("pair", "a", pair, nil), w.Put("pair", "b", pair, nil))
}

// TestKill: after a kill -9 at any time the store opens, has every acknowledged
// revision and no half of another.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	path := filepath.Join(t.TempDir(), "store.db")
	for round := range 12 {
		acknowledged, root := killWriter(t, path)
		s, err := bolt.Open(t.Context(), bolt.Options{Path: path, LogRevisions: 300})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		p, _ := s.Position()
		// Each of the writers may have one more that it could not tell about.
		if p.Revision < acknowledged || p.Revision > acknowledged+8 {
			t.Errorf("round %d: revision %d was acknowledged, the store is at %d", round, acknowledged, p.Revision)
		}
		if err := s.View(func(r store.Tx) error { return checkAcknowledged(t, r, acknowledged, root) }); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func killWriter(t *testing.T, path string) (acknowledged uint64, root string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, os.Args[0]) //nolint:gosec // this binary
	command.Env = append(os.Environ(), crashEnv+"="+path)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var n uint64
		var r string
		if _, err := fmt.Sscan(lines.Text(), &n, &r); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break // a line that the kill cut
			}
			t.Errorf("the writer says %s", lines.Text())
		}
		if n > acknowledged && len(r) == 2*roothash.Size {
			acknowledged, root = n, r
		}
		if kill == nil {
			kill = time.AfterFunc(time.Duration(rand.IntN(150_000))*time.Microsecond, func() { _ = command.Process.Kill() }) //nolint:gosec // no secret
			defer kill.Stop()
		}
	}
	_ = command.Wait() // it was killed
	if acknowledged == 0 {
		t.Fatal("the writer did not write")
	}
	return acknowledged, root
}

func checkAcknowledged(t *testing.T, r store.Tx, acknowledged uint64, root string) error {
	t.Helper()
	a, errA := r.Get("pair", "a")
	b, errB := r.Get("pair", "b")
	if string(a) != string(b) || string(a) != fmt.Sprint(r.Position().Revision-1) {
		t.Errorf("at revision %d the pair is %s and %s", r.Position().Revision, a, b)
	}
	found := false
	err := r.ChangeSets(acknowledged-1, func(c *store.ChangeSet) bool {
		if c.To.Revision == acknowledged {
			found = c.To.Root.String() == root
		}
		return true
	})
	if !found {
		t.Errorf("revision %d is not what was acknowledged", acknowledged)
	}
	return errors.Join(errA, errB, err)
}
