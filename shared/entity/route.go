package entity

// Route is a typed routes entity.
type Route struct {
	ID                      string              `json:"id"`
	Name                    string              `json:"name"`
	Service                 *Ref                `json:"service"`
	Protocols               []string            `json:"protocols"`
	Methods                 []string            `json:"methods"`
	Hosts                   []string            `json:"hosts"`
	Paths                   []string            `json:"paths"`
	Headers                 map[string][]string `json:"headers"`
	SNIs                    []string            `json:"snis"`
	Sources                 []Endpoint          `json:"sources"`
	Destinations            []Endpoint          `json:"destinations"`
	Expression              string              `json:"expression"`
	Priority                uint64              `json:"priority"`
	HTTPSRedirectStatusCode int                 `json:"https_redirect_status_code"`
	RegexPriority           int                 `json:"regex_priority"`
	StripPath               bool                `json:"strip_path"`
	PathHandling            string              `json:"path_handling"`
	PreserveHost            bool                `json:"preserve_host"`
	RequestBuffering        bool                `json:"request_buffering"`
	ResponseBuffering       bool                `json:"response_buffering"`
	Tags                    []string            `json:"tags"`
	CreatedAt               int64               `json:"created_at"`
	UpdatedAt               int64               `json:"updated_at"`
	// WorkspaceID is "" for the default workspace, whose id data planes do not know.
	WorkspaceID string `json:"ws_id"`
}

// Endpoint is a source or destination of a stream route: an IP or CIDR, a port, or both.
type Endpoint struct {
	IP   string `json:"ip"`
	Port int    `json:"port"`
}
