package entity

// Upstream is a typed upstreams entity: a named group of targets.
type Upstream struct {
	ID                     string       `json:"id"`
	Name                   string       `json:"name"`
	Algorithm              string       `json:"algorithm"`
	HashOn                 string       `json:"hash_on"`
	HashFallback           string       `json:"hash_fallback"`
	HashOnHeader           string       `json:"hash_on_header"`
	HashFallbackHeader     string       `json:"hash_fallback_header"`
	HashOnCookie           string       `json:"hash_on_cookie"`
	HashOnCookiePath       string       `json:"hash_on_cookie_path"`
	HashOnQueryArg         string       `json:"hash_on_query_arg"`
	HashFallbackQueryArg   string       `json:"hash_fallback_query_arg"`
	HashOnURICapture       string       `json:"hash_on_uri_capture"`
	HashFallbackURICapture string       `json:"hash_fallback_uri_capture"`
	Slots                  int          `json:"slots"`
	HealthChecks           HealthChecks `json:"healthchecks"`
	HostHeader             string       `json:"host_header"`
	ClientCertificate      *Ref         `json:"client_certificate"`
	UseSRVName             bool         `json:"use_srv_name"`
	// What follows is beyond Kong's open edition. Times are in seconds.
	StickySessionsCookie     string            `json:"sticky_sessions_cookie"`
	StickySessionsCookiePath string            `json:"sticky_sessions_cookie_path"`
	StickySessionsKey        string            `json:"sticky_sessions_key"`
	SlowStart                float64           `json:"slow_start"`
	ZoneLabel                string            `json:"zone_label"`
	OutlierDetection         *OutlierDetection `json:"outlier_detection"`
	Limits                   *UpstreamLimits   `json:"limits"`
	Tags                     []string          `json:"tags"`
	CreatedAt                int64             `json:"created_at"`
	UpdatedAt                int64             `json:"updated_at"`
}

// OutlierDetection takes targets that fail out for a while. Times are in seconds; 0
// switches a rule off.
type OutlierDetection struct {
	ConsecutiveErrors int     `json:"consecutive_errors"`
	ErrorPercent      float64 `json:"error_percent"`
	MinRequests       int     `json:"min_requests"`
	Interval          float64 `json:"interval"`
	EjectionTime      float64 `json:"ejection_time"`
	MaxEjectionTime   float64 `json:"max_ejection_time"`
	MaxEjectedPercent float64 `json:"max_ejected_percent"`
}

// UpstreamLimits bound what one node does at an upstream at the same time; 0 is no
// limit. PendingTimeout is in seconds.
type UpstreamLimits struct {
	MaxConnections int     `json:"max_connections"`
	MaxPending     int     `json:"max_pending"`
	MaxRequests    int     `json:"max_requests"`
	PendingTimeout float64 `json:"pending_timeout"`
}

// HealthChecks configures active and passive checks. Intervals and timeouts are in
// seconds, Threshold in percent.
type HealthChecks struct {
	Active    ActiveCheck  `json:"active"`
	Passive   PassiveCheck `json:"passive"`
	Threshold float64      `json:"threshold"`
}

// ActiveCheck probes targets.
type ActiveCheck struct {
	Type                   string              `json:"type"`
	Timeout                float64             `json:"timeout"`
	Concurrency            int                 `json:"concurrency"`
	HTTPPath               string              `json:"http_path"`
	HTTPSSNI               string              `json:"https_sni"`
	HTTPSVerifyCertificate bool                `json:"https_verify_certificate"`
	Headers                map[string][]string `json:"headers"`
	Healthy                CheckHealthy        `json:"healthy"`
	Unhealthy              CheckUnhealthy      `json:"unhealthy"`
}

// PassiveCheck watches real traffic.
type PassiveCheck struct {
	Type      string         `json:"type"`
	Healthy   CheckHealthy   `json:"healthy"`
	Unhealthy CheckUnhealthy `json:"unhealthy"`
}

// CheckHealthy says what makes a target healthy.
type CheckHealthy struct {
	Interval     float64 `json:"interval"`
	Successes    int     `json:"successes"`
	HTTPStatuses []int   `json:"http_statuses"`
}

// CheckUnhealthy says what makes a target unhealthy.
type CheckUnhealthy struct {
	Interval     float64 `json:"interval"`
	HTTPStatuses []int   `json:"http_statuses"`
	TCPFailures  int     `json:"tcp_failures"`
	Timeouts     int     `json:"timeouts"`
	HTTPFailures int     `json:"http_failures"`
}
