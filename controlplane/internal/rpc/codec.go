package rpc

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that is wrapped
	"google.golang.org/grpc/mem"
)

// encoded is a message that was encoded before. Its bytes go to the wire as they are:
// one frame's bytes are shared between all nodes that get it.
type encoded []byte

// sharing is the protobuf codec, which also takes encoded messages.
type sharing struct{ encoding.CodecV2 }

func newCodec() sharing { return sharing{encoding.GetCodecV2("proto")} }

// Marshal implements encoding.CodecV2.
func (c sharing) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	b, err := c.CodecV2.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return b, nil
}
