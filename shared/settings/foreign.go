package settings

import (
	"slices"
	"strings"
)

// foreign are Kong's settings without a meaning here. A file may hold them, as an
// existing kong.conf does; they are listed in one warning.
var foreign = []string{
	"admin_access_log", "admin_error_log", "admin_gui_access_log", "admin_gui_error_log", "admin_gui_header_txt",
	"anonymous_reports", "client_body_buffer_size", "client_max_body_size", "cluster_allowed_common_names",
	"cluster_fallback_config_export", "cluster_fallback_config_import", "cluster_fallback_config_storage",
	"cluster_incremental_sync", "cluster_max_payload", "cluster_ocsp", "cluster_rpc", "cluster_rpc_sync",
	"cluster_use_proxy", "cluster_v2", "declarative_config_encryption_mode",
	"dedicated_config_processing", "host_ports", "kic", "konnect_mode",
	"plugins", "proxy_server", "proxy_server_ssl_verify",
	"resolver_mem_cache_size", "status_access_log", "status_error_log", "upstream_keepalive", "vaults",
}

// foreignFamilies are beginnings of more such names, Kong Enterprise's among them.
var foreignFamilies = []string{
	"_debug_", "acme_", "admin_emails_", "admin_gui_auth", "admin_gui_csp", "admin_gui_session", "admin_gui_ssl_", "audit_log",
	"cassandra_", "client_ssl", "cluster_telemetry_", "db_", "debug_", "enforce_rbac", "keyring_", "license_",
	"lmdb_", "lua_", "nginx_", "opentelemetry_", "pg_", "pluginserver", "portal", "proxy_stream_", "rbac",
	"smtp_", "ssl_", "status_ssl_", "stream_", "vault_", "vitals", "wasm", "worker_",
}

// isForeign reports whether name is a setting of Kong that means nothing here.
func isForeign(name string) bool {
	if slices.Contains(foreign, name) {
		return true
	}
	for _, family := range foreignFamilies {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return false
}
