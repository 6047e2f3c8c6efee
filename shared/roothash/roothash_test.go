package roothash_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/roothash"
)

type entity struct {
	kind, id string
	body     []byte
}

func randomEntity(r *rand.Rand, i int) entity {
	kinds := []string{"services", "routes", "consumers", "plugins"}
	body := make([]byte, r.IntN(1500))
	for j := range body {
		body[j] = byte(r.Uint32())
	}
	return entity{kinds[r.IntN(len(kinds))], fmt.Sprintf("id-%d", i), body}
}

func fromScratch(set map[string]entity) *roothash.Tree {
	t := roothash.New()
	for _, e := range set {
		t.Put(e.kind, e.id, e.body)
	}
	return t
}

func TestIncrementalEqualsFromScratch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tree, set := roothash.New(), map[string]entity{}
	for i := range 3000 {
		switch e := randomEntity(r, i); {
		case len(set) > 0 && r.IntN(3) == 0:
			for id, old := range set {
				tree.Delete(old.kind, old.id, old.body)
				delete(set, id)
				break
			}
		case len(set) > 0 && r.IntN(3) == 0:
			for id, old := range set {
				tree.Replace(old.kind, old.id, old.body, e.body)
				old.body = e.body
				set[id] = old
				break
			}
		default:
			tree.Put(e.kind, e.id, e.body)
			set[e.id] = e
		}
		if i%100 != 0 {
			continue
		}
		want := fromScratch(set)
		if tree.Root() != want.Root() || tree.Count() != len(set) {
			t.Fatalf("step %d: root %s count %d, want %s and %d", i, tree.Root(), tree.Count(), want.Root(), len(set))
		}
		if d := cmp.Diff(want.BucketHashes(), tree.BucketHashes()); d != "" {
			t.Fatalf("step %d: buckets differ (-want +got):\n%s", i, d)
		}
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	entities := make([]entity, 500)
	for i := range entities {
		entities[i] = randomEntity(r, i)
	}
	var first roothash.Root
	for round := range 5 {
		r.Shuffle(len(entities), func(i, j int) { entities[i], entities[j] = entities[j], entities[i] })
		tree := roothash.New()
		for _, e := range entities {
			tree.Put(e.kind, e.id, e.body)
		}
		if round == 0 {
			first = tree.Root()
		}
		if tree.Root() != first {
			t.Fatalf("round %d: root %s, want %s", round, tree.Root(), first)
		}
	}
}

func TestRootTellsSetsApart(t *testing.T) {
	base := []entity{{"services", "a", []byte("{}")}}
	sets := map[string][]entity{
		"empty":       nil,
		"base":        base,
		"other body":  {{"services", "a", []byte("{ }")}},
		"other id":    {{"services", "b", []byte("{}")}},
		"other kind":  {{"routes", "a", []byte("{}")}},
		"twice":       append(base, base...),
		"moved bytes": {{"service", "sa", []byte("{}")}},
		"id and body": {{"services", "a{", []byte("}")}},
		"empty body":  {{"services", "a", nil}},
	}
	seen := map[roothash.Root]string{{}: "zero root"}
	for name, set := range sets {
		tree := roothash.New()
		for _, e := range set {
			tree.Put(e.kind, e.id, e.body)
		}
		if other, ok := seen[tree.Root()]; ok {
			t.Errorf("%q and %q have the same root", name, other)
		}
		seen[tree.Root()] = name
	}
}

func TestEntityLength(t *testing.T) {
	// Bodies around the size of the buffer on the stack take two code paths.
	seen := map[roothash.Hash]int{}
	for n := 980; n < 1100; n++ {
		h := roothash.Entity("services", "some-id", bytes.Repeat([]byte("x"), n))
		if m, ok := seen[h]; ok {
			t.Fatalf("bodies of %d and %d bytes have the same hash", m, n)
		}
		seen[h] = n
	}
}

func TestMarshal(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	tree := roothash.New()
	for i := range 2000 {
		e := randomEntity(r, i)
		tree.Put(e.kind, e.id, e.body)
	}
	b, err := tree.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back roothash.Tree
	if err := back.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if back.Root() != tree.Root() || back.Count() != tree.Count() {
		t.Fatalf("root %s, want %s", back.Root(), tree.Root())
	}
	for _, bad := range [][]byte{nil, b[:len(b)-1], append([]byte("x"), b[1:]...)} {
		if err := back.UnmarshalBinary(bad); !errors.Is(err, roothash.ErrFormat) {
			t.Errorf("unmarshal %d bytes: %v, want ErrFormat", len(bad), err)
		}
	}

	byBucket := roothash.New()
	for i := range roothash.Buckets {
		if err := byBucket.SetBucket(i, tree.Bucket(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	byBucket.SetCount(tree.Count())
	if byBucket.Root() != tree.Root() {
		t.Fatalf("by bucket: root %s, want %s", byBucket.Root(), tree.Root())
	}
	if err := byBucket.SetBucket(0, []byte("short")); err == nil {
		t.Error("a short bucket was accepted")
	}
}

func TestClone(t *testing.T) {
	tree := roothash.New()
	tree.Put("services", "a", []byte("{}"))
	before := tree.Root()
	c := tree.Clone()
	c.Put("services", "b", []byte("{}"))
	if tree.Root() != before {
		t.Error("changing a clone changed the original")
	}
	c.Delete("services", "b", []byte("{}"))
	if c.Root() != before {
		t.Error("undoing the change did not restore the root")
	}
}

func TestRootFrom(t *testing.T) {
	root := roothash.New().Root()
	if got, err := roothash.RootFrom(root[:]); err != nil || got != root {
		t.Errorf("RootFrom: %s, %v", got, err)
	}
	if _, err := roothash.RootFrom(root[:5]); err == nil {
		t.Error("a short root was accepted")
	}
}

func TestBucketsSpread(t *testing.T) {
	var n [roothash.Buckets]int
	for i := range 100_000 {
		n[roothash.BucketOf("routes", fmt.Sprintf("%08x-0000-4000-8000-%012x", i*7919, i))]++
	}
	for i, c := range n {
		if c < 40 || c > 180 {
			t.Errorf("bucket %d has %d of 100000 entities, want about 98", i, c)
		}
	}
}

func TestAllocations(t *testing.T) {
	tree, body := roothash.New(), bytes.Repeat([]byte("x"), 600)
	if n := testing.AllocsPerRun(100, func() {
		tree.Replace("services", "a", body, body)
		_ = tree.Root()
	}); n > 0 {
		t.Errorf("a change makes %v allocations, want 0", n)
	}
}

func BenchmarkReplaceAndRoot(b *testing.B) {
	tree, body := roothash.New(), bytes.Repeat([]byte("x"), 500)
	tree.Put("services", "a", body)
	for b.Loop() {
		tree.Replace("services", "3f1d0f8e-6a86-4d0e-9d3c-000000000001", body, body)
		_ = tree.Root()
	}
}
