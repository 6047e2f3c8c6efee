package bolt

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// layoutVersion is the version of the key tree that the package comment draws.
const layoutVersion = 1

// migration leads from one version of the layout to the next.
type migration struct {
	from uint32
	name string
	run  func(b *bbolt.Tx) error
}

// migrations in order. A change of the key tree adds one and raises layoutVersion.
var migrations []migration

func readVersion(b *bbolt.Tx) (uint32, error) {
	meta := b.Bucket(bucketMeta)
	if meta == nil {
		return 0, fmt.Errorf("%w: there is no bucket meta", store.ErrDamaged)
	}
	v := meta.Get(keyVersion)
	if len(v) != 4 {
		return 0, fmt.Errorf("%w: there is no layout version", store.ErrDamaged)
	}
	version := binary.BigEndian.Uint32(v)
	if version > layoutVersion {
		return version, fmt.Errorf("%w: layout %d, this one knows %d", store.ErrNewer, version, layoutVersion)
	}
	return version, nil
}

// migrate brings the layout to a version, each step in a transaction of its own.
func migrate(db *bbolt.DB, steps []migration, to uint32) (migrated bool, err error) {
	for {
		var version uint32
		if err := db.View(func(b *bbolt.Tx) (err error) {
			version, err = readVersion(b)
			return err
		}); err != nil || version == to {
			return migrated, err
		}
		step := -1
		for i := range steps {
			if steps[i].from == version {
				step = i
			}
		}
		if step < 0 {
			return migrated, fmt.Errorf("no migration leads away from layout %d", version)
		}
		err := db.Update(func(b *bbolt.Tx) error {
			if err := steps[step].run(b); err != nil {
				return err
			}
			return b.Bucket(bucketMeta).Put(keyVersion, binary.BigEndian.AppendUint32(nil, version+1))
		})
		if err != nil {
			return migrated, fmt.Errorf("migrate from layout %d (%s): %w", version, steps[step].name, err)
		}
		migrated = true
	}
}
