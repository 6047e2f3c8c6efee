package catalog

import (
	"errors"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// ErrNotFound means that there is no such entity in that scope.
var ErrNotFound = errors.New("not found")

// Code is Kong's number of a kind of error.
type Code int

// Codes of errors that are not schema violations.
const (
	CodeInvalidPrimaryKey   Code = 1
	CodeSchemaViolation     Code = 2
	CodePrimaryKeyViolation Code = 3
	CodeForeignKeyViolation Code = 4
	CodeUniqueViolation     Code = 5
	CodeInvalidOffset       Code = 7
	CodeInvalidSize         Code = 9
	CodeInvalidOptions      Code = 11
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
	Fields  schema.Object
}

func (e *Error) Error() string { return e.Message }
