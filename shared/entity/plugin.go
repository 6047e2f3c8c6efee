package entity

import "encoding/json"

// Plugin is a typed plugins entity: one config of one plugin, and its scope.
type Plugin struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	InstanceName string          `json:"instance_name"`
	Enabled      bool            `json:"enabled"`
	Route        *Ref            `json:"route"`
	Service      *Ref            `json:"service"`
	Consumer     *Ref            `json:"consumer"`
	Protocols    []string        `json:"protocols"`
	Config       json.RawMessage `json:"config"`
	Tags         []string        `json:"tags"`
	CreatedAt    int64           `json:"created_at"`
	UpdatedAt    int64           `json:"updated_at"`
}
