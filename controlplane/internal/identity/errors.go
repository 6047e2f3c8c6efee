package identity

import "errors"

// Reasons why nobody joins with a token. The first is also for a token of which only the
// secret is wrong: who tries is not told which.
var (
	ErrTokenUnknown = errors.New("the join token is unknown or was revoked")
	ErrTokenExpired = errors.New("the join token has expired")
	ErrTokenUsed    = errors.New("the join token is used up")
)

// Reasons why a certificate is not good.
var (
	// ErrNoCertificate means that a node without a certificate wants more than to join.
	ErrNoCertificate = errors.New("the node shows no certificate")
	// ErrRevoked means that the node was revoked. Only forgetting it lets it join again.
	ErrRevoked = errors.New("the node is revoked")
	// ErrExpired means that the certificate is over; it may still be good for renewal.
	ErrExpired = errors.New("the node's certificate has expired")
	// ErrReplaced means that the node has joined again since, or was forgotten.
	ErrReplaced = errors.New("the node's certificate is no longer good: the node has joined anew or was forgotten")
	// ErrOtherNode means that somebody shows a certificate of another node.
	ErrOtherNode = errors.New("the node id is not the one of the certificate")
	// ErrJoined means that somebody with a certificate for all calls himself by the id of
	// a node that has one of its own.
	ErrJoined = errors.New("the node id belongs to a node that has joined: use its own certificate, or forget the node first")
)

// Errors of managing.
var (
	ErrNotFound = errors.New("not found")
	// ErrRequest means that a request for a certificate can not be used.
	ErrRequest = errors.New("the request for a certificate is not good")
	// ErrTooSoon means that a node asks for certificates without need.
	ErrTooSoon = errors.New("the certificate was renewed a moment ago")
)
