package function_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/function"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, function.Pre.Schema, "plugins/pre-function.json")
	schematest.AsRecorded(t, function.Post.Schema, "plugins/post-function.json")
}

func config(t testing.TB, phases map[string][]string) string {
	t.Helper()
	b, err := json.Marshal(phases)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAsRecorded(t *testing.T) {
	for _, test := range []struct {
		source string
		want   pdktest.Result
	}{
		{"kong.response.exit(201, {a=1}, {['X-A']='b'})", pdktest.Result{Status: 201, Header: [][2]string{{"X-A", "b"}, {"Content-Type", "application/json; charset=utf-8"}}, Body: `{"a":1}`}},
		{"error('boom')", pdktest.Result{Status: 500}},
		{"kong.response.error(400)", pdktest.Result{Status: 400, Header: [][2]string{{"Content-Type", "application/json; charset=utf-8"}}, Body: "{\n  \"message\":\"Bad request\",\n  \"request_id\":\"0123456789abcdef0123456789abcdef\"\n}"}},
	} {
		p := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Config: config(t, map[string][]string{"access": {test.source}})})
		r := p.Do(pdktest.Request{})
		if test.want.Status == 500 {
			if r.Err == nil || !strings.Contains(r.Err.Error(), `access: [string "error('boom')"]:1: boom`) {
				t.Errorf("%s: got %v", test.source, r.Err)
			}
			continue
		}
		if r.Status != test.want.Status || r.Body != test.want.Body {
			t.Errorf("%s: got %d %q, want %d %q, %v", test.source, r.Status, r.Body, test.want.Status, test.want.Body, r.Err)
		}
		for _, h := range test.want.Header {
			if r.Get(h[0]) != h[1] {
				t.Errorf("%s: %s is %q, want %q", test.source, h[0], r.Get(h[0]), h[1])
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                               "at least one of these fields must be non-empty",
		`{"access":["syntax error here"]}`: `error parsing pre-function: [string \"syntax error here\"]:1: '=' expected near 'error'`,
		`{"log":["return 1", "x ="]}`:      `[2] = "error parsing pre-function: [string \"x =\"]:1: unexpected symbol near '<eof>'`,
	} {
		_, err := pdktest.TryBuild(t, pdktest.Options{Plugin: function.Pre, Config: config})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
	node := pdktest.NewNode(t).WithLua(t, kit.Options{Sandbox: lua.Sandbox{Mode: lua.Off}})
	if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: function.Pre, Config: `{"access":["return 1"]}`, Node: node}); err == nil || !strings.Contains(err.Error(), "untrusted_lua") {
		t.Errorf("while untrusted_lua is off: %v", err)
	}
}

