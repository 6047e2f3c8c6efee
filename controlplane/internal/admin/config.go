package admin

import (
	"context"
	"mime"
	"net/http"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Declarative reads and writes the whole configuration as one document. It is safe for
// concurrent use.
type Declarative interface {
	// Load makes the configuration of a workspace equal to a document, JSON or YAML as
	// contentType says ("" for whichever it is), and returns what POST /config answers. ""
	// is the workspace that the document names, or the default one. A refused document
	// is an error that has a Body method, a *schema.Violation or a *catalog.Error; flatten
	// asks that it lists what is wrong entity by entity.
	Load(ctx context.Context, workspace string, document []byte, contentType string, flatten bool) (result any, p store.Position, err error)
	// Export returns the configuration of a workspace, "" for the default one, as a YAML
	// document.
	Export(ctx context.Context, workspace string) (string, error)
}

// bodied is an error that brings the body of its answer along, which is a 400.
type bodied interface {
	error
	Body() any
}

const noDeclarative = "this endpoint is only available when Kong is configured to not use a database"

func (a *API) addConfig() {
	a.table.add("/config", map[string]handler{http.MethodGet: a.export, http.MethodPost: a.load})
}

func (a *API) export(c *call) (answer, error) {
	if a.o.Declarative == nil {
		return answer{}, refuse(http.StatusBadRequest, noDeclarative)
	}
	document, err := a.o.Declarative.Export(c.ctx, c.space)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail logs it with the path
	}
	return ok(schema.Object{"config": document})
}

func (a *API) load(c *call) (answer, error) {
	if a.o.Declarative == nil {
		return answer{}, refuse(http.StatusBadRequest, noDeclarative)
	}
	document, contentType, err := c.document()
	if err != nil {
		return answer{}, err
	}
	query := c.r.URL.Query()
	before, known := a.position()
	result, p, err := a.o.Declarative.Load(c.ctx, c.space, document, contentType, query.Get("flatten_errors") == "1")
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	if known && query.Get("check_hash") == "1" && before == p {
		return c.wrote(p, answer{status: http.StatusNotModified})
	}
	return c.wrote(p, answer{status: http.StatusCreated, body: result})
}

func (a *API) position() (store.Position, bool) {
	if a.o.Position == nil {
		return store.Position{}, false
	}
	p, err := a.o.Position()
	return p, err == nil
}

// document returns the declarative document of a request: the body itself, or the field
// "config" of a form.
func (c *call) document() (document []byte, contentType string, err error) {
	media, params := c.media()
	body, err := c.read(c.api.o.MaxConfig)
	if err != nil {
		return nil, "", unread(err)
	}
	var pairs []schema.Pair
	switch media {
	case mediaForm:
		pairs = schema.ParseForm(string(body))
	case mediaMultipart:
		if pairs, err = multipartPairs(string(body), params["boundary"]); err != nil {
			return nil, "", err
		}
	default:
		if len(strings.TrimSpace(string(body))) == 0 {
			return nil, "", refuse(http.StatusBadRequest, "expected a declarative configuration")
		}
		return body, mime.FormatMediaType(media, nil), nil
	}
	for _, pair := range schema.LastPairs(pairs) {
		if pair.Name == "config" {
			return []byte(pair.Value), "", nil
		}
	}
	return nil, "", refuse(http.StatusBadRequest, "expected a declarative configuration")
}
