package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	clusterv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/cluster/v1"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

const (
	// askTimeout bounds one question, with dialling.
	askTimeout = 30 * time.Second
	maxReceive = 256 << 10
	// shortestLife and longestLife bound what a control plane says of a certificate.
	shortestLife = time.Second
	longestLife  = 10 * 365 * 24 * time.Hour
)

// errNoToken means that only a token would help, and that there is none.
var errNoToken = status.Error(codes.Unauthenticated, "the node needs a join token: start it with --join")

// join gets a certificate with the token; i.asking is held.
func (i *Identity) join(ctx context.Context) error {
	line := i.o.Join
	if line == nil {
		return errNoToken
	}
	key, err := pendingKey(i.o.Dir)
	if err != nil {
		return err
	}
	request, err := i.request(key)
	if err != nil {
		return err
	}
	var answer *clusterv1.JoinResponse
	err = i.call(ctx, nil, func(ctx context.Context, c clusterv1.JoinServiceClient) (err error) {
		answer, err = c.Join(ctx, &clusterv1.JoinRequest{
			TokenId: line.TokenID, Secret: line.Secret, NodeId: i.o.NodeID, Hostname: i.o.Hostname, Request: request,
		})
		return err
	})
	if err != nil {
		return err
	}
	next, err := i.read(key, answer.GetIssued())
	if err != nil {
		return err
	}
	i.take(next)
	_ = os.Remove(filepath.Join(i.o.Dir, pendingFile))
	i.log.Info("the node has joined the cluster", "address", i.address, "expires", next.leaf.NotAfter.UTC().Format(time.RFC3339))
	return nil
}

// renew gets the next certificate with the one there is; i.asking is held.
func (i *Identity) renew(ctx context.Context, have *kept) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	request, err := i.request(key)
	if err != nil {
		return err
	}
	var answer *clusterv1.RenewResponse
	err = i.call(ctx, &have.pair, func(ctx context.Context, c clusterv1.JoinServiceClient) (err error) {
		answer, err = c.Renew(ctx, &clusterv1.RenewRequest{Request: request})
		return err
	})
	if err != nil {
		return err
	}
	next, err := i.read(key, answer.GetIssued())
	if err != nil {
		return err
	}
	i.log.Info("the node's certificate is renewed", "expires", next.leaf.NotAfter.UTC().Format(time.RFC3339))
	i.take(next)
	return nil
}

func (i *Identity) request(key *ecdsa.PrivateKey) ([]byte, error) {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: i.o.NodeID}}, key)
	if err != nil {
		return nil, fmt.Errorf("make the request for a certificate: %w", err)
	}
	return request, nil
}

// call asks the control plane on a connection of its own: the one of the stream shows the
// certificate that the stream began with.
func (i *Identity) call(ctx context.Context, shown *tls.Certificate, ask func(context.Context, clusterv1.JoinServiceClient) error) error {
	config := i.pin.Client(func() *tls.Certificate { return shown })
	conn, err := grpc.NewClient(
		"dns:///"+i.address, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive)), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
	)
	if err != nil {
		return fmt.Errorf("dial %s: %w", i.address, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return ask(ctx, clusterv1.NewJoinServiceClient(conn))
}

// read checks what the control plane has issued.
func (i *Identity) read(key *ecdsa.PrivateKey, issued *clusterv1.Issued) (*kept, error) {
	next, err := assemble(key, issued.GetCertificate(), issued.GetAuthority())
	if err != nil {
		return nil, fmt.Errorf("read what was issued: %w", err)
	}
	if next.pin != i.pin {
		return nil, fmt.Errorf("read what was issued: %w", tlsutil.ErrPin)
	}
	if id, _, ok := tlsutil.NodeOf(next.leaf); !ok || id != i.o.NodeID {
		return nil, errors.New("read what was issued: it is for another node")
	}
	next.life = min(max(time.Duration(min(issued.GetLifeMs(), 1<<50))*time.Millisecond, shortestLife), longestLife)
	return next, nil
}
