package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// Protocol is the version of the protocol that is spoken.
const Protocol = 1

const (
	helloTimeout = 10 * time.Second
	// silence ends a stream: three beats of the node are missing.
	silence   = 3 * hub.BeatInterval
	maxText   = 256
	maxLabels = 64
	maxErrors = 100
)

var errTooLong = fmt.Errorf("text is longer than %d bytes", maxText)

type service struct {
	configv1.UnimplementedSyncServiceServer

	hub     *hub.Hub
	desk    Desk
	version string
	log     hclog.Logger
	work    sync.WaitGroup // receivers and senders
}

type stream = grpc.BidiStreamingServer[configv1.SyncRequest, configv1.SyncResponse]

// Sync implements configv1.SyncServiceServer.
func (s *service) Sync(st stream) error {
	ctx, cancel := context.WithCancelCause(st.Context())
	defer cancel(nil)
	// Receiving only ends with the stream, so that the watchdog has to end the handler.
	failed := make(chan error, 2)
	heard := &atomic.Int64{}
	heard.Store(time.Now().UnixNano())
	sessions := make(chan *hub.Session, 1)
	s.work.Go(func() { failed <- s.receive(st, heard, sessions) })

	var session *hub.Session
	timer := time.NewTimer(helloTimeout)
	defer timer.Stop()
	select {
	case session = <-sessions:
	case err := <-failed:
		return err
	case <-timer.C:
		return status.Error(codes.DeadlineExceeded, "no hello")
	}
	s.work.Go(func() { failed <- s.send(ctx, st, session) })
	// What is stuck in flow control ends with the stream, which ends when this function
	// returns.
	err := watch(failed, heard)
	cancel(err)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// watch waits for the first error, or for the node to fall silent.
func watch(failed <-chan error, heard *atomic.Int64) error {
	ticker := time.NewTicker(hub.BeatInterval)
	defer ticker.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-ticker.C:
			if time.Since(time.Unix(0, heard.Load())) > silence {
				return status.Error(codes.DeadlineExceeded, "no heartbeat")
			}
		}
	}
}

// receive hears a node until its stream ends. It owns the session.
func (s *service) receive(st stream, heard *atomic.Int64, sessions chan<- *hub.Session) (err error) {
	first, err := st.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "the first message is not a hello")
	}
	h, err := introduce(st.Context(), hello)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if hello.GetProtocolMin() > Protocol || hello.GetProtocolMax() < Protocol {
		return status.Errorf(codes.FailedPrecondition, "the control plane speaks protocol %d, the node %d to %d", Protocol, hello.GetProtocolMin(), hello.GetProtocolMax())
	}
	session, err := s.hub.Connect(h)
	switch {
	case errors.Is(err, hub.ErrDuplicate):
		return status.Error(codes.AlreadyExists, err.Error())
	case err != nil:
		return status.Error(codes.Unavailable, err.Error())
	}
	defer func() { session.Close(err) }()
	sessions <- session
	asked := &questions{service: s, session: session, slots: make(chan struct{}, maxAsking)}
	for {
		m, err := st.Recv()
		if err != nil {
			return err
		}
		heard.Store(time.Now().UnixNano())
		if ask := m.GetAsk(); ask != nil {
			err = asked.take(st.Context(), ask)
		} else {
			err = hear(session, m)
		}
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
}

func hear(session *hub.Session, m *configv1.SyncRequest) error {
	switch {
	case m.GetBeat() != nil:
		session.Beat(m.GetBeat().GetReport())
	case m.GetCommandResult() != nil:
		r := m.GetCommandResult()
		var err error
		if r.GetError() != "" {
			err = errors.New(r.GetError())
		}
		session.Answered(r.GetId(), json.RawMessage(r.GetResult()), err)
	case m.GetAck() != nil:
		return acknowledge(session, m.GetAck())
	}
	return nil
}

func acknowledge(session *hub.Session, a *configv1.Ack) error {
	p, err := fromProto(a.GetPosition())
	if err != nil {
		return fmt.Errorf("position of an ack: %w", err)
	}
	serving, err := fromProto(a.GetServing())
	if err != nil {
		return fmt.Errorf("serving position of an ack: %w", err)
	}
	switch a.GetState() {
	case configv1.Ack_STATE_APPLIED:
		session.Applied(p, time.Duration(min(a.GetApplyUs(), 1<<40))*time.Microsecond)
	case configv1.Ack_STATE_PERSISTED:
		session.Persisted(p)
	case configv1.Ack_STATE_REJECTED:
		why := make([]hub.Refusal, 0, min(len(a.GetErrors()), maxErrors))
		for _, e := range a.GetErrors()[:min(len(a.GetErrors()), maxErrors)] {
			why = append(why, hub.Refusal{Kind: cut(e.GetKind()), ID: cut(e.GetId()), Name: cut(e.GetName()), Field: cut(e.GetField()), Message: cut(e.GetMessage())})
		}
		session.Rejected(p, serving, why)
	case configv1.Ack_STATE_DIVERGED:
		session.Diverged(p, serving)
	}
	return nil
}

