package rpc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/intake"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// desk answers with what the plugin's name says.
type desk struct{ at store.Position }

var refusals = map[string]error{
	"gone": catalog.ErrNotFound, "forbidden": intake.ErrForbidden, "nonsense": intake.ErrInvalid, "full": intake.ErrFull,
	"taken":   &catalog.Error{Code: catalog.CodeUniqueViolation, Message: "taken"},
	"foreign": &catalog.Error{Code: catalog.CodeForeignKeyViolation, Message: "leads nowhere"},
	"invalid": schema.Violate("config", "bad"), "broken": errors.New("a secret of the disk"),
}

func (d desk) Write(_ context.Context, plugin string, writes []pdk.EntityWrite, wait time.Duration) (store.Position, error) {
	if err := refusals[plugin]; err != nil {
		return store.Position{}, err
	}
	if len(writes) != 2 || writes[0].Op != pdk.WriteInsert || writes[1].Op != pdk.WriteDelete || writes[1].ID != "x" || wait != 7*time.Millisecond {
		return store.Position{}, errors.New("not what was asked")
	}
	return d.at, nil
}

func (d desk) Lease(node, plugin string, requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error) {
	if err := refusals[plugin]; err != nil {
		return nil, err
	}
	if !strings.HasPrefix(node, id("n")+"/") || len(requests) != 1 || requests[0] != (pdk.LeaseRequest{Counter: "c", Start: 1, End: 2, Limit: 3, Used: 4, Held: 5, Waiting: 6, Ahead: 7}) {
		return nil, errors.New("not what was asked")
	}
	return []pdk.LeaseGrant{{Granted: 1, Taken: 2, Ahead: 3, Nodes: 4}}, nil
}

// answer hears until an answer comes.
func (n *node) answer(id uint64) *configv1.Answer {
	n.t.Helper()
	for {
		if a := n.hear().GetAnswer(); a != nil {
			if a.GetId() != id {
				n.t.Errorf("answer to %d, want %d", a.GetId(), id)
			}
			return a
		}
	}
}

func TestQuestions(t *testing.T) {
	p := start(t)
	p.desk.Store(&desk{at: p.put("a")})
	n := p.connect(hello("n"))
	asked := uint64(0)
	ask := func(plugin string, m *configv1.Ask) *configv1.Answer {
		t.Helper()
		asked++
		m.Id, m.Plugin = asked, plugin
		n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ask{Ask: m}})
		return n.answer(asked)
	}
	write := func() *configv1.Ask {
		return &configv1.Ask{Question: &configv1.Ask_EntityWrites{EntityWrites: &configv1.EntityWrites{WaitMs: 7, Writes: []*configv1.EntityWrite{
			{Op: configv1.EntityWrite_OP_INSERT, Kind: "k", Body: []byte(`{}`)}, {Op: configv1.EntityWrite_OP_DELETE, Kind: "k", Id: "x"},
		}}}}
	}
	lease := func() *configv1.Ask {
		return &configv1.Ask{Question: &configv1.Ask_LeaseRequests{LeaseRequests: &configv1.LeaseRequests{Requests: []*configv1.LeaseRequest{
			{Counter: "c", WindowStart: 1, WindowEnd: 2, Limit: 3, Used: 4, Held: 5, Waiting: 6, Ahead: 7},
		}}}}
	}
	if a := ask("good", write()); a.GetOutcome() != configv1.Answer_OUTCOME_DONE || a.GetPosition().GetRevision() != p.desk.Load().at.Revision {
		t.Errorf("write: %v", a)
	}
	if a := ask("good", lease()); a.GetOutcome() != configv1.Answer_OUTCOME_DONE || len(a.GetGrants()) != 1 || a.GetGrants()[0].GetTaken() != 2 {
		t.Errorf("lease: %v", a)
	}
	if a := ask("good", &configv1.Ask{}); a.GetOutcome() != configv1.Answer_OUTCOME_INVALID {
		t.Errorf("no question: %v", a)
	}
	for plugin, want := range map[string]configv1.Answer_Outcome{
		"gone": configv1.Answer_OUTCOME_NOT_FOUND, "forbidden": configv1.Answer_OUTCOME_FORBIDDEN, "nonsense": configv1.Answer_OUTCOME_INVALID,
		"full": configv1.Answer_OUTCOME_BUSY, "taken": configv1.Answer_OUTCOME_CONFLICT, "foreign": configv1.Answer_OUTCOME_INVALID,
		"invalid": configv1.Answer_OUTCOME_INVALID, "broken": configv1.Answer_OUTCOME_FAILED,
	} {
		for _, m := range []*configv1.Ask{write(), lease()} {
			if a := ask(plugin, m); a.GetOutcome() != want || strings.Contains(a.GetError(), "secret") {
				t.Errorf("%s: %v, want %v", plugin, a, want)
			}
		}
	}
}
