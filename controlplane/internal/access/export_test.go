package access

// Addresses counts what is remembered.
func (t *Throttle) Addresses() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.addresses)
}
