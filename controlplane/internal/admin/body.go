package admin

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	mediaJSON      = "application/json"
	mediaForm      = "application/x-www-form-urlencoded"
	mediaMultipart = "multipart/form-data"
)

// yamlTypes are those that /config takes besides.
var yamlTypes = []string{"text/yaml", "application/yaml", "text/x-yaml", "application/x-yaml"}

// mostArguments bounds the fields of a form or query, as in Kong.
const mostArguments = 1000

const tooManyArguments = "Too many arguments"

// tooMany counts what a form or query gives.
func tooMany(encoded string) bool {
	n := 0
	for part := range strings.SplitSeq(encoded, "&") {
		if part != "" {
			n++
		}
	}
	return n > mostArguments
}

// media returns the media type of the body, "" for none, and its parameters.
func (c *call) media() (string, map[string]string) {
	header := c.r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(header)
	if err != nil {
		media, _, _ = strings.Cut(header, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	return media, params
}

// checkType refuses bodies that are in no known form.
func (c *call) checkType() error {
	switch c.r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return nil
	}
	if len(c.r.Header.Values("Content-Type")) > 1 {
		return refusal{answer{status: http.StatusBadRequest, body: schema.Object{"message": "Multiple Content-Type headers not allowed"}}}
	}
	media, _ := c.media()
	switch media {
	case mediaJSON, mediaForm, mediaMultipart:
		return nil
	case "":
		if c.r.ContentLength == 0 {
			return nil
		}
	}
	for _, yaml := range yamlTypes {
		if media == yaml && c.pattern == "/config" {
			return nil
		}
	}
	return refusal{page(http.StatusUnsupportedMediaType, "Unsupported Media Type")}
}

func (c *call) read(limit int64) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit)) //nolint:wrapcheck // fail knows the errors of it
}

// decode reads the body as an object of a schema. stored is the object that is updated,
// nil for none: it says how to read a form.
func (c *call) decode(s *schema.Schema, stored schema.Object) (schema.Object, error) {
	media, params := c.media()
	body, err := c.read(c.api.o.MaxBody)
	if err != nil {
		return nil, unread(err)
	}
	switch media {
	case mediaJSON:
		return jsonObject(body)
	case mediaForm:
		if tooMany(string(body)) {
			return nil, refuse(http.StatusBadRequest, tooManyArguments)
		}
		return s.DecodeForm(schema.ParseForm(string(body)), stored) //nolint:wrapcheck // a violation
	case mediaMultipart:
		pairs, err := multipartPairs(string(body), params["boundary"])
		if err != nil {
			return nil, err
		}
		return s.DecodeForm(schema.LastPairs(pairs), stored) //nolint:wrapcheck // a violation
	}
	return schema.Object{}, nil
}

// jsonObject reads a body. What is JSON and no object is answered as Kong does, with which it
// is an error of the server; only false is not taken for a body at all.
func jsonObject(body []byte) (schema.Object, error) {
	in, err := schema.DecodeObject(body)
	if err == nil {
		return in, nil
	}
	v, err := schema.DecodeJSON(body)
	if err != nil || v == false {
		return nil, refuse(http.StatusBadRequest, cannotRead)
	}
	if list, ok := v.([]any); ok && len(list) == 0 {
		return schema.Object{}, nil
	}
	return nil, refuse(http.StatusInternalServerError, unexpected)
}

// unread is the error of a body that did not come whole.
func unread(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return refuse(http.StatusBadRequest, "cannot decompress the request body")
	}
	return refuse(http.StatusBadRequest, "cannot read the request body")
}

func multipartPairs(body, boundary string) ([]schema.Pair, error) {
	if boundary == "" {
		return nil, refuse(http.StatusBadRequest, "Content-Type multipart/form-data names no boundary")
	}
	var pairs []schema.Pair
	for reader := multipart.NewReader(strings.NewReader(body), boundary); ; {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) && (body == "" || strings.Contains(body, "--"+boundary+"--")) {
			return pairs, nil
		}
		if err != nil || len(pairs) == mostArguments {
			return nil, refuse(http.StatusBadRequest, "Cannot parse multipart body")
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "Cannot parse multipart body")
		}
		if name := part.FormName(); name != "" {
			pairs = append(pairs, schema.Pair{Name: name, Value: string(value)})
		}
	}
}
