// Package schema is the one source for what an entity or a plugin config may look
// like: declarative fields in Kong's vocabulary, as plain Go values. It drives
// validation, defaults, form decoding, /schemas, OpenAPI and the manager's forms.
//
// An Object is as decoded from JSON. nil is null, a missing key is absent: the
// difference matters in partial updates. After Process integers are int64, numbers
// int64 when whole and float64 otherwise, sets and arrays []any, records and maps
// Object.
package schema

import "sync/atomic"

// Object is a decoded entity, record or map.
type Object = map[string]any

// Type of a field, in Kong's vocabulary.
type Type string

// Types of fields.
const (
	String  Type = "string"
	Integer Type = "integer"
	Number  Type = "number"
	Boolean Type = "boolean"
	Set     Type = "set"
	Array   Type = "array"
	Map     Type = "map"
	Record  Type = "record"
	Foreign Type = "foreign"
	JSON    Type = "json"
	Any     Type = "any"
)

// Field is one field of a schema or record, or the elements, keys or values of a
// container. The zero value of each attribute means that it does not apply.
type Field struct {
	Name        string
	Type        Type
	Description string

	// Presence and defaults.
	Required bool
	// NotRequired renders "required": false, as some of Kong's schemas do.
	NotRequired bool
	// Default fills an absent field; Null says that the default is null, which
	// differs from none only in what is rendered.
	Default any
	// Auto fields are filled when absent: a UUID, a timestamp, or a random string.
	Auto      bool
	UUID      bool
	Timestamp bool
	// Immutable fields keep their first value.
	Immutable bool

	// Identity.
	Unique         bool
	UniqueAcrossWS bool
	// NotUnique renders "unique": false, as one of Kong's schemas does.
	NotUnique bool
	// Reference is the kind that a Foreign field refers to; OnDelete is "cascade",
	// "null" or "" (restrict).
	Reference string
	OnDelete  string

	// Values.
	OneOf, NotOneOf []any
	// OneOfExtra are values beyond OneOf that Kong's open edition does not have: accepted, but neither rendered nor
	// named in messages, which are as in Kong.
	OneOfExtra []any
	Between    []float64 // low and high, both allowed
	Gt         *float64
	// Lengths of strings in bytes, of containers in elements. Strings without LenMin
	// must not be empty, as in Kong.
	LenEq          *int
	LenMin, LenMax *int
	StartsWith     string
	Match          string // Lua pattern
	NotMatch       string // Lua pattern
	MatchAll       []Pattern
	MatchAny       *PatternSet
	MatchNone      []Pattern
	Eq             *any // must equal; for a nil value: must be null, see Must
	Ne             *any
	Contains       any
	IsRegex        bool
	// MutuallyExclusiveSubsets of a Set: its elements come from one of them only.
	MutuallyExclusiveSubsets [][]string
	// Err is the message for a failed Match or OneOf when it is not the standard one.
	Err string
	// Check is a code check that runs last; its error's text becomes the message, and
	// a *Violation becomes the field's own table of messages.
	Check func(value any) error
	// CheckName lets a renderer tell which check it is.
	CheckName string

	// Containers.
	Elements     *Field
	Keys, Values *Field
	Fields       []Field // of a Record
	// Checks of a Record across its fields.
	Checks []EntityCheck
	// Shorthands of a Record: fields that are accepted and turned into others.
	Shorthands []Shorthand
	// MutuallyExclusive and the like live in Checks.

	// Secrets.
	Referenceable bool
	Encrypted     bool

	// Abstract fields get their fields from elsewhere, such as a plugin's config.
	Abstract    bool
	Deprecation *Deprecation
	// Transient fields are accepted and returned but not stored.
	Transient bool
	// Indexed asks the data plane's view for a look-up by this field's value.
	Indexed bool
	// Hidden fields are never returned by the Admin API.
	Hidden bool
	// Extra fields are beyond what Kong's open edition has. While they are unset they are
	// left out of answers, and always of /schemas: both stay as its clients know them.
	Extra bool
	// NullWith names a field of the same schema: where a subschema says that it must be
	// null, this one must be, too.
	NullWith string
}

// Pattern is a Lua pattern with the message for when it decides.
type Pattern struct {
	Pattern string
	Err     string
}

// PatternSet is a list of Lua patterns of which one must match.
type PatternSet struct {
	Patterns []string
	Err      string
	// Beyond are patterns that match besides and are not shown in /schemas, for clients
	// compare it with what they know of Kong.
	Beyond []string
}

