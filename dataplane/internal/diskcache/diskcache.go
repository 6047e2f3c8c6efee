// Package diskcache keeps the last good configurations of a node on disk, so that it
// starts and serves while no control plane is there.
//
// A folder holds generations of two files: NNN.base, a whole configuration, and
// NNN.log, the updates that followed it.
//
//	file   := magic record*
//	record := length(4) crc32c(4) payload
//	base   := record(header) record(changes)* record(end)
//	log    := record(update)*
//
// A base is written to a temporary file, synced and renamed; three are kept. Reading
// takes the newest base that is whole and whose entities have the root that its header
// names, cuts a torn end off its log, and falls back to the base before when that
// fails. A folder with nothing usable is an empty cache and a sentence that says why:
// a damaged cache never stops a node.
//
// With a key the payloads are encrypted, and the magics end in 2.
//
// The package refuses to decode entities and to know where they came from.
package diskcache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

const (
	baseMagic = "SLBASE1\n"
	logMagic  = "SLWLOG1\n"
	// keep is how many bases stay.
	keep = 3
	// maxRecord bounds what a record may claim to be.
	maxRecord = 256 << 20
	chunk     = 256 << 10
)

var table = crc32.MakeTable(crc32.Castagnoli)

// ErrBusy is returned by Open when another process uses the folder.
var ErrBusy = errors.New("disk cache in use by another process")

// Cache is one folder. It is safe for concurrent use.
type Cache struct {
	dir    string
	sealer *sealer // nil when nothing is encrypted

	mu       sync.Mutex
	serial   int
	log      *os.File
	logSize  int64
	baseSize int64
	position config.Position
	// good is the length of the part of the log that position is of, 0 when the log is
	// not that of the newest base. What follows it is cut with the first update.
	good int64
}

// Loaded is what a cache held.
type Loaded struct {
	// Update is whole; its position is zero when the cache is empty.
	Update config.Update
	// Faults say what could not be read, newest first.
	Faults []string
}

// Open opens or makes the folder. Nothing is read yet. key of 32 bytes encrypts what is
// written, and nothing else is read then; nil does not.
func Open(dir string, key []byte) (*Cache, error) {
	s, err := newSealer(key)
	if err != nil {
		return nil, fmt.Errorf("open disk cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open disk cache: %w", err)
	}
	return &Cache{dir: dir, sealer: s}, nil
}

// Close closes the log.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closeLog()
}

func (c *Cache) closeLog() error {
	if c.log == nil {
		return nil
	}
	err := c.log.Close()
	c.log = nil
	return err
}

// Load reads the newest usable configuration that exclude, which may be nil, does not name.
// It changes nothing on disk: what is damaged or excluded stays until the next Save.
func (c *Cache) Load(exclude func(config.Position) bool) Loaded {
	c.mu.Lock()
	defer c.mu.Unlock()
	if exclude == nil {
		exclude = func(config.Position) bool { return false }
	}
	var out Loaded
	serials := c.serials()
	for _, serial := range serials {
		c.serial = max(c.serial, serial)
	}
	_ = c.closeLog() // nothing waits to be written
	c.good, c.position = 0, config.Position{}
	for _, serial := range slices.Backward(serials) {
		state, err := readBase(c.path(serial, "base"), c.sealer)
		if err != nil {
			out.Faults = append(out.Faults, err.Error())
			continue
		}
		if exclude(state.position) {
			continue
		}
		good, fault := state.replay(c.path(serial, "log"), c.sealer, exclude)
		if fault != "" {
			out.Faults = append(out.Faults, fault)
		}
		out.Update = state.update()
		c.position = state.position
		if serial == c.serial {
			c.good = max(good, int64(len(logMagic)))
		}
		break
	}
	return out
}

// ReadFile reads a base that is not in a cache's folder, such as one that was copied from
// another node.
func ReadFile(path string, key []byte) (config.Update, error) {
	s, err := newSealer(key)
	if err != nil {
		return config.Update{}, err
	}
	state, err := readBase(path, s)
	if err != nil {
		return config.Update{}, err
	}
	u := state.update()
	u.Source = config.SourceFile
	return u, nil
}

// resume goes on with the log of the newest base, after its good part.
func (c *Cache) resume() {
	good := c.good
	if c.good = 0; good == 0 {
		return
	}
	f, err := os.OpenFile(c.path(c.serial, "log"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	if good == int64(len(logMagic)) {
		_, err = f.WriteAt([]byte(c.sealer.logMagic()), 0)
	}
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return
	}
	c.log, c.logSize = f, good
	if info, err := os.Stat(c.path(c.serial, "base")); err == nil {
		c.baseSize = info.Size()
	}
}

// Position returns the configuration that is on disk.
func (c *Cache) Position() config.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.position
}

