package entity

// Target is a typed targets entity: a host:port of an upstream.
type Target struct {
	ID        string   `json:"id"`
	Upstream  *Ref     `json:"upstream"`
	Target    string   `json:"target"`
	Weight    int      `json:"weight"`
	Tags      []string `json:"tags"`
	CreatedAt float64  `json:"created_at"`
	UpdatedAt float64  `json:"updated_at"`
}
