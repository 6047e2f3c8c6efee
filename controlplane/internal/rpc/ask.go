package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/intake"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	// maxAsking bounds the questions of one node that are answered at a time; a node
	// that keeps to the protocol asks no more.
	maxAsking = 64
	// maxUnsent bounds the answers that a node does not take.
	maxUnsent = 4 * maxAsking
	// askTimeout bounds an answer.
	askTimeout = 10 * time.Second
)

var errFlood = errors.New("the node asks and does not listen")

// Desk answers what nodes ask, see intake.
type Desk interface {
	Write(ctx context.Context, plugin string, writes []pdk.EntityWrite, wait time.Duration) (store.Position, error)
	Lease(node, plugin string, requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error)
}

// questions are those of one session.
type questions struct {
	service *service
	session *hub.Session
	slots   chan struct{} // capacity maxAsking; made with the first that needs one
}

// take answers a question: leases at once, writes in a goroutine of their own.
func (q *questions) take(ctx context.Context, m *configv1.Ask) error {
	if q.service.desk == nil {
		return q.reply(&configv1.Answer{Id: m.GetId(), Outcome: configv1.Answer_OUTCOME_FORBIDDEN, Error: "this control plane answers no questions"})
	}
	switch question := m.GetQuestion().(type) {
	case *configv1.Ask_LeaseRequests:
		return q.reply(q.lease(m, question.LeaseRequests))
	case *configv1.Ask_EntityWrites:
		if q.slots == nil { // most nodes never ask
			q.slots = make(chan struct{}, maxAsking)
		}
		select {
		case q.slots <- struct{}{}:
		default:
			return q.reply(&configv1.Answer{Id: m.GetId(), Outcome: configv1.Answer_OUTCOME_BUSY, Error: "the node asks too much at once"})
		}
		q.service.work.Go(func() {
			defer func() { <-q.slots }()
			// What was asked is done, also when the node goes in the middle of it.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
			defer cancel()
			_ = q.reply(q.write(ctx, m, question.EntityWrites))
		})
		return nil
	default:
		return q.reply(&configv1.Answer{Id: m.GetId(), Outcome: configv1.Answer_OUTCOME_INVALID, Error: "this control plane does not know the question"})
	}
}

func (q *questions) reply(a *configv1.Answer) error {
	if q.session.Reply(a) > maxUnsent {
		return errFlood
	}
	return nil
}

func (q *questions) lease(m *configv1.Ask, list *configv1.LeaseRequests) *configv1.Answer {
	requests := make([]pdk.LeaseRequest, len(list.GetRequests()))
	for i, r := range list.GetRequests() {
		requests[i] = pdk.LeaseRequest{
			Counter: r.GetCounter(), Start: r.GetWindowStart(), End: r.GetWindowEnd(), Limit: r.GetLimit(),
			Used: r.GetUsed(), Held: r.GetHeld(), Waiting: r.GetWaiting(), Ahead: r.GetAhead(),
		}
	}
	a := &configv1.Answer{Id: m.GetId(), Outcome: configv1.Answer_OUTCOME_DONE}
	grants, err := q.service.desk.Lease(q.session.Process(), m.GetPlugin(), requests)
	if err != nil {
		a.Outcome, a.Error = q.judge(err)
		return a
	}
	for _, g := range grants {
		a.Grants = append(a.Grants, &configv1.LeaseGrant{Granted: g.Granted, Taken: g.Taken, Ahead: g.Ahead, Nodes: uint32(g.Nodes)})
	}
	return a
}

var writeOps = map[configv1.EntityWrite_Op]pdk.WriteOp{
	configv1.EntityWrite_OP_INSERT: pdk.WriteInsert,
	configv1.EntityWrite_OP_UPDATE: pdk.WriteUpdate,
	configv1.EntityWrite_OP_DELETE: pdk.WriteDelete,
}

func (q *questions) write(ctx context.Context, m *configv1.Ask, list *configv1.EntityWrites) *configv1.Answer {
	a := &configv1.Answer{Id: m.GetId(), Outcome: configv1.Answer_OUTCOME_DONE}
	writes := make([]pdk.EntityWrite, len(list.GetWrites()))
	for i, w := range list.GetWrites() {
		writes[i] = pdk.EntityWrite{Op: writeOps[w.GetOp()], Kind: w.GetKind(), ID: w.GetId(), Body: w.GetBody()}
	}
	at, err := q.service.desk.Write(ctx, m.GetPlugin(), writes, time.Duration(list.GetWaitMs())*time.Millisecond)
	if err != nil {
		a.Outcome, a.Error = q.judge(err)
		return a
	}
	a.Position = position(at)
	return a
}

// judge says what became of a question that failed. What failed here stays here.
func (q *questions) judge(err error) (configv1.Answer_Outcome, string) {
	refused, isError := errors.AsType[*catalog.Error](err)
	_, isViolation := errors.AsType[*schema.Violation](err)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return configv1.Answer_OUTCOME_NOT_FOUND, ""
	case errors.Is(err, intake.ErrForbidden):
		return configv1.Answer_OUTCOME_FORBIDDEN, cut(err.Error())
	case errors.Is(err, intake.ErrFull):
		return configv1.Answer_OUTCOME_BUSY, cut(err.Error())
	case isError && (refused.Code == catalog.CodeUniqueViolation || refused.Code == catalog.CodePrimaryKeyViolation):
		return configv1.Answer_OUTCOME_CONFLICT, cut(err.Error())
	case isError || isViolation || errors.Is(err, intake.ErrInvalid):
		return configv1.Answer_OUTCOME_INVALID, cut(err.Error())
	}
	q.service.log.Error("question of a node fails", "node_id", q.session.NodeID(), "error", err)
	return configv1.Answer_OUTCOME_FAILED, "the control plane failed"
}
