package process

// Names below a control plane's prefix of the certificate and key that it makes for
// the link at its first start.
const (
	ClusterCert = "cluster.crt"
	ClusterKey  = "cluster.key"
)
