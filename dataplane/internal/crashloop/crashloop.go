// Package crashloop keeps a configuration that ends the process from ending it forever.
// It remembers on disk what is being served, and for how long that went well: three
// processes in a row that end without being told to, each within a minute of applying a
// configuration that no process has served for a minute, make those configurations
// refused. The next start serves what was there before them, and they are not applied
// again until the control plane has a later one, or until a process that has nothing else
// to serve relents.
//
// A process that is killed counts as one that crashed: what runs out of memory ends so.
// The package refuses to know what a configuration is.
package crashloop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

const (
	// limit is how many crashes make a loop.
	limit = 3
	// trial is how long a configuration has to be served to be trusted.
	trial = time.Minute

	// maxSpaces bounds how much longer a record was that is written over; one with all
	// crashes and last words has about 1 KiB.
	maxSpaces = 64 << 10

	recordFile = "crashes.json"
	outputFile = "crash.txt"
)

// Guard remembers what a process serves. It is safe for concurrent use.
type Guard struct {
	dir string
	now func() time.Time

	mu     sync.Mutex
	record record
	since  time.Time // when what is served was applied
	failed error     // of the last write
}

// record is the file.
type record struct {
	// Trusted was served for a minute; Trying is served and has not been yet.
	Trusted *position `json:"trusted,omitempty"`
	Trying  *position `json:"trying,omitempty"`
	// Crashes are what processes were trying when they ended.
	Crashes []position `json:"crashes,omitempty"`
	// Refused are the positions from the revision First to Last.
	Refused *refused `json:"refused,omitempty"`
}

type refused struct {
	First  uint64   `json:"first"`
	Last   position `json:"last"`
	Reason string   `json:"reason"`
}

type position struct {
	Lineage    string `json:"lineage"`
	Generation uint64 `json:"generation"`
	Revision   uint64 `json:"revision"`
	Root       []byte `json:"root"`
}

func fromConfig(p config.Position) *position {
	return &position{p.Lineage, p.Generation, p.Revision, p.Root[:]}
}

func (p *position) config() config.Position {
	out := config.Position{Lineage: p.Lineage, Generation: p.Generation, Revision: p.Revision}
	copy(out.Root[:], p.Root)
	return out
}

// same tells whether two positions can be compared by their revisions.
func (p *position) same(other *position) bool {
	return p.Lineage == other.Lineage && p.Generation == other.Generation
}

// Options of a Guard.
type Options struct {
	// Dir is the folder of the record.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Open reads what the process before has left. A record that can not be read is as good
// as none: it stops nothing.
func Open(o Options) (*Guard, error) {
	if o.Dir == "" {
		return nil, errors.New("crash loop guard needs a folder")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &Guard{dir: o.Dir, now: o.Now}
	b, err := os.ReadFile(g.path(recordFile))
	if err != nil || json.Unmarshal(b, &g.record) != nil || !g.record.valid() {
		g.record = record{}
		return g, nil //nolint:nilerr // what can not be read is as good as nothing
	}
	r := &g.record
	if r.Trying == nil {
		return g, nil
	}
	r.Crashes = append(r.Crashes, *r.Trying)
	r.Trying = nil
	if len(r.Crashes) >= limit {
		g.trip()
	}
	g.write()
	return g, nil
}

func (r *record) valid() bool {
	ok := func(p *position) bool { return p == nil || len(p.Root) == roothash.Size }
	good := ok(r.Trusted) && ok(r.Trying) && (r.Refused == nil || ok(&r.Refused.Last)) && len(r.Crashes) <= limit
	for i := range r.Crashes {
		good = good && ok(&r.Crashes[i])
	}
	return good
}

// trip refuses what was tried.
func (g *Guard) trip() {
	r := &g.record
	last := r.Crashes[len(r.Crashes)-1]
	first := last.Revision
	for i := range r.Crashes {
		if r.Crashes[i].same(&last) {
			first = min(first, r.Crashes[i].Revision)
		}
	}
	reason := fmt.Sprintf("the process has ended %d times within a minute of applying it", len(r.Crashes))
	if said := g.lastWords(); said != "" {
		reason += ", the last time with: " + said
	}
	r.Refused, r.Crashes = &refused{first, last, reason}, nil
}

// lastWords is the first line that the process before wrote when it crashed.
func (g *Guard) lastWords() string {
	f, err := os.Open(g.path(outputFile))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			return line[:min(len(line), 200)]
		}
	}
	return ""
}

