package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

func faultyStore(t *testing.T) (*Store, store.Position) {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p, err := write(t, s, "1")
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

func write(t *testing.T, s *Store, id string) (store.Position, error) {
	t.Helper()
	return s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error { return w.Put("k", id, []byte(id), nil) })
}

// state is what readers see.
func state(t *testing.T, s *Store) (store.Position, []string) {
	t.Helper()
	var ids []string
	var p store.Position
	if err := s.View(func(r store.Tx) error {
		p = r.Position()
		return r.List("k", "", 100, func(id string, _ []byte) bool { ids = append(ids, id); return true })
	}); err != nil {
		t.Fatal(err)
	}
	return p, ids
}

// TestSyncFails: after a commit of which nobody knows what is on the disk, nothing is
// written any more and everybody reads what was committed before.
func TestSyncFails(t *testing.T) {
	for name, commit := range map[string]func(b *bbolt.Tx) error{
		"before anything is written": func(*bbolt.Tx) error { return syscall.EIO },
		"after everything is written": func(b *bbolt.Tx) error {
			return errors.Join(b.Commit(), syscall.EIO)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, before := faultyStore(t)
			positions, cancel := s.Notify()
			defer cancel()
			s.commit = commit
			if _, err := write(t, s, "2"); !errors.Is(err, store.ErrReadOnly) || !errors.Is(err, syscall.EIO) {
				t.Errorf("the failing write gave %v", err)
			}
			s.commit = (*bbolt.Tx).Commit
			if _, err := write(t, s, "3"); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("the write after it gave %v", err)
			}
			if _, err := s.RaiseGeneration(); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("raising the generation gave %v", err)
			}
			if s.ReadOnly() == nil {
				t.Error("it does not say that it is read-only")
			}
			p, ids := state(t, s)
			if head, _ := s.Position(); p != before || head != before {
				t.Errorf("readers are at %+v, the head at %+v, want %+v", p, head, before)
			}
			if diff := cmp.Diff([]string{"1"}, ids); diff != "" {
				t.Errorf("readers see (-want +got):\n%s", diff)
			}
			select {
			case p := <-positions:
				t.Errorf("%+v was notified", p)
			default:
			}
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
			path := s.o.Path
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if _, err := write(t, s, "4"); err != nil {
				t.Errorf("after a restart a write gave %v", err)
			}
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWriteFails: the file itself refuses to be written.
func TestWriteFails(t *testing.T) {
	s, before := faultyStore(t)
	readOnly, err := os.Open(s.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = readOnly.Close() }()
	kept, err := syscall.Dup(int(s.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Dup3(int(readOnly.Fd()), int(s.file.Fd()), syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := write(t, s, "2"); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("got %v", err)
	}
	if p, _ := state(t, s); p != before {
		t.Errorf("readers are at %+v, want %+v", p, before)
	}
	if err := errors.Join(syscall.Dup3(kept, int(s.file.Fd()), syscall.O_CLOEXEC), syscall.Close(kept)); err != nil {
		t.Fatal(err)
	}
}

// TestDiskFull: a full disk fails the write; when there is room again writes go on.
func TestDiskFull(t *testing.T) {
	s, before := faultyStore(t)
	s.commit = func(*bbolt.Tx) error { return &os.PathError{Op: "write", Path: s.o.Path, Err: syscall.ENOSPC} }
	if _, err := write(t, s, "2"); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, store.ErrReadOnly) {
		t.Errorf("got %v", err)
	}
	if p, _ := state(t, s); p != before {
		t.Errorf("readers are at %+v, want %+v", p, before)
	}
	s.commit = (*bbolt.Tx).Commit
	p, err := write(t, s, "3")
	if err != nil || p.Revision != before.Revision+1 {
		t.Errorf("got %+v %v", p, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestBatch: writers that wait together share a commit, and fail together with it.
func TestBatch(t *testing.T) {
	s, before := faultyStore(t)
	commits := 0
	s.commit = func(b *bbolt.Tx) error { commits++; return b.Commit() }
	failure := errors.New("no")
	put := func(id string, err error, panicked bool) *request {
		return &request{ctx: t.Context(), info: store.Info{Summary: id}, fn: func(w store.WriteTx) error {
			if err := w.Put("k", id, []byte(id), []store.Index{{Name: "u", Key: "same", Exclusive: true}}); err != nil {
				return err
			}
			if panicked {
				panic(id)
			}
			return err
		}}
	}
	batch := []*request{put("a", failure, false), put("b", nil, true), put("c", nil, false), put("d", nil, false)}
	batch = append(batch, &request{ctx: t.Context(), fn: func(w store.WriteTx) error { return w.Delete("k", "c") }})
	batch = append(batch, put("e", nil, false))
	s.writeMu.Lock()
	s.run(batch)
	s.writeMu.Unlock()
	if commits != 1 {
		t.Errorf("there were %d commits", commits)
	}
	if !errors.Is(batch[0].err, failure) || batch[1].panicked != "b" || !errors.Is(batch[3].err, store.ErrConflict) {
		t.Errorf("got %v, %v, %v", batch[0].err, batch[1].panicked, batch[3].err)
	}
	for i, want := range map[int]uint64{2: 1, 4: 2, 5: 3} {
		if r := batch[i]; r.err != nil || r.position.Revision != before.Revision+want {
			t.Errorf("request %d is at %d with %v", i, r.position.Revision, r.err)
		}
	}
	if _, ids := state(t, s); !cmp.Equal(ids, []string{"1", "e"}) {
		t.Errorf("there are %v", ids)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	s.commit = func(*bbolt.Tx) error { return syscall.EIO }
	batch = []*request{put("f", failure, false), {ctx: t.Context(), fn: func(w store.WriteTx) error { return w.Delete("k", "e") }}}
	s.writeMu.Lock()
	s.run(batch)
	s.writeMu.Unlock()
	if !errors.Is(batch[0].err, store.ErrConflict) || !errors.Is(batch[1].err, store.ErrReadOnly) || batch[1].position != (store.Position{}) {
		t.Errorf("got %v and %v", batch[0].err, batch[1].err)
	}
}

// TestAbandoned: a function that ends its goroutine takes nobody's mutex along.
func TestAbandoned(t *testing.T) {
	s, before := faultyStore(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
			_ = w.Put("k", "2", nil, nil)
			runtime.Goexit()
			return nil
		})
	}()
	<-done
	if p, err := write(t, s, "3"); err != nil || p.Revision != before.Revision+1 {
		t.Errorf("got %+v %v", p, err)
	}
}

func TestMigrations(t *testing.T) {
	s, _ := faultyStore(t)
	setVersion := func(v uint32) {
		t.Helper()
		if err := s.db.Update(func(b *bbolt.Tx) error {
			return b.Bucket(bucketMeta).Put(keyVersion, binary.BigEndian.AppendUint32(nil, v))
		}); err != nil {
			t.Fatal(err)
		}
	}
	setVersion(0)
	var ran []string
	step := func(from uint32, name string, err error) migration {
		return migration{from, name, func(*bbolt.Tx) error { ran = append(ran, name); return err }}
	}
	failure := errors.New("no")
	if _, err := migrate(s.db, []migration{step(0, "zero", failure)}, 1); !errors.Is(err, failure) {
		t.Errorf("a failing step gave %v", err)
	}
	if migrated, err := migrate(s.db, []migration{step(1, "one", nil), step(0, "zero", nil)}, 1); err != nil || !migrated {
		t.Errorf("got %v %v", migrated, err)
	}
	if diff := cmp.Diff([]string{"zero", "zero"}, ran); diff != "" {
		t.Error(diff)
	}
	if migrated, err := migrate(s.db, nil, 1); err != nil || migrated {
		t.Errorf("got %v %v", migrated, err)
	}
	setVersion(0)
	if _, err := migrate(s.db, nil, 1); err == nil {
		t.Error("a layout without migration was taken")
	}
	for from := range uint32(layoutVersion) {
		if from > 0 && (int(from) > len(migrations) || migrations[from-1].from != from) {
			t.Errorf("no migration leads away from layout %d", from)
		}
	}
}

func FuzzDecodeChangeSet(f *testing.F) {
	seed := encodeChangeSet(&store.ChangeSet{
		From: store.Position{Generation: 1, Revision: 3}, To: store.Position{Generation: 1, Revision: 4}, At: time.Unix(1, 2),
		Actor: "a", Summary: "s", RemovalIntended: true,
		Changes: []store.Change{{Op: store.Put, Kind: "k", ID: "1", Body: []byte("{}")}, {Op: store.Delete, Kind: "k", ID: "2"}},
	})
	f.Add(seed[:len(seed)-4])
	seed = encodeChangeSet(&store.ChangeSet{Reversible: true, Changes: []store.Change{
		{Op: store.Put, Kind: "k", ID: "1", Body: []byte("{}"), Before: []byte{}}, {Op: store.Delete, Kind: "k", ID: "2", Before: []byte("[]")}, {Op: store.Put, Kind: "k", ID: "3", Body: []byte("3")},
	}})
	f.Add(seed[:len(seed)-4])
	f.Add([]byte{})
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		// With a good checksum, so that what is behind it is reached.
		set, err := decodeChangeSet("l", binary.BigEndian.AppendUint32(slices.Clip(data), crc32.Checksum(data, checksums)))
		if err != nil {
			return
		}
		again, err := decodeChangeSet("l", encodeChangeSet(set))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(set, again); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzDecodeEntity(f *testing.F) {
	f.Add(encodeEntity([]byte("{}"), []store.Index{{Name: "k.u", Key: "x", Exclusive: true}, {Name: "k.m"}}))
	f.Add([]byte{200, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		content, indexes, err := decodeEntity(data)
		only, err2 := body(data)
		if (err == nil) != (err2 == nil) || string(content) != string(only) {
			t.Fatalf("decodeEntity says %q %v, body %q %v", content, err, only, err2)
		}
		if err != nil {
			return
		}
		content2, indexes2, err := decodeEntity(encodeEntity(content, indexes))
		if err != nil || string(content2) != string(content) || !cmp.Equal(indexes, indexes2) {
			t.Errorf("%q %v became %q %v (%v)", content, indexes, content2, indexes2, err)
		}
	})
}

func TestDecodeHead(t *testing.T) {
	want := head{generation: 1, revision: 2, logFirst: 3, logBytes: 4, root: [32]byte{5}}
	if got, err := decodeHead(want.encode()); err != nil || got != want {
		t.Errorf("got %+v %v", got, err)
	}
	for _, bad := range [][]byte{nil, want.encode()[1:], append(want.encode(), 0)} {
		if _, err := decodeHead(bad); err == nil {
			t.Errorf("%x was taken", bad)
		}
	}
}

// loadMany loads entities so that their kind is written again.
func loadMany(t *testing.T, s *Store, n int, body string) error {
	t.Helper()
	_, err := s.Load(t.Context(), store.Info{}, func(w store.BulkTx) error {
		for i := range n {
			id := fmt.Sprintf("%08x", uint32(i)*2654435761)
			if err := w.Add("many", id, []byte(body+id), []store.Index{{Name: "many.u", Key: id, Exclusive: true}}); err != nil {
				return err
			}
		}
		return w.Merge([]string{"many"}, func(string, string, []byte) (bool, error) { return false, nil }, func(string, string, []byte, []byte) error { return nil })
	})
	return err
}

// count returns the number of loaded entities and the body of one.
func counted(t *testing.T, s *Store) (n int, body string) {
	t.Helper()
	if err := s.View(func(r store.Tx) (err error) {
		n, err = r.Count("many")
		b, getErr := r.Get("many", "00000000")
		body = string(b)
		if n == 0 {
			getErr = nil
		}
		return errors.Join(err, getErr)
	}); err != nil {
		t.Fatal(err)
	}
	return n, body
}

// TestLoadFails: whichever commit of a load fails, what was before is there, nothing is left
// of it, and the next one succeeds.
func TestLoadFails(t *testing.T) {
	const n = 20_000 // more than one transaction
	long := strings.Repeat("x", 500)
	s, _ := faultyStore(t)
	if err := loadMany(t, s, n, "before"); err != nil {
		t.Fatal(err)
	}
	for failing := 1; ; failing++ {
		commits := 0
		s.commit = func(b *bbolt.Tx) error {
			if commits++; commits == failing {
				return syscall.ENOSPC
			}
			return b.Commit()
		}
		before, _ := s.Position()
		err := loadMany(t, s, n+failing, long)
		s.commit = (*bbolt.Tx).Commit
		if err == nil {
			if failing < 4 {
				t.Errorf("a load has %d commits, want several", commits)
			}
			break
		}
		if after, _ := s.Position(); !errors.Is(err, syscall.ENOSPC) || after != before {
			t.Fatalf("commit %d: got %v", failing, err)
		}
		if got, body := counted(t, s); got != n || body != "before00000000" {
			t.Fatalf("commit %d: there are %d entities, one is %.20s", failing, got, body)
		}
		CheckPages(t, s)
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := counted(t, s); got <= n {
		t.Errorf("there are %d entities", got)
	}
	CheckPages(t, s)
}

// TestLoadInterrupted: a process that ends in a load leaves what was before, and room.
func TestLoadInterrupted(t *testing.T) {
	s, _ := faultyStore(t)
	if err := loadMany(t, s, 3000, "before"); err != nil {
		t.Fatal(err)
	}
	commits := 0
	s.commit = func(b *bbolt.Tx) error {
		if commits++; commits > 1 {
			return syscall.EIO // from here on nothing reaches the file, as if the process had ended
		}
		return b.Commit()
	}
	if err := loadMany(t, s, 20_000, strings.Repeat("x", 500)); !errors.Is(err, store.ErrReadOnly) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Options{Path: s.o.Path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if got, body := counted(t, s); got != 3000 || body != "before00000000" || !s.staged {
		t.Errorf("there are %d entities, one is %.20s, something is staged: %v", got, body, s.staged)
	}
	if err := loadMany(t, s, 4000, "after"); err != nil {
		t.Fatal(err)
	}
	if got, body := counted(t, s); got != 4000 || body != "after00000000" {
		t.Errorf("there are %d entities, one is %.20s", got, body)
	}
	CheckPages(t, s)
}
