package kit

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
)

// maxParts bounds the parts of a multipart body.
const maxParts = 1000

// multipart pushes the parts of a body by name.
func (c call) multipart(b []byte, contentType string) (n int, problem string) {
	const wrong = "unable to decode multipart body"
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || parameters["boundary"] == "" {
		return 0, wrong
	}
	t := c.CreateTable(0, 0)
	reader := multipart.NewReader(bytes.NewReader(b), parameters["boundary"])
	for range maxParts {
		part, err := reader.NextRawPart()
		if err == io.EOF { //nolint:errorlint // as documented
			break
		}
		if err != nil {
			return 0, wrong
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return 0, wrong
		}
		lua.RunOf(c.LState).Alloc(c.LState, len(value)+len(part.FormName())+160)
		put(c.LState, t, part.FormName(), glua.LString(value))
	}
	c.Push(t)
	return 1, ""
}

// encodeParts makes a multipart body of a table.
func encodeParts(fields [][2]string, boundary string) ([]byte, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, err
	}
	for _, f := range fields {
		if err := w.WriteField(f[0], f[1]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}
