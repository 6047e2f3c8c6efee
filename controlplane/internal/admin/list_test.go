package admin_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

type rows struct {
	Data []struct {
		Name, Username, Target string
	}
	Next, Offset string
}

func (r rows) names() string {
	var out []string
	for _, e := range r.Data {
		out = append(out, e.Name+e.Username+e.Target)
	}
	return strings.Join(out, " ")
}

func TestNameContains(t *testing.T) {
	s := newServer(t, nil)
	for i, name := range []string{"pay-api", "PAYMENTS", "shop", "repay~ä", "other"} {
		s.do("PUT", fmt.Sprintf("/services/00000000-0000-4000-8000-%012d", i), asJSON, `{"name":"`+name+`","host":"pay.example","tags":["pay"]}`).is(200)
	}
	s.do("POST", "/services", asJSON, `{"host":"pay"}`).is(201)
	list := func(path string) rows {
		t.Helper()
		var got rows
		s.do("GET", path, nil, "").is(200).into(&got)
		return got
	}
	if got := list("/services?name_contains=pay").names(); got != "pay-api PAYMENTS repay~ä" {
		t.Errorf("names with pay: %s", got)
	}
	if got := list("/services?name_contains=" + url.QueryEscape("ä")).names(); got != "repay~ä" {
		t.Errorf("names with ä: %s", got)
	}
	if got := list("/services?name_contains=pay&tags=pay").names(); got != "pay-api PAYMENTS repay~ä" {
		t.Errorf("names with pay and tags: %s", got)
	}
	if got := list("/services?name_contains=nope").names(); got != "" {
		t.Errorf("names with nope: %s", got)
	}
	first := list("/services?name_contains=pay&size=2&tags=pay")
	if first.names() != "pay-api PAYMENTS" || first.Next != "/services?offset="+first.Offset+"&tags=pay&size=2&name_contains=pay" {
		t.Fatalf("first page: %+v", first)
	}
	if second := list(first.Next); second.names() != "repay~ä" || second.Next != "" {
		t.Errorf("second page: %+v", second)
	}
	s.do("POST", "/services/shop/routes", asJSON, `{"name":"pay-in","paths":["/a"]}`).is(201)
	s.do("POST", "/services/shop/routes", asJSON, `{"name":"out","paths":["/b"]}`).is(201)
	if got := list("/services/shop/routes?name_contains=PAY").names(); got != "pay-in" {
		t.Errorf("routes of shop with PAY: %s", got)
	}
	s.do("POST", "/consumers", asJSON, `{"username":"a \"quoted\" name"}`).is(201)
	if got := list("/consumers?name_contains=" + url.QueryEscape(`"Quoted"`)).names(); got != `a "quoted" name` {
		t.Errorf("consumers: %s", got)
	}
	s.do("GET", "/certificates?name_contains=x", nil, "").is(400).says("invalid option (name_contains: cannot be used with 'certificates')")
}

func TestTargetsByAge(t *testing.T) {
	s := newServer(t, nil)
	s.do("POST", "/upstreams", asJSON, `{"name":"u"}`).is(201)
	for i := range 3 {
		body := fmt.Sprintf(`{"target":"h%d:1","created_at":%d.5,"tags":["t%d"]}`, i, 1000+i, i)
		s.do("POST", "/upstreams/u/targets", asJSON, body).is(201)
	}
	var got rows
	s.do("GET", "/upstreams/u/targets?size=2&tags=t1", nil, "").is(200).into(&got)
	if got.names() != "h2:1 h1:1" || got.Next != "/upstreams/u/targets?offset=2" {
		t.Fatalf("first page: %+v", got)
	}
	var rest rows
	s.do("GET", got.Next, nil, "").is(200).into(&rest)
	if rest.names() != "h0:1" || rest.Next != "" {
		t.Errorf("second page: %+v", rest)
	}
	s.do("GET", "/upstreams/u/targets?offset=x", nil, "").is(400).says("'x' is not a valid offset")
	s.do("GET", "/upstreams/u/targets?offset=9", nil, "").is(200).says(`"data":[]`)
	s.do("GET", "/upstreams/u/targets/all?size=2", nil, "").is(200).into(&got)
	if !strings.HasPrefix(got.Next, "/upstreams/u/targets/all?offset=W") {
		t.Errorf("next of all: %s", got.Next)
	}
	// Kong changes targets by PUT, but makes none.
	s.do("PUT", "/upstreams/u/targets/h9:1", asJSON, `{"weight":1}`).is(404)
	s.do("PUT", "/upstreams/u/targets/h1:1", asJSON, `{"weight":7}`).is(200).says(`"tags":["t1"]`).says(`"weight":7`)
	s.do("POST", "/upstreams/u/targets/h1:1/healthy", nil, "").is(405)
	s.do("PUT", "/upstreams/u/targets/h1:1/healthy", nil, "").is(204)
}