func cut(s string) string { return s[:min(len(s), 4*maxText)] }

// introduce checks what a node says about itself.
func introduce(ctx context.Context, m *configv1.Hello) (hub.Hello, error) {
	h := hub.Hello{NodeID: m.GetNodeId(), BootID: m.GetBootId(), Hostname: m.GetHostname(), Version: m.GetVersion(), Source: m.GetSource(), Labels: m.GetLabels()}
	if _, err := uuid.Parse(h.NodeID); err != nil || len(h.NodeID) != 36 {
		return h, errors.New("node_id: is not a UUID")
	}
	for name, text := range map[string]string{"boot_id": h.BootID, "hostname": h.Hostname, "version": h.Version, "source": h.Source} {
		if len(text) > maxText {
			return h, fmt.Errorf("%s: %w", name, errTooLong)
		}
	}
	if len(h.Labels) > maxLabels {
		return h, fmt.Errorf("labels: more than %d", maxLabels)
	}
	for k, v := range h.Labels {
		if len(k) > maxText || len(v) > maxText {
			return h, fmt.Errorf("labels: %w", errTooLong)
		}
	}
	var err error
	if h.Position, err = fromProto(m.GetPosition()); err != nil {
		return h, fmt.Errorf("position: %w", err)
	}
	if p, ok := peer.FromContext(ctx); ok {
		h.IP, _, _ = net.SplitHostPort(p.Addr.String())
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			h.CertExpiry = info.State.PeerCertificates[0].NotAfter
		}
	}
	return h, nil
}

// send moves what the hub wants moved.
func (s *service) send(ctx context.Context, st stream, session *hub.Session) error {
	step, err := session.Plan()
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	welcome := &configv1.Welcome{
		Protocol: Protocol, Plan: plans[step.Plan], Head: position(step.To), Version: s.version,
		BeatIntervalMs: uint32(hub.BeatInterval.Milliseconds()), Reason: step.Reason,
	}
	if err := st.Send(&configv1.SyncResponse{Message: &configv1.SyncResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	ticker := time.NewTicker(hub.BeatInterval)
	defer ticker.Stop()
	for {
		d, err := session.Next(ctx, ticker.C)
		if err != nil {
			return err
		}
		switch {
		case d.Step != nil:
			for _, b := range d.Step.Messages {
				if err := st.SendMsg(encoded(b)); err != nil {
					return err
				}
			}
		case d.Command != nil:
			c := &configv1.Command{Id: d.Command.ID, Target: d.Command.Target, Name: d.Command.Name, Arguments: d.Command.Arguments}
			err = st.Send(&configv1.SyncResponse{Message: &configv1.SyncResponse_Command{Command: c}})
		case d.Reply != nil:
			if answer, ok := d.Reply.(*configv1.Answer); ok {
				err = st.Send(&configv1.SyncResponse{Message: &configv1.SyncResponse_Answer{Answer: answer}})
			}
		case d.Goodbye != nil:
			g := &configv1.Goodbye{Reason: d.Goodbye.Reason, RetryAfterMs: uint32(d.Goodbye.Retry.Milliseconds())}
			if err := st.Send(&configv1.SyncResponse{Message: &configv1.SyncResponse_Goodbye{Goodbye: g}}); err != nil {
				return err
			}
			return io.EOF
		case d.Beat:
			b := &configv1.Beat{Position: position(session.Head()), SentAtNs: time.Now().UnixNano()}
			err = st.Send(&configv1.SyncResponse{Message: &configv1.SyncResponse_Beat{Beat: b}})
		}
		if err != nil {
			return err
		}
	}
}

var plans = map[snapshot.Plan]configv1.Welcome_Plan{
	snapshot.UpToDate: configv1.Welcome_PLAN_UP_TO_DATE,
	snapshot.Delta:    configv1.Welcome_PLAN_DELTA,
	snapshot.Whole:    configv1.Welcome_PLAN_SNAPSHOT,
	snapshot.Repair:   configv1.Welcome_PLAN_REPAIR,
	snapshot.Held:     configv1.Welcome_PLAN_HELD,
}
