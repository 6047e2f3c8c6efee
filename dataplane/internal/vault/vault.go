// Package vault finds the secrets that configurations refer to: {vault://env/NAME},
// {vault://file/path}, or {vault://prefix/...} for a vaults entity. Secrets are read on
// the node only and kept in memory only.
//
// A secret is read when a configuration is built, and again when its ttl is over, both off
// the path of requests. One that can not be read any more is used for resurrect_ttl; one
// that is not there is looked for again after neg_ttl. The package owns secrets and their
// times; what a change of one means is for whoever watches.
package vault

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Times where a vault has none.
const (
	DefaultTTL    = time.Minute
	DefaultNegTTL = time.Minute
)

// ErrNotFound is for secrets that a vault does not have.
var ErrNotFound = errors.New("no value found")

// Options of a Vaults.
type Options struct {
	// EnvPrefix is put before the names that {vault://env/...} has, as the setting
	// vault_env_prefix.
	EnvPrefix string
	// FilePath is the folder of {vault://file/...}; "" means /run/secrets.
	FilePath string
	// LookupEnv finds environment variables; nil means the process's own.
	LookupEnv func(name string) (string, bool)
	// Now is the time; nil means the clock's.
	Now func() time.Time
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Vaults is all vaults of a node. It is safe for concurrent use.
type Vaults struct {
	o   Options
	log hclog.Logger

	mu       sync.Mutex
	entities map[string]*entity.Vault // by prefix
	secrets  map[string]*secret       // by reference
	wake     chan struct{}
}

// secret is what is known of one reference.
type secret struct {
	value string
	err   error
	// due is when it is read again, end when its value is no longer used; zero is never.
	due, end time.Time
	used     bool // by a configuration, since the last Keep
}

// New makes the vaults of a node.
func New(o Options) *Vaults {
	if o.FilePath == "" {
		o.FilePath = "/run/secrets"
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Vaults{o: o, log: o.Logger, entities: map[string]*entity.Vault{}, secrets: map[string]*secret{}, wake: make(chan struct{}, 1)}
}

// Configure replaces the vaults entities, by prefix. It reports the prefixes that lead
// elsewhere now; their secrets are forgotten.
func (v *Vaults) Configure(entities map[string]*entity.Vault) (changed map[string]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	changed = map[string]bool{}
	for prefix, e := range entities {
		if old := v.entities[prefix]; old == nil || old.Name != e.Name || string(old.Config) != string(e.Config) {
			changed[prefix] = true
		}
	}
	for prefix := range v.entities {
		if entities[prefix] == nil {
			changed[prefix] = true
		}
	}
	v.entities = maps.Clone(entities)
	if len(changed) > 0 {
		for text := range v.secrets {
			if r, err := schema.ParseReference(text); err == nil && changed[r.Vault] {
				delete(v.secrets, text)
			}
		}
	}
	return changed
}

// Get returns a secret. It answers from memory, or reads it.
func (v *Vaults) Get(text string) (string, error) { return v.get(text, false) }

// Use is Get for a configuration: the secret is kept fresh.
func (v *Vaults) Use(text string) (string, error) { return v.get(text, true) }

func (v *Vaults) get(text string, use bool) (string, error) {
	now := v.o.Now()
	v.mu.Lock()
	s := v.secrets[text]
	if s != nil {
		s.used = s.used || use
		if s.fresh(now) {
			defer v.mu.Unlock()
			return s.value, s.err
		}
	}
	v.mu.Unlock()
	s, _ = v.refresh(text, now, use)
	return s.value, s.err
}

func (s *secret) fresh(now time.Time) bool { return s.due.IsZero() || now.Before(s.due) }

// maxSecrets bounds what kong.vault.get may make known.
const maxSecrets = 10000

// refresh reads a secret and keeps what came of it. It reports whether the value changed.
func (v *Vaults) refresh(text string, now time.Time, use bool) (*secret, bool) {
	value, c, err := v.read(text)
	next := &secret{value: value, err: err, used: use, due: now.Add(seconds(c.TTL, DefaultTTL))}
	if err != nil {
		next.due = now.Add(seconds(c.NegTTL, DefaultNegTTL))
	} else if c.ResurrectTTL != nil {
		next.end = next.due.Add(seconds(c.ResurrectTTL, 0))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.secrets[text]
	if old != nil {
		next.used = next.used || old.used
		if err != nil && old.err == nil && (old.end.IsZero() || now.Before(old.end)) {
			next.value, next.err, next.end = old.value, nil, old.end
			if !old.end.IsZero() && old.end.Before(next.due) {
				next.due = old.end
			}
			v.log.Warn("secret can not be read again, the one before is used on", "reference", text, "error", err)
		}
	}
	if old == nil && len(v.secrets) >= maxSecrets {
		for t, s := range v.secrets {
			if !s.used {
				delete(v.secrets, t)
			}
		}
	}
	v.secrets[text] = next
	select {
	case v.wake <- struct{}{}:
	default:
	}
	return next, old != nil && (old.value != next.value || (old.err == nil) != (next.err == nil))
}

func seconds(s *float64, otherwise time.Duration) time.Duration {
	if s == nil || *s <= 0 {
		return otherwise
	}
	return time.Duration(*s * float64(time.Second))
}

// read asks the vault that a reference names.
func (v *Vaults) read(text string) (value string, c entity.VaultConfig, err error) {
	r, err := schema.ParseReference(text)
	if err != nil {
		return "", c, err
	}
	v.mu.Lock()
	e := v.entities[r.Vault]
	v.mu.Unlock()
	kind := r.Vault
	switch {
	case e != nil:
		kind = e.Name
		if len(e.Config) > 0 {
			if err := json.Unmarshal(e.Config, &c); err != nil {
				return "", c, fmt.Errorf("vault %s: %w", r.Vault, err)
			}
		}
	case kind == "env":
		c.Prefix = v.o.EnvPrefix
	case kind == "file":
	default:
		return "", c, fmt.Errorf("could not find vault (%s)", r.Vault)
	}
	if err := override(&c, r.Options); err != nil {
		return "", c, err
	}
	key := r.Key
	switch kind {
	case "env":
		value, err = v.env(&c, r)
	case "file":
		value, key, err = v.file(&c, r)
	default:
		err = fmt.Errorf("could not find vault (%s)", kind)
	}
	if err == nil && key != "" {
		value, err = subfield(value, key)
	}
	if err == nil && c.Base64Decode {
		var b []byte
		if b, err = base64.StdEncoding.DecodeString(value); err != nil {
			err = errors.New("the secret is not in Base64")
		}
		value = string(b)
	}
	if err != nil {
		return "", c, err // no word of what was read
	}
	return value, c, nil
}

// override takes what the reference itself says.
func override(c *entity.VaultConfig, options map[string]string) error {
	for name, text := range options {
		switch name {
		case "prefix":
			c.Prefix = text
		case "base64_decode":
			c.Base64Decode = text == "true" || text == "1"
		case "ttl", "neg_ttl", "resurrect_ttl":
			n, err := strconv.ParseFloat(text, 64)
			if err != nil || n <= 0 {
				return fmt.Errorf("%s of the reference is no number of seconds", name)
			}
			switch name {
			case "ttl":
				c.TTL = &n
			case "neg_ttl":
				c.NegTTL = &n
			default:
				c.ResurrectTTL = &n
			}
		}
	}
	return nil
}

// subfield takes a field out of a secret that is a JSON object.
func subfield(value, key string) (string, error) {
	var fields map[string]any
	if err := json.Unmarshal([]byte(value), &fields); err != nil {
		return "", errors.New("could not get subfield value: unable to json decode value")
	}
	field, ok := fields[key]
	if !ok {
		return "", fmt.Errorf("could not get subfield value: subfield %s not found in JSON secret", key)
	}
	text, ok := field.(string)
	if !ok {
		return "", fmt.Errorf("could not get subfield value: unexpected value in JSON secret for subfield %s", key)
	}
	return text, nil
}
