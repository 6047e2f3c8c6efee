package schema

// Null is a default that is null, and the value of Must(Null).
var Null any = null{}

type null struct{}

// Int returns a pointer for LenMin, LenMax and LenEq.
//
//go:fix inline
func Int(n int) *int { return new(n) }

// Must returns a pointer for Eq and Ne; Must(nil) and Must(Null) stand for null.
func Must(v any) *any {
	if v == Null {
		v = nil
	}
	return &v
}

// Named returns the field under a name.
func (f Field) Named(name string) Field { f.Name = name; return f }

// AsRequired returns the field as required.
func (f Field) AsRequired() Field { f.Required, f.NotRequired = true, false; return f }

// AsOptional returns the field with "required": false spelt out.
func (f Field) AsOptional() Field { f.Required, f.NotRequired = false, true; return f }

// Defaults returns the field with a default.
func (f Field) Defaults(v any) Field { f.Default = v; return f }

// AsUnique returns the field as unique among its kind.
func (f Field) AsUnique() Field { f.Unique = true; return f }

// AsReferenceable returns the field as one that takes vault references.
func (f Field) AsReferenceable() Field { f.Referenceable = true; return f }

// AsEncrypted returns the field as one that holds a secret.
func (f Field) AsEncrypted() Field { f.Encrypted = true; return f }

// And returns the field with further values beyond Kong's open edition.
func (f Field) And(values ...any) Field { f.OneOfExtra = values; return f }

// Described returns the field with a description.
func (f Field) Described(text string) Field { f.Description = text; return f }

// SetOf returns a set of elements.
func SetOf(elements Field) Field { return Field{Type: Set, Elements: &elements} }

// ArrayOf returns an array of elements.
func ArrayOf(elements Field) Field { return Field{Type: Array, Elements: &elements} }

// MapOf returns a map from keys to values.
func MapOf(keys, values Field) Field { return Field{Type: Map, Keys: &keys, Values: &values} }

// RecordOf returns a record of fields.
func RecordOf(fields ...Field) Field {
	if fields == nil {
		fields = []Field{}
	}
	return Field{Type: Record, Fields: fields}
}

// ForeignTo returns a reference to an entity of a kind. onDelete is "cascade",
// "null" or "" (restrict).
func ForeignTo(kind, onDelete string) Field {
	return Field{Type: Foreign, Reference: kind, OnDelete: onDelete}
}

// OneOf returns a string with a fixed set of values.
func OneOf(values ...string) Field {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return Field{Type: String, OneOf: list}
}
