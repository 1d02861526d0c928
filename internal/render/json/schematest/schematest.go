// Package schematest holds documents to the schemas in docs/schema, for tests.
package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	btjson "github.com/gatedso/bt/internal/render/json"
)

// Check holds a document, or each document of one line, to the schema that it names.
// It is stricter than the schemas that users see: a member that they do not describe
// is an error.
func Check(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	n := 0
	for ; d.More(); n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if err := check(raw); err != nil {
			return err
		}
	}
	if n == 0 {
		return fmt.Errorf("no document in %q", text)
	}
	return nil
}

func check(text []byte) error {
	var named struct {
		Schema string `json:"$schema"`
	}
	if err := json.Unmarshal(text, &named); err != nil {
		return err
	}
	if !strings.HasPrefix(named.Schema, btjson.SchemaBase) {
		return fmt.Errorf("the document names the schema %q", named.Schema)
	}
	_, here, _, _ := runtime.Caller(0)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(here), "../../../../docs/schema/*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no schemas: %v", err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		closed(schema)
		if err := c.AddResource(btjson.SchemaBase+filepath.Base(file), schema); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	schema, err := c.Compile(named.Schema)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

// closed allows no members of objects but those that a schema describes.
func closed(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		if _, ok := s["properties"].(map[string]any); ok && s["type"] != nil {
			s["additionalProperties"] = false
		}
		for _, v := range s {
			closed(v)
		}
	case []any:
		for _, v := range s {
			closed(v)
		}
	}
}
