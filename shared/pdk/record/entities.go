package record

import (
	"maps"
	"slices"
	"strconv"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// appendRoute appends the entity without what is null in it.
func appendRoute(b []byte, r *entity.Route) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.ID)
	b = appendMember(b, `,"name":`, r.Name)
	b = appendRef(b, `,"service":{"id":`, r.Service)
	b = appendStrings(b, `,"protocols":`, r.Protocols)
	b = appendStrings(b, `,"methods":`, r.Methods)
	b = appendStrings(b, `,"hosts":`, r.Hosts)
	b = appendStrings(b, `,"paths":`, r.Paths)
	b = appendStrings(b, `,"snis":`, r.SNIs)
	if len(r.Headers) > 0 {
		b = append(b, `,"headers":{`...)
		for i, name := range slices.Sorted(maps.Keys(r.Headers)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, name)
			b = appendStrings(b, ":", r.Headers[name])
		}
		b = append(b, '}')
	}
	b = appendEndpoints(b, `,"sources":[`, r.Sources)
	b = appendEndpoints(b, `,"destinations":[`, r.Destinations)
	if r.Expression != "" {
		b = appendMember(b, `,"expression":`, r.Expression)
		b = strconv.AppendUint(append(b, `,"priority":`...), r.Priority, 10)
	} else {
		b = appendInt(b, `,"regex_priority":`, int64(r.RegexPriority))
		b = appendMember(b, `,"path_handling":`, r.PathHandling)
	}
	b = appendInt(b, `,"https_redirect_status_code":`, int64(r.HTTPSRedirectStatusCode))
	b = appendBool(b, `,"strip_path":`, r.StripPath)
	b = appendBool(b, `,"preserve_host":`, r.PreserveHost)
	b = appendBool(b, `,"request_buffering":`, r.RequestBuffering)
	b = appendBool(b, `,"response_buffering":`, r.ResponseBuffering)
	b = appendStrings(b, `,"tags":`, r.Tags)
	b = appendInt(b, `,"created_at":`, r.CreatedAt)
	b = appendInt(b, `,"updated_at":`, r.UpdatedAt)
	b = appendMember(b, `,"ws_id":`, r.WorkspaceID)
	return append(b, '}')
}

// appendRef appends a key, which opens an object, and the id that it refers to.
func appendRef(b []byte, key string, r *entity.Ref) []byte {
	if r == nil {
		return b
	}
	return append(appendMember(b, key, r.ID), '}')
}

func appendEndpoints(b []byte, key string, list []entity.Endpoint) []byte {
	if list == nil {
		return b
	}
	b = append(b, key...)
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if e.IP != "" {
			b = appendMember(b, `"ip":`, e.IP)
		}
		if e.Port != 0 {
			if e.IP != "" {
				b = append(b, ',')
			}
			b = appendInt(b, `"port":`, int64(e.Port))
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendService(b []byte, s *entity.Service) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, s.ID)
	b = appendMember(b, `,"name":`, s.Name)
	b = appendMember(b, `,"protocol":`, s.Protocol)
	b = appendMember(b, `,"host":`, s.Host)
	b = appendInt(b, `,"port":`, int64(s.Port))
	b = appendMember(b, `,"path":`, s.Path)
	b = appendInt(b, `,"retries":`, int64(s.Retries))
	b = appendInt(b, `,"connect_timeout":`, int64(s.ConnectTimeout))
	b = appendInt(b, `,"write_timeout":`, int64(s.WriteTimeout))
	b = appendInt(b, `,"read_timeout":`, int64(s.ReadTimeout))
	b = appendBool(b, `,"enabled":`, s.Enabled)
	b = appendRef(b, `,"client_certificate":{"id":`, s.ClientCertificate)
	if s.TLSVerify != nil {
		b = appendBool(b, `,"tls_verify":`, *s.TLSVerify)
	}
	if s.TLSVerifyDepth != nil {
		b = appendInt(b, `,"tls_verify_depth":`, int64(*s.TLSVerifyDepth))
	}
	b = appendStrings(b, `,"ca_certificates":`, s.CACertificates)
	b = appendStrings(b, `,"tags":`, s.Tags)
	b = appendInt(b, `,"created_at":`, s.CreatedAt)
	b = appendInt(b, `,"updated_at":`, s.UpdatedAt)
	b = appendMember(b, `,"ws_id":`, s.WorkspaceID)
	return append(b, '}')
}

func appendConsumer(b []byte, c *entity.Consumer) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, c.ID)
	b = appendMember(b, `,"username":`, c.Username)
	b = appendMember(b, `,"custom_id":`, c.CustomID)
	b = appendStrings(b, `,"tags":`, c.Tags)
	b = appendInt(b, `,"created_at":`, c.CreatedAt)
	b = appendInt(b, `,"updated_at":`, c.UpdatedAt)
	b = appendMember(b, `,"ws_id":`, c.WorkspaceID)
	return append(b, '}')
}
