package basicauth_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/shared/plugins/basicauth"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// recorded is what Kong made of the password "bp" of bob.
const recorded = "423de2d43a0b9e249b23c670196ee2d9d17c57f8"

func process(t *testing.T, password string, op schema.Op, stored schema.Object) (schema.Object, error) {
	t.Helper()
	return basicauth.Credentials.Schema.Process(schema.Object{
		"id": "00000004-0000-4000-8000-000000000002", "username": "bu", "password": password, "consumer": schema.Object{"id": bobID},
	}, op, stored)
}

func must(t *testing.T, password string, op schema.Op, stored schema.Object) schema.Object {
	t.Helper()
	o, err := process(t, password, op, stored)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestPasswordsAreHashed(t *testing.T) {
	for _, op := range []schema.Op{schema.Insert, schema.Upsert, schema.Update} {
		var before schema.Object
		if op == schema.Update {
			before = must(t, "other", schema.Insert, nil)
		}
		o := must(t, "bp", op, before)
		text, _ := o["password"].(string)
		if !strings.HasPrefix(text, "$argon2id$v=19$m=7168,t=5,p=1$") || !basicauth.Verify(text, "bp", bobID) || basicauth.Verify(text, "bq", bobID) {
			t.Fatalf("op %d: %s", op, text)
		}
		same := must(t, "bp", schema.Update, o)
		if same["password"] != text {
			t.Errorf("the same password again: %v", same["password"])
		}
		same, err := basicauth.Credentials.Schema.Process(schema.Object{"tags": []any{"x"}}, schema.Update, o)
		if err != nil || same["password"] != text {
			t.Errorf("after an update of something else: %v, %v", same["password"], err)
		}
		if same = must(t, text, schema.Upsert, o); same["password"] != text {
			t.Errorf("written back as it was read: %v", same["password"])
		}
		if same = must(t, text, schema.Insert, nil); same["password"] != text {
			t.Errorf("written elsewhere as it was read: %v", same["password"])
		}
		if again := must(t, "new", schema.Update, o); again["password"] == text || !basicauth.Verify(again["password"].(string), "new", bobID) {
			t.Errorf("another password: %v", again["password"])
		}
	}
}

// TestKongsForm has a recorded password and what became of it, through an import, the
// upgrade, and all imports after it.
func TestKongsForm(t *testing.T) {
	if basicauth.Digest("bp", bobID) != recorded {
		t.Fatal("Kong's form is another one")
	}
	inClear := must(t, "bp", schema.Declare, nil)
	if inClear["password"] != recorded {
		t.Errorf("declared in clear: %v", inClear["password"])
	}
	for op, given := range map[schema.Op]string{schema.DeclareStored: recorded, schema.Declare: basicauth.KongMark + recorded} {
		o := must(t, given, op, nil)
		if o["password"] != recorded || !basicauth.Credentials.Schema.Outdated(o) {
			t.Fatalf("imported: %v", o["password"])
		}
		better := basicauth.Upgrade(o)
		text, _ := better["password"].(string)
		if !strings.HasPrefix(text, "$sha1+argon2id$") || !basicauth.Verify(text, "bp", bobID) || basicauth.Verify(text, recorded, bobID) || basicauth.Verify(text, "bp", "other") {
			t.Fatalf("upgraded: %s", text)
		}
		if basicauth.Credentials.Schema.Outdated(better) || o["password"] != recorded {
			t.Error("the upgrade is not done, or has changed what was stored")
		}
		for _, again := range []struct {
			op    schema.Op
			given string
			kept  bool
		}{
			{schema.DeclareStored, recorded, true},
			{schema.DeclareStored, text, true},
			{schema.Declare, "bp", true},
			{schema.Declare, basicauth.KongMark + recorded, true},
			{schema.Declare, "bq", false},
			{schema.DeclareStored, strings.Repeat("0", 40), false},
		} {
			got := must(t, again.given, again.op, better)
			if kept := got["password"] == text; kept != again.kept {
				t.Errorf("import %d of %q over it: %v", again.op, again.given, got["password"])
			}
		}
	}
	// Hashes are not passwords: what looks like Kong's form is a password on other ways.
	if o := must(t, recorded, schema.Insert, nil); !basicauth.Verify(o["password"].(string), recorded, bobID) {
		t.Errorf("a password of 40 hex digits: %v", o["password"])
	}
}

func TestHashesThatAreRefused(t *testing.T) {
	const salt, key = "c2FsdHNhbHRzYWx0c2FsdA", "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U"
	for _, costly := range []string{
		"$argon2id$v=19$m=1048576,t=1,p=1$" + salt + "$" + key, "$argon2id$v=19$m=8,t=4000000,p=1$" + salt + "$" + key,
		"$sha1+argon2id$v=19$m=8,t=1,p=255$" + salt + "$" + key, "$2b$31$" + strings.Repeat("a", 53),
	} {
		for _, op := range []schema.Op{schema.Insert, schema.Declare, schema.DeclareStored} {
			if _, err := process(t, costly, op, nil); err == nil || !strings.Contains(err.Error(), "takes too much to check") {
				t.Errorf("%s: %v", costly, err)
			}
		}
	}
	if _, err := process(t, "in clear", schema.DeclareStored, nil); err == nil || !strings.Contains(err.Error(), "password: expected a hash") {
		t.Errorf("a password in clear: %v", err)
	}
	for _, odd := range []string{
		"$argon2id$", "$argon2id$v=18$m=8,t=1,p=1$" + salt + "$" + key, "$argon2id$v=19$m=0,t=1,p=1$" + salt + "$" + key, "$argon2id$v=19$m=8,t=1$" + salt + "$" + key,
		"$argon2id$v=19$m=8,t=1,p=1$!$" + key, "$argon2id$v=19$m=8,t=1,p=1$" + salt + "$short", "$2b$10$short", "$kong-sha1$xyz",
	} {
		o := must(t, odd, schema.Insert, nil) // it is a password like any other
		if text := o["password"].(string); text == odd || !basicauth.Verify(text, odd, bobID) {
			t.Errorf("%s became %s", odd, text)
		}
		if basicauth.Verify(odd, "x", bobID) {
			t.Errorf("%s lets x in", odd)
		}
	}
}

func TestVerdicts(t *testing.T) {
	v := basicauth.NewVerdicts()
	stored := basicauth.Hash("good")
	check := func(id, stored, password string) bool {
		t.Helper()
		good, err := v.Check(id, stored, password, bobID)
		if err != nil {
			t.Fatal(err)
		}
		return good
	}
	for range 3 {
		if !check("a", stored, "good") || check("a", stored, "bad") || check("a", stored, "") {
			t.Fatal("wrong verdict")
		}
	}
	if v.Len() != 3 {
		t.Errorf("%d are remembered", v.Len())
	}
	// Another form of the credential is another matter.
	if other := basicauth.Hash("other"); check("a", other, "good") || !check("a", other, "other") {
		t.Error("the verdict on the form before counts")
	}
	allocations := testing.AllocsPerRun(100, func() {
		if good, err := v.Check("a", stored, "good", bobID); !good || err != nil {
			t.Error("wrong verdict")
		}
		if good, err := v.Check("k", recorded, "bp", bobID); !good || err != nil {
			t.Error("wrong verdict on Kong's form")
		}
	})
	if allocations != 0 {
		t.Errorf("a hit takes %v allocations", allocations)
	}
	for i := range 3 * basicauth.Most {
		v.Learn("x", "y", fmt.Sprint(i))
	}
	if n := v.Len(); n > basicauth.Most || n < basicauth.Most/2 {
		t.Errorf("%d are remembered", n)
	}
	v.Fill(512)
	if _, err := v.Check("a", stored, "never seen", bobID); !errors.Is(err, basicauth.Busy) {
		t.Errorf("too many wait: %v", err)
	}
	if good, err := v.Check("x", "y", fmt.Sprint(3*basicauth.Most-1), bobID); !good || err != nil {
		t.Error("what is known must be known although many wait")
	}
}

func TestEqualChecksAreOne(t *testing.T) {
	v := basicauth.NewVerdicts()
	stored := basicauth.Hash("good")
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			password := []string{"good", "bad"}[i%2]
			if good, err := v.Check("a", stored, password, bobID); err != nil || good != (i%2 == 0) {
				t.Errorf("%s: %v %v", password, good, err)
			}
		})
	}
	wait.Wait()
	if v.Len() != 2 {
		t.Errorf("%d are remembered", v.Len())
	}
}

func BenchmarkCheck(b *testing.B) {
	v := basicauth.NewVerdicts()
	stored := basicauth.Hash("good")
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = v.Check("a", stored, "good", bobID)
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			basicauth.Verify(stored, "good", bobID)
		}
	})
}
