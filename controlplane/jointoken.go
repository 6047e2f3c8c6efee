package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/identity"
	"github.com/sluice-gateway/sluice/controlplane/internal/local"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// JoinToken is a new join token as the command line asks for it.
type JoinToken struct {
	// Life of the token; 0 means an hour.
	Life time.Duration
	// Uses is how many nodes may join with it; 0 is any number.
	Uses int
	// Comment is free text. Address is where nodes reach the control plane, host:port; ""
	// means what the settings say.
	Comment, Address string
}

type joinTokenRow struct {
	ID        string  `json:"id"`
	CreatedAt int64   `json:"created_at"`
	CreatedBy *string `json:"created_by"`
	ExpiresAt int64   `json:"expires_at"`
	Uses      int     `json:"uses"`
	Used      int     `json:"used"`
	State     string  `json:"state"`
	Comment   *string `json:"comment"`
	Token     string  `json:"token,omitempty"`
	Join      string  `json:"join,omitempty"`
}

// CreateJoinToken makes a join token, with the control plane that runs or in the store of
// one that does not, and writes the join line to out, alone on its line.
func CreateJoinToken(ctx context.Context, s *settings.Settings, t JoinToken, asJSON bool, out io.Writer) error {
	request := identity.TokenRequest{Life: t.Life, Uses: t.Uses, Comment: t.Comment, By: "command line"}
	if t.Uses == 0 {
		request.Uses = -1
	}
	if field, err := request.Check(); err != nil {
		return fmt.Errorf("--%s: %w", field, err)
	}
	var row joinTokenRow
	err := eitherWay(ctx, s, true, func(c *local.Client) error {
		body := map[string]any{"uses": t.Uses}
		if t.Life > 0 {
			body["ttl"] = int64(t.Life.Seconds())
		}
		for name, value := range map[string]string{"comment": t.Comment, "address": t.Address} {
			if value != "" {
				body[name] = value
			}
		}
		return c.Call(ctx, http.MethodPost, "/clustering/tokens", body, &row)
	}, func(m members) error {
		if _, _, err := m.JoinLine(&identity.Token{}, "", t.Address); err != nil {
			return fmt.Errorf("--address: %w", err)
		}
		known, secret, err := m.CreateToken(audited(ctx, "token create"), request)
		if err != nil {
			return err //nolint:wrapcheck // it says what failed
		}
		row = rowOf(known)
		row.Token, row.Join, err = m.JoinLine(known, secret, t.Address)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, row)
	}
	_, err = fmt.Fprintln(out, row.Join)
	return err
}

// ListJoinTokens writes a table of the join tokens, without what is secret of them.
func ListJoinTokens(ctx context.Context, s *settings.Settings, asJSON bool, out io.Writer) error {
	var list struct {
		Data []joinTokenRow `json:"data"`
	}
	err := eitherWay(ctx, s, false, func(c *local.Client) error {
		return c.Call(ctx, http.MethodGet, "/clustering/tokens", nil, &list)
	}, func(m members) error {
		list.Data = []joinTokenRow{}
		for _, t := range m.Tokens() {
			list.Data = append(list.Data, rowOf(t))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, list.Data)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tSTATE\tUSED\tEXPIRES\tCREATED\tBY\tCOMMENT")
	for _, r := range list.Data {
		used := fmt.Sprintf("%d of %d", r.Used, r.Uses)
		if r.Uses == 0 {
			used = fmt.Sprintf("%d of any", r.Used)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.State, used, at(r.ExpiresAt), at(r.CreatedAt), text(r.CreatedBy), text(r.Comment))
	}
	return table.Flush() // it keeps the first error
}

// RevokeJoinToken ends a join token; nodes that have joined with it stay.
func RevokeJoinToken(ctx context.Context, s *settings.Settings, id string) error {
	unknown := fmt.Errorf("there is no join token %q", id)
	err := eitherWay(ctx, s, false, func(c *local.Client) error {
		path := "/clustering/tokens/" + url.PathEscape(id)
		if err := c.Call(ctx, http.MethodGet, path, nil, nil); err != nil {
			return err
		}
		return c.Call(ctx, http.MethodDelete, path, nil, nil)
	}, func(m members) error {
		return m.RevokeToken(audited(ctx, "token revoke"), id)
	})
	if refused, ok := errors.AsType[*local.Answer](err); ok && refused.Status == http.StatusNotFound || errors.Is(err, identity.ErrNotFound) {
		return unknown
	}
	return err
}

func rowOf(t *identity.Token) joinTokenRow {
	return joinTokenRow{
		ID: t.ID, CreatedAt: t.CreatedAt, CreatedBy: &t.CreatedBy, ExpiresAt: t.ExpiresAt, Uses: t.Uses, Used: t.Used,
		State: string(t.State(time.Now())), Comment: &t.Comment,
	}
}

func audited(ctx context.Context, command string) context.Context {
	return audit.With(ctx, &audit.Request{UserName: "command line", Path: command})
}

// eitherWay asks the control plane that runs with the settings, or opens what a control
// plane that does not run would open. create tells whether that may be nothing so far.
func eitherWay(ctx context.Context, s *settings.Settings, create bool, running func(*local.Client) error, stopped func(members) error) error {
	client, err := local.Dial(ctx, s.Path("prefix"))
	switch {
	case err == nil:
		defer client.Close()
		return running(client)
	case !errors.Is(err, local.ErrNobody):
		return err //nolint:wrapcheck // it says what failed
	}
	if file := filepath.Join(s.Path("prefix"), StoreFile); !create {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("prefix: %w", err) // opening would make a store
		}
	}
	return withStore(ctx, s, func(st *bolt.Store, written store.Store) error {
		hostname, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("read hostname: %w", err)
		}
		address, err := advertised(s, hostname)
		if err != nil {
			return err
		}
		authority, err := newAuthority(s, written, st, identity.Options{})
		if err != nil {
			return err
		}
		return stopped(members{Authority: authority, advertised: address})
	})
}

// withStore opens the store of a control plane that does not run, making one where there
// is none. written is the one that records who did what.
func withStore(ctx context.Context, s *settings.Settings, fn func(st *bolt.Store, written store.Store) error) (err error) {
	if err := os.MkdirAll(s.Path("prefix"), 0o750); err != nil {
		return err
	}
	options, err := storeOptions(s)
	if err != nil {
		return err
	}
	opened, err := bolt.Open(ctx, options)
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("%w, which can not be reached at %s", err, filepath.Join(s.Path("prefix"), local.File))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	if !s.Bool("audit_log") {
		return fn(opened, opened)
	}
	log, err := newAudit(s, opened, entity.NewKinds(entity.Options{Plugins: plugins.Bundled().Schema, Extra: plugins.Bundled().Entities()}), hclog.NewNullLogger())
	if err != nil {
		return err
	}
	return fn(opened, log.Store())
}
