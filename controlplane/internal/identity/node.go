package identity

import "time"

// Node is what is kept of a node that has joined, or that was revoked.
type Node struct {
	ID string `json:"id"`
	// Epoch counts how often the node has joined; certificates of earlier ones are not
	// good. 0 is a node that has only been revoked.
	Epoch    uint64 `json:"epoch"`
	Hostname string `json:"hostname,omitempty"`
	// With is the id of the token that it joined with, Key the SHA-256 of the public key
	// that it joined with.
	With string `json:"joined_with,omitempty"`
	Key  string `json:"public_key,omitempty"`
	// Times are in seconds since 1970; 0 for never.
	JoinedAt    int64 `json:"joined_at,omitempty"`
	RevokedAt   int64 `json:"revoked_at,omitempty"`
	ForgottenAt int64 `json:"forgotten_at,omitempty"`
	// ExpiresAt is when the newest certificate does.
	ExpiresAt int64 `json:"expires_at,omitempty"`
}

// over tells whether nothing is lost by dropping what is kept: no certificate of the node
// can be used for anything.
func (n *Node) over(now time.Time, grace time.Duration) bool {
	return n.ExpiresAt != 0 && now.After(time.Unix(n.ExpiresAt, 0).Add(grace))
}
