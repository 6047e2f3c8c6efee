package admin

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	typeJSON   = "application/json; charset=utf-8"
	unexpected = "An unexpected error occurred"
	cannotRead = "Cannot parse JSON body"
	notAllowed = "Method not allowed"
)

// answer is what a request is answered with.
type answer struct {
	status int
	// body is encoded as JSON; nil sends none. A text goes out as it is.
	body   any
	header [][2]string
	// entity and page give the answer an ETag: of the entity, or of the whole body.
	entity, page bool
	// bare answers have no headers of the API's: Kong's server gives them before its API
	// sees the request.
	bare bool
}

// text is a body that is no JSON.
type text struct {
	contentType, content string
}

func ok(body any) (answer, error) { return answer{status: http.StatusOK, body: body}, nil }

func message(status int, text string) answer {
	return answer{status: status, body: schema.Object{"message": text}}
}

// page is a refusal of the server below Kong's API, which is HTML.
func page(status int, reason string) answer {
	title := strconv.Itoa(status) + " " + reason
	return answer{status: status, body: text{
		"text/html; charset=UTF-8",
		"<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title + "</h1></center>\r\n</body>\r\n</html>\r\n",
	}}
}

// entityAnswer answers with one entity.
func entityAnswer(status int, o schema.Object) answer {
	return answer{status: status, body: o, entity: true}
}

// pageAnswer answers with a list or another document that stays the same until it is
// written.
func pageAnswer(body any) (answer, error) {
	return answer{status: http.StatusOK, body: body, page: true}, nil
}

func (a answer) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for _, line := range a.header {
		h.Set(line[0], line[1])
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	if s, ok := a.body.(Stream); ok {
		stream(w, r, a.status, s)
		return
	}
	contentType, body := typeJSON, []byte(nil)
	switch b := a.body.(type) {
	case text:
		contentType, body = b.contentType, []byte(b.content)
	default:
		var err error
		if body, err = encode(b); err != nil {
			a.status, body = http.StatusInternalServerError, []byte(`{"message":"`+unexpected+`"}`)
		}
	}
	tag := a.tag(body)
	if tag != "" && unchanged(r, tag) {
		h.Set(headerETag, tag)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if len(body) >= leastCompressed && acceptsGzip(r.Header) {
		if small, ok := compress(body); ok {
			h.Set("Content-Encoding", encodingGzip)
			h.Add("Vary", "Accept-Encoding")
			body = small
			if tag != "" {
				tag = "W/" + tag // the same content, but not the same bytes
			}
		}
	}
	if tag != "" {
		h.Set(headerETag, tag)
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}

// Stream is a body of an answer that is written piece by piece, because it may be large.
type Stream interface {
	// WriteJSON writes the body. Its error breaks the connection off, so that nobody takes
	// what came for the whole.
	WriteJSON(w io.Writer) error
}

func stream(w http.ResponseWriter, r *http.Request, status int, s Stream) {
	h := w.Header()
	h.Set("Content-Type", typeJSON)
	var out io.Writer = w
	if acceptsGzip(r.Header) {
		h.Set("Content-Encoding", encodingGzip)
		h.Add("Vary", "Accept-Encoding")
		small, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is valid
		defer func() { _ = small.Close() }()
		out = small
	}
	w.WriteHeader(status)
	if err := s.WriteJSON(out); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// tag returns the ETag of an answer, "" for none. body is what it is encoded as.
func (a answer) tag(body []byte) string {
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		return ""
	}
	o, isObject := a.body.(schema.Object)
	switch {
	case a.entity && isObject && o["ttl"] != nil:
		tag, err := entityTag(o)
		if err != nil {
			return ""
		}
		return tag
	case a.entity, a.page:
		return etagOf(body)
	}
	return ""
}

// encoded are the elements of a list as JSON, with commas in between.
type encoded []byte

// encode makes JSON: canonical for objects, encoding/json's for anything else. The data of
// a page may be encoded already.
func encode(v any) ([]byte, error) {
	if o, ok := v.(schema.Object); ok {
		if data, ok := o["data"].(encoded); ok {
			return encodePage(o, data)
		}
	}
	if b, err := schema.EncodeJSON(v); err == nil {
		return b, nil
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// encodePage encodes a page around its data, whose name comes first of all.
func encodePage(o schema.Object, data encoded) ([]byte, error) {
	rest := make(schema.Object, len(o))
	for name, v := range o {
		if name != "data" {
			rest[name] = v
		}
	}
	end, err := schema.EncodeJSON(rest)
	if err != nil {
		return nil, fmt.Errorf("encode page: %w", err)
	}
	out := make([]byte, 0, len(data)+len(end)+len(`{"data":[],`))
	out = append(append(out, `{"data":[`...), data...)
	return append(append(out, "],"...), end[1:]...), nil
}

// refusal is an error that is an answer already.
type refusal struct{ answer }

func (r refusal) Error() string { return fmt.Sprintf("answer with %d %v", r.status, r.body) }

func refuse(status int, text string) error { return refusal{message(status, text)} }

var errNotFound = refuse(http.StatusNotFound, "Not found")

// fail makes the answer of an error.
func (a *API) fail(r *http.Request, err error) answer {
	var (
		ready    refusal
		tooLarge *http.MaxBytesError
	)
	switch {
	case errors.As(err, &ready):
		return ready.answer
	case errors.As(err, &tooLarge):
		return message(http.StatusRequestEntityTooLarge, fmt.Sprintf("request body is larger than %d bytes", tooLarge.Limit))
	}
	if out, ok := refused(err); ok {
		return out
	}
	switch {
	case r.Context().Err() != nil:
		return message(499, "client closed the request") // nobody reads it
	case errors.Is(err, store.ErrReadOnly), errors.Is(err, store.ErrClosed):
		a.log.Error("store refused", "method", r.Method, "path", r.URL.Path, "error", err)
		return message(http.StatusServiceUnavailable, err.Error())
	}
	a.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	return message(http.StatusInternalServerError, unexpected)
}

// refused makes the answer of an error that is the client's.
func refused(err error) (answer, bool) {
	var (
		violation *schema.Violation
		failure   *catalog.Error
		own       bodied
	)
	switch {
	case errors.As(err, &own):
		return answer{status: http.StatusBadRequest, body: own.Body()}, true
	case errors.As(err, &violation):
		return answer{status: http.StatusBadRequest, body: problem(catalog.CodeSchemaViolation, "schema violation", violation.Error(), violation.Fields)}, true
	case errors.As(err, &failure):
		return answer{status: statusOf(failure.Code), body: problem(failure.Code, failure.Name, failure.Message, failure.Fields)}, true
	case errors.Is(err, catalog.ErrNotFound), errors.Is(err, store.ErrNotFound):
		return message(http.StatusNotFound, "Not found"), true
	}
	return answer{}, false
}

func statusOf(code catalog.Code) int {
	switch code {
	case catalog.CodeUniqueViolation:
		return http.StatusConflict
	case catalog.CodeUnsupported:
		return http.StatusMethodNotAllowed
	case catalog.CodeNotFound:
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

func problem(code catalog.Code, name, text string, fields schema.Object) schema.Object {
	out := schema.Object{"code": int64(code), "name": name, "message": text}
	switch {
	case fields == nil:
	case code == catalog.CodeInvalidOptions:
		out["options"] = fields
	default:
		out["fields"] = fields
	}
	return out
}
