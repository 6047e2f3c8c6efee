package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/version"
)

// Refusal is one reason of a node against a position.
type Refusal struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// State of a node.
type State string

// States.
const (
	// Syncing means that the node is behind and is being sent what it lacks.
	Syncing State = "syncing"
	// Applied means that the node serves the head.
	Applied State = "applied"
	// Refused means that the node serves an earlier position and said why.
	Refused State = "refused"
	// Held means that the node is ahead of the store and goes on with what it has.
	Held State = "held"
	// Away means that the node is not connected.
	Away State = "away"
)

// Row is what is known of a node, and what is stored of it.
type Row struct {
	ID        string            `json:"id"`
	Hostname  string            `json:"hostname"`
	IP        string            `json:"ip"`
	Version   string            `json:"version"`
	Labels    map[string]string `json:"labels,omitempty"`
	Position  store.Position    `json:"position"`
	Persisted store.Position    `json:"persisted"`
	Source    string            `json:"source,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	// RefusedAt is the position that was refused, Refusals why.
	RefusedAt *store.Position `json:"refused_at,omitempty"`
	Refusals  []Refusal       `json:"refusals,omitempty"`
	// LeftOut is what the node does not honour of what it serves.
	LeftOut   []Refusal `json:"left_out,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	LastSeen  time.Time `json:"last_seen"`
	AppliedAt time.Time `json:"applied_at"`
	// ApplyTime is from the last byte received to serving.
	ApplyTime  time.Duration `json:"apply_time"`
	CertExpiry time.Time     `json:"cert_expiry"`
	// Joined tells that the certificate is the node's own, made with a join token.
	Joined bool `json:"joined,omitempty"`
}

const metaNodes = "nodes"

func (h *Hub) load() error {
	var rows []Row
	err := h.o.Store.View(func(tx store.Tx) error {
		b, err := tx.Meta(metaNodes)
		if errors.Is(err, store.ErrNotFound) || err == nil && len(b) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &rows)
	})
	if err != nil {
		return fmt.Errorf("read list of nodes: %w", err)
	}
	for _, r := range rows {
		h.nodes[r.ID] = &node{Row: r, number: h.ledger.number()}
	}
	return nil
}

// persist stores the list of nodes when it has changed, without those that have been
// away for too long.
func (h *Hub) persist(ctx context.Context) error {
	h.mu.Lock()
	oldest := h.o.Now().Add(-h.o.PurgeDelay)
	for id, n := range h.nodes {
		if n.session == nil && n.LastSeen.Before(oldest) {
			delete(h.nodes, id)
			h.ledger.forget(n.number)
			h.dirty = true
		}
	}
	if !h.dirty {
		h.mu.Unlock()
		return nil
	}
	rows := make([]Row, 0, len(h.nodes))
	for _, n := range h.nodes {
		rows = append(rows, n.Row)
	}
	h.dirty = false
	h.mu.Unlock()
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.ID, b.ID) })
	b, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encode list of nodes: %w", err)
	}
	_, err = h.o.Store.Update(ctx, store.Info{Summary: "list of nodes"}, func(tx store.WriteTx) error { return tx.SetMeta(metaNodes, b) })
	if err != nil {
		h.mu.Lock()
		h.dirty = true
		h.mu.Unlock()
		return fmt.Errorf("store list of nodes: %w", err)
	}
	return nil
}

// state of a node; h.mu is held.
func (h *Hub) stateLocked(n *node) State {
	switch {
	case n.session == nil:
		return Away
	case n.session.held:
		return Held
	case n.Position == h.head:
		return Applied
	case n.RefusedAt != nil:
		return Refused
	default:
		return Syncing
	}
}

// Nodes returns a row for each node as /clustering/data-planes shows it: Kong's fields
// and position, state, lag and what was refused.
func (h *Hub) Nodes() []map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]string, 0, len(h.nodes))
	for id := range h.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := make([]map[string]any, 0, len(ids))
	for _, id := range ids {
		out = append(out, h.showLocked(h.nodes[id]))
	}
	return out
}

