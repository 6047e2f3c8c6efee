// Package access decides who may use the Admin API for what. It owns tokens (how they
// look, how they are kept and how long they are good), roles, and how quickly somebody
// may try again who had none that is good. It refuses to know HTTP: the Admin API says
// what a request is about, and is told whether it may be.
//
// A token is 256 random bits, so that it can't be guessed however fast somebody tries:
// what is kept is its SHA-256, which is compared in constant time.
package access

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Role says what somebody may do.
type Role string

// Roles, each of which may all that the one before may.
const (
	// ReadOnly sees the configuration, the nodes and the schemas.
	ReadOnly Role = "read-only"
	// Editor changes the configuration.
	Editor Role = "editor"
	// Admin changes workspaces, tokens and what the process logs, and sees the audit log.
	Admin Role = "admin"
)

// Roles lists them, the least powerful first.
func Roles() []Role { return []Role{ReadOnly, Editor, Admin} }

// Area is what a path of the Admin API is about.
type Area uint8

// Areas. The zero value is invalid, and only an unbound admin may use it.
const (
	// Information is about the product: schemas, status, what there is. Everybody with a
	// token sees it.
	Information Area = iota + 1
	// Entities belong to a workspace.
	Entities
	// Configuration is all workspaces at once, and what is kept of it.
	Configuration
	// Operations are about the process and its nodes.
	Operations
	// Workspaces are the list of workspaces itself.
	Workspaces
	// Security is tokens and the audit log.
	Security
)

// DefaultWorkspace is the workspace of paths that name none.
const DefaultWorkspace = "default"

// Action is what is done, in the words of Kong's refusals.
type Action string

// Actions.
const (
	Read   Action = "read"
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Use is what a request is about.
type Use struct {
	Action Action
	Area   Area
	// Workspace by name; "" means the default one.
	Workspace string
}

// Allows tells whether the owner of a token may do something.
func (t *Token) Allows(u Use) bool {
	if t.Workspace != "" {
		return t.allowsBound(u)
	}
	switch u.Area {
	case Information, Entities, Configuration:
		return u.Action == Read || t.Role == Editor || t.Role == Admin
	case Operations, Workspaces:
		return u.Action == Read || t.Role == Admin
	default:
		return t.Role == Admin
	}
}

// allowsBound is Allows for a token of one workspace: it never leads out of it, whatever
// its role.
func (t *Token) allowsBound(u Use) bool {
	switch u.Area {
	case Information:
		return u.Action == Read
	case Entities:
		workspace := u.Workspace
		if workspace == "" {
			workspace = DefaultWorkspace
		}
		return workspace == t.Workspace && (u.Action == Read || t.Role == Editor || t.Role == Admin)
	default:
		return false
	}
}

// Reasons why a token is not good. What a client is told does not differ.
var (
	// ErrNone means that a request had no token.
	ErrNone = errors.New("no token was given")
	// ErrUnknown means that nobody has the token, or that it was revoked.
	ErrUnknown = errors.New("the token is unknown or was revoked")
	// ErrExpired means that the time of a token is over.
	ErrExpired = errors.New("the token has expired")
)

// Errors of creating and revoking.
var (
	ErrNotFound  = errors.New("there is no such token")
	ErrNameTaken = errors.New("a token of that name exists")
)

// Request is what a new token should be.
type Request struct {
	Name string
	Role Role
	// Workspace that the token is bound to, by name; "" for none.
	Workspace string
	// ExpiresAt ends the token; the zero time does not.
	ExpiresAt time.Time
	// Comment is free text.
	Comment string
	// By is who creates it.
	By string
}

const (
	longestName    = 128
	longestComment = 1024
)

// Check says what is wrong with a request, and with which field.
func (r *Request) Check(now time.Time) (field string, err error) {
	switch {
	case r.Name == "":
		return "name", errors.New("required field missing")
	case len(r.Name) > longestName:
		return "name", fmt.Errorf("length must be at most %d", longestName)
	case !plain(r.Name):
		return "name", errors.New("expected letters, digits and any of . - _ ~ @")
	case r.Role == "":
		return "role", errors.New("required field missing")
	case !slices.Contains(Roles(), r.Role):
		return "role", errors.New("expected one of: read-only, editor, admin")
	case !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now):
		return "expires_at", errors.New("must be in the future")
	case len(r.Comment) > longestComment:
		return "comment", fmt.Errorf("length must be at most %d", longestComment)
	}
	return "", nil
}

func plain(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.' || c == '-' || c == '_' || c == '~' || c == '@':
		default:
			return false
		}
	}
	return true
}
