package audit_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

type fixture struct {
	*testing.T
	store   *bolt.Store
	log     *audit.Log
	catalog *catalog.Catalog
	kinds   *entity.Kinds
	at      time.Time
}

func newFixture(t *testing.T, change func(*audit.Options)) *fixture {
	t.Helper()
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "s.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	f := &fixture{T: t, store: st, at: time.Unix(1_800_000_000, 0)}
	f.kinds = entity.NewKinds(entity.Options{Plugins: plugins.Bundled().Schema, Extra: plugins.Bundled().Entities()})
	o := audit.Options{Store: st, Kinds: f.kinds, Now: func() time.Time { return f.at }}
	if change != nil {
		change(&o)
	}
	if f.log, err = audit.New(o); err != nil {
		t.Fatal(err)
	}
	if f.catalog, err = catalog.New(t.Context(), catalog.Options{Store: f.log.Store(), Kinds: f.kinds}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) as(name string) (context.Context, *audit.Request) {
	r := &audit.Request{ID: "r-" + name, Method: "POST", Path: "/x", ClientIP: "192.0.2.7", UserID: "u", UserName: name, At: f.at}
	return audit.With(f.Context(), r), r
}

func (f *fixture) insert(ctx context.Context, kind string, o schema.Object) catalog.Written {
	f.Helper()
	w, err := f.catalog.Insert(ctx, f.kinds.ByKind(kind), o)
	if err != nil {
		f.Fatal(err)
	}
	return w
}

func (f *fixture) objects(q audit.Query) []schema.Object {
	f.Helper()
	page, err := f.log.Objects(q)
	if err != nil {
		f.Fatal(err)
	}
	return page.Lines
}

func TestChangesAreRecordedWithTheirRevision(t *testing.T) {
	f := newFixture(t, nil)
	ctx, r := f.as("luka")
	w := f.insert(ctx, "services", schema.Object{"name": "one", "host": "a.example"})
	f.at = f.at.Add(time.Second)
	if _, err := f.catalog.Update(ctx, f.kinds.ByKind("services"), catalog.Key{Value: "one"}, catalog.Scope{}, schema.Object{"retries": int64(2)}); err != nil {
		t.Fatal(err)
	}
	f.at = f.at.Add(time.Second)
	last, err := f.catalog.Delete(ctx, f.kinds.ByKind("services"), catalog.Key{Value: "one"}, catalog.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	lines := f.objects(audit.Query{Equal: map[string]string{"dao_name": "services"}})
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, want := range []string{"delete", "update", "create"} { // the newest first
		if lines[i]["operation"] != want || lines[i]["entity_name"] != "one" || lines[i]["rbac_user_name"] != "luka" || lines[i]["request_id"] != "r-luka" {
			t.Errorf("line %d: %v", i, lines[i])
		}
	}
	if lines[2]["revision"] != int64(w.Position.Revision) || lines[0]["revision"] != int64(last.Position.Revision) {
		t.Errorf("revisions %v and %v, want %d and %d", lines[2]["revision"], lines[0]["revision"], w.Position.Revision, last.Position.Revision)
	}
	if got := fmt.Sprint(lines[1]["changed"]); !strings.Contains(got, "retries") || strings.Contains(got, "host") {
		t.Errorf("changed %s", got)
	}
	if r.Changed() != 3 {
		t.Errorf("the request changed %d", r.Changed())
	}
	if err := f.store.View(func(tx store.Tx) error {
		return tx.ChangeSets(w.Position.Revision-1, func(set *store.ChangeSet) bool {
			if set.Actor != "luka" {
				t.Errorf("revision %d is of %q", set.To.Revision, set.Actor)
			}
			return true
		})
	}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatFailsOrChangesNothingIsNoChange(t *testing.T) {
	f := newFixture(t, nil)
	ctx, r := f.as("luka")
	if _, err := f.catalog.Insert(ctx, f.kinds.ByKind("services"), schema.Object{"name": "one"}); err == nil {
		t.Fatal("a service without a host")
	}
	st := f.log.Store()
	if _, err := st.Update(ctx, store.Info{}, func(tx store.WriteTx) error {
		if err := tx.Put("services", "a", []byte(`{}`), nil); err != nil {
			return err
		}
		return errors.New("no")
	}); err == nil {
		t.Fatal("no error")
	}
	if _, err := st.Update(ctx, store.Info{}, func(tx store.WriteTx) error {
		if err := tx.Put("services", "a", []byte(`{}`), nil); err != nil {
			return err
		}
		return tx.Delete("services", "a")
	}); err != nil {
		t.Fatal(err)
	}
	if lines := f.objects(audit.Query{Equal: map[string]string{"dao_name": "services"}}); len(lines) != 0 || r.Changed() != 0 {
		t.Errorf("recorded %v", lines)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	f := newFixture(t, nil)
	ctx, _ := f.as("luka")
	consumer := f.insert(ctx, "consumers", schema.Object{"username": "bob"})
	ref := schema.Object{"id": consumer.Entity["id"]}
	const secret = "very-secret-value"
	f.insert(ctx, "keyauth_credentials", schema.Object{"consumer": ref, "key": secret})
	f.insert(ctx, "basicauth_credentials", schema.Object{"consumer": ref, "username": "bu", "password": secret})
	f.insert(ctx, "hmacauth_credentials", schema.Object{"consumer": ref, "username": "hu", "secret": secret})
	f.insert(ctx, "jwt_secrets", schema.Object{"consumer": ref, "key": "issuer", "secret": secret})
	f.insert(ctx, "plugins", schema.Object{"name": "rate-limiting", "config": schema.Object{
		"minute": int64(5), "policy": "redis", "redis": schema.Object{"host": "redis.example", "password": secret},
	}})
	masked := 0
	for _, line := range f.objects(audit.Query{Size: 1000}) {
		text := fmt.Sprint(line)
		if strings.Contains(text, secret) {
			t.Errorf("a secret of %s: %s", line["dao_name"], text)
		}
		if line["removed_from_entity"] != nil {
			masked++
		}
		if line["dao_name"] == "plugins" && !strings.Contains(text, "redis.example") {
			t.Errorf("the host is gone: %s", text)
		}
		if line["dao_name"] == "jwt_secrets" && line["entity_name"] != "issuer" {
			t.Errorf("the key of a jwt secret is its name: %s", text)
		}
	}
	if masked != 5 {
		t.Errorf("%d lines have something masked", masked)
	}
}

func TestPagesAndFilters(t *testing.T) {
	f := newFixture(t, nil)
	start := f.at
	for i := range 25 {
		f.at = f.at.Add(time.Second)
		_, r := f.as(fmt.Sprintf("u%d", i%2))
		f.log.Answered(r, 400+i%2, "")
	}
	if err := f.log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := func(q audit.Query) audit.Page {
		t.Helper()
		p, err := f.log.Requests(q)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var seen []int64
	q := audit.Query{Size: 10}
	for {
		p := read(q)
		if p.Total != 25 {
			t.Errorf("total %d", p.Total)
		}
		for _, line := range p.Lines {
			at, _ := line["request_timestamp"].(int64)
			seen = append(seen, at)
		}
		if q.Offset = p.Next; p.Next == "" {
			break
		}
	}
	if len(seen) != 25 || seen[0] != start.Unix()+25 || seen[24] != start.Unix()+1 {
		t.Errorf("pages have %v", seen)
	}
	if p := read(audit.Query{Equal: map[string]string{"rbac_user_name": "u1", "status": "401"}}); len(p.Lines) != 12 {
		t.Errorf("%d lines of u1", len(p.Lines))
	}
	p := read(audit.Query{After: start.Add(5 * time.Second), Before: start.Add(10 * time.Second)})
	if len(p.Lines) != 5 || p.Lines[0]["request_timestamp"] != start.Unix()+9 || p.Lines[4]["request_timestamp"] != start.Unix()+5 {
		t.Errorf("from 5 to before 10: %v", p.Lines)
	}
	for _, bad := range []string{"x", "0000", strings.Repeat("z", 25)} {
		if _, err := f.log.Requests(audit.Query{Offset: bad}); !errors.Is(err, audit.ErrOffset) {
			t.Errorf("offset %q: %v", bad, err)
		}
	}
}

func TestRetention(t *testing.T) {
	f := newFixture(t, func(o *audit.Options) { o.MaxAge, o.MaxRecords = time.Hour, 10 })
	write := func(n int) {
		for range n {
			f.at = f.at.Add(time.Minute)
			_, r := f.as("u")
			f.log.Answered(r, 403, "no")
		}
		if err := f.log.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int, newest any) {
		if err := f.log.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		p, err := f.log.Requests(audit.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Lines) > 0 {
			newest = p.Lines[0]["request_timestamp"]
		}
		return p.Total, newest
	}
	write(25)
	if n, newest := count(); n != 10 || newest != f.at.Unix() {
		t.Errorf("%d records are left, the newest of %v", n, newest)
	}
	f.at = f.at.Add(55 * time.Minute)
	if n, _ := count(); n != 5 {
		t.Errorf("%d records are left after 55 minutes", n)
	}
	f.at = f.at.Add(time.Hour)
	if n, _ := count(); n != 0 {
		t.Errorf("%d records are left after an hour", n)
	}
	if err := f.store.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsRecorded(t *testing.T) {
	f := newFixture(t, func(o *audit.Options) {
		o.IgnoreMethods, o.IgnorePaths, o.IgnoreKinds = []string{"GET"}, []string{"/status", "/x/*"}, []string{"consumers"}
	})
	for _, test := range []struct {
		method, path string
		status       int
		want         bool
	}{
		{"GET", "/services", 200, false},
		{"GET", "/services", 401, true},
		{"GET", "/services", 403, true},
		{"GET", "/services", 429, true},
		{"POST", "/services", 400, true},
		{"POST", "/status", 200, false},
		{"POST", "/x/y", 200, false},
		{"POST", "/xy", 200, true},
	} {
		before, err := f.log.Requests(audit.Query{})
		if err != nil {
			t.Fatal(err)
		}
		f.log.Answered(&audit.Request{Method: test.method, Path: test.path, At: f.at}, test.status, "")
		if err := f.log.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := f.log.Requests(audit.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if got := after.Total > before.Total; got != test.want {
			t.Errorf("%s %s %d: recorded is %v", test.method, test.path, test.status, got)
		}
	}
	ctx, _ := f.as("u")
	f.insert(ctx, "consumers", schema.Object{"username": "bob"})
	if lines := f.objects(audit.Query{Equal: map[string]string{"dao_name": "consumers"}}); len(lines) != 0 {
		t.Errorf("recorded %v", lines)
	}
}

// TestAFloodIsBounded has more requests than there is room for, and says so.
func TestAFloodIsBounded(t *testing.T) {
	f := newFixture(t, nil)
	for range 5000 {
		_, r := f.as("u")
		f.log.Answered(r, 401, "no")
	}
	if err := f.log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := f.log.Requests(audit.Query{Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for _, line := range p.Lines {
		told = told || line["reason"] == "904 requests came too fast to be recorded"
	}
	if p.Total != 4097 || !told {
		t.Errorf("%d records, told: %v", p.Total, told)
	}
	ctx, r := f.as("many")
	entities := make([]schema.Object, 1500)
	for i := range entities {
		entities[i] = schema.Object{"username": fmt.Sprintf("c%d", i)}
	}
	if _, err := f.catalog.Replace(ctx, map[string][]schema.Object{"consumers": entities}); err != nil {
		t.Fatal(err)
	}
	if r.Changed() != 1500 {
		t.Errorf("the request changed %d", r.Changed())
	}
	page, err := f.log.Objects(audit.Query{Equal: map[string]string{"more": "500"}})
	if err != nil || len(page.Lines) != 1 {
		t.Errorf("nothing says that there are 500 more: %v %v", page.Lines, err)
	}
}

// TestWhatNodesWriteIsNotRecorded: tokens of OAuth 2.0 come and go with the traffic.
func TestWhatNodesWriteIsNotRecorded(t *testing.T) {
	f := newFixture(t, nil)
	kind := ""
	for _, def := range f.kinds.All() {
		if def.Schema.Runtime {
			kind = def.Kind()
		}
	}
	if kind == "" {
		t.Skip("no kind is written by nodes")
	}
	ctx, _ := f.as("luka")
	for i, ctx := range []context.Context{t.Context(), ctx} {
		if _, err := f.log.Store().Update(ctx, store.Info{}, func(tx store.WriteTx) error {
			return tx.Put(kind, fmt.Sprint(i), []byte(`{}`), nil)
		}); err != nil {
			t.Fatal(err)
		}
		if lines := f.objects(audit.Query{Equal: map[string]string{"dao_name": kind}}); len(lines) != i {
			t.Errorf("%d lines", len(lines))
		}
	}
}
