package session

import "github.com/sluice-gateway/sluice/shared/schema"

// Config is exported for the tests.
type Config = config

// SchemaWith is the plugin's schema with another default secret.
func SchemaWith(secret string) *schema.Schema { return newSchema(secret) }
