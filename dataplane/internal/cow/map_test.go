package cow_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
)

func TestMapAgreesWithABuiltInMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var m cow.Map[int]
	want := map[string]int{}
	type version struct {
		m    cow.Map[int]
		want map[string]int
	}
	var versions []version
	for round := range 200 {
		e := m.Edit()
		for range 50 {
			key := fmt.Sprint("key-", random.IntN(2000))
			if random.IntN(3) == 0 {
				e.Delete(key)
				delete(want, key)
			} else {
				e.Set(key, round)
				want[key] = round
			}
		}
		m = e.Done()
		versions = append(versions, version{m, maps.Clone(want)})
	}
	for i, v := range versions {
		got := map[string]int{}
		v.m.All(func(key string, value int) bool {
			got[key] = value
			return true
		})
		if !maps.Equal(got, v.want) || v.m.Len() != len(v.want) {
			t.Fatalf("version %d has %d entries (Len %d), want %d", i, len(got), v.m.Len(), len(v.want))
		}
		for key, value := range v.want {
			if g, ok := v.m.Get(key); !ok || g != value {
				t.Fatalf("version %d: Get(%q) = %d, %v, want %d", i, key, g, ok, value)
			}
		}
	}
	if _, ok := m.Get("absent"); ok {
		t.Error("an absent key was found")
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	m := cow.Map[int]{}.With("a", 1)
	if n := testing.AllocsPerRun(100, func() { m.Get("a") }); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
}