// TestKit runs snippets as people write them. Each sets X-Out of what the upstream gets.
func TestKit(t *testing.T) {
	node := pdktest.NewNode(t).WithLua(t, kit.Options{
		NodeID: "node", Sandbox: lua.Sandbox{Requires: []string{"cjson.safe", "resty.sha256", "resty.string", "ngx.base64"}},
		Vault: func(reference string) (string, error) { return "secret of " + reference, nil },
	})
	request := pdktest.Request{
		Method: "POST", Path: "/a/b?x=1&y=2&x=3&flag&e=%20z", Host: "Example.com:8080", Body: "name=joe&n=1",
		Header: [][2]string{{"X-One", "1"}, {"X-Two", "a"}, {"X-Two", "b"}, {"Content-Type", "application/x-www-form-urlencoded"}, {"Cookie", "s=abc; t=d"}},
	}
	for source, want := range map[string]string{
		"return kong.request.get_method()":                                                                                   "POST",
		"return kong.request.get_path()":                                                                                     "/a/b",
		"return kong.request.get_path_with_query()":                                                                          "/a/b?x=1&y=2&x=3&flag&e=%20z",
		"return kong.request.get_raw_query()":                                                                                "x=1&y=2&x=3&flag&e=%20z",
		"return kong.request.get_host() .. kong.request.get_scheme()":                                                        "example.comhttp",
		"return kong.request.get_query_arg('x')":                                                                             "1",
		"return tostring(kong.request.get_query_arg('flag'))":                                                                "true",
		"return kong.request.get_query_arg('e')":                                                                             " z",
		"return tostring(kong.request.get_query_arg('none'))":                                                                "nil",
		"local q = kong.request.get_query() return q.x[2] .. q.y":                                                            "32",
		"return kong.request.get_header('x-one')":                                                                            "1",
		"return kong.request.get_header('X_One')":                                                                            "1",
		"return kong.request.get_header('host')":                                                                             "Example.com:8080",
		"local h = kong.request.get_headers() return h['X-Two'][2] .. h.x_one":                                               "b1",
		"return kong.request.get_raw_body()":                                                                                 "name=joe&n=1",
		"local b, err, mime = kong.request.get_body() return b.name .. tostring(err) .. mime":                                "joenilapplication/x-www-form-urlencoded",
		"local b, err, mime = kong.request.get_body('application/json') return tostring(b) .. err .. mime":                   "nilinvalid json bodyapplication/json",
		"local b, err = kong.request.get_body('text/plain') return err":                                                      "unsupported content type 'text/plain'",
		"return kong.request.get_http_version()":                                                                             "1.1",
		"return kong.request.get_start_time()":                                                                               "1795450501000",
		"return kong.client.get_ip() .. kong.client.get_forwarded_ip()":                                                      "127.0.0.1127.0.0.1",
		"return tostring(kong.client.get_consumer()) .. tostring(kong.client.get_credential())":                              "nilnil",
		"return kong.client.get_protocol()":                                                                                  "http",
		"return kong.node.get_id()":                                                                                          "node",
		"return kong.version":                                                                                                "3.9.3",
		"return tostring(kong.router.get_route()) .. tostring(kong.router.get_service())":                                    "nilnil",
		"return kong.plugin.get_id()":                                                                                        "00000000-0000-4000-8000-000000000001",
		"return kong.vault.get('{vault://env/x}') .. tostring(kong.vault.is_reference('x'))":                                 "secret of {vault://env/x}false",
		"kong.ctx.shared.a = {1} return kong.ctx.shared.a[1] .. tostring(kong.ctx.plugin.a)":                                 "1nil",
		"ngx.ctx.b = 2 return ngx.ctx.b":                                                                                     "2",
		"return ngx.var.request_uri .. ngx.var.http_x_one .. ngx.var.arg_y .. ngx.var.cookie_t":                              "/a/b?x=1&y=2&x=3&flag&e=%20z12d",
		"return ngx.var.remote_addr .. ngx.var.host .. tostring(ngx.var.nothing)":                                            "127.0.0.1example.comnil",
		"return ngx.req.get_method() .. ngx.req.get_headers()['x-one'] .. ngx.req.get_uri_args().y":                          "POST12",
		"ngx.req.read_body() return ngx.req.get_body_data() .. ngx.req.get_post_args().n":                                    "name=joe&n=11",
		"return ngx.encode_base64('a?b') .. ngx.decode_base64('YT9i') .. tostring(ngx.decode_base64('%'))":                   "YT9ia?bnil",
		"return ngx.md5('a') .. ngx.escape_uri('a b') .. ngx.unescape_uri('a%20b')":                                          "0cc175b9c0f1b6a831c399e269772661a%20ba b",
		"return ngx.encode_base64(ngx.hmac_sha1('k', 's')) .. ngx.crc32_short('a')":                                          "Nueo+nrDeGemlbnLrTFr6LH2CI4=3904355907",
		"local m = ngx.re.match('id=42', [[(\\w+)=(?<n>\\d+)]], 'jo') return m[1] .. m.n":                                    "id42",
		"local s, n = ngx.re.gsub('a1b2', [[(\\d)]], '<$1>') return s .. n":                                                  "a<1>b<2>2",
		"local r = '' for m in ngx.re.gmatch('a1b2', '[a-z]') do r = r .. m[0] end return r":                                 "ab",
		"local from, to = ngx.re.find('xabc', 'ABC', 'i') return from .. to":                                                 "24",
		"return (ngx.re.sub('abc', 'b', function(m) return m[0]:upper() end))":                                               "aBc",
		"return ngx.encode_args({a = 'b c'}) .. ngx.decode_args('k=v').k":                                                    "a=b%20cv",
		"return ngx.cookie_time(0) .. '|' .. ngx.http_time(0)":                                                               "Thu, 01-Jan-70 00:00:00 GMT|Thu, 01 Jan 1970 00:00:00 GMT",
		"return require('cjson.safe').encode({a = ngx.null})":                                                                `{"a":null}`,
		"local d = require('resty.sha256'):new() d:update('abc') return require('resty.string').to_hex(d:final()):sub(1, 8)": "ba7816bf",
		"return require('ngx.base64').encode_base64url('a?>')":                                                               "YT8-",
		"return kong.cache:get('k', {ttl = 5}, function(v) return v end, 7) .. kong.cache:get('k')":                          "77",
		"return type(ngx.now()) .. type(ngx.time()) .. ngx.HTTP_OK .. ngx.ERR .. ngx.get_phase()":                            "numbernumber2004access",
		"local ok, e = pcall(kong.response.get_status) return tostring(e):match('cannot be called in %w+ phase')":            "cannot be called in access phase",
		"local ok, e = pcall(kong.service.request.set_path, 'x') return tostring(e):match('path must.*')":                    "path must start with /",
		"return tostring(select(2, kong.service.set_upstream('none')))":                                                      "could not find an Upstream named 'none'",
	} {
		t.Run(source, func(t *testing.T) {
			wrapped := "local v = (function() " + source + " end)() kong.service.request.set_header('X-Out', tostring(v))"
			p := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Node: node, ID: "00000000-0000-4000-8000-000000000001", Config: config(t, map[string][]string{"access": {wrapped}})})
			r := p.Do(request)
			if got := r.Upstream.Get("X-Out"); got != want || r.Err != nil {
				t.Errorf("got %q, want %q, %v", got, want, r.Err)
			}
		})
	}
}