// Save writes an update so that it survives a crash of the machine: a whole one as a new
// base, another one at the end of the log. When the log has grown beyond half of the
// base, or what is on disk does not lead to u, whole is asked for everything that is
// served, which may be more than u, and a new base is written.
func (c *Cache) Save(u config.Update, whole func() (config.Position, []config.Change)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.Whole {
		return c.base(u.To, u.Changes)
	}
	c.resume()
	if c.log == nil || u.From != c.position || c.logSize > max(c.baseSize/2, 1<<20) {
		return c.base(whole())
	}
	b := c.sealer.frame(c.sealer.logMagic(), encodeUpdate(u))
	if _, err := c.log.Write(b); err != nil {
		_ = c.closeLog()
		return fmt.Errorf("write disk cache: %w", err)
	}
	if err := c.log.Sync(); err != nil {
		_ = c.closeLog()
		return fmt.Errorf("sync disk cache: %w", err)
	}
	c.logSize += int64(len(b))
	c.position = u.To
	return nil
}

func (c *Cache) base(p config.Position, changes []config.Change) error {
	c.good = 0
	serial := c.serial + 1
	final := c.path(serial, "base")
	size, err := writeBase(final, p, changes, c.sealer)
	if err != nil {
		return fmt.Errorf("write disk cache: %w", err)
	}
	if err := c.closeLog(); err != nil {
		return fmt.Errorf("close disk cache log: %w", err)
	}
	c.serial, c.baseSize, c.position = serial, size, p
	f, err := os.OpenFile(c.path(serial, "log"), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make disk cache log: %w", err)
	}
	if _, err = f.WriteString(c.sealer.logMagic()); err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("make disk cache log: %w", err)
	}
	c.log, c.logSize = f, int64(len(logMagic))
	if err := syncDir(c.dir); err != nil {
		return fmt.Errorf("sync disk cache: %w", err)
	}
	serials := c.serials()
	for _, old := range serials[:max(0, len(serials)-keep)] {
		_ = os.Remove(c.path(old, "base"))
		_ = os.Remove(c.path(old, "log"))
	}
	return nil
}

func (c *Cache) path(serial int, kind string) string {
	return filepath.Join(c.dir, fmt.Sprintf("%08d.%s", serial, kind))
}

// serials lists the bases, oldest first.
func (c *Cache) serials() []int {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil
	}
	var out []int
	for _, e := range entries {
		var serial int
		name, ok := strings.CutSuffix(e.Name(), ".base")
		if _, err := fmt.Sscanf(name, "%d", &serial); ok && err == nil {
			out = append(out, serial)
		}
		if strings.HasSuffix(e.Name(), ".tmp") {
			_ = os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func frame(payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.LittleEndian.PutUint32(b, uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(payload, table))
	return append(b, payload...)
}

// readRecord returns io.EOF at a clean end.
func readRecord(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxRecord {
		return nil, fmt.Errorf("record of %d bytes", n)
	}
	var payload []byte
	for len(payload) < int(n) { // what is claimed may not be there
		part := make([]byte, min(int(n)-len(payload), 1<<20))
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		payload = append(payload, part...)
	}
	if crc32.Checksum(payload, table) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errors.New("checksum differs")
	}
	return payload, nil
}

func writeBase(path string, p config.Position, changes []config.Change, s *sealer) (size int64, err error) {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(path + ".tmp")
		}
	}()
	w := bufio.NewWriterSize(f, chunk)
	magic := s.baseMagic()
	write := func(b []byte) error {
		size += int64(len(b))
		_, err := w.Write(b)
		return err
	}
	if err = write([]byte(magic)); err != nil {
		return 0, err
	}
	header := appendPosition(nil, p)
	if err = write(s.frame(magic, binary.AppendUvarint(header, uint64(len(changes))))); err != nil {
		return 0, err
	}
	var part []byte
	for i, c := range changes {
		part = appendChange(part, c)
		if len(part) >= chunk || i == len(changes)-1 {
			if err = write(s.frame(magic, part)); err != nil {
				return 0, err
			}
			part = part[:0]
		}
	}
	if err = write(s.frame(magic, nil)); err != nil {
		return 0, err
	}
	if err = w.Flush(); err != nil {
		return 0, err
	}
	if err = f.Sync(); err != nil {
		return 0, err
	}
	if err = f.Close(); err != nil {
		return 0, err
	}
	return size, os.Rename(path+".tmp", path)
}

