package rpc

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/identity"
	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	"github.com/sluice-gateway/sluice/controlplane/internal/wire"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
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
	// maxHello bounds a hello in bytes: a hundred plugins and what a node refused fit in
	// many times.
	maxHello = 256 << 10
	// stall is how long a node may take to read one message.
	stall = time.Minute
)

// features are the abilities of this control plane, as in the proto of Hello.
var features = []string{encodingZstd, encodingZstd1, featureRepair, featureManifest, featureParts, featureShort}

const (
	featureRepair   = "repair"
	featureManifest = "manifest"
	featureParts    = "parts"
	featureShort    = "short"
)

var errTooLong = fmt.Errorf("text is longer than %d bytes", maxText)

type service struct {
	hub     *hub.Hub
	desk    Desk
	traffic *traffic.Store
	members Members // nil where nobody joins
	version string
	log     hclog.Logger
	watch   *watch
	work    sync.WaitGroup // answers
}

// talk is one node's stream. Serve sends, and the connection's reader hears: thousands of
// nodes are at rest here, and each goroutine has a stack.
type talk struct {
	*service

	stream   *wire.Stream
	link     linkInfo
	life     *vitals
	ctx      context.Context //nolint:containedctx // of what is sent and of what is heard
	cancel   context.CancelCauseFunc
	sessions chan *hub.Session // capacity 1

	// of the reader
	session *hub.Session // since the hello
	asked   questions
	budget  budget
}

// open implements wire.Open.
func (s *service) open(st *wire.Stream) wire.Handler {
	t := &talk{service: s, stream: st, sessions: make(chan *hub.Session, 1)}
	t.ctx, t.cancel = context.WithCancelCause(st.Context())
	link, err := linkOf(st.Context())
	if err == nil && len(link.State.PeerCertificates) == 0 {
		err = joinStatus(identity.ErrNoCertificate) // who may only join is not listened to
	}
	t.link, t.life = link, s.watch.add(link.conn)
	if err != nil {
		t.cancel(err)
	}
	return t
}

// Serve implements wire.Handler.
func (t *talk) Serve() error {
	defer t.cancel(nil)
	defer t.watch.remove(t.life)
	session, err := t.greet()
	if err == nil {
		err = t.send(session)
	}
	// Why the reader ended says more than how that looks to the sender.
	if cause := context.Cause(t.ctx); cause != nil {
		err = cause
	}
	switch why := t.life.why.Load(); {
	case why != nil:
		return status.Error(codes.DeadlineExceeded, *why)
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// Gone implements wire.Handler.
func (t *talk) Gone(why error) {
	// First, for the sender would say goodbye to a session that has ended.
	t.cancel(why)
	if t.session != nil {
		t.session.Close(why)
	}
}

// Hear implements wire.Handler.
func (t *talk) Hear(message []byte) error {
	if t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	m := &configv1.SyncRequest{}
	if err := proto.Unmarshal(message, m); err != nil {
		return status.Errorf(codes.InvalidArgument, "a message can't be decoded: %v", err)
	}
	if t.session == nil {
		return t.begin(m)
	}
	now := time.Now()
	t.life.heard.Store(now.UnixNano())
	if !t.budget.take(now, len(message)) {
		return status.Error(codes.ResourceExhausted, errTooMuch.Error())
	}
	var err error
	switch {
	case t.session.Ended():
		// What it says does not count any more.
	case m.GetAsk() != nil:
		err = t.asked.take(t.stream.Context(), m.GetAsk())
	case m.GetTraffic() != nil:
		err = t.counted(t.session, m.GetTraffic())
	default:
		err = hear(t.session, m)
	}
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// write sends a message that is encoded, and notes that it does.
func (t *talk) write(message []byte) error {
	t.life.sending.Store(time.Now().UnixNano())
	defer t.life.sending.Store(0)
	return t.stream.Send(message) //nolint:wrapcheck // it has a status
}

func (t *talk) say(m *configv1.SyncResponse) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return status.Errorf(codes.Internal, "encode a message: %v", err)
	}
	return t.write(b)
}

// greet waits for the session that follows a hello.
func (t *talk) greet() (*hub.Session, error) {
	timer := time.NewTimer(helloTimeout)
	defer timer.Stop()
	select {
	case session := <-t.sessions:
		return session, nil
	case <-t.ctx.Done():
		return nil, context.Cause(t.ctx)
	case <-timer.C:
		return nil, status.Error(codes.DeadlineExceeded, "no hello")
	}
}

func linkOf(ctx context.Context) (linkInfo, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(linkInfo); ok {
			return info, nil
		}
	}
	return linkInfo{}, status.Error(codes.Internal, "the link is not known")
}

