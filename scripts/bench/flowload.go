package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// parallel runs work in n goroutines until ctx ends, and counts. An error that comes
// before the end is one.
func parallel(ctx context.Context, n int, work func(ctx context.Context, done *atomic.Int64) error) (int64, error) {
	var done atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wait.Go(func() {
			if err := work(ctx, &done); ctx.Err() == nil {
				errs[i] = err
			}
		})
	}
	wait.Wait()
	return done.Load(), errors.Join(errs...)
}

func webSockets(ctx context.Context, s *stack, p proxyKind) (int64, error) {
	message := []byte(strings.Repeat("m", 64))
	return parallel(ctx, 64, func(ctx context.Context, done *atomic.Int64) error {
		c, _, err := websocket.Dial(ctx, "ws://"+s.clear[p]+"/socket", nil) //nolint:bodyclose // the library says not to
		if err != nil {
			return err
		}
		defer func() { _ = c.CloseNow() }()
		for {
			if err := c.Write(ctx, websocket.MessageBinary, message); err != nil {
				return err
			}
			if _, _, err := c.Read(ctx); err != nil {
				return err
			}
			done.Add(1)
		}
	})
}

// grpcClients opens connections through a proxy.
func grpcClients(s *stack, p proxyKind, n int) ([]testgrpc.TestServiceClient, func(), error) {
	var clients []testgrpc.TestServiceClient
	var open []*grpc.ClientConn
	end := func() {
		for _, cc := range open {
			_ = cc.Close()
		}
	}
	for range n {
		cc, err := grpc.NewClient(s.h2c[p], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			end()
			return nil, nil, err
		}
		open = append(open, cc)
		clients = append(clients, testgrpc.NewTestServiceClient(cc))
	}
	return clients, end, nil
}

const grpcConnections, grpcStreams = 8, 64

func unary(ctx context.Context, s *stack, p proxyKind) (int64, error) {
	clients, end, err := grpcClients(s, p, grpcConnections)
	if err != nil {
		return 0, err
	}
	defer end()
	var next atomic.Int64
	return parallel(ctx, grpcStreams, func(ctx context.Context, done *atomic.Int64) error {
		client := clients[int(next.Add(1))%len(clients)]
		for {
			if _, err := client.EmptyCall(ctx, new(testgrpc.Empty)); err != nil {
				return err
			}
			done.Add(1)
		}
	})
}

func streaming(ctx context.Context, s *stack, p proxyKind) (int64, error) {
	clients, end, err := grpcClients(s, p, grpcConnections)
	if err != nil {
		return 0, err
	}
	defer end()
	message := &testgrpc.StreamingOutputCallRequest{
		ResponseParameters: []*testgrpc.ResponseParameters{{Size: 64}}, Payload: &testgrpc.Payload{Body: make([]byte, 64)},
	}
	var next atomic.Int64
	return parallel(ctx, grpcStreams, func(ctx context.Context, done *atomic.Int64) error {
		stream, err := clients[int(next.Add(1))%len(clients)].FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		for {
			if err := stream.Send(message); err != nil {
				return err
			}
			if _, err := stream.Recv(); err != nil {
				return err
			}
			done.Add(1)
		}
	})
}

// giga is how long a large body is.
const giga = 1 << 30

// large moves one body; the time does not bound it, so that it comes whole.
func large(ctx context.Context, method, url string, body io.Reader) (int64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.ContentLength = giga
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}}).Do(request)
	if err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, make([]byte, 256<<10))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s %s answers %d", method, url, response.StatusCode)
	}
	return n, nil
}

func download(ctx context.Context, s *stack, p proxyKind) (int64, error) {
	n, err := large(ctx, "GET", "http://"+s.clear[p]+"/large", nil)
	if err == nil && n != giga {
		err = fmt.Errorf("%d bytes came of %d", n, giga)
	}
	return n / mega, err
}

func upload(ctx context.Context, s *stack, p proxyKind) (int64, error) {
	if _, err := large(ctx, "POST", "http://"+s.clear[p]+"/large", io.LimitReader(zeros{}, giga)); err != nil {
		return 0, err
	}
	return giga / mega, nil
}

// zeros is a source without end.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) { return len(p), nil }
