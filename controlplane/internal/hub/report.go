package hub

import (
	"encoding/json"
)

// Facts are what a node says of its own accord. What it has not said is nil.
type Facts struct {
	Balancer      *BalancerReport      `json:"balancer"`
	Configuration *ConfigurationReport `json:"configuration"`
	Integrity     *IntegrityReport     `json:"integrity"`
	// Draining tells that the node asks to get no more requests.
	Draining bool `json:"draining"`
}

// ConfigurationReport is what a node says about the configuration that it serves.
type ConfigurationReport struct {
	// Entities and Routes are how many there are, DiskBytes what the disk cache takes.
	Entities  int64 `json:"entities"`
	Routes    int64 `json:"routes"`
	DiskBytes int64 `json:"disk_bytes"`
}

// BalancerReport is what a node says of its own accord about the targets that it has.
type BalancerReport struct {
	// Upstreams and Targets are how many there are.
	Upstreams int `json:"upstreams"`
	Targets   int `json:"targets"`
	// Unhealthy is how many targets do not get requests; Troubles are those, the first
	// hundreds of them.
	Unhealthy int       `json:"unhealthy"`
	Troubles  []Trouble `json:"troubles"`
}

// Trouble is a target that does not get requests on a node.
type Trouble struct {
	// Upstream and Target are ids.
	Upstream string `json:"upstream"`
	Target   string `json:"target"`
	// Health is UNHEALTHY or DNS_ERROR, Since when, in seconds since 1970, Why and Detail
	// the reason.
	Health string `json:"health"`
	Since  int64  `json:"since"`
	Why    string `json:"why"`
	Detail string `json:"detail"`
}

// IntegrityReport is what a node says of faults in its own memory, when there were any.
type IntegrityReport struct {
	// Found are the entities that were not what was applied, Repaired those that are again.
	Found    int `json:"found"`
	Repaired int `json:"repaired"`
	// Kind and ID name the last one, Message says what was wrong, At when it was found, in
	// seconds since 1970.
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Message string `json:"message"`
	At      int64  `json:"at"`
}

const (
	// maxReport bounds what is taken of a node, in bytes, maxTroubles and maxDetail what
	// is kept of it.
	maxReport   = 256 << 10
	maxTroubles = 1000
	maxDetail   = 256
)

// report reads what a beat says: nothing when it can not be read.
func report(b []byte) (r Facts) {
	if len(b) == 0 || len(b) > maxReport || json.Unmarshal(b, &r) != nil {
		return Facts{}
	}
	if i := r.Integrity; i != nil {
		for _, s := range []*string{&i.Kind, &i.ID, &i.Message} {
			*s = (*s)[:min(len(*s), maxDetail)]
		}
	}
	out := r.Balancer
	if out == nil {
		return r
	}
	out.Troubles = out.Troubles[:min(len(out.Troubles), maxTroubles)]
	for i := range out.Troubles {
		t := &out.Troubles[i]
		for _, s := range []*string{&t.Upstream, &t.Target, &t.Health, &t.Why, &t.Detail} {
			*s = (*s)[:min(len(*s), maxDetail)]
		}
	}
	return r
}
