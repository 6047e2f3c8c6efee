package admin_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
)

// with adds headers to others.
func with(base, more headers) headers {
	out := maps.Clone(base)
	if out == nil {
		out = headers{}
	}
	maps.Copy(out, more)
	return out
}

func TestETag(t *testing.T) {
	s := newServer(t, nil)
	first := s.do("POST", "/services", asJSON, `{"name":"s","host":"h"}`).is(201).header.Get("ETag")
	if len(first) != 34 || s.do("GET", "/services/s", nil, "").is(200).header.Get("ETag") != first {
		t.Fatalf("ETag of what was made is %q", first)
	}
	s.do("GET", "/services/s", headers{"If-None-Match": first}, "").is(304)
	s.do("GET", "/services/s", headers{"If-None-Match": `"x", W/` + first}, "").is(304)
	s.do("GET", "/services/s", headers{"If-None-Match": `"x"`}, "").is(200)
	s.do("GET", "/services/s", headers{"If-None-Match": `x`}, "").is(200)
	list := s.do("GET", "/services", nil, "").is(200).header.Get("ETag")
	s.do("HEAD", "/services", headers{"If-None-Match": list}, "").is(304)
	if got := s.do("GET", "/status", nil, "").header.Get("ETag"); got != "" {
		t.Errorf("ETag of the status is %q", got)
	}

	failed := s.do("PATCH", "/services/s", with(asJSON, headers{"If-Match": `"x"`}), `{"port":81}`).is(412).says("If-Match: the entity is another one by now")
	if failed.header.Get("ETag") != first {
		t.Errorf("a refusal says ETag %q", failed.header.Get("ETag"))
	}
	second := s.do("PATCH", "/services/s", with(asJSON, headers{"If-Match": `"x", ` + first}), `{"port":81}`).is(200).header.Get("ETag")
	if second == first {
		t.Error("a change left the ETag")
	}
	s.do("PUT", "/services/s", with(asJSON, headers{"If-Match": first}), `{"host":"i"}`).is(412)
	third := s.do("PUT", "/services/s", with(asJSON, headers{"If-Match": "W/" + second}), `{"host":"i"}`).is(200).header.Get("ETag")
	s.do("PUT", "/services/s", with(asJSON, headers{"If-None-Match": "*"}), `{"host":"j"}`).is(412).says("If-None-Match: the entity is there")
	s.do("PUT", "/services/new", with(asJSON, headers{"If-None-Match": "*"}), `{"host":"j"}`).is(200)
	s.do("PUT", "/services/none", with(asJSON, headers{"If-Match": "*"}), `{"host":"j"}`).is(412).says("there is no such entity")
	s.do("GET", "/services/none", nil, "").is(404)
	s.do("DELETE", "/services/s", headers{"If-Match": second}, "").is(412)
	s.do("DELETE", "/services/none", headers{"If-Match": second}, "").is(412)
	s.do("GET", "/services/s", nil, "").is(200).says(`"host":"i"`)
	s.do("DELETE", "/services/s", headers{"If-Match": third}, "").is(204)
	s.do("DELETE", "/services/new", headers{"If-Match": "*"}, "").is(204)
	for _, bad := range []string{"x", `"x`, `"x" "y"`, `W/`, `"x", *`} {
		s.do("DELETE", "/services/none", headers{"If-Match": bad}, "").is(400).says("is no list of entity tags")
		s.do("PATCH", "/services/none", with(asJSON, headers{"If-None-Match": bad}), `{}`).is(400)
	}
}

