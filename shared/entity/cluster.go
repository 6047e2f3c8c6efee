package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// Parameter is a typed parameters entity: a value that belongs to the cluster.
type Parameter struct {
	CreatedAt int64  `json:"created_at"`
	Key       string `json:"key"`
	Value     string `json:"value"`
}

// Parameters is the kind "parameters". It has a schema only, as in Kong.
var Parameters = &Def{
	New:    func() any { return new(Parameter) },
	Hidden: true,
	Schema: &schema.Schema{
		Name:        "parameters",
		PrimaryKey:  []string{"key"},
		EndpointKey: "key",
		CacheKey:    []string{"key"},
		NoAdmin:     true,
		NotExported: true,
		Fields: []schema.Field{
			schema.CreatedAt(),
			{Name: "key", Type: schema.String, Required: true, Unique: true},
			{Name: "value", Type: schema.String, Required: true},
		},
	},
}

// DataPlane is a typed clustering_data_planes entity: what the control plane knows
// about a node.
type DataPlane struct {
	ID              string            `json:"id"`
	LastSeen        int64             `json:"last_seen"`
	UpdatedAt       int64             `json:"updated_at"`
	IP              string            `json:"ip"`
	ConfigHash      string            `json:"config_hash"`
	Hostname        string            `json:"hostname"`
	Version         string            `json:"version"`
	SyncStatus      string            `json:"sync_status"`
	Labels          map[string]string `json:"labels"`
	CertDetails     *CertDetails      `json:"cert_details"`
	RPCCapabilities []string          `json:"rpc_capabilities"`
}

// CertDetails says when a node's certificate ends, in seconds since 1970.
type CertDetails struct {
	ExpiryTimestamp float64 `json:"expiry_timestamp"`
}

// ClusteringDataPlanes is the kind "clustering_data_planes": rows that the control
// plane writes itself and shows at /clustering/data-planes.
var ClusteringDataPlanes = &Def{
	New:    func() any { return new(DataPlane) },
	Hidden: true,
	Schema: &schema.Schema{
		Name:        "clustering_data_planes",
		PrimaryKey:  []string{"id"},
		NoAdmin:     true,
		NotExported: true,
		TTL:         true,
		Fields: []schema.Field{
			{Name: "id", Type: schema.String, UUID: true, Auto: true, Required: true},
			schema.Timestamp().Named("last_seen"),
			schema.UpdatedAt(),
			schema.IP().Named("ip").AsRequired(),
			{Name: "config_hash", Type: schema.String, LenEq: new(32)},
			schema.Host().Named("hostname").AsRequired(),
			{
				Name: "version", Type: schema.String,
				MatchAny: &schema.PatternSet{
					Patterns: []string{`^%d+[%.%d]*$`, `^%d+[%.%d]*%-?.*$`},
					Err:      "invalid version number: must be in format of X.Y.Z",
				},
				MatchNone: []schema.Pattern{{Pattern: `%.%.`, Err: "must not have empty version segments"}},
			},
			schema.OneOf("unknown", "normal", "kong_version_incompatible", "plugin_set_incompatible",
				"plugin_version_incompatible", "filter_set_incompatible").
				Named("sync_status").Defaults("unknown").AsRequired(),
			schema.MapOf(schema.Field{Type: schema.String}, schema.Field{Type: schema.String}).Named("labels"),
			schema.RecordOf(schema.Field{Name: "expiry_timestamp", Type: schema.Number, Timestamp: true, NotRequired: true}).
				Named("cert_details").AsRequired(),
			schema.SetOf(schema.Field{Type: schema.String}).Named("rpc_capabilities"),
		},
	},
}
