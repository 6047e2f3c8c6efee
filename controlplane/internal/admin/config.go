package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Declarative reads and writes the whole configuration as one document. It is safe for
// concurrent use.
type Declarative interface {
	// Load makes the configuration of a workspace equal to a document, JSON or YAML as
	// contentType says ("" for whichever it is), and returns what POST /config answers. ""
	// is the workspace that the document names, or the default one. A large result is a
	// Stream. A refused document
	// is an error that has a Body method, a *schema.Violation or a *catalog.Error; flatten
	// asks that it lists what is wrong entity by entity.
	Load(ctx context.Context, workspace string, document io.Reader, contentType string, flatten bool) (result any, p store.Position, err error)
	// Preview tells what Load would change, and refuses what Load would refuse.
	Preview(ctx context.Context, workspace string, document io.Reader, flatten bool) (*catalog.Preview, error)
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
	if truthy(query.Get("dry_run")) {
		return a.previewConfig(c, document, truthy(query.Get("flatten_errors")))
	}
	before, known := a.position()
	result, p, err := a.o.Declarative.Load(c.ctx, c.space, document, contentType, truthy(query.Get("flatten_errors")))
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	if known && query.Get("check_hash") == "1" && before == p {
		return c.wrote(p, answer{status: http.StatusNotModified})
	}
	return c.wrote(p, answer{status: http.StatusCreated, body: result})
}

// truthy tells whether a query asks for something, in the words that Kong knows.
func truthy(text string) bool {
	return slices.Contains([]string{"1", "true", "on", "yes"}, strings.ToLower(text))
}

// previewConfig answers with what a document would change, field by field without secrets.
func (a *API) previewConfig(c *call, document io.Reader, flatten bool) (answer, error) {
	preview, err := a.o.Declarative.Preview(c.ctx, c.space, document, flatten)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	return ok(schema.Object{
		"created": preview.Created, "updated": preview.Updated, "deleted": preview.Deleted,
		"changes":  preview.Created + preview.Updated + preview.Deleted,
		"entities": c.spaceNames().changes(a.o.History.Compare(preview.Changes)),
	})
}

func (a *API) position() (store.Position, bool) {
	if a.o.Position == nil {
		return store.Position{}, false
	}
	p, err := a.o.Position()
	return p, err == nil
}

// document returns the declarative document of a request: the body itself, or the field
// "config" of a form. It is read as it comes.
func (c *call) document() (document io.Reader, contentType string, err error) {
	media, params := c.media()
	body := bufio.NewReaderSize(clientBody{http.MaxBytesReader(c.w, c.r.Body, c.api.o.MaxConfig)}, 64<<10)
	missing := refuse(http.StatusBadRequest, "expected a declarative configuration")
	switch media {
	case mediaForm:
		text, err := io.ReadAll(body)
		if err != nil {
			return nil, "", err //nolint:wrapcheck // it is an answer
		}
		for _, pair := range schema.LastPairs(schema.ParseForm(string(text))) {
			if pair.Name == "config" {
				return strings.NewReader(pair.Value), "", nil
			}
		}
		return nil, "", missing
	case mediaMultipart:
		if params["boundary"] == "" {
			return nil, "", refuse(http.StatusBadRequest, "Content-Type multipart/form-data names no boundary")
		}
		for parts := multipart.NewReader(body, params["boundary"]); ; {
			part, err := parts.NextPart()
			switch {
			case errors.Is(err, io.EOF):
				return nil, "", missing
			case err != nil:
				if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
					return nil, "", err //nolint:wrapcheck // it is an answer
				}
				return nil, "", refuse(http.StatusBadRequest, "Cannot parse multipart body")
			case part.FormName() == "config":
				return formPart{part}, "", nil
			}
		}
	}
	for {
		next, err := body.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return nil, "", missing
		case err != nil:
			return nil, "", err //nolint:wrapcheck // it is an answer
		case next == ' ' || next == '\n' || next == '\r' || next == '\t':
			continue
		}
		if err := body.UnreadByte(); err != nil {
			return nil, "", err //nolint:wrapcheck // there was a byte
		}
		return body, mime.FormatMediaType(media, nil), nil
	}
}

// formPart is a part of a form, which may end before it should.
type formPart struct{ io.Reader }

func (p formPart) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = refuse(http.StatusBadRequest, "Cannot parse multipart body")
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}

// clientBody is a body whose errors are answers: the client's connection or its encoding
// are at fault.
type clientBody struct{ io.Reader }

func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unread(err)
	}
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}
