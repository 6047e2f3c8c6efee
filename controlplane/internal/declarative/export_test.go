package declarative

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// TakeApart makes all documents large, until the test ends.
func TakeApart(t *testing.T) {
	t.Helper()
	before := smallDocument
	smallDocument = 1
	t.Cleanup(func() { smallDocument = before })
}

// WriteYAML writes an object as Export does.
func WriteYAML(o schema.Object) (string, error) {
	var w writer
	err := w.mapping(o, 0)
	return string(w.b), err
}

// PlainYAML reads a text without the library, when it can.
func PlainYAML(text []byte) (any, bool) { return plainYAML(text) }

// AnyYAML reads a text with the library.
func AnyYAML(text []byte) (any, error) { return parseAnyYAML(text) }
