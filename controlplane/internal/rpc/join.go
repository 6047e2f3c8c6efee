package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/identity"
	clusterv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/cluster/v1"
)

// Members says who nodes are; see identity.Authority. It is safe for concurrent use.
type Members interface {
	Admit(s tls.ConnectionState, nodeID string) error
	Adopt(ctx context.Context, s tls.ConnectionState) error
	Authenticate(tokenID, secret string) (*identity.Token, error)
	Join(ctx context.Context, r identity.JoinRequest) (*identity.Issued, error)
	Renew(ctx context.Context, shown *x509.Certificate, request []byte) (*identity.Issued, error)
}

// joinPath is how the audit log shows joining.
const joinPath = "/clustering/join"

// mostIssuing bounds the certificates that are made at the same time.
const mostIssuing = 16

// joining serves JoinService.
type joining struct {
	clusterv1.UnimplementedJoinServiceServer

	members  Members
	hub      *hub.Hub
	audit    *audit.Log // nil records nothing
	log      hclog.Logger
	throttle *access.Throttle
	slots    chan struct{}
}

// Join implements clusterv1.JoinServiceServer.
func (j *joining) Join(ctx context.Context, m *clusterv1.JoinRequest) (*clusterv1.JoinResponse, error) {
	address := addressOf(ctx)
	if _, blocked := j.throttle.Blocked(address); blocked {
		// Nothing is written: those that are held are in the log, and these may be very many.
		return nil, joinStatus(errTries)
	}
	r := &audit.Request{Method: "JOIN", Path: joinPath, ClientIP: address.String(), At: time.Now()}
	issued, refused := j.join(audit.With(ctx, r), m, r, address)
	code := 200
	if errors.Is(refused, errBusy) {
		return nil, joinStatus(refused)
	}
	if refused != nil {
		code = http(refused)
		j.log.Warn("a node may not join", "ip", r.ClientIP, "node_id", cut(m.GetNodeId()), "error", refused)
	}
	if j.audit != nil {
		why := ""
		if refused != nil {
			why = refused.Error()
		}
		j.audit.Answered(r, code, why)
	}
	if refused != nil {
		return nil, joinStatus(refused)
	}
	return &clusterv1.JoinResponse{Issued: issued}, nil
}

var (
	errBusy      = errors.New("too many nodes join at the same time")
	errTries     = errors.New("too many tokens were tried that are not good")
	errConnected = errors.New("a node of that id is connected: give this one another node_id, or stop the other one")
)

func (j *joining) join(ctx context.Context, m *clusterv1.JoinRequest, r *audit.Request, address netip.Addr) (*clusterv1.Issued, error) {
	token, err := j.members.Authenticate(cut(m.GetTokenId()), m.GetSecret())
	if token != nil {
		r.UserID, r.UserName = token.ID, "join token "+token.ID
	}
	if err != nil && !errors.Is(err, identity.ErrTokenUsed) { // it may be used by this very node
		if !j.throttle.Hold(ctx, address) {
			return nil, errTries
		}
		return nil, err
	}
	if j.hub.Online(m.GetNodeId()) {
		return nil, errConnected
	}
	select {
	case j.slots <- struct{}{}:
		defer func() { <-j.slots }()
	default:
		return nil, errBusy
	}
	issued, err := j.members.Join(ctx, identity.JoinRequest{
		TokenID: m.GetTokenId(), Secret: m.GetSecret(), NodeID: m.GetNodeId(), Hostname: m.GetHostname(), Request: m.GetRequest(),
	})
	if err != nil {
		if errors.Is(err, identity.ErrTokenUsed) && !j.throttle.Hold(ctx, address) {
			return nil, errTries
		}
		return nil, err
	}
	return issuedProto(issued), nil
}

// Renew implements clusterv1.JoinServiceServer.
func (j *joining) Renew(ctx context.Context, m *clusterv1.RenewRequest) (*clusterv1.RenewResponse, error) {
	link, err := linkOf(ctx)
	if err != nil {
		return nil, err
	}
	if len(link.State.PeerCertificates) == 0 {
		return nil, joinStatus(identity.ErrNoCertificate)
	}
	select {
	case j.slots <- struct{}{}:
		defer func() { <-j.slots }()
	default:
		return nil, joinStatus(errBusy)
	}
	issued, err := j.members.Renew(ctx, link.State.PeerCertificates[0], m.GetRequest())
	if err != nil {
		j.log.Warn("a certificate is not renewed", "ip", addressOf(ctx).String(), "error", err)
		return nil, joinStatus(err)
	}
	j.hub.Renewed(issued.NodeID, issued.Expires)
	return &clusterv1.RenewResponse{Issued: issuedProto(issued)}, nil
}

func issuedProto(i *identity.Issued) *clusterv1.Issued {
	return &clusterv1.Issued{Certificate: i.Certificate, Authority: i.Authority, LifeMs: uint64(i.Life.Milliseconds())}
}

// outcomes maps errors to codes, and to the status that the audit log shows.
var outcomes = []struct {
	err  error
	code codes.Code
	http int
}{
	{identity.ErrTokenUnknown, codes.Unauthenticated, 401},
	{identity.ErrTokenExpired, codes.Unauthenticated, 401},
	{identity.ErrTokenUsed, codes.Unauthenticated, 401},
	{identity.ErrNoCertificate, codes.Unauthenticated, 401},
	{identity.ErrExpired, codes.Unauthenticated, 401},
	{identity.ErrReplaced, codes.Unauthenticated, 401},
	{identity.ErrRevoked, codes.PermissionDenied, 403},
	{identity.ErrOtherNode, codes.PermissionDenied, 403},
	{identity.ErrJoined, codes.PermissionDenied, 403},
	{identity.ErrRequest, codes.InvalidArgument, 400},
	{identity.ErrTooSoon, codes.ResourceExhausted, 429},
	{errBusy, codes.ResourceExhausted, 429},
	{errTries, codes.ResourceExhausted, 429},
	{errConnected, codes.AlreadyExists, 409},
}

// joinStatus is what a node is told. What nobody foresaw is private.
func joinStatus(err error) error {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return status.Error(o.code, err.Error())
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Unavailable, "the control plane can not do this now")
}

func http(err error) int {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.http
		}
	}
	return 500
}

func addressOf(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return netip.Addr{}
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return netip.Addr{}
	}
	address, _ := netip.ParseAddr(host)
	return address.Unmap().WithZone("")
}
