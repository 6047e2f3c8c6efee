package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/scripts/e2e/fleet"
)

// position is one as the Admin API shows it.
type position struct {
	Lineage    string `json:"lineage"`
	Generation uint64 `json:"generation"`
	Revision   uint64 `json:"revision"`
	Root       string `json:"root"`
}

// order is what the benchmark tells the process with the played nodes, answer what it
// says; one JSON value a line each.
type order struct {
	// Start makes the fleet.
	Start *startOrder `json:"start,omitempty"`
	// Resize sets how many nodes there are and waits until all are connected.
	Resize *int `json:"resize,omitempty"`
	// Connected waits until as many as there are are connected again.
	Connected *int `json:"connected,omitempty"`
	// Applied waits until Nodes have the revision.
	Applied *appliedOrder `json:"applied,omitempty"`
	Timeout time.Duration `json:"timeout"`
}

type startOrder struct {
	Address, Certificate, Key string
	Position                  position
}

type appliedOrder struct {
	Revision uint64
	Nodes    int
}

type answer struct {
	Error string     `json:"error,omitempty"`
	Seen  fleet.Seen `json:"seen"`
	// Last is when the last of the nodes applied, nanoseconds since 1970.
	Last int64 `json:"last,omitempty"`
}

// play is the process with the nodes. It ends with its standard input.
func play(in io.Reader, out io.Writer) error {
	var f *fleet.Fleet
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	lines := json.NewDecoder(in)
	for {
		var o order
		if err := lines.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		err := func() error {
			ctx, cancel := context.WithTimeout(context.Background(), o.Timeout)
			defer cancel()
			switch {
			case o.Start != nil:
				if f != nil {
					f.Close()
				}
				var err error
				f, err = newFleet(o.Start)
				return err
			case f == nil:
				return errors.New("no fleet was started")
			case o.Resize != nil:
				f.Resize(*o.Resize)
				return f.Connected(ctx, *o.Resize)
			case o.Connected != nil:
				return f.Connected(ctx, *o.Connected)
			case o.Applied != nil:
				last, err := f.Progress().Wait(ctx, o.Applied.Revision, o.Applied.Nodes)
				a.Last = last.UnixNano()
				return err
			}
			return nil
		}()
		if err != nil {
			a.Error = err.Error()
		}
		if f != nil {
			a.Seen = f.Seen()
		}
		if err := json.NewEncoder(out).Encode(a); err != nil {
			return err
		}
	}
}

func newFleet(o *startOrder) (*fleet.Fleet, error) {
	pair, err := tls.LoadX509KeyPair(o.Certificate, o.Key)
	if err != nil {
		return nil, err
	}
	root, err := hex.DecodeString(o.Position.Root)
	if err != nil {
		return nil, err
	}
	at := &configv1.Position{Lineage: o.Position.Lineage, Generation: o.Position.Generation, Revision: o.Position.Revision, Root: root}
	return fleet.New(context.Background(), fleet.Options{
		Address: o.Address, Position: at, PersistDelay: 10 * time.Millisecond,
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, ServerName: "kong_clustering",
			InsecureSkipVerify: true, //nolint:gosec // it is our own, on the loopback interface
		},
	}), nil
}

// player is the process as the benchmark sees it.
type player struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
}

func startPlayer(program string) (*player, error) {
	cmd := exec.Command(program, "-play")
	cmd.SysProcAttr = dieWithUs()
	// What the nodes cost must not be what is measured: the heap may be large.
	cmd.Env = append(cmd.Environ(), "GOGC=400")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start played nodes: %w", err)
	}
	return &player{cmd: cmd, in: in, lines: bufio.NewReader(out)}, nil
}

// stop ends the process.
func (p *player) stop() {
	_ = p.in.Close()
	timer := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait()
}

func (p *player) do(o order) (answer, error) {
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	var a answer
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		return a, fmt.Errorf("tell played nodes: %w", err)
	}
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("hear played nodes: %w", err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("hear played nodes: %w", err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("played nodes: %s", a.Error)
	}
	return a, nil
}