func (g *Guard) path(name string) string { return filepath.Join(g.dir, name) }

// Output makes the file for what the Go runtime writes when the process crashes, see
// debug.SetCrashOutput. The caller closes it.
func (g *Guard) Output() (*os.File, error) {
	return os.OpenFile(g.path(outputFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

// write stores the record. A process that crashes does not lose what is in the system's
// cache, so that nothing is synced; and it does not end within one short write, so that
// the file is written where it is. A new one in its place, or a truncated one, would make
// the file system write to the disk at once, with each change of the configuration.
func (g *Guard) write() {
	b, err := json.Marshal(&g.record)
	if err == nil {
		err = overwrite(g.path(recordFile), b)
	}
	g.failed = err
}

// overwrite writes a file whose reader does not mind spaces at its end.
func overwrite(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		if more := info.Size() - int64(len(b)); more > 0 && more <= maxSpaces {
			b = append(b, bytes.Repeat([]byte(" "), int(more))...)
		} else if more > maxSpaces {
			err = f.Truncate(0) // it is not a record
		}
	}
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	return errors.Join(err, f.Close())
}

// Err tells why the record is not on disk, nil when it is.
func (g *Guard) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// Excludes tells whether a position is refused.
func (g *Guard) Excludes(p config.Position) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.excludes(p)
}

func (g *Guard) excludes(p config.Position) bool {
	r := g.record.Refused
	return r != nil && r.Last.same(fromConfig(p)) && p.Revision >= r.First && p.Revision <= r.Last.Revision
}

// Refused returns the last position that is refused, and why; false when there is none.
func (g *Guard) Refused() (p config.Position, reason string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.record.Refused == nil {
		return config.Position{}, "", false
	}
	return g.record.Refused.Last.config(), g.record.Refused.Reason, true
}

// Applying is called before a position is applied, and with the one before when it could
// not be.
func (g *Guard) Applying(p config.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.record
	g.trust()
	g.since = g.now()
	if trusted := r.Trusted; p.IsZero() || trusted != nil && trusted.config() == p {
		if r.Trying == nil {
			return
		}
		r.Trying = nil
	} else {
		r.Trying = fromConfig(p)
	}
	g.write()
}

// Applied is called once a position is served: what was refused before it is forgotten.
func (g *Guard) Applied(p config.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.record.Refused
	if r == nil || r.Last.same(fromConfig(p)) && p.Revision <= r.Last.Revision {
		return
	}
	g.record.Refused = nil
	g.write()
}

// Relent has what is refused tried once more: it is for a process that has nothing else to
// serve, which can not get worse by it. One more crash within a minute of applying it makes
// it refused again.
func (g *Guard) Relent() {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.record
	if r.Refused == nil {
		return
	}
	first := r.Refused.Last
	first.Revision = r.Refused.First
	r.Crashes = append(slices.Repeat([]position{r.Refused.Last}, limit-2), first)
	r.Refused = nil
	g.write()
}

// Check is called now and then: what has been served for a minute is trusted.
func (g *Guard) Check() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.trust() {
		g.write()
	}
}

func (g *Guard) trust() bool {
	r := &g.record
	if g.since.IsZero() || g.now().Sub(g.since) < trial || r.Trying == nil && r.Crashes == nil {
		return false
	}
	if r.Trying != nil {
		r.Trusted = r.Trying
	}
	r.Trying, r.Crashes = nil, nil
	return true
}

// Close notes that the process ends because it was told to.
func (g *Guard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.trust() && g.record.Trying == nil {
		return nil // nothing was tried, or it is trusted
	}
	g.record.Trying, g.record.Crashes = nil, nil
	g.write()
	return g.failed
}