func TestUpstreamRequest(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Config: config(t, map[string][]string{"access": {`
		local r = kong.service.request
		r.set_method('PUT') r.set_path('/new path') r.set_query({a = {1, 2}, b = true}) r.clear_header('X-Gone')
		r.set_headers({['X-Set'] = 's', ['X-List'] = {'1', '2'}}) r.add_header('X-Set', 't') r.set_header('Host', 'other.test')
		r.set_body({k = 'v w'}, 'application/x-www-form-urlencoded')
		kong.service.set_timeouts(1, 2, 3) kong.service.set_retries(7) kong.service.set_target('10.0.0.1', 99)
		kong.log.set_serialize_value('my.field', {1, 'two'})
	`}})})
	r := p.Do(pdktest.Request{Method: "POST", Path: "/old?q", Header: [][2]string{{"X-Gone", "1"}}, Body: "x"})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	up := r.Exchange.Upstream
	if r.Upstream.Method != "PUT" || r.Upstream.URL != "/new%20path?a=1&a=2&b" || r.Upstream.Body != "k=v%20w" || r.Upstream.Has("X-Gone") {
		t.Errorf("the upstream gets %+v", r.Upstream)
	}
	if up.HostHeader != "other.test" || up.Host != "10.0.0.1" || up.Port != 99 || up.Retries != 7 || up.ReadTimeout.Milliseconds() != 3 {
		t.Errorf("the upstream is %+v", up)
	}
	if diff := cmp.Diff([]pdk.LogEdit{{Key: "my.field", Value: []any{1.0, "two"}, IsAny: true}}, r.Exchange.LogEdits()); diff != "" {
		t.Error(diff)
	}
}

func TestResponsePhases(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: function.Post, Config: config(t, map[string][]string{
		"header_filter": {"kong.response.set_header('X-Status', kong.response.get_status()) kong.response.clear_header('X-Old') ngx.header['X-Source'] = kong.response.get_source() kong.response.set_status(202)"},
		"body_filter":   {"local b = kong.response.get_raw_body() if b then kong.response.set_raw_body(b:upper() .. '!') end"},
		"log":           {"kong.log.set_serialize_value('status', kong.response.get_status()) kong.log.set_serialize_value('uri', kong.log.serialize().request.uri)"},
	})})
	r := p.DoWith(pdktest.Request{}, func(*pdk.Exchange) pdktest.Response {
		return pdktest.Response{Header: [][2]string{{"X-Old", "1"}}, Body: "hello"}
	})
	if r.Err != nil || r.Status != 202 || r.Get("X-Status") != "200" || r.Get("X-Source") != "service" || r.Get("X-Old") != "" || r.Body != "HELLO!" {
		t.Errorf("got %+v", r)
	}
	if edits := r.Exchange.LogEdits(); len(edits) != 2 || edits[0].Value != 202.0 || edits[1].Value != "/" {
		t.Errorf("edits %+v", edits)
	}
}

