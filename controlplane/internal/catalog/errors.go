package catalog

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// ErrNotFound means that there is no such entity in that scope.
var ErrNotFound = errors.New("not found")

// Sentinels of workspaces.
var (
	// ErrNotEmpty means that a workspace has entities.
	ErrNotEmpty = errors.New("workspace is not empty")
	// ErrDefaultWorkspace means that the default workspace can't be removed.
	ErrDefaultWorkspace = errors.New("cannot delete the default workspace")
)

// Code is Kong's number of a kind of error.
type Code int

// Codes of errors that are not schema violations.
const (
	CodeInvalidPrimaryKey   Code = 1
	CodeSchemaViolation     Code = 2
	CodePrimaryKeyViolation Code = 3
	CodeForeignKeyViolation Code = 4
	CodeUniqueViolation     Code = 5
	CodeNotFound            Code = 6
	CodeInvalidOffset       Code = 7
	CodeInvalidSize         Code = 9
	CodeInvalidUnique       Code = 10
	CodeInvalidOptions      Code = 11
	CodeUnsupported         Code = 12
	CodeForeignUnresolved   Code = 13
	CodeInvalidDeclarative  Code = 14
	CodeReferencedByOthers  Code = 19
)

// Error is a refused operation.
type Error struct {
	Code Code
	// Name such as "unique constraint violation".
	Name    string
	Message string
	// Fields is nil for errors that are not about fields.
	Fields schema.Object
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, ErrNotFound) true for CodeNotFound.
func (e *Error) Is(target error) bool { return target == ErrNotFound && e.Code == CodeNotFound }

// ReplaceError lists the entities for which a Replace was refused.
type ReplaceError struct {
	Failures []Failure
}

// Failure is an entity that was refused.
type Failure struct {
	// Kind and Index tell which of the entities that were given it is.
	Kind  string
	Index int
	// Entity as it was given.
	Entity schema.Object
	// Err is a *schema.Violation or *Error.
	Err error
}

func (e *ReplaceError) Error() string {
	reasons := make([]string, len(e.Failures))
	for i, f := range e.Failures {
		reasons[i] = fmt.Sprintf("%s %d: %v", f.Kind, f.Index+1, f.Err)
	}
	return "configuration refused: " + strings.Join(reasons, "; ")
}

// Unwrap makes errors.As find the first reason.
func (e *ReplaceError) Unwrap() []error {
	errs := make([]error, len(e.Failures))
	for i := range e.Failures {
		errs[i] = e.Failures[i].Err
	}
	return errs
}

func notFound(key Key, endpoint string) error {
	if key.ID != "" {
		fields := schema.Object{"id": key.ID}
		return &Error{CodeNotFound, "not found", "could not find the entity with primary key '" + luaTable(fields) + "'", fields}
	}
	if endpoint == "" {
		return ErrNotFound
	}
	fields := schema.Object{endpoint: key.Value}
	return &Error{CodeNotFound, "not found", "could not find the entity with '" + luaTable(fields) + "'", fields}
}

func primaryKeyViolation(name, id string) error {
	fields := schema.Object{name: id}
	return &Error{CodePrimaryKeyViolation, "primary key violation", "primary key violation on key '" + luaTable(fields) + "'", fields}
}

func uniqueViolation(fields schema.Object) error {
	return &Error{CodeUniqueViolation, "unique constraint violation", "UNIQUE violation detected on '" + luaTable(fields) + "'", fields}
}

func foreignKeyViolation(field, kind, id string) error {
	ref := schema.Object{"id": id}
	return &Error{
		CodeForeignKeyViolation, "foreign key violation",
		fmt.Sprintf("the foreign key '%s' does not reference an existing '%s' entity.", luaTable(ref), kind),
		schema.Object{field: ref},
	}
}

func referencedBy(kind, other string) error {
	return &Error{
		CodeForeignKeyViolation, "foreign key violation",
		fmt.Sprintf("an existing '%s' entity references this '%s' entity", other, kind),
		schema.Object{"@referenced_by": other},
	}
}

func stillReferenced(id, kind, other string) error {
	return &Error{
		CodeReferencedByOthers, "referenced by others",
		fmt.Sprintf("ca certificate %s is still referenced by %s (id = %s)", id, kind, other), nil,
	}
}

// unresolved collects references that lead nowhere: messages by field and member.
type unresolved struct {
	fields  schema.Object
	reasons []string
}

func (u *unresolved) add(field, member, value, kind string) {
	message := fmt.Sprintf("the foreign key cannot be resolved with '%s' for an existing '%s' entity", luaTable(schema.Object{member: value}), kind)
	if u.fields == nil {
		u.fields = schema.Object{}
	}
	u.fields[field] = schema.Object{member: message}
	u.reasons = append(u.reasons, field+"."+member+": "+message)
}

func (u *unresolved) err() error {
	if u.fields == nil {
		return nil
	}
	what := "foreign key unresolved"
	if len(u.reasons) > 1 {
		what = fmt.Sprintf("%d foreign keys unresolved", len(u.reasons))
	}
	return &Error{CodeForeignUnresolved, "foreign keys unresolved", what + " (" + strings.Join(u.reasons, "; ") + ")", u.fields}
}

func invalidOffset(offset, why string) error {
	return &Error{CodeInvalidOffset, "invalid offset", fmt.Sprintf("'%s' is not a valid offset: %s", offset, why), nil}
}

func invalidSize() error {
	return &Error{CodeInvalidSize, "invalid size", fmt.Sprintf("size must be an integer between 1 and %d", MaxPageSize), nil}
}

// luaTable prints fields as clients know them: {consumer={id="x"},name="y",route=null}.
func luaTable(fields schema.Object) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		var text string
		switch v := fields[name].(type) {
		case nil:
			text = "null"
		case schema.Object:
			text = luaTable(v)
		case string:
			text = `"` + v + `"`
		default:
			text = fmt.Sprint(v)
		}
		names[i] = name + "=" + text
	}
	return "{" + strings.Join(names, ",") + "}"
}
