package main

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/go-chi/chi/v5"
	"github.com/julienschmidt/httprouter"
)

// engine builds the routes of a set and returns a match of one request. An error of build
// says why it can not have the set.
type engine struct {
	name  string
	build func(s *set) (match func(q *http.Request) bool, err error)
}

var (
	errHosts   = errors.New("no wildcard hosts")
	errRegex   = errors.New("no regular expressions")
	errHeaders = errors.New("no headers")
	errHost    = errors.New("no hosts")
)

var engines = []engine{{"net/http ServeMux", serveMux}, {"httprouter", httpRouter}, {"chi", chiRouter}, {"Caddy matchers", caddyMatchers}}

func cannot(s *set, hosts bool) error {
	for _, r := range s.Routes {
		switch {
		case len(r.Headers) > 0:
			return errHeaders
		case r.Regex != "":
			return errRegex
		case r.Host != "" && !hosts:
			return errHost
		case strings.HasPrefix(r.Host, "*"):
			return errHosts
		}
	}
	return nil
}

// built turns the panics with which routers refuse routes into errors.
func built(add func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("refuses the routes: %.80s", fmt.Sprint(p))
		}
	}()
	add()
	return nil
}

// longestBuild bounds a build: some routers take a time that is quadratic in their routes.
const longestBuild = 20 * time.Second

// patience returns a function to call with each route, which panics when the build takes
// too long.
func patience(s *set) func(i int) {
	began := time.Now()
	return func(i int) {
		if i%256 == 0 && time.Since(began) > longestBuild {
			panic(fmt.Sprintf("%d of %d after %s", i, len(s.Routes), longestBuild))
		}
	}
}

func serveMux(s *set) (func(*http.Request) bool, error) {
	if err := cannot(s, true); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	wait := patience(s)
	err := built(func() {
		for i, r := range s.Routes {
			wait(i)
			pattern := r.Host + r.Pattern
			if r.Prefix != "" {
				pattern = r.Host + strings.TrimSuffix(r.Prefix, "/") + "/"
			}
			if r.Method != "" {
				pattern = r.Method + " " + pattern
			}
			mux.Handle(pattern, http.NotFoundHandler())
		}
	})
	return func(q *http.Request) bool { _, pattern := mux.Handler(q); return pattern != "" }, err
}

func httpRouter(s *set) (func(*http.Request) bool, error) {
	if err := cannot(s, false); err != nil {
		return nil, err
	}
	router := httprouter.New()
	wait := patience(s)
	err := built(func() {
		for i, r := range s.Routes {
			wait(i)
			pattern := strings.NewReplacer("{", ":", "}", "").Replace(r.Pattern)
			if r.Prefix != "" {
				pattern = strings.TrimSuffix(r.Prefix, "/") + "/*rest"
			}
			router.Handle(orGet(r.Method), pattern, func(http.ResponseWriter, *http.Request, httprouter.Params) {})
		}
	})
	return func(q *http.Request) bool { h, _, _ := router.Lookup(q.Method, q.URL.Path); return h != nil }, err
}

func chiRouter(s *set) (func(*http.Request) bool, error) {
	if err := cannot(s, false); err != nil {
		return nil, err
	}
	router := chi.NewRouter()
	wait := patience(s)
	err := built(func() {
		for i, r := range s.Routes {
			wait(i)
			pattern := r.Pattern
			if r.Prefix != "" {
				pattern = strings.TrimSuffix(r.Prefix, "/") + "/*"
			}
			router.Method(orGet(r.Method), pattern, http.NotFoundHandler())
		}
	})
	c := chi.NewRouteContext()
	return func(q *http.Request) bool { c.Reset(); return router.Match(c, q.Method, q.URL.Path) }, err
}

func orGet(method string) string {
	if method == "" {
		return http.MethodGet
	}
	return method
}

// caddyMatchers tries the routes in their order, as Caddy does.
func caddyMatchers(s *set) (func(*http.Request) bool, error) {
	var list []caddyhttp.MatcherSet
	for _, r := range s.Routes {
		var m caddyhttp.MatcherSet
		var provision []caddy.Provisioner
		if r.Method != "" {
			m = append(m, caddyhttp.MatchMethod{r.Method})
		}
		if r.Host != "" {
			h := caddyhttp.MatchHost{r.Host}
			provision, m = append(provision, h), append(m, h)
		}
		if len(r.Headers) > 0 {
			h := caddyhttp.MatchHeader{}
			for name, value := range r.Headers {
				h[name] = []string{value}
			}
			m = append(m, h)
		}
		regex := r.Regex
		if r.Pattern != "" {
			regex = params.ReplaceAllString(r.Pattern, "[^/]+") + "$"
		}
		if regex != "" {
			p := &caddyhttp.MatchPathRE{MatchRegexp: caddyhttp.MatchRegexp{Pattern: "^" + regex}}
			provision, m = append(provision, p), append(m, p)
		}
		if r.Prefix != "" {
			p := caddyhttp.MatchPath{r.Prefix + "*"}
			provision, m = append(provision, p), append(m, p)
		}
		for _, p := range provision {
			if err := p.Provision(caddy.Context{}); err != nil {
				return nil, err
			}
		}
		list = append(list, m)
	}
	return func(q *http.Request) bool {
		for _, m := range list {
			if ok, err := m.MatchWithError(q); ok && err == nil {
				return true
			}
		}
		return false
	}, nil
}

var params = regexp.MustCompile(`\{[^}]+\}`)