func TestBodyFilterByPiece(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: function.Post, Config: config(t, map[string][]string{
		"body_filter": {"if ngx.arg[1] and ngx.arg[1] ~= '' then ngx.arg[1] = ngx.arg[1]:gsub('l', 'L') end"},
	})})
	if r := p.Do(pdktest.Request{}); r.Body != "heLLo" || r.Err != nil {
		t.Errorf("got %q, %v", r.Body, r.Err)
	}
}

func TestAnswers(t *testing.T) {
	for source, want := range map[string][3]string{
		"ngx.say('hi ', 1)": {"200", "text/plain", "hi 1\n"},
		"ngx.status = 404 ngx.header['Content-Type'] = 'text/x' ngx.print({'a', 'b'}) ngx.exit(404)": {"404", "text/x", "ab"},
		"ngx.exit(204)":                                  {"204", "", ""},
		"return ngx.redirect('/there', 301)":             {"301", "text/html", "<html>\r\n<head><title>301 Moved Permanently</title></head>\r\n<body>\r\n<center><h1>301 Moved Permanently</h1></center>\r\n</body>\r\n</html>\r\n"},
		"kong.response.exit(200, 'text')":                {"200", "text/plain", "text"},
		"kong.response.exit(204)":                        {"204", "", ""},
		"pcall(kong.response.exit, 418, {b = ngx.null})": {"418", "application/json; charset=utf-8", `{"b":null}`},
		"ngx.exit(ngx.OK)":                               {"200", "text/plain", "hello"},
	} {
		p := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Config: config(t, map[string][]string{"access": {source}})})
		r := p.Do(pdktest.Request{})
		if got := [3]string{lua.Number(float64(r.Status)), r.Get("Content-Type"), r.Body}; got != want || r.Err != nil {
			t.Errorf("%s: got %q, want %q, %v", source, got, want, r.Err)
		}
	}
}

func TestWhatPluginsShare(t *testing.T) {
	node := pdktest.NewNode(t)
	pre := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Node: node, ID: "00000000-0000-4000-8000-00000000000a", Config: config(t, map[string][]string{
		"access": {"kong.ctx.shared.list = {'x'} kong.ctx.plugin.mine = 'pre' ngx.ctx.n = 1"},
	})})
	post := pdktest.Build(t, pdktest.Options{Plugin: function.Post, Node: node, ID: "00000000-0000-4000-8000-00000000000b", Config: config(t, map[string][]string{
		"access": {"kong.service.request.set_header('X-Out', kong.ctx.shared.list[1] .. tostring(kong.ctx.plugin.mine) .. ngx.ctx.n)"},
	})})
	for range 3 {
		r := pdktest.Run(t, pre.NewExchange(pdktest.Request{}), []*pdktest.Plugin{pre, post}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} })
		if got := r.Upstream.Get("X-Out"); got != "xnil1" || r.Err != nil {
			t.Errorf("got %q, %v", got, r.Err)
		}
		r.Exchange.Reset()
	}
}

func TestKeptFunctions(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Config: config(t, map[string][]string{
		"access": {"local n = 0 return function() n = n + 1 kong.service.request.set_header('X-N', n) end"},
	})})
	for _, want := range []string{"1", "2", "3"} {
		if r := p.Do(pdktest.Request{}); r.Upstream.Get("X-N") != want {
			t.Errorf("got %q, want %s, %v", r.Upstream.Get("X-N"), want, r.Err)
		}
	}
}

