package catalog

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// checkKey refuses a key that no entity could have: a value that the field of the
// endpoint key would refuse, or any value where ids are the only keys.
func (c *Catalog) checkKey(k *kind, key Key, scope Scope) error {
	if key.ID != "" || k.besides(scope.Field) != "" {
		return nil
	}
	field := k.schema.EndpointKey
	if k.name == kindCertificates && c.byName[kindSNIs] != nil {
		k, field = c.byName[kindSNIs], "name"
	}
	if field == "" {
		return invalidPrimaryKey(k.pk)
	}
	why, wrong := k.schema.Partial(schema.Object{field: key.Value})[field]
	if !wrong {
		return nil
	}
	return &Error{CodeInvalidUnique, "invalid unique " + field, fmt.Sprint(why), nil}
}

func invalidPrimaryKey(field string) error {
	fields := schema.Object{field: "expected a valid UUID"}
	return &Error{CodeInvalidPrimaryKey, "invalid primary key", "invalid primary key: '" + luaTable(fields) + "'", fields}
}

// allows asks the precondition of a key, if it has one. now is the entity as an answer
// shows it, nil when there is none.
func (k Key) allows(now schema.Object) error {
	if k.If == nil {
		return nil
	}
	return k.If(now)
}

func isUUID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

// longestTTL is the longest time to live, in seconds.
const longestTTL = 100_000_000

// checkTTL refuses a time to live before anything else of an entity is looked at, as an
// option of the write that it is.
func checkTTL(k *kind, in schema.Object) error {
	ttl := in["ttl"]
	if !k.schema.TTL || ttl == nil {
		return nil
	}
	switch n := ttl.(type) {
	case int:
		if n >= 0 && n <= longestTTL {
			return nil
		}
	case int64:
		if n >= 0 && n <= longestTTL {
			return nil
		}
	}
	why := fmt.Sprintf("must be an integer between 0 and %d", longestTTL)
	return &Error{CodeInvalidOptions, "invalid options", "invalid option (ttl: " + why + ")", schema.Object{"ttl": why}}
}
