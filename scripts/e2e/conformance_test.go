package e2e

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/summerwind/h2spec"
	h2config "github.com/summerwind/h2spec/config"
	h2reporter "github.com/summerwind/h2spec/reporter"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// addPlain starts a data plane that speaks HTTP/2 without TLS, too, and returns where.
func (c *cluster) addPlain() (n *node, h2c string) {
	c.t.Helper()
	n, h2c = c.newNode(), process.FreeAddress()
	for i, a := range n.args {
		if a == "--proxy_listen" {
			n.args[i+1] += ", " + h2c + " http2"
		}
	}
	n.start()
	n.ready()
	return n, h2c
}

func split(t *testing.T, address string) (host string, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(text); err != nil {
		t.Fatal(err)
	}
	return host, port
}

// h2specFails are the cases that fail for a reason.
var h2specFails = map[string]string{
	"Sends invalid connection preface": "without TLS the port speaks HTTP/1.1, too, and says 400 in it",
}

// h2specFailsLink are those of the link, where a request that is no gRPC is answered with a
// status and no body, before its own.
var h2specFailsLink = map[string]string{
	"Sends a WINDOW_UPDATE frame on half-closed (remote) stream":                                                                             "wants a body",
	"Sends a PRIORITY frame on half-closed (remote) stream":                                                                                  "wants a body",
	"Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE":                                                                                  "wants a body",
	"Sends SETTINGS frame to set the initial window size to 1 and sends HEADERS frame":                                                       "wants a body",
	"Changes SETTINGS_INITIAL_WINDOW_SIZE after sending HEADERS frame":                                                                       "wants a body",
	"Sends a SETTINGS frame for window size to be negative":                                                                                  "wants a body",
	"Sends a HEADERS frame with the \"content-length\" header field which does not equal the DATA frame payload length":                      "is answered before its body",
	"Sends a HEADERS frame with the \"content-length\" header field which does not equal the sum of the multiple DATA frames payload length": "is answered before its body",
}

// TestH2Spec runs the public conformance suite for HTTP/2 servers against the proxy, with
// TLS and without, and against the link. It prints its cases itself.
func TestH2Spec(t *testing.T) {
	c := newCluster(t, 0)
	n, h2c := c.addPlain()
	c.serve("example", httpbin(t), "/mock")
	for _, test := range []struct {
		name, address, path string
		tls                 bool
		known               map[string]string
		fails               int
	}{
		{"TLS", n.tls, "/mock/anything", true, nil, 0},
		{"plain", h2c, "/mock/anything", false, h2specFails, 1},
		{"link", c.untied(), "/", false, h2specFailsLink, 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			host, port := split(t, test.address)
			report := filepath.Join(t.TempDir(), "h2spec.xml")
			if _, err := h2spec.Run(&h2config.Config{
				Host: host, Port: port, Path: test.path, Timeout: 2 * time.Second, MaxHeaderLen: 4000,
				TLS: test.tls, Insecure: true, JUnitReport: report,
			}); err != nil {
				t.Fatal(err)
			}
			var all h2reporter.JUnitTestReport
			if b, err := os.ReadFile(report); err != nil {
				t.Fatal(err)
			} else if err := xml.Unmarshal(b, &all); err != nil {
				t.Fatal(err)
			}
			passed, failed := 0, 0
			for _, suite := range all.TestSuites {
				for _, one := range suite.TestCases {
					switch {
					case one.Failure == nil && one.Error == nil && one.Skipped == nil:
						passed++
					case test.known[one.ClassName] != "":
						failed++
					default:
						t.Errorf("%s: %s does not pass", one.Package, one.ClassName)
					}
				}
			}
			if passed < 145-test.fails || failed > test.fails {
				t.Errorf("%d cases pass and %d fail as is known, want 145 in all and at most %d", passed, failed, test.fails)
			}
		})
	}
}

// untied is an address where the link is spoken without TLS: what comes there is passed on
// as a node would say it.
func (c *cluster) untied() string {
	c.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.prefix, "cluster.crt"), filepath.Join(c.prefix, "cluster.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, ServerName: "kong_clustering",
		InsecureSkipVerify: true, //nolint:gosec // it is the test's own
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = from.Close() }()
				to, err := tls.Dial("tcp", c.stream, config)
				if err != nil {
					return
				}
				defer func() { _ = to.Close() }()
				go func() {
					_, _ = io.Copy(to, from) // whoever ends it ends both
					_ = to.Close()
				}()
				_, _ = io.Copy(from, to)
			}()
		}
	}()
	return l.Addr().String()
}

