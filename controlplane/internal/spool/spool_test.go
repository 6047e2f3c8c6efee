package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
)

func TestSpoolGivesBackWhatWasAppended(t *testing.T) {
	s := spool.NewCodec().New()
	r := rand.New(rand.NewPCG(1, 2))
	var want [][]byte
	size := 0
	for i := range 5000 {
		record := fmt.Appendf(nil, "%d:", i)
		length := r.IntN(400)
		if i%1000 == 0 {
			length = 200_000 // larger than a block
		}
		for range length {
			record = append(record, byte(r.IntN(4)))
		}
		if i%7 == 0 {
			record = nil
		}
		s.Append(record)
		want = append(want, record)
		size += len(record)
	}
	if s.Len() != len(want) || s.Bytes() != size {
		t.Errorf("got %d records of %d bytes, want %d of %d", s.Len(), s.Bytes(), len(want), size)
	}
	check := func(each func(func([]byte) error) error) {
		t.Helper()
		i := 0
		if err := each(func(record []byte) error {
			if !bytes.Equal(record, want[i]) {
				return fmt.Errorf("record %d: got %.40q, want %.40q", i, record, want[i])
			}
			i++
			return nil
		}); err != nil || i != len(want) {
			t.Errorf("%d records: %v", i, err)
		}
	}
	check(s.Each)
	check(s.Each)
	all, err := s.AppendAll(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(all) > 0; i++ {
		var record []byte
		if record, all, err = spool.Next(all); err != nil || !bytes.Equal(record, want[i]) {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	stop := errors.New("stop")
	if err := s.Each(func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the function's error", err)
	}
	check(s.Drain)
	if s.Len() != 0 || s.Each(func([]byte) error { return stop }) != nil {
		t.Error("a drained spool has records")
	}
	if _, _, err := spool.Next([]byte{200}); err == nil {
		t.Error("a torn buffer has a record")
	}
}