func (h *Hub) showLocked(n *node) map[string]any {
	hash := strings.Repeat("0", 32)
	if n.Position != (store.Position{}) {
		hash = n.Position.Root.String()[:32]
	}
	seen := n.LastSeen
	if n.session != nil {
		seen = h.o.Now()
	}
	ttl := max(0, int64(h.o.PurgeDelay.Seconds()-h.o.Now().Sub(seen).Seconds()))
	labels := n.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	cert := map[string]any{}
	if !n.CertExpiry.IsZero() {
		cert["expiry_timestamp"] = n.CertExpiry.Unix()
	}
	row := map[string]any{
		"id": n.ID, "hostname": n.Hostname, "ip": n.IP, "version": version.Kong, "sluice_version": n.Version, "sync_status": "normal",
		"config_hash": hash, "last_seen": n.LastSeen.Unix(), "updated_at": n.LastSeen.Unix(), "created_at": n.CreatedAt.Unix(),
		"ttl": ttl, "labels": labels, "cert_details": cert, "rpc_capabilities": []any{},
		"joined": n.Joined, "connected": n.session != nil, "state": string(h.stateLocked(n)), "source": n.Source,
		"position": ShowPosition(n.Position), "persisted": ShowPosition(n.Persisted), "lag": h.lagLocked(n),
		"applied_at": nil, "apply_time_us": n.ApplyTime.Microseconds(), "reason": nil, "refused": nil, "left_out": emptyNotNil(n.LeftOut),
	}
	if n.facts.Integrity != nil {
		row["integrity"] = *n.facts.Integrity
	}
	row["lag_seconds"], row["seconds_since_heard"] = h.lagTimeLocked(n), max(0, h.o.Now().Sub(n.LastSeen).Seconds())
	row["applied_revision"], row["refused_revision"] = nil, nil
	if n.Position != (store.Position{}) {
		row["applied_revision"] = n.Position.Revision
	}
	row["draining"] = n.session != nil && n.facts.Draining
	row["configuration"] = nil
	if n.facts.Configuration != nil {
		row["configuration"] = *n.facts.Configuration
	}
	if n.facts.Balancer != nil {
		row["balancer"] = *n.facts.Balancer
	}
	if !n.AppliedAt.IsZero() {
		row["applied_at"] = float64(n.AppliedAt.UnixMilli()) / 1000
	}
	if n.Reason != "" {
		row["reason"] = n.Reason
	}
	if n.RefusedAt != nil {
		row["refused_revision"] = n.RefusedAt.Revision
		row["refused"] = map[string]any{"position": ShowPosition(*n.RefusedAt), "errors": slices.Clone(n.Refusals)}
	}
	return row
}

func emptyNotNil(list []Refusal) []Refusal { return append([]Refusal{}, list...) }

// lagLocked is how many revisions a node is behind, nil when the two can't be compared.
func (h *Hub) lagLocked(n *node) any {
	switch {
	case n.Position == (store.Position{}):
		return h.head.Revision
	case n.Position.Lineage != h.head.Lineage || n.Position.Generation != h.head.Generation || n.Position.Revision > h.head.Revision:
		return nil
	}
	return h.head.Revision - n.Position.Revision
}

// lagTimeLocked is for how many seconds there is something that a node does not serve: 0 for
// nothing, nil when that is not known.
func (h *Hub) lagTimeLocked(n *node) any {
	switch {
	case n.Position == h.head:
		return 0.0
	case n.Position != store.Position{} && (n.Position.Lineage != h.head.Lineage || n.Position.Generation != h.head.Generation):
		return nil
	}
	list := h.ledger.between(n.Position.Revision, h.head.Revision)
	if len(list) == 0 {
		return nil
	}
	// Of what is older than the ledger it is not known when it came: it is at least so long.
	return max(0, h.o.Now().Sub(list[0].noted).Seconds())
}

// ShowPosition makes JSON of a position, null for none.
func ShowPosition(p store.Position) any {
	if p == (store.Position{}) {
		return nil
	}
	return map[string]any{"lineage": p.Lineage, "generation": p.Generation, "revision": p.Revision, "root": p.Root.String()}
}
