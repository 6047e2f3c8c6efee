package balancer

// newPicker makes the picker of a view's algorithm.
func newPicker(u *Upstream) picker {
	switch u.Entity.Algorithm {
	case "least-connections":
		return leastConnections{}
	case "latency":
		return latency{}
	case "consistent-hashing":
		return newRing(u)
	default:
		return newRoundRobin(u)
	}
}
