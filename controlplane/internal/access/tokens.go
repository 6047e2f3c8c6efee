package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Kind is the kind of tokens in the store; they are not streamed.
const Kind = "admin_tokens"

// nameIndex keeps names apart.
const nameIndex = Kind + ".name"

// Tokens are those of a store. They are safe for concurrent use.
type Tokens struct {
	store store.Store
	now   func() time.Time

	// mu guards what was read from the store.
	mu       sync.RWMutex
	byPrefix map[string]*Token
}

// NewTokens reads the tokens of a store. now nil means time.Now.
func NewTokens(st store.Store, now func() time.Time) (*Tokens, error) {
	if st == nil {
		return nil, errors.New("tokens need a store")
	}
	if now == nil {
		now = time.Now
	}
	t := &Tokens{store: st, now: now}
	return t, t.load()
}

// load reads all tokens. Only this process has the store open, so that nothing changes
// them but Create and Revoke.
func (t *Tokens) load() error {
	byPrefix := map[string]*Token{}
	err := t.store.View(func(tx store.Tx) error {
		var failed error
		err := tx.List(Kind, "", int(^uint(0)>>1), func(id string, body []byte) bool {
			token := new(Token)
			if failed = json.Unmarshal(body, token); failed != nil {
				failed = fmt.Errorf("token %s: %w", id, failed)
				return false
			}
			byPrefix[token.Prefix] = token
			return true
		})
		return errors.Join(err, failed)
	})
	if err != nil {
		return fmt.Errorf("read admin tokens: %w", err)
	}
	t.mu.Lock()
	t.byPrefix = byPrefix
	t.mu.Unlock()
	return nil
}

// nobody is compared with when there is no token to compare with, so that it takes as long.
var nobody = &Token{Hash: digest("")}

// Authenticate returns what is known of a token, or why it is not good: ErrNone,
// ErrUnknown, or ErrExpired together with the token.
func (t *Tokens) Authenticate(token string) (*Token, error) {
	if token == "" {
		return nil, ErrNone
	}
	prefix := prefixOf(token)
	if len(token) > longestToken {
		token = token[:longestToken]
	}
	t.mu.RLock()
	known := t.byPrefix[prefix]
	t.mu.RUnlock()
	if prefix == "" || known == nil {
		_ = nobody.is(digest(token))
		return nil, ErrUnknown
	}
	if !known.is(digest(token)) {
		return nil, ErrUnknown
	}
	if known.Expired(t.now()) {
		return known, ErrExpired
	}
	return known, nil
}

// Create makes a token and returns it in clear, once.
func (t *Tokens) Create(ctx context.Context, r Request) (known *Token, token string, err error) {
	now := t.now()
	if field, err := r.Check(now); err != nil {
		return nil, "", fmt.Errorf("%s: %w", field, err)
	}
	token, prefix := generate()
	known = &Token{
		ID: uuid.NewString(), Name: r.Name, Role: r.Role, Workspace: r.Workspace, Comment: r.Comment,
		CreatedAt: now.Unix(), CreatedBy: r.By, Prefix: prefix, Hash: digest(token),
	}
	if !r.ExpiresAt.IsZero() {
		known.ExpiresAt = r.ExpiresAt.Unix()
	}
	body, err := json.Marshal(known)
	if err != nil {
		return nil, "", fmt.Errorf("encode admin token: %w", err)
	}
	_, err = t.store.Update(ctx, store.Info{Summary: "create admin token " + r.Name}, func(tx store.WriteTx) error {
		return tx.PutLocal(Kind, known.ID, body, []store.Index{{Name: nameIndex, Key: r.Name, Exclusive: true}})
	})
	if errors.Is(err, store.ErrConflict) {
		return nil, "", ErrNameTaken
	}
	if err != nil {
		return nil, "", fmt.Errorf("create admin token: %w", err)
	}
	return known, token, t.load()
}

// Revoke ends a token, by id, name or prefix.
func (t *Tokens) Revoke(ctx context.Context, key string) (*Token, error) {
	known := t.Get(key)
	if known == nil {
		return nil, ErrNotFound
	}
	_, err := t.store.Update(ctx, store.Info{Summary: "revoke admin token " + known.Name}, func(tx store.WriteTx) error {
		return tx.DeleteLocal(Kind, known.ID)
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("revoke admin token: %w", err)
	}
	return known, t.load()
}

// Get finds a token by id, name or prefix; nil when there is none.
func (t *Tokens) Get(key string) *Token {
	for _, token := range t.List() {
		if key == token.ID || key == token.Name || key == token.Prefix {
			return token
		}
	}
	return nil
}

// List returns all tokens by name.
func (t *Tokens) List() []*Token {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]*Token, 0, len(t.byPrefix))
	for _, token := range t.byPrefix {
		out = append(out, token)
	}
	slices.SortFunc(out, func(a, b *Token) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// HasAdmin tells whether anybody is there who can make more tokens.
func (t *Tokens) HasAdmin() bool {
	now := t.now()
	return slices.ContainsFunc(t.List(), func(token *Token) bool {
		return token.Role == Admin && token.Workspace == "" && !token.Expired(now)
	})
}
