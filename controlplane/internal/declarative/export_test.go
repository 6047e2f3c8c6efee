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