// begin makes the session that a hello asks for.
func (t *talk) begin(first *configv1.SyncRequest) error {
	hello := first.GetHello()
	if hello == nil {
		return status.Error(codes.InvalidArgument, "the first message is not a hello")
	}
	h, err := introduce(t.link, hello)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if hello.GetProtocolMin() > Protocol || hello.GetProtocolMax() < Protocol {
		return status.Errorf(codes.FailedPrecondition, "the control plane speaks protocol %d, the node %d to %d", Protocol, hello.GetProtocolMin(), hello.GetProtocolMax())
	}
	if err := t.admit(t.link, h.NodeID); err != nil {
		return err
	}
	session, err := t.hub.Connect(h)
	switch {
	case errors.Is(err, hub.ErrDuplicate):
		return status.Error(codes.AlreadyExists, err.Error())
	case err != nil:
		return status.Error(codes.Unavailable, err.Error())
	}
	t.session = session // which Gone closes
	// It may have been revoked in between, when there was no session to end.
	if err := t.admit(t.link, h.NodeID); err != nil {
		return err
	}
	if t.members != nil {
		if err := t.members.Adopt(t.stream.Context(), t.link.State); err != nil {
			t.log.Warn("a node that has joined is not kept", "error", err)
		}
	}
	t.life.session.Store(session)
	t.asked = questions{service: t.service, session: session}
	t.budget = newBudget(time.Now())
	t.sessions <- session
	return nil
}

// admit refuses who is not the node that he says he is.
func (s *service) admit(link linkInfo, nodeID string) error {
	if s.members == nil {
		return nil
	}
	if err := s.members.Admit(link.State, nodeID); err != nil {
		s.log.Warn("a node is refused", "node_id", nodeID, "error", err)
		return joinStatus(err)
	}
	return nil
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
	case m.GetInventory() != nil:
		in, err := inventory(session, m.GetInventory())
		if err != nil {
			return err
		}
		return session.Inventory(in)
	}
	return nil
}

