package entity

// Consumer is a typed consumers entity.
type Consumer struct {
	ID        string   `json:"id"`
	Username  string   `json:"username"`
	CustomID  string   `json:"custom_id"`
	Tags      []string `json:"tags"`
	CreatedAt int64    `json:"created_at"`
	UpdatedAt int64    `json:"updated_at"`
}
