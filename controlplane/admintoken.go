package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/local"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// AdminTokenUsage says how AdminToken is called.
const AdminTokenUsage = "admin-token create NAME [role=read-only|editor|admin] [workspace=NAME] [expires=30d] [comment=TEXT], admin-token list, or admin-token revoke NAME"

// AdminToken manages the tokens of the Admin API from the command line: in the store, or
// through the Admin API when a control plane has the store open. words follow the name of
// the command. A new token is written to out, alone on its line.
func AdminToken(ctx context.Context, s *settings.Settings, words []string, out io.Writer) error {
	command, ok := tokenCommand(words)
	if !ok {
		return fmt.Errorf("admin-token: want %s", AdminTokenUsage)
	}
	client, err := local.Dial(ctx, s.Path("prefix"))
	if err == nil {
		defer client.Close()
		err = overAPI(ctx, client.Call, command, out)
	} else if err = inStore(ctx, s, command, out); errors.Is(err, store.ErrInUse) {
		// It runs, and its socket can not be reached from here.
		err = overAPI(ctx, func(ctx context.Context, method, path string, body, into any) error {
			return callAPI(ctx, s, method, path, body, into)
		}, command, out)
	}
	if err != nil {
		return fmt.Errorf("admin-token %s: %w", words[0], err)
	}
	return nil
}

// tokenWords is a command, taken apart.
type tokenWords struct {
	verb, name string
	options    map[string]string
}

func tokenCommand(words []string) (c tokenWords, ok bool) {
	if len(words) == 0 {
		return c, false
	}
	c = tokenWords{verb: words[0], options: map[string]string{}}
	switch rest := words[1:]; {
	case c.verb == "list" && len(rest) == 0:
		return c, true
	case c.verb == "revoke" && len(rest) == 1:
		c.name = rest[0]
		return c, true
	case c.verb == "create" && len(rest) > 0:
		c.name = rest[0]
		for _, word := range rest[1:] {
			name, value, found := strings.Cut(word, "=")
			switch name {
			case "role", "workspace", "expires", "comment":
				c.options[name] = value
			default:
				return c, false
			}
			if !found {
				return c, false
			}
		}
		return c, true
	}
	return c, false
}

func (c tokenWords) request(now time.Time) (access.Request, error) {
	r := access.Request{Name: c.name, Role: access.Role(c.options["role"]), Workspace: c.options["workspace"], Comment: c.options["comment"], By: "command line"}
	if r.Role == "" {
		r.Role = access.Admin
	}
	if text := c.options["expires"]; text != "" {
		life, err := settings.ParseDuration(text)
		if err != nil {
			return r, fmt.Errorf("expires: %w", err)
		}
		r.ExpiresAt = now.Add(life)
	}
	if field, err := r.Check(now); err != nil {
		return r, fmt.Errorf("%s: %w", field, err)
	}
	return r, nil
}

func inStore(ctx context.Context, s *settings.Settings, c tokenWords, out io.Writer) (err error) {
	path := filepath.Join(s.Path("prefix"), StoreFile)
	if c.verb != "create" {
		if _, err := os.Stat(path); err != nil {
			return err // opening would make a store
		}
	} else if err := os.MkdirAll(s.Path("prefix"), 0o750); err != nil {
		return err
	}
	options, err := storeOptions(s)
	if err != nil {
		return err
	}
	opened, err := bolt.Open(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	var written store.Store = opened
	if s.Bool("audit_log") {
		log, err := newAudit(s, opened, entity.NewKinds(entity.Options{Plugins: plugins.Bundled().Schema, Extra: plugins.Bundled().Entities()}), hclog.NewNullLogger())
		if err != nil {
			return err
		}
		written = log.Store()
		ctx = audit.With(ctx, &audit.Request{UserName: "command line", Path: "admin-token " + c.verb})
	}
	tokens, err := access.NewTokens(written, nil)
	if err != nil {
		return err
	}
	switch c.verb {
	case "list":
		rows := make([]tokenRow, 0)
		for _, t := range tokens.List() {
			rows = append(rows, tokenRow{t.Name, string(t.Role), t.Workspace, t.Prefix, t.CreatedAt, t.ExpiresAt, t.Expired(time.Now())})
		}
		return printTokens(rows, out)
	case "revoke":
		_, err := tokens.Revoke(ctx, c.name)
		return err
	}
	request, err := c.request(time.Now())
	if err != nil {
		return err
	}
	_, token, err := tokens.Create(ctx, request)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, token)
	return err
}

