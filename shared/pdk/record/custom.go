package record

import (
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Custom makes the function that sets a config's custom_fields_by_lua, nil for none. It
// runs in the log phase, before the record is made.
func Custom(_ pdk.Env, fields map[string]string) (func(x *pdk.Exchange), error) {
	if len(fields) == 0 {
		return nil, nil
	}
	return nil, schema.Violate("config.custom_fields_by_lua", "fields by Lua are not available yet")
}
