package controlclient

import "bytes"

// Flip changes the bytes of an entity in memory, as a fault of the machine would.
func (c *Client) Flip(kind, id string) {
	c.applying.Lock()
	defer c.applying.Unlock()
	e, _ := c.state.get(key{kind, id})
	e.body = bytes.Clone(e.body)
	e.body[len(e.body)/2] ^= 1
	c.state.set(key{kind, id}, e)
}

// FlipHash does the same to the hash of one.
func (c *Client) FlipHash(kind, id string) {
	c.applying.Lock()
	defer c.applying.Unlock()
	e, _ := c.state.get(key{kind, id})
	e.hash[0] ^= 1
	c.state.set(key{kind, id}, e)
}

// Body returns the bytes of an entity.
func (c *Client) Body(kind, id string) string {
	c.applying.Lock()
	defer c.applying.Unlock()
	e, _ := c.state.get(key{kind, id})
	return string(e.body)
}