type tokenRow struct {
	Name      string `json:"name"`
	Role      string `json:"role"`
	Workspace string `json:"workspace"`
	Prefix    string `json:"prefix"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at"`
	Expired   bool   `json:"expired"`
}

func printTokens(rows []tokenRow, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "NAME\tROLE\tWORKSPACE\tBEGINS WITH\tCREATED\tEXPIRES")
	for _, r := range rows {
		workspace, expires := r.Workspace, "never"
		if workspace == "" {
			workspace = "all"
		}
		if r.ExpiresAt != 0 {
			expires = time.Unix(r.ExpiresAt, 0).UTC().Format(time.RFC3339)
		}
		if r.Expired {
			expires += " (over)"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Role, workspace, r.Prefix, time.Unix(r.CreatedAt, 0).UTC().Format(time.RFC3339), expires)
	}
	return table.Flush() // it keeps the first error
}

// overAPI asks the control plane that runs with the same settings, by its socket or its
// Admin API.
func overAPI(ctx context.Context, ask func(ctx context.Context, method, path string, body, into any) error, c tokenWords, out io.Writer) error {
	method, path, body := http.MethodGet, "/admin-tokens?size=1000", any(nil)
	switch c.verb {
	case "revoke":
		if err := ask(ctx, method, "/admin-tokens/"+url.PathEscape(c.name), nil, nil); err != nil {
			return err
		}
		method, path = http.MethodDelete, "/admin-tokens/"+url.PathEscape(c.name)
	case "create":
		request, err := c.request(time.Now())
		if err != nil {
			return err
		}
		in := map[string]any{"name": request.Name, "role": request.Role}
		for name, value := range map[string]string{"workspace": request.Workspace, "comment": request.Comment} {
			if value != "" {
				in[name] = value
			}
		}
		if !request.ExpiresAt.IsZero() {
			in["expires_at"] = request.ExpiresAt.Unix()
		}
		body, method, path = in, http.MethodPost, "/admin-tokens"
	}
	var answer struct {
		Token string     `json:"token"`
		Data  []tokenRow `json:"data"`
	}
	if err := ask(ctx, method, path, body, &answer); err != nil {
		return err
	}
	switch c.verb {
	case "list":
		return printTokens(answer.Data, out)
	case "create":
		_, err := fmt.Fprintln(out, answer.Token)
		return err
	}
	return nil
}

// callAPI makes one call to the Admin API of the same settings, with admin_token or the
// token in the prefix.
func callAPI(ctx context.Context, s *settings.Settings, method, path string, in, into any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	token := s.String("admin_token")
	if token == "" {
		if text, err := os.ReadFile(filepath.Join(s.Path("prefix"), TokenFile)); err == nil {
			token = strings.TrimSpace(string(text))
		}
	}
	client, base, err := apiClient(s)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set(s.String("rbac_auth_header"), token)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the control plane that runs: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("ask the control plane that runs: %w", err)
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("the control plane that runs answers %s: %s", response.Status, text)
	}
	if into == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, into)
}

// apiClient leads to the first address of admin_listen, one without TLS if there is any.
func apiClient(s *settings.Settings) (*http.Client, string, error) {
	listeners := s.Listeners("admin_listen")
	if len(listeners) == 0 {
		return nil, "", errors.New("a control plane runs, and admin_listen is off")
	}
	l := listeners[0]
	for _, other := range listeners {
		if !other.TLS {
			l = other
			break
		}
	}
	address := l.Address
	if l.Network != "unix" {
		host := l.IP
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		address = net.JoinHostPort(host, strconv.Itoa(l.Port))
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, l.Network, address)
	}}
	client := &http.Client{Timeout: 30 * time.Second, Transport: transport}
	if !l.TLS {
		return client, "http://admin", nil
	}
	// The other side must have the very certificate that these settings name.
	pairs, err := adminPairs(s, s.Path("prefix"))
	if err != nil {
		return nil, "", err
	}
	transport.TLSClientConfig = &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, //nolint:gosec // verified below
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, pair := range pairs {
				if len(state.PeerCertificates) > 0 && bytes.Equal(pair.Certificate[0], state.PeerCertificates[0].Raw) {
					return nil
				}
			}
			return errors.New("the certificate is not one of admin_ssl_cert")
		},
	}
	return client, "https://admin", nil
}
