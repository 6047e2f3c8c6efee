package payload_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk/payload"
)

const (
	formType  = "application/x-www-form-urlencoded; charset=utf-8"
	jsonType  = "Application/JSON"
	partsType = `multipart/form-data; boundary="xx y"`
)

func part(name, value string) string {
	return "--xx y\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

func TestEdit(t *testing.T) {
	file := "--xx y\r\nContent-Type: image/png\r\nContent-Disposition: form-data; filename=\"f\"; name=\"f\"\r\n\r\n\x00\r\n\x01\r\n"
	end := "--xx y--\r\n"
	for _, test := range []struct {
		name, contentType, body string
		edit                    func(p *payload.Payload)
		want                    string
	}{
		{"form untouched", formType, "a=1&b=%zz+&a=2&&c", func(*payload.Payload) {}, "a=1&b=%zz+&a=2&c"},
		{"form remove", formType, "a=1&b=2&%61=3", func(p *payload.Payload) { p.Del("a") }, "b=2"},
		{"form set", formType, "a=1&b=2&a=3", func(p *payload.Payload) { p.Set("a", "x y"); p.Set("c", "ä") }, "a=x%20y&b=2&c=%C3%A4"},
		{"form add", formType, "a=1", func(p *payload.Payload) { p.Add("a", "2") }, "a=1&a=2"},
		{"form rename", formType, "a=1&b=2", func(p *payload.Payload) { p.Rename("a", "b"); p.Rename("z", "a") }, "b=1"},
		{"form empty", formType, "", func(p *payload.Payload) { p.Add("a", "") }, "a="},
		{"json untouched", jsonType, ` {"a": 1.50, "b": {"c": [1, 2]}, "d": "\u00e4"}`, func(*payload.Payload) {}, `{"a":1.50,"b":{"c": [1, 2]},"d":"\u00e4"}`},
		{"json remove", jsonType, `{"a":1,"b":2}`, func(p *payload.Payload) { p.Del("a") }, `{"b":2}`},
		{"json set", jsonType, `{"a":1,"b":2}`, func(p *payload.Payload) { p.Set("a", `"`); p.SetJSON("c", "true") }, `{"a":"\"","b":2,"c":true}`},
		{"json add", jsonType, `{"a":1,"b":[2],"c":[]}`, func(p *payload.Payload) { p.Add("a", "x"); p.AddJSON("b", "3"); p.Add("c", "y"); p.Add("d", "z") }, `{"a":["x"],"b":[2,3],"c":["y"],"d":["z"]}`},
		{"json rename", jsonType, `{"a":1,"b":2}`, func(p *payload.Payload) { p.Rename("a", "b") }, `{"b":1}`},
		{"json repeated", jsonType, `{"a":1,"a":2}`, func(*payload.Payload) {}, `{"a":2}`},
		{"parts untouched", partsType, "preamble\r\n" + file + part("a", "1") + end + "after", func(*payload.Payload) {}, file + part("a", "1") + end + "after"},
		{"parts remove", partsType, part("a", "1") + part("b", "2") + end, func(p *payload.Payload) { p.Del("a") }, part("b", "2") + end},
		{"parts set", partsType, part("a", "1") + end, func(p *payload.Payload) { p.Set("a", "2"); p.Set("b", "3") }, part("a", "2") + part("b", "3") + end},
		{"parts rename", partsType, file + part("a", "1") + end, func(p *payload.Payload) { p.Rename("f", "g"); p.Rename("a", "b") }, strings.Replace(file, `; name="f"`, `; name="g"`, 1) + part("b", "1") + end},
		{"parts none", partsType, end, func(p *payload.Payload) { p.Add("a", "1") }, part("a", "1") + end},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := payload.Parse(test.contentType, []byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			test.edit(p)
			if got := string(p.Encode()); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestLookUp(t *testing.T) {
	for _, test := range []struct {
		contentType, body, value string
		text                     bool
		count                    int
	}{
		{formType, "k=a%20b&k=c&x", "a b", true, 2},
		{formType, "x=k", "", false, 0},
		{jsonType, `{"k":"a\nb"}`, "a\nb", true, 1},
		{jsonType, `{"k":[1]}`, "[1]", false, 1},
		{partsType, part("x", "k") + part("k", "v") + "--xx y--", "v", true, 1},
		{partsType, "--xx y\r\n\r\nno head\r\n" + "--xx y--", "", false, 0},
	} {
		p, err := payload.Parse(test.contentType, []byte(test.body))
		if err != nil {
			t.Fatal(err)
		}
		value, text, ok := p.Get("k")
		if value != test.value || text != test.text || ok != (test.count > 0) || p.Count("k") != test.count {
			t.Errorf("%q: got %q, %v, %d times", test.body, value, text, p.Count("k"))
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, test := range []struct{ contentType, body string }{
		{jsonType, ``},
		{jsonType, `[1]`},
		{jsonType, `{"a":1`},
		{jsonType, `{"a":}`},
		{jsonType, `{"a":1} x`},
		{jsonType, `{1:1}`},
		{formType, strings.Repeat("a&", payload.MaxArguments+1)},
		{"multipart/form-data", "x"},
		{partsType, "x"},
		{partsType, "--xx yz"},
		{partsType, "--xx y\r\na: b"},
		{partsType, "--xx y\r\na: b\r\n--xx y--"},
	} {
		if _, err := payload.Parse(test.contentType, []byte(test.body)); !errors.Is(err, payload.ErrMalformed) {
			t.Errorf("%s %q: got %v", test.contentType, test.body, err)
		}
	}
	for _, contentType := range []string{"", "text/plain", "application/jsonx", ";"} {
		if _, err := payload.Parse(contentType, nil); err == nil || payload.KindOf(contentType) != payload.None {
			t.Errorf("%q was taken", contentType)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(formType, "a=1&b=%41")
	f.Add(jsonType, `{"a":1,"b":"x"}`)
	f.Add(partsType, part("a", "1")+"--xx y--\r\n")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		p, err := payload.Parse(contentType, []byte(body))
		if err != nil {
			return
		}
		again, err := payload.Parse(contentType, p.Encode())
		if err != nil || again.Len() != p.Len() {
			t.Errorf("%q became %q: %v", body, p.Encode(), err)
		}
		p.Rename("a", "b")
		p.Del("b")
		if p.Has("b") {
			t.Error("b is still there")
		}
	})
}
