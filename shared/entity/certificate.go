package entity

// Certificate is a typed certificates entity, PEM encoded.
type Certificate struct {
	ID        string   `json:"id"`
	Cert      string   `json:"cert"`
	Key       string   `json:"key"`
	CertAlt   string   `json:"cert_alt"`
	KeyAlt    string   `json:"key_alt"`
	Tags      []string `json:"tags"`
	CreatedAt int64    `json:"created_at"`
	UpdatedAt int64    `json:"updated_at"`
}

// SNI is a typed snis entity: a server name and its certificate.
type SNI struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Certificate *Ref     `json:"certificate"`
	Tags        []string `json:"tags"`
	CreatedAt   int64    `json:"created_at"`
	UpdatedAt   int64    `json:"updated_at"`
}

// CACertificate is a typed ca_certificates entity, PEM encoded.
type CACertificate struct {
	ID         string   `json:"id"`
	Cert       string   `json:"cert"`
	CertDigest string   `json:"cert_digest"`
	Tags       []string `json:"tags"`
	CreatedAt  int64    `json:"created_at"`
	UpdatedAt  int64    `json:"updated_at"`
}
