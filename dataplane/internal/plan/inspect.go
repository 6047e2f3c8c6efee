package plan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"reflect"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
)

var _ config.Inspector = (*Builder)(nil)

// Reasons of Inspect.
var (
	errNotServed = errors.New("it is not served")
	errOther     = errors.New("what is served of it has changed in memory")
)

// Inspect follows config.Inspector. What refers to secrets is not compared: it is served
// with what they are now.
func (b *Builder) Inspect(c config.Change, mark uint64) (uint64, error) {
	p := b.Current()
	t := p.tables[c.Kind]
	if t == nil || p.sealed[c.Kind+"/"+c.ID] != nil {
		return 0, nil
	}
	v, served := t.byID.Get(c.ID)
	if !served {
		return 0, errNotServed
	}
	now := fingerprint(v)
	switch {
	case mark == now:
		return now, nil
	case mark != 0:
		return 0, errOther
	}
	fresh, _, err := t.shape.decode(c.Body)
	if err != nil {
		return 0, fmt.Errorf("its bytes: %w", err)
	}
	if !reflect.DeepEqual(fresh, v) {
		return 0, errOther
	}
	return now, nil
}

var printSeed = maphash.MakeSeed()

// fingerprint is a hash over everything that an entity says. It is not 0.
func fingerprint(v any) uint64 {
	var h maphash.Hash
	h.SetSeed(printSeed)
	walk(&h, reflect.ValueOf(v))
	return h.Sum64() | 1
}

func walk(h *maphash.Hash, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			_ = h.WriteByte(0)
			return
		}
		_ = h.WriteByte(1)
		walk(h, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() { //nolint:modernize // Fields allocates
			walk(h, v.Field(i))
		}
	case reflect.String:
		number(h, uint64(v.Len()))
		_, _ = h.WriteString(v.String())
	case reflect.Slice:
		number(h, uint64(v.Len()))
		if v.Type().Elem().Kind() == reflect.Uint8 {
			_, _ = h.Write(v.Bytes())
			return
		}
		for i := range v.Len() {
			walk(h, v.Index(i))
		}
	case reflect.Map:
		// In any order.
		var sum uint64
		for entries := v.MapRange(); entries.Next(); {
			var one maphash.Hash
			one.SetSeed(printSeed)
			walk(&one, entries.Key())
			walk(&one, entries.Value())
			sum += one.Sum64()
		}
		number(h, uint64(v.Len()))
		number(h, sum)
	case reflect.Bool:
		if v.Bool() {
			_ = h.WriteByte(1)
		} else {
			_ = h.WriteByte(0)
		}
	case reflect.Float32, reflect.Float64:
		number(h, math.Float64bits(v.Float()))
	default:
		if v.CanInt() {
			number(h, uint64(v.Int()))
			return
		}
		number(h, v.Uint())
	}
}

func number(h *maphash.Hash, n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	_, _ = h.Write(b[:])
}
