package router_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// patience is some times what the steps of one match take.
const patience = 50 * time.Millisecond

// TestSlowPatternsEnd holds that patterns that would backtrack for ages do not hold up a
// request, however many there are. The bound is generous, for it is one of time.
func TestSlowPatternsEnd(t *testing.T) {
	var routes []*entity.Route
	for i := range 200 {
		routes = append(routes, &entity.Route{ID: fmt.Sprint(i), Paths: []string{fmt.Sprintf(`~/(?=a)(a+a+)+%dz`, i)}})
	}
	routes = append(routes, &entity.Route{ID: "plain", Paths: []string{"/a"}})
	table := update(t, router.New(""), routes)
	began := time.Now()
	got, ok := match(table, at("/"+strings.Repeat("a", 5000)))
	if took := time.Since(began); took > 100*patience {
		t.Errorf("took %s", took)
	}
	if !ok || got.route != "plain" {
		t.Errorf("%v %+v, want the plain route", ok, got)
	}
}
