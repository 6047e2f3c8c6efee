package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// startBackend starts the upstreams of the flows in this process: WebSockets and large
// bodies over HTTP/1.1, and the gRPC interop server.
func (s *stack) startBackend(ctx context.Context) error {
	var config net.ListenConfig
	plain, err := config.Listen(ctx, "tcp", s.backend)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(backend)} //nolint:gosec // its clients are our own
	go func() { _ = server.Serve(plain) }()
	s.closers = append(s.closers, func() { _ = server.Close() })
	rpc, err := config.Listen(ctx, "tcp", s.rpcBackend)
	if err != nil {
		return err
	}
	g := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(g, interop.NewTestServer())
	go func() { _ = g.Serve(rpc) }()
	s.closers = append(s.closers, g.Stop)
	return nil
}

func backend(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/socket" {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	}
	buf := make([]byte, 256<<10)
	if r.Method == http.MethodPost {
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, buf); err != nil || n != giga {
			http.Error(w, fmt.Sprintf("%d bytes came: %v", n, err), http.StatusBadRequest)
		}
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(giga))
	_, _ = io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(zeros{}, giga), buf)
}

// flowConfig is what Sluice has for the flows, and the bare route.
func (s *stack) flowConfig() string {
	return fmt.Sprintf(`{"_format_version":"3.0","services":[
  {"name":"upstream","url":"http://%s","routes":[{"name":"r0","paths":["/r0"]}]},
  {"name":"backend","url":"http://%s","routes":[{"name":"flows","paths":["/socket","/large"],"strip_path":false,"request_buffering":false}]},
  {"name":"rpc","url":"grpc://%s","routes":[{"name":"rpc","paths":["/grpc.testing."],"protocols":["grpc"],"strip_path":false}]}
]}`, s.upstream, s.backend, s.rpcBackend)
}

// nginxFlows are the locations of the baseline.
func (s *stack) nginxFlows() string {
	return `
    location /socket {
      proxy_pass http://` + s.backend + `;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
    }
    location /large {
      proxy_pass http://` + s.backend + `;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      client_max_body_size 0;
    }
`
}

// nginxRPC is the baseline's server for gRPC.
func (s *stack) nginxRPC() string {
	return `
  upstream rpc {
    server ` + s.rpcBackend + `;
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen ` + s.h2c[nginx] + ` http2 backlog=4096 reuseport;
    location / {
      grpc_pass grpc://rpc;
    }
  }
`
}