// TestKeys asks for entities by what can't be a key of theirs.
func TestKeys(t *testing.T) {
	s := newServer(t, nil)
	for _, path := range []string{"/services/a%20b", "/services/a%20b/routes", "/plugins/a%20b", "/certificates/1.2.3.4", "/ca_certificates/x"} {
		s.do("GET", path, nil, "").is(400).says("invalid ")
	}
	for _, method := range []string{"PATCH", "PUT", "DELETE"} {
		s.do(method, "/services/a%20b", asJSON, `{"host":"h"}`).is(400).says(`"name":"invalid unique name"`).says(`"code":10`)
	}
	s.do("GET", "/ca_certificates/x", nil, "").is(400).says(`"message":"invalid primary key: '{id=\"expected a valid UUID\"}'"`).says(`"code":1`)
	s.do("GET", "/consumers?custom_id=", nil, "").is(400).says("custom_id must be an unempty string")
	for filter, why := range map[string]string{
		",a": "invalid filter syntax", "a,,b": "invalid filter syntax", "a/b,c": "invalid filter syntax", "a%00": "invalid filter syntax",
		"a,b,c,d,e,f": "cannot query more than 5 tags", "": "cannot be null",
	} {
		s.do("GET", "/services?tags="+filter, nil, "").is(400).says("invalid option (tags: " + why + ")")
	}
	s.do("GET", "/services?tags=a/b/", nil, "").is(200)
	s.do("GET", "/services?"+strings.Repeat("a=1&", 1001), nil, "").is(400).says("Too many arguments")
	s.do("POST", "/services", asForm, strings.Repeat("a=1&", 1001)).is(400).says("Too many arguments")
}

// TestViews writes what an item refers to.
func TestViews(t *testing.T) {
	s := newServer(t, nil)
	s.do("POST", "/routes", asJSON, `{"name":"r","paths":["/"]}`).is(201)
	s.do("GET", "/routes/r/service", nil, "").is(404)
	s.do("DELETE", "/routes/r/service", nil, "").is(404)
	s.do("PATCH", "/routes/r/service", asJSON, `{"host":"h"}`).is(404)
	s.do("PUT", "/routes/nope/service", asJSON, `{"host":"h"}`).is(404)
	s.do("PUT", "/routes/r/service", asJSON, `{"host":5}`).is(400)
	var made struct{ ID string }
	s.do("PUT", "/routes/r/service", asJSON, `{"host":"h"}`).is(200).into(&made)
	s.do("GET", "/routes/r", nil, "").is(200).says(`"service":{"id":"` + made.ID + `"}`)
	s.do("PUT", "/routes/r/service", asJSON, `{"host":"i"}`).is(200).says(made.ID)
	if got := s.do("DELETE", "/routes/r/service", nil, "").is(405).header.Get("Allow"); got != "GET, HEAD, OPTIONS, PATCH, PUT" {
		t.Errorf("Allow: %s", got)
	}
}