// inventory reads what a node says that it has.
func inventory(session *hub.Session, m *configv1.Inventory) (in hub.Inventory, err error) {
	if in.Position, err = positionOf(session, m.GetPosition()); err != nil {
		return in, fmt.Errorf("position of an inventory: %w", err)
	}
	in.Chunks, in.Last = m.GetHeldChunks(), m.GetLast()
	if b := m.GetBucketHashes(); b != nil {
		if len(b) != 8*roothash.Buckets {
			return in, fmt.Errorf("bucket hashes of an inventory have %d bytes", len(b))
		}
		in.Hashes = make([]roothash.BucketHash, roothash.Buckets)
		for i := range in.Hashes {
			in.Hashes[i] = roothash.BucketHash(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
	in.Entities = make(map[uint32][]uint64, len(m.GetEntities()))
	for _, e := range m.GetEntities() {
		b := e.GetHashes()
		list := make([]uint64, len(b)/8)
		for i := range list {
			list[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
		in.Entities[e.GetBucket()] = append(in.Entities[e.GetBucket()], list...)
	}
	return in, nil
}

// positionOf reads a position, a short one too.
func positionOf(session *hub.Session, p *configv1.Position) (store.Position, error) {
	if p != nil && p.GetLineage() == "" && len(p.GetRoot()) >= shortRoot {
		return session.Known(p.GetRevision(), p.GetRoot()), nil
	}
	return fromProto(p)
}

func acknowledge(session *hub.Session, a *configv1.Ack) error {
	p, err := positionOf(session, a.GetPosition())
	if err != nil {
		return fmt.Errorf("position of an ack: %w", err)
	}
	serving, err := positionOf(session, a.GetServing())
	if err != nil {
		return fmt.Errorf("serving position of an ack: %w", err)
	}
	switch a.GetState() {
	case configv1.Ack_STATE_APPLIED:
		session.Applied(p, time.Duration(min(a.GetApplyUs(), 1<<40))*time.Microsecond, refusals(a.GetErrors()))
	case configv1.Ack_STATE_PERSISTED:
		session.Persisted(p)
	case configv1.Ack_STATE_REJECTED:
		session.Rejected(p, serving, refusals(a.GetErrors()))
	case configv1.Ack_STATE_DIVERGED:
		session.Diverged(p, serving)
	}
	return nil
}

func refusals(errs []*configv1.EntityError) []hub.Refusal {
	var why []hub.Refusal
	for _, e := range errs[:min(len(errs), maxErrors)] {
		why = append(why, hub.Refusal{Kind: cut(e.GetKind()), ID: cut(e.GetId()), Name: cut(e.GetName()), Field: cut(e.GetField()), Message: cut(e.GetMessage())})
	}
	return why
}

func cut(s string) string { return s[:min(len(s), 4*maxText)] }

// introduce checks what a node says about itself.
func introduce(link linkInfo, m *configv1.Hello) (hub.Hello, error) {
	h := hub.Hello{NodeID: m.GetNodeId(), BootID: m.GetBootId(), Hostname: m.GetHostname(), Version: m.GetVersion(), Source: m.GetSource(), Labels: m.GetLabels()}
	if size := proto.Size(m); size > maxHello {
		return h, fmt.Errorf("hello has %d bytes, at most %d are taken", size, maxHello)
	}
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
	if h.Refused, err = fromProto(m.GetRefused()); err != nil {
		return h, fmt.Errorf("refused: %w", err)
	}
	h.Refusals = refusals(m.GetRefusals())
	able(&h, m.GetFeatures())
	h.IP, _, _ = net.SplitHostPort(link.conn.RemoteAddr().String())
	if certs := link.State.PeerCertificates; len(certs) > 0 {
		h.CertExpiry, h.Joined = certs[0].NotAfter, tlsutil.IsJoined(link.State.ServerName)
	}
	return h, nil
}

// able notes what the node can do.
func able(h *hub.Hello, features []string) {
	for _, f := range features {
		switch f {
		case encodingZstd:
			h.Form |= snapshot.Zstd
		case encodingZstd1:
			h.Form |= snapshot.Dictionary
		case featureShort:
			h.Form |= snapshot.Short
		case featureParts:
			h.Form |= snapshot.Parts
		case featureRepair:
			h.Repair = true
		case featureManifest:
			h.Manifest = true
		}
	}
}

// send moves what the hub wants moved.
func (t *talk) send(session *hub.Session) error {
	greeting, err := session.Greet()
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	welcome := &configv1.Welcome{
		Protocol: Protocol, Plan: plans[greeting.Plan], Head: position(greeting.Head), Version: t.version, Features: features,
		BeatIntervalMs: uint32(hub.BeatInterval.Milliseconds()), Reason: greeting.Reason, Place: uint32(greeting.Place),
	}
	if err := t.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	ticker := time.NewTicker(hub.BeatInterval)
	defer ticker.Stop()
	for {
		d, err := session.Next(t.ctx, ticker.C)
		if err != nil {
			return err
		}
		if err := t.deliver(session, &d); err != nil {
			return err
		}
		session.Sent(d)
	}
}

// deliver sends one thing. io.EOF means that nothing follows.
func (t *talk) deliver(session *hub.Session, d *hub.Delivery) error {
	switch {
	case d.Step != nil:
		return t.writeAll(d.Step.Messages, nil)
	case d.Snapshot != nil:
		return t.writeAll(d.Snapshot.Messages, d.Skip)
	case d.Manifest != nil:
		return t.write(d.Manifest)
	case d.Query != nil:
		q := &configv1.InventoryQuery{Buckets: d.Query.Buckets}
		return t.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_InventoryQuery{InventoryQuery: q}})
	case d.Command != nil:
		c := &configv1.Command{Id: d.Command.ID, Target: d.Command.Target, Name: d.Command.Name, Arguments: d.Command.Arguments}
		return t.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Command{Command: c}})
	case d.Reply != nil:
		if answer, ok := d.Reply.(*configv1.Answer); ok {
			return t.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Answer{Answer: answer}})
		}
	case d.Goodbye != nil:
		g := &configv1.Goodbye{Reason: d.Goodbye.Reason, RetryAfterMs: uint32(d.Goodbye.Retry.Milliseconds())}
		if err := t.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Goodbye{Goodbye: g}}); err != nil {
			return err
		}
		return io.EOF
	case d.Beat:
		b := &configv1.Beat{Position: position(session.Head()), SentAtNs: time.Now().UnixNano()}
		t.confirm(session, b)
		return t.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Beat{Beat: b}})
	}
	return nil
}

// writeAll sends messages that were encoded before, without those whose bit is set in skip;
// the last is always sent, so that the node knows the end.
func (t *talk) writeAll(messages [][]byte, skip []byte) error {
	for i, b := range messages {
		if i/8 < len(skip) && skip[i/8]&(1<<(i%8)) != 0 && i < len(messages)-1 {
			continue
		}
		if err := t.write(b); err != nil {
			return err
		}
	}
	return nil
}

var plans = map[snapshot.Plan]configv1.Welcome_Plan{
	snapshot.UpToDate: configv1.Welcome_PLAN_UP_TO_DATE,
	snapshot.Delta:    configv1.Welcome_PLAN_DELTA,
	snapshot.Whole:    configv1.Welcome_PLAN_SNAPSHOT,
	snapshot.Repair:   configv1.Welcome_PLAN_REPAIR,
	snapshot.Held:     configv1.Welcome_PLAN_HELD,
}
