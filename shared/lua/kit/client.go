package kit

import (
	"encoding/json"
	"encoding/pem"
	"runtime"

	"github.com/google/uuid"
	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func clientMethods() map[string]method {
	return map[string]method{
		"get_ip":             func(c call) int { return c.give(c.s.x.Request.Peer.Addr().Unmap().String()) },
		"get_forwarded_ip":   func(c call) int { return c.give(c.s.x.Request.Client.Addr().Unmap().String()) },
		"get_port":           func(c call) int { return c.giveNumber(float64(c.s.x.Request.Peer.Port())) },
		"get_forwarded_port": func(c call) int { return c.giveNumber(float64(c.s.x.Request.Client.Port())) },
		"get_credential": func(c call) int {
			c.allow(afterAuth)
			cr := &c.s.x.Credential
			if *cr == (pdk.Credential{}) {
				return c.giveNil()
			}
			t := c.CreateTable(0, 2)
			if cr.ID != "" {
				t.RawSetString("id", glua.LString(cr.ID))
			}
			if cr.ConsumerID != "" {
				t.RawSetString("consumer_id", glua.LString(cr.ConsumerID))
			}
			if cr.Key != "" {
				t.RawSetString("key", glua.LString(cr.Key))
			}
			c.Push(t)
			return 1
		},
		"get_consumer": func(c call) int {
			c.allow(afterAuth)
			if c.s.x.Consumer == nil {
				return c.giveNil()
			}
			return c.entity(c.s.x.Consumer)
		},
		"load_consumer": func(c call) int {
			c.allow(afterAuth)
			id := c.str(1, "consumer_id")
			byName := c.ToBool(2)
			if _, err := uuid.Parse(id); err != nil && !byName {
				c.errorf("cannot load a consumer with an id that is not a uuid")
			}
			found := c.consumer(id)
			if found == nil && byName && c.s.x.View != nil {
				found, _ = c.s.x.View.ByKey(entity.Consumers, "username", id).(*entity.Consumer)
			}
			if found == nil {
				return c.giveNil()
			}
			return c.entity(found)
		},
		"authenticate": func(c call) int {
			c.allow(Access)
			who, credential := c.optional(1, "consumer"), c.optional(2, "credential")
			if who == nil && credential == nil {
				c.errorf("either credential or consumer must be provided")
			}
			var consumer *entity.Consumer
			if who != nil {
				id := field(who, "id")
				if consumer = c.consumer(id); consumer == nil {
					c.errorf("there is no consumer %q", id)
				}
			}
			cr := pdk.Credential{ID: field(credential, "id"), Key: field(credential, "key")}
			if consumer != nil {
				cr.ConsumerID = consumer.ID
			}
			c.s.x.Authenticate(consumer, cr)
			return 0
		},
		"get_protocol": func(c call) int {
			c.allow(afterAuth)
			x := c.s.x
			scheme := x.Request.Scheme
			if c.ToBool(1) && x.Request.Trusted {
				scheme = x.Request.ForwardedProto
			}
			if x.IsGRPC() {
				if scheme == "https" {
					return c.give("grpcs")
				}
				return c.give("grpc")
			}
			return c.give(scheme)
		},
	}
}

func tlsMethods() map[string]method {
	return map[string]method{
		"get_full_client_certificate_chain": func(c call) int {
			chain := c.s.x.Request.ClientChain
			if len(chain) == 0 {
				return c.giveNil()
			}
			var b []byte
			for _, certificate := range chain {
				b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
			}
			return c.give(string(b))
		},
		"disable_session_reuse": func(c call) int { return c.giveBool(true) },
	}
}

func (c call) optional(n int, what string) *glua.LTable {
	switch v := c.Get(n).(type) {
	case *glua.LTable:
		return v
	case *glua.LNilType:
		return nil
	}
	c.errorf("%s must be a table or nil", what)
	return nil
}

func field(t *glua.LTable, name string) string {
	if t == nil {
		return ""
	}
	s, _ := t.RawGetString(name).(glua.LString)
	return string(s)
}

func (c call) consumer(id string) *entity.Consumer {
	if c.s.x.View == nil {
		return nil
	}
	found, _ := c.s.x.View.ByID(entity.Consumers, id).(*entity.Consumer)
	return found
}

// entity pushes an entity as a table without what is not set.
func (c call) entity(e any) int {
	b, err := json.Marshal(e)
	if err != nil {
		c.errorf("%s", err.Error())
	}
	v, err := lua.DecodeJSON(c.LState, b)
	t, ok := v.(*glua.LTable)
	if err != nil || !ok {
		return c.giveNil()
	}
	var empty []glua.LValue
	t.ForEach(func(key, value glua.LValue) {
		if value == lua.Null() || value == glua.LString("") {
			empty = append(empty, key)
		}
	})
	for _, key := range empty {
		t.RawSet(key, glua.LNil)
	}
	c.Push(t)
	return 1
}

func routerMethods() map[string]method {
	return map[string]method{
		"get_route": func(c call) int {
			if c.s.x.Route == nil {
				return c.giveNil()
			}
			return c.entity(c.s.x.Route)
		},
		"get_service": func(c call) int {
			if c.s.x.Service == nil {
				return c.giveNil()
			}
			return c.entity(c.s.x.Service)
		},
	}
}

func nodeMethods() map[string]method {
	return map[string]method{
		"get_id":       func(c call) int { return c.give(c.k.o.NodeID) },
		"get_hostname": func(c call) int { return c.give(c.k.hostname) },
		"get_memory_stats": func(c call) int {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			t, vms := c.CreateTable(0, 2), c.CreateTable(1, 0)
			vm := c.CreateTable(0, 2)
			vm.RawSetString("http_allocated_gc", glua.LNumber(stats.HeapAlloc))
			vms.RawSetInt(1, vm)
			t.RawSetString("workers_lua_vms", vms)
			t.RawSetString("lua_shared_dicts", c.CreateTable(0, 0))
			c.Push(t)
			return 1
		},
	}
}

func clusterMethods() map[string]method {
	return map[string]method{"get_id": func(c call) int { return c.give(c.k.o.NodeID) }}
}

func nginxMethods() map[string]method {
	return map[string]method{"get_subsystem": func(c call) int { return c.give("http") }}
}

func pluginMethods() map[string]method {
	return map[string]method{"get_id": func(c call) int { return c.give(c.s.plugin.ID) }}
}
