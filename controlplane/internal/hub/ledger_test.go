package hub

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

func at(revision uint64) store.Position { return store.Position{Lineage: "l", Revision: revision} }

func TestLedger(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var l ledger
	a, b, c := l.number(), l.number(), l.number()
	l.note(at(4), at(5), now, []uint32{a, b, c})
	l.appliedBy(a, at(4), at(5), now.Add(3*time.Millisecond))
	e := l.entry(5)
	if e.left != 2 || e.get(a) != timeBase+3 || e.get(b) != awaited || e.last != 0 {
		t.Errorf("after one of three: %+v", e)
	}
	// Two more revisions come before the next one answers: its answer counts for all.
	l.note(at(5), at(7), now.Add(time.Second), []uint32{a, b, c})
	l.appliedBy(b, at(4), at(7), now.Add(2*time.Second))
	l.declinedBy(c, at(4), at(7), []Refusal{{Kind: "plugins", ID: "p", Field: "config.minute", Message: "no"}}, now.Add(3*time.Second))
	for _, revision := range []uint64{5, 6, 7} {
		e := l.entry(revision)
		if e.get(b) < timeBase || e.get(c) != declined || len(e.reasons) != 1 || e.reasons[0].errors[0].Message != "no" {
			t.Errorf("revision %d: %+v", revision, e)
		}
	}
	if e := l.entry(7); e.left != 1 || e.applied != 1 || e.declined != 1 || e.get(b) != timeBase+1000 {
		t.Errorf("revision 7: %+v", e)
	}
	// A refusal stays, whatever is applied later.
	l.note(at(7), at(8), now.Add(4*time.Second), []uint32{a, b, c})
	l.appliedBy(c, at(4), at(8), now.Add(5*time.Second))
	if l.entry(7).get(c) != declined || l.entry(8).get(c) != timeBase+1000 {
		t.Errorf("after the next revision: %d and %d", l.entry(7).get(c), l.entry(8).get(c))
	}
	// Who goes is not waited for; the others complete it.
	l.leftBy(b, 7)
	l.appliedBy(a, at(5), at(8), now.Add(6*time.Second))
	if e := l.entry(8); e.left != 0 || e.last != 2*time.Second || e.get(b) != notConcerned {
		t.Errorf("revision 8: %+v", e)
	}
	if l.toEach.sum == 0 || l.refused != 1 || l.toLast.buckets[10] == 0 {
		t.Errorf("figures %+v %+v %d", l.toEach, l.toLast, l.refused)
	}
	// A number is given on without a past.
	l.forget(c)
	if d := l.number(); d != c || l.entry(8).get(d) != notConcerned || len(l.entry(7).reasons[0].nodes) != 0 {
		t.Errorf("number %d has a past", d)
	}
	if l.entry(4) != nil || l.entry(9) != nil || l.entry(0) != nil {
		t.Error("there are entries of revisions that were not noted")
	}
	// Another generation begins anew.
	next := store.Position{Lineage: "l", Generation: 1, Revision: 8}
	l.note(at(8), next, now, []uint32{a})
	if len(l.entries) != 1 || l.entry(8).position != next {
		t.Errorf("%d entries after a restore", len(l.entries))
	}
}

// TestLedgerIsBounded: in revisions, in those who jump far, and in reasons.
func TestLedgerIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var l ledger
	a := l.number()
	for i := range uint64(3 * ledgerSize) {
		l.note(at(i), at(i+1), now, []uint32{a})
	}
	if len(l.entries) != ledgerSize || l.entries[0].position.Revision != 2*ledgerSize+1 {
		t.Errorf("%d entries from revision %d", len(l.entries), l.entries[0].position.Revision)
	}
	l.note(at(3*ledgerSize), at(1<<40), now, []uint32{a})
	if len(l.entries) != ledgerSize || l.entry(1<<40) == nil {
		t.Errorf("%d entries after a jump", len(l.entries))
	}
	for i := range uint32(1000) {
		l.declinedBy(i, at(1<<40-1), at(1<<40), []Refusal{{Message: fmt.Sprint(i % 100)}}, now)
	}
	if n := len(l.entry(1 << 40).reasons); n != mostReasons {
		t.Errorf("%d reasons", n)
	}
	list := func(after, upTo uint64) (out []uint64) {
		for _, e := range l.between(after, upTo) {
			out = append(out, 1<<40-e.position.Revision)
		}
		return out
	}
	if diff := cmp.Diff([]uint64{1, 0}, list(1<<40-2, 1<<40+5)); diff != "" {
		t.Error(diff)
	}
	if list(5, 10) != nil || list(1<<40, 1<<40-3) != nil {
		t.Error("there is something between what is not there")
	}
}
