package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/local"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// ErrWrong means that Verify has found something wrong, and written what.
var ErrWrong = errors.New("the store is not what it should be")

// verdict is what Verify writes as JSON.
type verdict struct {
	Lineage    string   `json:"lineage"`
	Generation uint64   `json:"generation"`
	Revision   uint64   `json:"revision"`
	Root       string   `json:"root"`
	Encrypted  bool     `json:"encrypted"`
	Running    bool     `json:"running"`
	Entities   int      `json:"entities"`
	Locals     int      `json:"local_entities"`
	ChangeSets int      `json:"change_sets"`
	Problems   []string `json:"problems"`
}

func verdictOf(r *bolt.Report, running bool) verdict {
	return verdict{
		Lineage: r.Position.Lineage, Generation: r.Position.Generation, Revision: r.Position.Revision, Root: r.Position.Root.String(),
		Encrypted: r.Encrypted, Running: running, Entities: r.Entities, Locals: r.Locals, ChangeSets: r.ChangeSets,
		Problems: append([]string{}, r.Problems...),
	}
}

// Verify reads all of a store, or of a backup, without changing it: pages, checksums, the
// root, indexes, the change log, and references between entities. file "" is the store
// of the settings, also while a control plane runs with it. Its error is ErrWrong when
// something is wrong, and another one when that can't be told.
func Verify(ctx context.Context, s *settings.Settings, file string, asJSON bool, out io.Writer) error {
	v, err := verify(ctx, s, file)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if asJSON {
		err = printJSON(out, v)
	} else {
		for _, problem := range v.Problems {
			_, _ = fmt.Fprintln(out, problem)
		}
		good := "good"
		if n := len(v.Problems); n > 0 {
			good = fmt.Sprintf("%d problems", n)
		}
		_, err = fmt.Fprintf(out, "%s: lineage %s, generation %d, revision %d, %d entities, %d local ones, %d change sets\n",
			good, v.Lineage, v.Generation, v.Revision, v.Entities, v.Locals, v.ChangeSets)
	}
	if err == nil && len(v.Problems) > 0 {
		err = ErrWrong
	}
	return err
}

func verify(ctx context.Context, s *settings.Settings, file string) (v verdict, err error) {
	if file == "" {
		client, err := local.Dial(ctx, s.Path("prefix"))
		if err == nil {
			defer client.Close()
			return v, client.Call(ctx, http.MethodGet, localVerify, nil, &v)
		}
		if !errors.Is(err, local.ErrNobody) {
			return v, err //nolint:wrapcheck // it says what failed
		}
		file = filepath.Join(s.Path("prefix"), StoreFile)
	}
	options, err := storeOptions(s)
	if err != nil {
		return v, err
	}
	if _, err := os.Stat(file); err != nil {
		return v, err
	}
	options.Path = file
	registry := plugins.Bundled()
	kinds := entity.NewKinds(entity.Options{Flavor: entity.Flavor(s.String("router_flavor")), Plugins: registry.Schema, Extra: registry.Entities()})
	report, err := bolt.Verify(ctx, options, examiner(kinds))
	if err != nil {
		return v, err //nolint:wrapcheck // it names the file
	}
	return verdictOf(report, false), nil
}

func examiner(kinds *entity.Kinds) func(store.Tx, func(string)) error {
	return func(tx store.Tx, found func(string)) error { return catalog.Examine(tx, kinds, found) }
}