// state is a configuration while it is read.
type state struct {
	position config.Position
	entities map[[2]string]config.Change
	tree     *roothash.Tree
}

func readBase(path string, sealed *sealer) (*state, error) {
	name := filepath.Base(path)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("disk cache %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	s, err := decodeBase(bufio.NewReaderSize(f, chunk), sealed)
	if err != nil {
		return nil, fmt.Errorf("disk cache %s: %w", name, err)
	}
	return s, nil
}

func decodeBase(r io.Reader, sealed *sealer) (*state, error) {
	magic, other := baseMagic, sealedBaseMagic
	if sealed != nil {
		magic, other = other, magic
	}
	if err := sealed.checkMagic(r, magic, other, "base"); err != nil {
		return nil, err
	}
	header, _, err := sealed.record(r, magic)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	s := &state{entities: map[[2]string]config.Change{}, tree: roothash.New()}
	d := decoder{b: header}
	s.position = d.position()
	count := d.uvarint()
	if d.err != nil {
		return nil, fmt.Errorf("header: %w", d.err)
	}
	for {
		part, _, err := sealed.record(r, magic)
		if err != nil {
			return nil, fmt.Errorf("entities: %w", noEOF(err))
		}
		if len(part) == 0 {
			break
		}
		d := decoder{b: part}
		for len(d.b) > 0 && d.err == nil {
			c := d.change()
			if d.err == nil {
				s.apply(c)
			}
		}
		if d.err != nil {
			return nil, fmt.Errorf("entities: %w", d.err)
		}
	}
	if uint64(len(s.entities)) != count {
		return nil, fmt.Errorf("%d entities, the header says %d", len(s.entities), count)
	}
	if s.tree.Root() != s.position.Root {
		return nil, errors.New("the entities do not have the root that the header names")
	}
	return s, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *state) apply(c config.Change) {
	key := [2]string{c.Kind, c.ID}
	if old, ok := s.entities[key]; ok {
		s.tree.Delete(c.Kind, c.ID, old.Body)
		delete(s.entities, key)
	}
	if c.Op == config.Put {
		s.entities[key] = c
		s.tree.Put(c.Kind, c.ID, c.Body)
	}
}

// replay applies the log as far as it is good and not excluded, and returns that length.
func (s *state) replay(path string, sealed *sealer, exclude func(config.Position) bool) (good int64, fault string) {
	f, err := os.Open(path)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = f.Close() }()
	name := filepath.Base(path)
	r := bufio.NewReaderSize(f, chunk)
	magic, other := logMagic, sealedLogMagic
	if sealed != nil {
		magic, other = other, magic
	}
	if err := sealed.checkMagic(r, magic, other, "log"); err != nil {
		return 0, "disk cache " + name + ": " + err.Error()
	}
	good = int64(len(logMagic))
	for {
		payload, size, err := sealed.record(r, magic)
		if errors.Is(err, io.EOF) {
			return good, ""
		}
		if err != nil {
			return good, fmt.Sprintf("disk cache %s: cut after %d bytes: %v", name, good, err)
		}
		d := decoder{b: payload}
		from, to := d.position(), d.position()
		var changes []config.Change
		for len(d.b) > 0 && d.err == nil {
			changes = append(changes, d.change())
		}
		if d.err != nil || from != s.position {
			return good, fmt.Sprintf("disk cache %s: cut after %d bytes: the update does not follow", name, good)
		}
		if exclude(to) {
			return good, ""
		}
		undo := s.applyAll(changes)
		if s.tree.Root() != to.Root {
			undo()
			return good, fmt.Sprintf("disk cache %s: cut after %d bytes: the entities do not have the update's root", name, good)
		}
		s.position = to
		good += size
	}
}

func (s *state) applyAll(changes []config.Change) (undo func()) {
	var back []config.Change
	for _, c := range changes {
		if old, ok := s.entities[[2]string{c.Kind, c.ID}]; ok {
			back = append(back, old)
		} else {
			back = append(back, config.Change{Op: config.Delete, Kind: c.Kind, ID: c.ID})
		}
		s.apply(c)
	}
	return func() {
		for _, c := range slices.Backward(back) {
			s.apply(c)
		}
	}
}

func (s *state) update() config.Update {
	u := config.Update{Whole: true, To: s.position, Source: config.SourceCache, Changes: make([]config.Change, 0, len(s.entities))}
	for _, c := range s.entities {
		u.Changes = append(u.Changes, c)
	}
	return u
}
