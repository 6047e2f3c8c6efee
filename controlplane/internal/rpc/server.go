// Package rpc serves cluster_listen: it turns the messages of nodes into calls of the
// hub, and what the hub wants sent into messages. It owns the wire's limits and what is
// believed of a node's words. It refuses to decide anything about configuration.
package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/credentials"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	"github.com/sluice-gateway/sluice/controlplane/internal/wire"
	clusterv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/cluster/v1"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// Options of a Server.
type Options struct {
	Hub *hub.Hub
	// Desk answers what nodes ask; nil refuses.
	Desk Desk
	// Traffic takes what nodes have counted; nil forgets it.
	Traffic *traffic.Store
	// TLS demands and judges nodes' certificates; see tlsutil.Identity.Server, and
	// identity.Authority.Server where nodes may join.
	TLS *tls.Config
	// Members says who nodes are that have joined; nil lets nobody join.
	Members Members
	// Audit records who joins and who may not; nil records nothing.
	Audit *audit.Log
	// Version of the product.
	Version string
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Server is the gRPC server of the link.
type Server struct {
	wire *wire.Server
	hub  *hub.Hub
	sync *service
}

const (
	// A hello with labels and plugins, and a command's result, are the largest words of
	// a node.
	maxReceive = 4 << 20
	// window is what a node may send ahead of being heard.
	window = 64 << 10
	// idle is how long a connection without a call stays: nobody who may only join holds one.
	idle = time.Minute
)

// New makes a server.
func New(o Options) (*Server, error) {
	if o.Hub == nil || o.TLS == nil {
		return nil, errors.New("rpc server needs a hub and TLS")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	w, err := wire.New(wire.Options{
		Credentials: linkCredentials{credentials.NewTLS(o.TLS)},
		MaxMessage:  maxReceive, MaxStreams: 4, MaxHeader: 16 << 10, Window: window,
		Handshake: 20 * time.Second, Idle: idle, Stall: stall,
	})
	if err != nil {
		return nil, fmt.Errorf("make rpc server: %w", err)
	}
	service := &service{hub: o.Hub, desk: o.Desk, traffic: o.Traffic, members: o.Members, version: o.Version, log: o.Logger, watch: newWatch()}
	w.Stream(configv1.SyncService_Sync_FullMethodName, service.open)
	if o.Members != nil {
		clusterv1.RegisterJoinServiceServer(w, &joining{
			members: o.Members, hub: o.Hub, audit: o.Audit, log: o.Logger, throttle: access.NewThrottle(nil), slots: make(chan struct{}, mostIssuing),
		})
	}
	return &Server{wire: w, hub: o.Hub, sync: service}, nil
}

// Serve accepts nodes until Stop. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { s.sync.watch.run(ctx) })
	defer work.Wait()
	defer stop()
	if err := s.wire.Serve(l); !errors.Is(err, wire.ErrStopped) {
		return fmt.Errorf("serve data planes on %s: %w", l.Addr(), err)
	}
	return nil
}

// Stop says goodbye to all nodes, and parts from those that are still there when ctx
// ends.
func (s *Server) Stop(ctx context.Context) {
	s.hub.Stop()
	s.wire.Stop(ctx)
	s.sync.work.Wait()
}
