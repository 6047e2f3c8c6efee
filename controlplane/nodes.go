package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/local"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// nodeRow is what a table shows of a row of /clustering/data-planes.
type nodeRow struct {
	ID        string   `json:"id"`
	Hostname  string   `json:"hostname"`
	IP        string   `json:"ip"`
	Version   string   `json:"sluice_version"`
	State     string   `json:"state"`
	Lag       *float64 `json:"lag"`
	LastSeen  int64    `json:"last_seen"`
	Connected bool     `json:"connected"`
	Joined    bool     `json:"joined"`
	Position  *struct {
		Revision uint64 `json:"revision"`
	} `json:"position"`
	Certificate struct {
		Expiry int64 `json:"expiry_timestamp"`
	} `json:"cert_details"`
}

// ListNodes writes a table of the data planes that the running control plane knows, or its
// rows of /clustering/data-planes as JSON.
func ListNodes(ctx context.Context, s *settings.Settings, asJSON bool, out io.Writer) error {
	client, err := local.Dial(ctx, s.Path("prefix"))
	if err != nil {
		return err //nolint:wrapcheck // it says what failed
	}
	defer client.Close()
	all := []json.RawMessage{}
	for next := "/clustering/data-planes?size=1000"; next != ""; {
		var page struct {
			Data []json.RawMessage `json:"data"`
			Next string            `json:"next"`
		}
		if err := client.Call(ctx, http.MethodGet, next, nil, &page); err != nil {
			return err
		}
		all, next = append(all, page.Data...), page.Next
	}
	if asJSON {
		return printJSON(out, all)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tHOSTNAME\tIP\tVERSION\tSTATE\tREVISION\tLAG\tLAST SEEN\tIDENTITY\tCERTIFICATE UNTIL")
	for _, raw := range all {
		var r nodeRow
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("read the control plane's answer: %w", err)
		}
		revision, lag, seen, identity := "-", "-", at(r.LastSeen), "shared"
		if r.Position != nil {
			revision = strconv.FormatUint(r.Position.Revision, 10)
		}
		if r.Lag != nil {
			lag = strconv.FormatFloat(*r.Lag, 'f', -1, 64)
		}
		if r.Connected {
			seen = "now"
		}
		if r.Joined {
			identity = "own"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Hostname, r.IP, r.Version, r.State, revision, lag, seen, identity, at(r.Certificate.Expiry))
	}
	return table.Flush() // it keeps the first error
}

// RevokeNode parts with a node and makes its certificates worthless, until it is forgotten.
func RevokeNode(ctx context.Context, s *settings.Settings, id string) error {
	return aboutNode(ctx, s, http.MethodPost, id, "/revoke")
}

// ForgetNode takes a node off the list; it must join again to come back.
func ForgetNode(ctx context.Context, s *settings.Settings, id string) error {
	return aboutNode(ctx, s, http.MethodDelete, id, "")
}

// DrainNode makes a node not ready for traffic; off makes it ready again.
func DrainNode(ctx context.Context, s *settings.Settings, id string, off bool) error {
	if off {
		return aboutNode(ctx, s, http.MethodDelete, id, "/drain")
	}
	return aboutNode(ctx, s, http.MethodPost, id, "/drain")
}

func aboutNode(ctx context.Context, s *settings.Settings, method, id, what string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, err := local.Dial(ctx, s.Path("prefix"))
	if err != nil {
		return err //nolint:wrapcheck // it says what failed
	}
	defer client.Close()
	err = client.Call(ctx, method, "/clustering/data-planes/"+url.PathEscape(id)+what, nil, nil)
	if refused, ok := errors.AsType[*local.Answer](err); ok && refused.Status == http.StatusNotFound {
		return fmt.Errorf("there is no node %q", id)
	}
	return err
}
