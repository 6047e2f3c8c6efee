// Command front is the balancer of the demo: one port in front of all data planes that a
// DNS name has. It owns connections only: which nodes are there and ready, and passing
// bytes on. A load balancer of the place where the gateway runs does this elsewhere.
package main

import (
	"context"
	"flag"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

func main() {
	log := hclog.New(&hclog.LoggerOptions{Name: "front"})
	if err := run(log); err != nil {
		log.Error("stopped", "error", err)
		os.Exit(1)
	}
}

func run(log hclog.Logger) error {
	f := front{log: log, lookup: net.DefaultResolver.LookupHost, dialTimeout: time.Second}
	listen := flag.String("listen", "0.0.0.0:8000", "address to serve on")
	flag.StringVar(&f.name, "name", "dataplane", "DNS name of the data planes")
	flag.StringVar(&f.port, "port", "8000", "their port for traffic")
	flag.StringVar(&f.ready, "ready", "8007", "their port with /status/ready")
	flag.DurationVar(&f.every, "every", 250*time.Millisecond, "how often they are asked whether they are ready")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	log.Info("serving", "address", *listen, "name", f.name)
	return f.serve(ctx, l)
}