func TestFailures(t *testing.T) {
	node := pdktest.NewNode(t).WithLua(t, kit.Options{Machines: 1, Limits: lua.Limits{Instructions: 100_000, Memory: 4 << 20}})
	for _, test := range []struct {
		name, source, want string
		request            pdktest.Request
	}{
		{"endless loop", "while true do end", lua.ErrInstructions.Error(), pdktest.Request{}},
		{"memory", "local t = {} while true do t[#t + 1] = ('x'):rep(10000) end", lua.ErrMemory.Error(), pdktest.Request{}},
		{"memory from request to request", "kong.kept = kong.kept or {} for i = 1, 1000 do table.insert(kong.kept, ('x'):rep(10000) .. i) end", lua.ErrMemory.Error(), pdktest.Request{}},
		{"body", "local b, err = kong.request.get_raw_body() error(err)", "did not fit", pdktest.Request{Method: "POST", Body: strings.Repeat("x", kit.MaxBody+1)}},
		{"body that does not fit the machine", "kong.request.get_raw_body()", lua.ErrMemory.Error(), pdktest.Request{Method: "POST", Body: strings.Repeat("x", 5<<20)}},
		{"headers", "error(kong.request.get_headers(1001))", "max_headers must be <= 1000", pdktest.Request{}},
		{"header injection", "kong.response.exit(200, nil, {['X\\nY'] = 'v'})", "invalid header name", pdktest.Request{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Node: node, Config: config(t, map[string][]string{"access": {test.source}})})
			if r := p.Do(test.request); r.Err == nil || !strings.Contains(r.Err.Error(), test.want) {
				t.Errorf("got %v, want %q", r.Err, test.want)
			}
			next := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Node: node, Config: config(t, map[string][]string{"access": {"kong.service.request.set_header('X-Ok', '1')"}})})
			if r := next.Do(pdktest.Request{}); r.Upstream.Get("X-Ok") != "1" {
				t.Errorf("afterwards: %v", r.Err)
			}
		})
	}
}

func TestManyHeaders(t *testing.T) {
	lines := make([][2]string, 5000)
	for i := range lines {
		lines[i] = [2]string{"X-" + lua.Number(float64(i)), strings.Repeat("v", 50)}
	}
	p := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Config: config(t, map[string][]string{
		"access": {"local n = 0 for k in pairs(kong.request.get_headers(1000)) do n = n + 1 end kong.service.request.set_header('X-N', n)"},
	})})
	if r := p.Do(pdktest.Request{Header: lines}); r.Upstream.Get("X-N") != "1000" {
		t.Errorf("got %q, %v", r.Upstream.Get("X-N"), r.Err)
	}
}

func BenchmarkPhases(b *testing.B) {
	for name, source := range map[string]string{
		"nothing":     "return",
		"set header":  "kong.service.request.set_header('X-A', 'b')",
		"typical":     "local h = kong.request.get_header('X-One') if h and h:match('^%d+$') then kong.ctx.shared.n = tonumber(h) kong.service.request.set_header('X-Two', h .. '!') end",
		"all headers": "for k, v in pairs(kong.request.get_headers()) do kong.ctx.shared[k] = v end",
	} {
		b.Run(name, func(b *testing.B) {
			p := pdktest.Build(b, pdktest.Options{Plugin: function.Pre, Config: config(b, map[string][]string{"access": {source}})})
			x := new(pdk.Exchange)
			request := pdktest.Request{Header: [][2]string{{"X-One", "17"}, {"Accept", "*/*"}, {"User-Agent", "bench"}}}
			b.ReportAllocs()
			for b.Loop() {
				pdktest.Fill(x, request)
				if err := p.Phases.Access(x); err != nil {
					b.Fatal(err)
				}
				x.Reset()
			}
		})
	}
}

func TestRewrite(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: function.Pre, Config: config(t, map[string][]string{
		"rewrite": {"kong.service.request.set_method('PUT') kong.service.request.set_query({a = 1, b = 2}) kong.service.request.clear_query_arg('b')"},
	})})
	x := p.NewExchange(pdktest.Request{Path: "/x?old=1"})
	if err := p.Phases.Rewrite(x); err != nil {
		t.Fatal(err)
	}
	// Routing makes what the upstream gets of the request.
	if x.Request.Method != "PUT" || x.Request.RawQuery != "a=1" || x.Upstream.RawQuery != "a=1" {
		t.Errorf("the request is %s ?%s, the upstream gets ?%s", x.Request.Method, x.Request.RawQuery, x.Upstream.RawQuery)
	}
}
