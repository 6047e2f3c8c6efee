package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	// defaultWorkspace is in front of the keys of the default workspace: nothing.
	defaultWorkspace = ""
	// allWorkspaces is in front of the keys that workspaces share.
	allWorkspaces = "*"
	// longest value that is its own key; longer ones are hashed.
	longestKey = 512
)

// indexKey makes the key of a value.
func indexKey(workspace, value string) string {
	if len(value) > longestKey {
		sum := sha256.Sum256([]byte(value))
		return workspace + "#" + hex.EncodeToString(sum[:])
	}
	return workspace + "/" + value
}

func (u *uniqueField) key(workspace, value string) string {
	if u.everywhere {
		workspace = allWorkspaces
	}
	return indexKey(workspace, value)
}

// uniqueValue returns what is indexed of a unique field, "" for null.
func uniqueValue(o schema.Object, field string) string {
	switch v := o[field].(type) {
	case nil:
		return ""
	case string:
		return v
	case schema.Object:
		return refID(o, field)
	default:
		return fmt.Sprint(v)
	}
}

// tupleKey makes the key of the fields that are unique together. Nulls are values.
func (k *kind) tupleKey(workspace string, o schema.Object) (string, error) {
	parts := make([]any, 0, len(k.tuple))
	for _, name := range k.tuple {
		v := o[name]
		if v == nil && k.unnamed[name] {
			continue
		}
		if _, ok := v.(schema.Object); ok {
			v = refID(o, name)
		}
		parts = append(parts, v)
	}
	b, err := schema.EncodeJSON(parts)
	if err != nil {
		return "", fmt.Errorf("index %s: %w", k.tupleIndex, err)
	}
	if !k.spaced {
		workspace = allWorkspaces
	}
	return indexKey(workspace, string(b)), nil
}

func tagIndex(kind string) string { return kind + ".tags" }

// taggedIndex holds under an empty key all entities that have tags.
func taggedIndex(kind string) string { return kind + ".tagged" }

// workspaceIndex holds the entities of each workspace but the default one.
func workspaceIndex(kind string) string { return kind + "." + schema.WorkspaceID }

// expiryIndex holds under an empty key all entities that end some time.
func expiryIndex(kind string) string { return kind + "." + schema.ExpiresAt }

// indexes returns the index entries of a processed entity.
func (k *kind) indexes(o schema.Object) ([]store.Index, error) {
	out := make([]store.Index, 0, 8)
	workspace := k.workspace(o)
	if workspace != defaultWorkspace {
		out = append(out, store.Index{Name: workspaceIndex(k.name), Key: workspace})
	}
	for i := range k.uniques {
		if v := uniqueValue(o, k.uniques[i].name); v != "" {
			out = append(out, store.Index{Name: k.uniques[i].index, Key: k.uniques[i].key(workspace, v), Exclusive: true})
		}
	}
	if k.tuple != nil {
		key, err := k.tupleKey(workspace, o)
		if err != nil {
			return nil, err
		}
		out = append(out, store.Index{Name: k.tupleIndex, Key: key, Exclusive: true})
	}
	for i := range k.foreign {
		if id := refID(o, k.foreign[i].field); id != "" {
			out = append(out, store.Index{Name: k.foreign[i].index, Key: id})
		}
	}
	for _, path := range k.softFields {
		list, _ := schema.Get(o, path).([]any)
		for _, v := range list {
			if id, ok := v.(string); ok {
				out = append(out, store.Index{Name: k.name + "." + path, Key: id})
			}
		}
	}
	if tags, _ := o[fieldTags].([]any); k.tagged && len(tags) > 0 {
		out = append(out, store.Index{Name: taggedIndex(k.name), Key: indexKey(workspace, "")})
		for _, v := range tags {
			if tag, ok := v.(string); ok {
				out = append(out, store.Index{Name: tagIndex(k.name), Key: indexKey(workspace, tag)})
			}
		}
	}
	if k.schema.TTL && o[schema.ExpiresAt] != nil {
		out = append(out, store.Index{Name: expiryIndex(k.name)})
	}
	if k.schema.Outdated != nil && k.schema.Outdated(o) {
		out = append(out, store.Index{Name: outdatedIndex(k.name)})
	}
	return out, nil
}