// grpcTarget is where the interop client goes: set in the process that is the client,
// whose failures end the process. It is host:port, with a suffix for TLS.
const grpcTarget, overTLS = "SLUICE_E2E_GRPC", "+tls"

// allPassed is what that process says last.
const allPassed = "all cases passed"

// interopClient runs the cases of the gRPC interop client.
func interopClient(target string) error {
	security := insecure.NewCredentials()
	if n := len(target) - len(overTLS); target[n:] == overTLS {
		target = target[:n]
		security = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the node's own certificate
	}
	cc, err := grpc.NewClient(target, grpc.WithTransportCredentials(security))
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	client := testgrpc.NewTestServiceClient(cc)
	for _, test := range []struct {
		name string
		run  func(ctx context.Context)
	}{
		{"empty_unary", func(ctx context.Context) { interop.DoEmptyUnaryCall(ctx, client) }},
		{"large_unary", func(ctx context.Context) { interop.DoLargeUnaryCall(ctx, client) }},
		{"client_streaming", func(ctx context.Context) { interop.DoClientStreaming(ctx, client) }},
		{"server_streaming", func(ctx context.Context) { interop.DoServerStreaming(ctx, client) }},
		{"ping_pong", func(ctx context.Context) { interop.DoPingPong(ctx, client) }},
		{"empty_stream", func(ctx context.Context) { interop.DoEmptyStream(ctx, client) }},
		{"timeout_on_sleeping_server", func(ctx context.Context) { interop.DoTimeoutOnSleepingServer(ctx, client) }},
		{"cancel_after_begin", func(ctx context.Context) { interop.DoCancelAfterBegin(ctx, client) }},
		{"cancel_after_first_response", func(ctx context.Context) { interop.DoCancelAfterFirstResponse(ctx, client) }},
		{"custom_metadata", func(ctx context.Context) { interop.DoCustomMetadata(ctx, client) }},
		{"status_code_and_message", func(ctx context.Context) { interop.DoStatusCodeAndMessage(ctx, client) }},
		{"special_status_message", func(ctx context.Context) { interop.DoSpecialStatusMessage(ctx, client) }},
		{"unimplemented_method", func(context.Context) { interop.DoUnimplementedMethod(context.Background(), cc) }},
		{"unimplemented_service", func(ctx context.Context) {
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
		}},
	} {
		_, _ = fmt.Fprintln(os.Stdout, "case", test.name)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		test.run(ctx)
		cancel()
	}
	_, _ = fmt.Fprintln(os.Stdout, allPassed)
	return nil
}

// TestGRPCInterop runs the gRPC interop client against its server through the proxy: from
// HTTP/2 with TLS and without, to upstreams with TLS and without.
func TestGRPCInterop(t *testing.T) {
	c := newCluster(t, 0)
	n, h2c := c.addPlain()
	plain, secure := interopServer(t), interopServer(t, grpc.Creds(serverTLS(t)))
	for _, test := range []struct{ name, service, target string }{
		{"h2c to h2c", "grpc://" + plain, h2c},
		{"h2c to TLS", "grpcs://" + secure, h2c},
		{"TLS to h2c", "grpc://" + plain, n.tls + overTLS},
		{"TLS to TLS", "grpcs://" + secure, n.tls + overTLS},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.must("PUT", "/services/interop", form("url", test.service), 200)
			c.must("PUT", "/routes/interop", object{
				"service": object{"name": "interop"}, "protocols": []string{"grpc", "grpcs"}, "paths": []string{"/grpc.testing."},
			}, 200, headers{"X-Sluice-Wait", "all"})
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$") //nolint:gosec // this program itself
			command.Env = append(os.Environ(), grpcTarget+"="+test.target)
			if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), allPassed) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func interopServer(t *testing.T, o ...grpc.ServerOption) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(o...)
	testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return l.Addr().String()
}

// serverTLS are the credentials of a server that nobody verifies.
func serverTLS(t *testing.T) credentials.TransportCredentials {
	t.Helper()
	certificate, key, err := tlsutil.Generate("upstream.test", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewServerTLSFromCert(&pair)
}
