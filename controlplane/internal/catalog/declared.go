package catalog

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Declared are entities by kind. They are asked for one at a time, twice, so that a large
// document need not be there as objects.
type Declared interface {
	Kinds() []string
	Len(kind string) int
	// Each calls fn with the entities of a kind in their order, in canonical JSON that is
	// valid during the call, until it returns an error.
	Each(kind string, fn func(i int, entity []byte) error) error
	// Done tells that no more will be asked for, because all are as they should be.
	Done()
}

// Objects are declared entities that are there.
type Objects map[string][]schema.Object

// Kinds implements Declared.
func (o Objects) Kinds() []string { return slices.Collect(maps.Keys(o)) }

// Len implements Declared.
func (o Objects) Len(kind string) int { return len(o[kind]) }

// Each implements Declared.
func (o Objects) Each(kind string, fn func(i int, entity []byte) error) error {
	for i, e := range o[kind] {
		b, err := schema.EncodeJSON(e)
		if err != nil {
			return fmt.Errorf("%s %d: %w", kind, i+1, err)
		}
		if err := fn(i, b); err != nil {
			return err
		}
	}
	return nil
}

// Done implements Declared.
func (o Objects) Done() {}
