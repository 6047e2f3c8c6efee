package controlclient

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/dictionary"
)

// maxRaw bounds what one message may become when it is decompressed.
const maxRaw = 64 << 20

const (
	encodingZstd  = "zstd"
	encodingZstd1 = "zstd-1"
)

// decoder reads change lists. One goroutine uses it.
type decoder struct {
	zstd *zstd.Decoder // has dictionary 1 for those who need it
	// kinds are the names of kinds that were seen, so that each is in memory once.
	kinds map[string]string
}

func newDecoder() (*decoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderDicts(dictionary.One))
	if err != nil {
		return nil, fmt.Errorf("make decompressor: %w", err)
	}
	return &decoder{zstd: z, kinds: map[string]string{}}, nil
}

// decode returns the changes of a message, decompressed when that is needed. checksum
// is of the decompressed list; nil is not looked at.
func (d *decoder) decode(plain []*configv1.Change, encoding string, payload []byte, rawLength uint64, checksum []byte) ([]config.Change, error) {
	switch encoding {
	case "":
		return d.convert(plain)
	case encodingZstd, encodingZstd1:
	default:
		return nil, fmt.Errorf("encoding %q is not known", encoding)
	}
	if rawLength > maxRaw {
		return nil, fmt.Errorf("it would have %d bytes", rawLength)
	}
	raw, err := d.zstd.DecodeAll(payload, make([]byte, 0, rawLength))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if uint64(len(raw)) != rawLength {
		return nil, fmt.Errorf("it has %d bytes decompressed, not %d", len(raw), rawLength)
	}
	if sum := sha256.Sum256(raw); checksum != nil && !bytes.Equal(sum[:], checksum) {
		return nil, errors.New("checksum differs")
	}
	list := &configv1.ChangeList{}
	if err := proto.Unmarshal(raw, list); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return d.convert(list.GetChanges())
}

func (d *decoder) convert(in []*configv1.Change) ([]config.Change, error) {
	out := make([]config.Change, len(in))
	for i, c := range in {
		out[i] = config.Change{Kind: d.kind(c.GetKind()), ID: c.GetId(), Body: c.GetBody(), MustUnderstand: c.GetMustUnderstand()}
		switch c.GetOp() {
		case configv1.Change_OP_PUT:
			out[i].Op = config.Put
		case configv1.Change_OP_DELETE:
			out[i].Op, out[i].Body = config.Delete, nil
		default:
			return nil, fmt.Errorf("change %d of %s %s says not what to do", i, c.GetKind(), c.GetId())
		}
	}
	return out, nil
}

// maxKinds bounds the names that are kept.
const maxKinds = 1000

func (d *decoder) kind(name string) string {
	if known, ok := d.kinds[name]; ok {
		return known
	}
	if len(d.kinds) < maxKinds {
		d.kinds[name] = name
	}
	return name
}
