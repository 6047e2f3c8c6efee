package diskcache

import (
	"encoding/binary"
	"errors"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

var errShort = errors.New("record ends early")

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendPosition(b []byte, p config.Position) []byte {
	b = appendText(b, p.Lineage)
	b = binary.AppendUvarint(b, p.Generation)
	b = binary.AppendUvarint(b, p.Revision)
	return append(b, p.Root[:]...)
}

// mustFlag is set in the operation of a change that must be understood.
const mustFlag = 0x80

func appendChange(b []byte, c config.Change) []byte {
	op := byte(c.Op)
	if c.MustUnderstand {
		op |= mustFlag
	}
	b = append(b, op)
	b = appendText(b, c.Kind)
	b = appendText(b, c.ID)
	return appendText(b, c.Body)
}

func encodeUpdate(u config.Update) []byte {
	b := appendPosition(appendPosition(nil, u.From), u.To)
	for _, c := range u.Changes {
		b = appendChange(b, c)
	}
	return b
}

// decoder takes values off a record. After an error it returns zero values.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errShort
	}
	d.b = nil
}

func (d *decoder) position() config.Position {
	p := config.Position{Lineage: string(d.take(d.uvarint())), Generation: d.uvarint(), Revision: d.uvarint()}
	copy(p.Root[:], d.take(roothash.Size))
	return p
}

func (d *decoder) change() config.Change {
	op := d.take(1)
	c := config.Change{Kind: string(d.take(d.uvarint())), ID: string(d.take(d.uvarint())), Body: d.take(d.uvarint())}
	if d.err == nil {
		c.Op, c.MustUnderstand = config.Op(op[0]&^mustFlag), op[0]&mustFlag != 0
		if c.Op != config.Put && c.Op != config.Delete {
			d.err = errors.New("unknown operation")
		}
	}
	return c
}
