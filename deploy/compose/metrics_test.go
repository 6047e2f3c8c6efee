package compose

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

var update = flag.Bool("update", false, "write the list of the metrics that dashboards and alerts use")

// metricNames are where dashboards and alerts look. scripts/e2e asks real planes whether
// they expose all of these.
const metricNames = "prometheus/metrics.txt"

// names adds the metrics of a query, which Prometheus' own parser reads.
func names(t *testing.T, where, query string, into map[string]bool) {
	t.Helper()
	expr, err := parser.ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v in %s", where, err, query)
		return
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		if selector.Name == "" {
			t.Errorf("%s: a selector without a name in %s", where, query)
		}
		into[selector.Name] = true
		for _, m := range selector.LabelMatchers {
			if m.Name == "job" && m.Type == labels.MatchEqual && m.Value != "sluice-dataplane" && m.Value != "sluice-controlplane" {
				t.Errorf("%s: there is no job %s", where, m.Value)
			}
		}
		return nil
	})
}

func TestAlertRules(t *testing.T) {
	groups, errs := rulefmt.ParseFile("prometheus/sluice.rules.yml", false)
	for _, err := range errs {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || seen[r.Alert] {
				t.Errorf("alert %q has no name, or another one has it", r.Alert)
			}
			seen[r.Alert] = true
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s has the severity %q", r.Alert, s)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say what is the matter", r.Alert)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d alerts", len(seen))
	}
}

// TestPromtool lets Prometheus' own tool check its files and run the tests of the alerts.
func TestPromtool(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing: scripts/deps.sh installs it")
		}
		t.Skip("promtool is missing: scripts/deps.sh installs it")
	}
	for _, args := range [][]string{
		{"check", "config", "prometheus/prometheus.yml"},
		{"check", "rules", "prometheus/sluice.rules.yml"},
		{"test", "rules", "prometheus/sluice.rules.test.yml"},
	} {
		if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

type dashboard struct {
	UID        string `json:"uid"`
	Templating struct {
		List []struct{ Name, Type, Definition string } `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID      int    `json:"id"`
		Type    string `json:"type"`
		Title   string `json:"title"`
		GridPos struct{ H, W, X, Y int }
		Targets []struct {
			Expr         string `json:"expr"`
			LegendFormat string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
}

var variable = regexp.MustCompile(`\$(\w+)`)

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("grafana/dashboards/sluice.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	variables := map[string]string{"__rate_interval": "5m"}
	for _, v := range d.Templating.List {
		variables[v.Name] = ".*"
		if found := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(v.Definition); v.Type == "query" && found == nil {
			t.Errorf("variable %s is %s", v.Name, v.Definition)
		} else if found != nil {
			names(t, "variable "+v.Name, found[1], used)
		}
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: no title, or another one has its id", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q is over %q, or beside the dashboard", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			query := variable.ReplaceAllStringFunc(target.Expr, func(name string) string {
				value, ok := variables[name[1:]]
				if !ok {
					t.Errorf("panel %q uses %s, which is no variable", p.Title, name)
				}
				return value
			})
			names(t, "panel "+p.Title, query, used)
		}
	}
	groups, _ := rulefmt.ParseFile("prometheus/sluice.rules.yml", false)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			names(t, "alert "+r.Alert, r.Expr, used)
		}
	}
	delete(used, "up") // Prometheus' own
	want := strings.Join(slices.Sorted(maps.Keys(used)), "\n") + "\n"
	if *update {
		if err := os.WriteFile(metricNames, []byte(want), 0o644); err != nil { //nolint:gosec // for everybody to read
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricNames)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is not what is used: run `go test ./deploy/compose -update` (- file, + used)\n%s", metricNames, diff)
	}
}