// TestETagBelow uses conditions where an entity is written by another way than its own path.
func TestETagBelow(t *testing.T) {
	s := newServer(t, nil)
	tag := s.do("POST", "/services", asJSON, `{"name":"s","host":"h"}`).is(201).header.Get("ETag")
	s.do("POST", "/services/s/routes", asJSON, `{"name":"r","paths":["/"]}`).is(201)
	if got := s.do("GET", "/routes/r/service", nil, "").is(200).header.Get("ETag"); got != tag {
		t.Errorf("through its route the service has the ETag %q, want %q", got, tag)
	}
	s.do("PATCH", "/routes/r/service", with(asJSON, headers{"If-Match": `"x"`}), `{"port":81}`).is(412)
	s.do("PATCH", "/routes/r/service", with(asJSON, headers{"If-Match": tag}), `{"port":81}`).is(200)
	s.do("PUT", "/routes/r/service", with(asJSON, headers{"If-Match": tag}), `{"host":"i"}`).is(412)
	s.do("PATCH", "/services/s/routes/r", with(asJSON, headers{"If-Match": `"x"`}), `{"paths":["/a"]}`).is(412)
	s.do("DELETE", "/services/s/routes/r", headers{"If-Match": `"x"`}, "").is(412)

	// What counts down is no change.
	s.do("POST", "/consumers", asJSON, `{"username":"u"}`).is(201)
	key := s.do("POST", "/consumers/u/key-auth", asJSON, `{"key":"k","ttl":1000}`).is(201).header.Get("ETag")
	s.do("PATCH", "/consumers/u/key-auth/k", with(asJSON, headers{"If-Match": key}), `{"tags":["t"]}`).is(200)
}

func TestCompression(t *testing.T) {
	s := newServer(t, nil)
	asked := headers{"Accept-Encoding": "br;q=1.0, gzip;q=0.5"}
	plain := s.do("GET", "/schemas/upstreams", headers{"Accept-Encoding": "identity"}, "").is(200)
	if plain.header.Get("Content-Encoding") != "" || plain.header.Get("Vary") != "" {
		t.Errorf("what was not asked for: %v", plain.header)
	}
	small := s.do("GET", "/schemas/upstreams", asked, "").is(200)
	if small.header.Get("Content-Encoding") != "gzip" || small.header.Get("Vary") != "Accept-Encoding" || len(small.body) >= len(plain.body) {
		t.Fatalf("%d bytes of %d: %v", len(small.body), len(plain.body), small.header)
	}
	r, err := gzip.NewReader(strings.NewReader(small.body))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != plain.body {
		t.Errorf("another body: %v", err)
	}
	tag := small.header.Get("ETag")
	if tag != "W/"+plain.header.Get("ETag") {
		t.Errorf("ETag %q, uncompressed %q", tag, plain.header.Get("ETag"))
	}
	s.do("GET", "/schemas/upstreams", with(asked, headers{"If-None-Match": tag}), "").is(304)
	for _, no := range []string{"gzip;q=0", "*;q=0", "br", "", "gzip;q=x"} {
		if got := s.do("GET", "/schemas/upstreams", headers{"Accept-Encoding": no}, "").header.Get("Content-Encoding"); got != "" {
			t.Errorf("Accept-Encoding %q gave %s", no, got)
		}
	}
	if got := s.do("GET", "/schemas/upstreams", headers{"Accept-Encoding": "*"}, "").header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("Accept-Encoding * gave %q", got)
	}
	if got := s.do("GET", "/services", asked, "").header.Get("Content-Encoding"); got != "" {
		t.Error("a body of some bytes is compressed")
	}
}

func TestCompressedBodies(t *testing.T) {
	s := newServer(t, func(o *admin.Options) { o.MaxBody = 1 << 16 })
	zip := func(text string) string {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	coded := headers{"Content-Encoding": "gzip"}
	s.do("POST", "/services", with(asJSON, coded), zip(`{"name":"a","host":"h"}`)).is(201)
	s.do("POST", "/services", with(asForm, coded), zip(`name=b&host=h`)).is(201)
	s.do("POST", "/services", with(asJSON, headers{"Content-Encoding": "identity"}), `{"name":"c","host":"h"}`).is(201)
	s.do("POST", "/services", with(asJSON, coded), `{"name":"d","host":"h"}`).is(400).says("cannot decompress the request body")
	whole := zip(`{"name":"d","host":"h"}`)
	s.do("POST", "/services", with(asJSON, coded), whole[:len(whole)-6]).is(400)
	s.do("POST", "/services", with(asJSON, coded), zip(strings.Repeat(" ", 1<<17))).is(http.StatusRequestEntityTooLarge)
	refused := s.do("POST", "/services", with(asJSON, headers{"Content-Encoding": "br"}), "x").is(415).says("Content-Encoding 'br' is not supported")
	if refused.header.Get("Accept-Encoding") != "gzip" {
		t.Errorf("a refusal says Accept-Encoding %q", refused.header.Get("Accept-Encoding"))
	}
	s.do("GET", "/services/d", nil, "").is(404)
}
