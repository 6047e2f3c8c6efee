// Package spool keeps records in memory compressed, for what is gone through from front to
// back a few times and is too large to be there as it is: the entities of a declarative
// document. It owns the form in memory only, which never leaves the process. It refuses
// random access.
package spool

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// blockBytes is what is compressed as one piece: smaller ones take more room, larger ones
// more memory while they are open. A longer record is a block of its own.
const blockBytes = 32 << 10

// Codec compresses. It is safe for concurrent use and needs no closing.
type Codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// NewCodec makes a codec.
func NewCodec() *Codec {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // of options, which are constants
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2))
	if err != nil {
		panic(err)
	}
	return &Codec{encoder, decoder}
}

// Spool is a list of records. The zero value has no codec and can't be used.
type Spool struct {
	codec  *Codec
	blocks [][]byte
	open   []byte // records that are not compressed yet, each with its length in front
	n      int
	bytes  int
}

// New makes an empty spool.
func (c *Codec) New() *Spool { return &Spool{codec: c} }

// Len is the number of records.
func (s *Spool) Len() int { return s.n }

// Bytes is the size of all records.
func (s *Spool) Bytes() int { return s.bytes }

// Append adds a record, which is copied.
func (s *Spool) Append(record []byte) {
	if len(s.open) > 0 && len(s.open)+len(record) > blockBytes {
		s.close()
	}
	s.open = binary.AppendUvarint(s.open, uint64(len(record)))
	s.open = append(s.open, record...)
	s.n++
	s.bytes += len(record)
}

func (s *Spool) close() {
	compressed := s.codec.encoder.EncodeAll(s.open, make([]byte, 0, len(s.open)/4))
	s.blocks = append(s.blocks, append(make([]byte, 0, len(compressed)), compressed...))
	s.open = s.open[:0]
	if cap(s.open) > 2*blockBytes {
		s.open = nil
	}
}

// errTorn can't happen: what is read was written by the same process.
var errTorn = errors.New("spool is torn")

// Each calls fn with the records in their order, until it returns an error. A record is
// valid during the call.
func (s *Spool) Each(fn func(record []byte) error) error { return s.each(false, fn) }

// Drain does the same and gives the memory of what was read back on the way.
func (s *Spool) Drain(fn func(record []byte) error) error {
	err := s.each(true, fn)
	s.blocks, s.open, s.n, s.bytes = nil, nil, 0, 0
	return err
}

func (s *Spool) each(drop bool, fn func(record []byte) error) error {
	var buffer []byte
	for i, block := range s.blocks {
		var err error
		if buffer, err = s.codec.decoder.DecodeAll(block, buffer[:0]); err != nil {
			return fmt.Errorf("read spool: %w", err)
		}
		if drop {
			s.blocks[i] = nil
		}
		if err := records(buffer, fn); err != nil {
			return err
		}
	}
	return records(s.open, fn)
}

// AppendAll appends all records, each with its length in front, to a buffer.
func (s *Spool) AppendAll(to []byte) ([]byte, error) {
	for _, block := range s.blocks {
		var err error
		if to, err = s.codec.decoder.DecodeAll(block, to); err != nil {
			return to, fmt.Errorf("read spool: %w", err)
		}
	}
	return append(to, s.open...), nil
}

// Next takes the first record off a buffer of AppendAll.
func Next(buffer []byte) (record, rest []byte, err error) {
	n, size := binary.Uvarint(buffer)
	if size <= 0 || n > uint64(len(buffer)-size) {
		return nil, nil, errTorn
	}
	return buffer[size : size+int(n)], buffer[size+int(n):], nil
}

func records(buffer []byte, fn func(record []byte) error) error {
	for len(buffer) > 0 {
		record, rest, err := Next(buffer)
		if err != nil {
			return err
		}
		if err := fn(record); err != nil {
			return err
		}
		buffer = rest
	}
	return nil
}
