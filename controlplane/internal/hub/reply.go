package hub

// Reply has an answer to a question of the node delivered: it is what rpc puts on the
// wire. It returns how many are not delivered yet.
func (s *Session) Reply(answer any) int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.seenLocked()
	if s.ended {
		return 0
	}
	s.replies = append(s.replies, answer)
	s.wake()
	return len(s.replies)
}

// NodeID returns the id of the node.
func (s *Session) NodeID() string { return s.node.ID }

// Process names the process that the node is now: what one that has ended took of a
// counter stays taken.
func (s *Session) Process() string { return s.node.ID + "/" + s.boot }

// Connected returns how many nodes are connected.
func (h *Hub) Connected() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connected
}
