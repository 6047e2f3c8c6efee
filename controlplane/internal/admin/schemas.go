package admin

import (
	"net/http"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/render"
)

// addSchemas adds the paths that show schemas and check objects against them.
func (a *API) addSchemas() {
	a.table.get("/schemas/{name}", func(c *call) (answer, error) {
		def, err := a.kindNamed(c.values[0])
		if err != nil {
			return answer{}, err
		}
		return pageAnswer(render.Schema(def.Schema))
	})
	a.table.add("/schemas/{db_entity_name}/validate", map[string]handler{http.MethodPost: func(c *call) (answer, error) {
		def, err := a.kindNamed(c.values[0])
		if err != nil {
			return answer{}, err
		}
		return a.validate(c, def)
	}})
	a.addRefined("plugins", "plugin")
	a.addRefined("vaults", "vault")
	a.table.get("/schemas/filters/{name}", func(c *call) (answer, error) {
		return message(http.StatusNotFound, "Filter '"+c.values[0]+"' not found"), nil
	})
	a.table.get("/plugins/schema/{name}", func(c *call) (answer, error) {
		s, found := a.o.Plugins.Schema(c.values[0])
		if !found {
			return answer{}, refuse(http.StatusNotFound, "No plugin named '"+c.values[0]+"'")
		}
		return ok(configOf(render.Schema(s)))
	})
}

func (a *API) kindNamed(name string) (*entity.Def, error) {
	if def := a.o.Kinds.ByKind(name); def != nil {
		return def, nil
	}
	return nil, refuse(http.StatusNotFound, "No entity named '"+name+"'")
}

// addRefined adds the paths of a kind whose config is refined by name.
func (a *API) addRefined(kindName, noun string) {
	def := a.o.Kinds.ByKind(kindName)
	if def == nil || def.Schema.Subschema == nil {
		return
	}
	a.table.get("/schemas/"+kindName+"/{name}", func(c *call) (answer, error) {
		s, found := def.Schema.Subschema(c.values[0])
		if !found {
			return answer{}, refuse(http.StatusNotFound, "No "+noun+" named '"+c.values[0]+"'")
		}
		return pageAnswer(render.Schema(s))
	})
	a.table.add("/schemas/"+kindName+"/validate", map[string]handler{http.MethodPost: func(c *call) (answer, error) {
		return a.validate(c, def)
	}})
}

func (a *API) validate(c *call, def *entity.Def) (answer, error) {
	in, err := c.decode(def.Schema, nil)
	if err != nil {
		return answer{}, err
	}
	if err := c.catalog().Validate(def, in); err != nil {
		return answer{}, err
	}
	return message(http.StatusOK, "schema validation successful"), nil
}

// configOf returns the config part of a rendered schema.
func configOf(rendered schema.Object) schema.Object {
	list, _ := rendered["fields"].([]any)
	for _, f := range list {
		named, _ := f.(schema.Object)
		if config, ok := named["config"].(schema.Object); ok {
			return config
		}
	}
	return schema.Object{}
}