// Deprecation is rendered beside a field that will go.
type Deprecation struct {
	Message          string
	RemovalInVersion string
	OldDefault       any
	ReplacedWith     []Replacement
}

// Replacement is the path of the field that replaces a deprecated one.
type Replacement struct {
	Path []string
}

// Shorthand is a field that is accepted on write and turned into others. One that
// names Deprecation.ReplacedWith and no functions moves its value to that path, and
// reads as what is there.
type Shorthand struct {
	Field Field
	// Expand returns the fields that value stands for. A nil value is null.
	Expand func(value any) (Object, error)
	// Translate returns what the shorthand reads as, from the whole record. Nil
	// leaves it out of answers.
	Translate   func(record Object) any
	Deprecation *Deprecation
}

// Schema is an entity's or a plugin's schema.
type Schema struct {
	// Name is the kind, such as "services", or the plugin's name.
	Name string
	// PrimaryKey is normally ["id"].
	PrimaryKey []string
	// EndpointKey is a unique field by which the Admin API finds an entity beside
	// its primary key, such as "name"; "" for none.
	EndpointKey string
	// CacheKey lists fields that are unique together.
	CacheKey []string
	// AdminName is the collection in Admin paths when it is not Name, such as
	// "key-auths"; AdminNestedName the one below a parent, such as "key-auth".
	AdminName       string
	AdminNestedName string
	// NoAdmin kinds have no generated endpoints.
	NoAdmin bool
	// NoTopLevel kinds have nested endpoints only, such as targets.
	NoTopLevel bool
	// Workspaceable kinds belong to a workspace.
	Workspaceable bool
	// TTL kinds accept ttl and expire.
	TTL bool
	// NotExported kinds stay out of declarative files and the stream.
	NotExported bool
	// Runtime kinds are written by nodes, such as tokens: they are streamed even when they
	// stay out of declarative files, and a declarative configuration leaves alone what it
	// does not mention of them.
	Runtime bool

	Fields     []Field
	Checks     []EntityCheck
	Shorthands []Shorthand
	// Transform changes a valid object before it is stored, such as hashing a
	// password. With TransformOn it runs only when one of those fields was given, so
	// that a partial update does not hash a hash.
	Transform   func(o Object) error
	TransformOn []string
	// TransformFor is Transform for schemas that need to know what it is for and the
	// stored object, nil for none. It also runs for DeclareStored, to refuse what can't
	// have been transformed.
	TransformFor func(o Object, op Op, stored Object) error
	// Outdated tells of a stored object that it is in a form which Upgrade makes a better
	// one of, in its own time and without changing what it says; nil for kinds without.
	Outdated func(o Object) bool
	Upgrade  func(o Object) Object
	// Normalize changes an object as it was given, before defaults, merging and checks.
	Normalize func(o Object) error

	// Subschema tells which other schema refines the Abstract fields, by the value
	// of a field: plugins by name, vaults by name.
	SubschemaKey string
	Subschema    func(name string) (*Schema, bool)
	// SubschemaError is the message format for an unknown name.
	SubschemaError string

	compiled atomic.Pointer[compiled]
}

// Op is what an object is processed for.
type Op uint8

// Operations.
const (
	Insert Op = iota + 1 // POST: fill defaults and auto fields
	Update               // PATCH: merge into the stored object, then check the whole
	Upsert               // PUT: like Insert, keeping the id of a stored object
	Select               // reading back: shorthands, hidden fields
	// Declare is Insert from a declarative file: times that are given are kept, and
	// so are the times and generated values of a stored object that stays the same.
	Declare
	// DeclareStored is Declare for objects that were transformed before: a document that
	// was exported, where passwords are hashes already.
	DeclareStored
)

// Collection returns the name of the kind in Admin paths, such as "key-sets".
func (s *Schema) Collection() string {
	if s.AdminName != "" {
		return s.AdminName
	}
	return s.Name
}

// Nested returns the name of the kind below a parent in Admin paths, such as
// "key-auth" in /consumers/{id}/key-auth.
func (s *Schema) Nested() string {
	if s.AdminNestedName != "" {
		return s.AdminNestedName
	}
	return s.Collection()
}

// Field returns the field of that name, or nil.
func (s *Schema) Field(name string) *Field {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return &s.Fields[i]
		}
	}
	return nil
}

// Compile prepares the schema, which its first use does otherwise. It panics when
// the schema is malformed: a bad pattern, a default that its own checks refuse.
func (s *Schema) Compile() { s.load() }
