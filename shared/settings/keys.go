package settings

// Values that several keys share.
var (
	logLevels = []string{"debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"}
	// Mozilla's list, some of which Go does not have.
	intermediateCiphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" +
		"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:" +
		"DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
	flavors  = []string{"traditional_compatible", "traditional", "expressions"}
	tlsNames = []string{"TLSv1.1", "TLSv1.2", "TLSv1.3"}
	// instruments are Kong's; db_query and http_client have nothing here to make spans of.
	instruments = []string{"off", "all", "request", "router", "balancer", "plugin_rewrite", "plugin_access", "plugin_header_filter", "dns_query", "db_query", "http_client"}
	recordTypes = []string{"LAST", "SRV", "A", "AAAA", "CNAME"}
	// headerNames are what the headers key switches, beside the two groups of tokens.
	headerNames = []string{
		"server_tokens", "latency_tokens", "off", "Server", "Via", "X-Kong-Proxy-Latency", "X-Kong-Response-Latency",
		"X-Kong-Upstream-Latency", "X-Kong-Upstream-Status", "X-Kong-Admin-Latency", "X-Kong-Request-Id", "X-Sluice-Revision",
	}
)

const proxyListen = "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384"

// keys is every setting that has a meaning, in the order of --help. A name stands
// twice where the planes have different defaults.
var keys = []Key{
	// Process.
	{Name: "prefix", Kind: Path, Default: "/var/lib/sluice/controlplane", Planes: ControlPlane, Description: "Folder of the store, the cluster certificate and the logs."},
	{Name: "prefix", Kind: Path, Default: "/var/lib/sluice/dataplane", Planes: DataPlane, Description: "Folder of the node's id, the cached configuration and the logs."},
	{Name: "log_level", Kind: String, Default: "notice", Planes: BothPlanes, OneOf: logLevels, Description: "Least severe messages that are logged."},
	{Name: "log_format", Kind: String, Default: "text", Planes: BothPlanes, OneOf: []string{"text", "json"}, Own: true, Description: "How a message is written."},
	{Name: "role", Kind: String, Default: "traditional", Planes: ControlPlane, OneOf: []string{"traditional", "control_plane"}, Description: "The role that GET / reports; this program is always the control plane."},
	{Name: "role", Kind: String, Default: "data_plane", Planes: DataPlane, OneOf: []string{"data_plane", "traditional"}, Description: "Accepted for Kong's files; this program is always a data plane."},
	{Name: "database", Kind: String, Default: "postgres", Planes: ControlPlane, OneOf: []string{"postgres", "off"}, Description: "The kind of database that GET / reports; the store is always the control plane's own, and off makes the Admin API read-only but for /config."},
	{Name: "database", Kind: String, Default: "off", Planes: DataPlane, OneOf: []string{"off", "postgres"}, Description: "Accepted for Kong's files; a data plane has no database."},
	{Name: "router_flavor", Kind: String, Default: "traditional_compatible", Planes: BothPlanes, OneOf: flavors, Description: "How routes are written and matched; the same on both planes."},
	{Name: "store_encryption_key", Kind: AESKey, Planes: ControlPlane, Secret: true, Own: true, Description: "Key of 32 bytes, or a file with it, that the store is encrypted with; unset leaves it in clear."},
	{Name: "store_encryption_key_previous", Kind: AESKey, Planes: ControlPlane, Secret: true, Own: true, Description: "Key that the store has been encrypted with so far: it is written again with store_encryption_key at the start."},
	{Name: "history_revisions", Kind: Int, Default: "10000", Planes: ControlPlane, Min: 100, Max: 1 << 30, Own: true, Description: "How many of the last revisions can be looked at and restored; also how far data planes may be behind and still be sent changes alone."},
	{Name: "history_size", Kind: Size, Default: "256m", Planes: ControlPlane, Own: true, Description: "How many bytes of the store those revisions may take; a revision that is larger than a quarter of it can't be gone behind."},
	{Name: "declarative_config", Kind: Path, Planes: ControlPlane, Description: "File in the declarative format that becomes the configuration at start."},
	{Name: "declarative_config_string", Kind: String, Planes: ControlPlane, Secret: true, Description: "The same as a text; declarative_config goes first."},

	// Listeners.
	{Name: "admin_listen", Kind: Listeners, Default: "127.0.0.1:8001", Planes: ControlPlane, Description: "Addresses of the Admin API."},
	{Name: "admin_gui_listen", Kind: Listeners, Default: "127.0.0.1:8002", Planes: ControlPlane, Description: "Addresses of the manager."},
	{Name: "cluster_listen", Kind: Listeners, Default: "0.0.0.0:8005", Planes: ControlPlane, Description: "Addresses where data planes connect, always with mutual TLS."},
	{Name: "status_listen", Kind: Listeners, Default: "127.0.0.1:8006", Planes: ControlPlane, Description: "Addresses of /status, /status/ready and /metrics."},
	{Name: "status_listen", Kind: Listeners, Default: "127.0.0.1:8007", Planes: DataPlane, Description: "Addresses of /status, /status/ready and /metrics."},
	{Name: "proxy_listen", Kind: Listeners, Default: proxyListen, Planes: DataPlane, Description: "Addresses for clients' traffic."},
	{Name: "proxy_listen", Kind: Listeners, Default: proxyListen, Planes: ControlPlane, Description: "What GET / reports as the data planes' addresses; the control plane does not listen there."},

	// Admin API and manager.
	{Name: "admin_ssl_cert", Kind: PEMs, Planes: ControlPlane, Description: "Certificates of admin_listen's ssl addresses; made in the prefix when unset."},
	{Name: "admin_ssl_cert_key", Kind: PEMs, Planes: ControlPlane, Secret: true, Description: "Keys of admin_ssl_cert, in the same order."},
	{Name: "nginx_admin_ssl_client_certificate", Kind: PEMs, Planes: ControlPlane, Description: "Authorities whose certificates clients of admin_listen's ssl addresses show."},
	{Name: "nginx_admin_ssl_verify_client", Kind: String, Default: "off", Planes: ControlPlane, OneOf: []string{"off", "on", "optional"}, Description: "Whether clients of admin_listen's ssl addresses must show a certificate."},
	{Name: "enforce_rbac", Kind: Bool, Default: "off", Planes: ControlPlane, Description: "Ask for a token with a role on every request to the Admin API; the first one is made in the prefix, as admin.token."},
	{Name: "rbac_auth_header", Kind: String, Default: "Kong-Admin-Token", Planes: ControlPlane, Description: "Header with the token, beside Authorization: Bearer."},
	{Name: "admin_token", Kind: String, Planes: ControlPlane, Secret: true, Own: true, Description: "Token that commands of this program show to a control plane that runs; admin.token in the prefix when unset."},
	{Name: "audit_log", Kind: Bool, Default: "on", Planes: ControlPlane, Description: "Record who changes what, and what is refused; shown at /audit/requests and /audit/objects."},
	{Name: "audit_log_ignore_methods", Kind: List, Default: "GET, HEAD, OPTIONS", Planes: ControlPlane, Description: "Methods that are not recorded unless they are refused."},
	{Name: "audit_log_ignore_paths", Kind: List, Planes: ControlPlane, Description: "Paths that are not recorded unless they are refused or change something; one that ends in * stands for all that begin so."},
	{Name: "audit_log_ignore_tables", Kind: List, Planes: ControlPlane, Description: "Kinds of entities whose changes are not recorded."},
	{Name: "audit_log_record_ttl", Kind: Duration, Default: "2592000", Planes: ControlPlane, Description: "How long a record is kept."},
	{Name: "audit_log_max_records", Kind: Int, Default: "100000", Planes: ControlPlane, Min: 1, Max: 1 << 30, Own: true, Description: "How many records each of the two audit logs keeps."},
	{Name: "admin_gui_url", Kind: List, Planes: ControlPlane, Description: "Origins that browsers may call the Admin API from; any when unset."},
	{Name: "admin_gui_path", Kind: String, Default: "/", Planes: ControlPlane, Description: "Path prefix of the manager."},
	{Name: "admin_gui_api_url", Kind: String, Planes: ControlPlane, Description: "Address of the Admin API as browsers see it."},
	{Name: "nginx_admin_client_max_body_size", Kind: Size, Default: "10m", Planes: ControlPlane, Description: "Largest request body of the Admin API but for /config; 0 is any."},

	// Functions in Lua.
	{Name: "untrusted_lua", Kind: String, Default: "sandbox", Planes: BothPlanes, OneOf: []string{"sandbox", "on", "off"}, Description: "What functions that users write in Lua may do: what a sandbox has, all that the machine has, or not run at all; the same on both planes."},
	{Name: "untrusted_lua_sandbox_requires", Kind: List, Planes: BothPlanes, Description: "Modules that sandboxed functions may require, such as cjson.safe."},
	{Name: "untrusted_lua_sandbox_environment", Kind: List, Planes: BothPlanes, Description: "Globals that sandboxed functions see beside the usual ones, such as setmetatable."},
	{Name: "untrusted_lua_max_instructions", Kind: Int, Default: "20000000", Planes: DataPlane, Max: 1 << 40, Own: true, Description: "Instructions that one run of a function may take; it is stopped then."},
	{Name: "untrusted_lua_max_memory", Kind: Size, Default: "64m", Planes: DataPlane, Own: true, Description: "Memory that functions may hold on each processor's machine; who asks for more is stopped."},

	// Secrets.
	{Name: "vault_env_prefix", Kind: String, Planes: DataPlane, Description: "What is put before the names of environment variables in {vault://env/...}."},
	{Name: "vault_file_path", Kind: Path, Default: "/run/secrets", Planes: DataPlane, Own: true, Description: "Folder of the secrets in {vault://file/...}."},

	// The link between the planes.
	{Name: "cluster_control_plane", Kind: Address, Default: "127.0.0.1:8005", Planes: DataPlane, Description: "Where the control plane's cluster_listen is reached."},
	{Name: "join", Kind: String, Planes: DataPlane, Secret: true, Own: true, Description: "Join line, TOKEN@host:port, that gives the node its own certificate, or the path of a file with it; sluice-controlplane token create prints one."},
	{Name: "cluster_advertise", Kind: Address, Planes: ControlPlane, Own: true, Description: "Where nodes reach cluster_listen, as join lines name it; the machine's name and cluster_listen's port when unset."},
	{Name: "cluster_node_cert_ttl", Kind: Duration, Default: "86400", Planes: ControlPlane, Own: true, Description: "How long the certificate of a node that has joined lives; it is renewed at half of that."},
	{Name: "cluster_node_cert_grace", Kind: Duration, Default: "2592000", Planes: ControlPlane, Own: true, Description: "How long after it has expired such a certificate may still be renewed; a node that comes later must join again."},
	{Name: "cluster_mtls", Kind: String, Default: "shared", Planes: BothPlanes, OneOf: []string{"shared", "pki"}, Description: "How the planes trust each other: one certificate for all, or a common authority."},
	{Name: "cluster_cert", Kind: PEM, Planes: ControlPlane, Description: "Certificate of the link; made in the prefix when unset."},
	{Name: "cluster_cert", Kind: PEM, Planes: DataPlane, Description: "Certificate of the link."},
	{Name: "cluster_cert_key", Kind: PEM, Planes: BothPlanes, Secret: true, Description: "Key of cluster_cert."},
	{Name: "cluster_ca_cert", Kind: PEM, Planes: BothPlanes, Description: "Authority of the other side's certificate with cluster_mtls=pki."},
	{Name: "cluster_server_name", Kind: String, Planes: DataPlane, Description: "Name expected in the control plane's certificate with cluster_mtls=pki; the host of cluster_control_plane when unset."},
	{Name: "cache_encryption_key", Kind: AESKey, Planes: DataPlane, Secret: true, Own: true, Description: "Key of 32 bytes, or a file with it, that the configuration on disk is encrypted with; unset leaves it in clear."},
	{Name: "cluster_fallback_config", Kind: Path, Planes: DataPlane, Own: true, Description: "Configuration that a node without any starts with: a .base file from the cache folder of another node, encrypted with the same key if any."},
	{Name: "cluster_dp_labels", Kind: Labels, Planes: DataPlane, Description: "Labels that the control plane shows for this node, as key:value."},
	{Name: "traffic_report", Kind: Bool, Default: "on", Planes: DataPlane, Own: true, Description: "Count requests by route and tell the control plane every few seconds."},
	{Name: "traffic_memory", Kind: Size, Default: "64m", Planes: ControlPlane, Own: true, Description: "Memory for what data planes have counted in the last hour; less detail is kept when it does not suffice."},
	{Name: "cluster_data_plane_purge_delay", Kind: Duration, Default: "1209600", Planes: ControlPlane, Description: "How long a node that went away stays listed."},
	{Name: "node_id", Kind: String, Planes: BothPlanes, Description: "The node's UUID; made once and kept in the prefix when unset."},

	// Clients of the proxy.
	{Name: "ssl_cert", Kind: PEMs, Planes: DataPlane, Description: "Certificates where no SNI matches; made in the prefix when unset."},
	{Name: "ssl_cert_key", Kind: PEMs, Planes: DataPlane, Secret: true, Description: "Keys of ssl_cert, in the same order."},
	{Name: "ssl_cipher_suite", Kind: String, Default: "intermediate", Planes: DataPlane, OneOf: []string{"modern", "intermediate", "old", "fips", "custom"}, Description: "Which cipher suites clients may use, after Mozilla's names; modern, old and fips choose the versions of TLS as well."},
	{Name: "ssl_ciphers", Kind: String, Default: intermediateCiphers, Planes: DataPlane, Description: "Cipher suites of TLS 1.2 with ssl_cipher_suite = custom: OpenSSL's names between colons."},
	{Name: "ssl_session_tickets", Kind: String, Default: "on", Planes: DataPlane, OneOf: []string{"on", "off"}, Description: "Let clients resume sessions of TLS with tickets; the keys are each process's own and change every day, unless nginx_proxy_ssl_session_ticket_key is set."},
	{Name: "ssl_session_timeout", Kind: Duration, Default: "1d", Planes: DataPlane, Description: "How long after its handshake a session of TLS can be resumed; 7 days are the most."},
	{Name: "nginx_proxy_ssl_session_ticket_key", Kind: Path, Planes: DataPlane, Description: "File of 48 or 80 random bytes, as nginx reads it: data planes with the same one resume each other's sessions. It is read again on SIGHUP, and tickets of the file before are still taken."},
	{Name: "ssl_protocols", Kind: String, Default: "TLSv1.2 TLSv1.3", Planes: DataPlane, Description: "Versions of TLS for clients, separated by spaces."},
	{Name: "nginx_proxy_ssl_verify_client", Kind: String, Default: "off", Planes: DataPlane, OneOf: []string{"off", "optional_no_ca", "optional", "on"}, Description: "Whether clients are asked for a certificate: not, without judging it, with judging it when they have one, or always."},
	{Name: "nginx_proxy_ssl_client_certificate", Kind: PEM, Planes: DataPlane, Description: "Authorities of clients' certificates, for nginx_proxy_ssl_verify_client; a file is read again on SIGHUP."},
	{Name: "port_maps", Kind: List, Planes: DataPlane, Description: "Ports that clients reach the listeners' ports by, as 80:8000, for X-Forwarded-Port."},
	{Name: "trusted_ips", Kind: Networks, Planes: DataPlane, Description: "Peers whose X-Forwarded-* headers are believed."},
	{Name: "real_ip_header", Kind: String, Default: "X-Real-IP", Planes: DataPlane, Description: "Header, or proxy_protocol, that a trusted peer names the client in."},
	{Name: "real_ip_recursive", Kind: Bool, Default: "off", Planes: DataPlane, Description: "Take the last address in real_ip_header that is not trusted."},
	{Name: "headers", Kind: List, Default: "server_tokens, latency_tokens, X-Kong-Request-Id", Planes: BothPlanes, OneOf: headerNames, Description: "Headers that the gateway adds to responses."},
	{Name: "headers_upstream", Kind: List, Default: "X-Kong-Request-Id", Planes: DataPlane, OneOf: []string{"X-Kong-Request-Id", "off"}, Description: "Headers that the gateway adds to requests."},
	{Name: "allow_debug_header", Kind: Bool, Default: "off", Planes: DataPlane, Description: "Answer Kong-Debug: 1 with the names of route and service."},
	{Name: "request_debug", Kind: Bool, Default: "on", Planes: DataPlane, Description: "Answer X-Kong-Request-Debug: * with what the request spent its time on, for clients on this machine and those that send the token."},
	{Name: "request_debug_token", Kind: String, Planes: DataPlane, Secret: true, Description: "What X-Kong-Request-Debug-Token has to be; when unset, one for each run is left in .request_debug_token in the prefix."},
	{Name: "error_default_type", Kind: String, Default: "text/plain", Planes: DataPlane, OneOf: []string{"text/plain", "text/html", "application/json", "application/xml"}, Description: "Type of error bodies for requests without Accept."},
	{Name: "error_template_html", Kind: Path, Planes: DataPlane, Description: "File of the gateway's own error bodies as HTML: %s is the message, and a second %s the request's id."},
	{Name: "error_template_json", Kind: Path, Planes: DataPlane, Description: "The same for JSON, where %s stands between quotes."},
	{Name: "error_template_xml", Kind: Path, Planes: DataPlane, Description: "The same for XML."},
	{Name: "error_template_plain", Kind: Path, Planes: DataPlane, Description: "The same for plain text."},
	{Name: "nginx_http_client_max_body_size", Kind: Size, Default: "0", Planes: DataPlane, Description: "Largest request body; 0 is any."},
	{Name: "mem_cache_size", Kind: Size, Default: "128m", Planes: DataPlane, Description: "Memory that plugins such as proxy-cache may use for answers."},
	{Name: "tracing_instrumentations", Kind: List, Default: "off", Planes: DataPlane, OneOf: instruments, Description: "What spans are made of for tracing plugins: all, off, or a list."},
	{Name: "tracing_sampling_rate", Kind: Share, Default: "0.01", Planes: DataPlane, Description: "Part of the traces that is sampled, from 0 to 1."},
	{Name: "nginx_http_keepalive_requests", Kind: Int, Default: "10000", Planes: DataPlane, Max: 1 << 30, Description: "Requests on one client connection before it is closed."},
	{Name: "proxy_access_log", Kind: Log, Default: "logs/access.log", Planes: DataPlane, Description: "File of one line a request, or off."},
	{Name: "proxy_error_log", Kind: Log, Default: "logs/error.log", Planes: DataPlane, Description: "File of the process's messages when it is set; they go to standard error when it is not."},

	// Upstreams.
	{Name: "upstream_keepalive_pool_size", Kind: Int, Default: "512", Planes: DataPlane, Max: 1 << 30, Description: "Idle connections kept for one upstream address; 0 keeps none."},
	{Name: "upstream_keepalive_max_requests", Kind: Int, Default: "10000", Planes: DataPlane, Max: 1 << 30, Description: "Requests on one upstream connection; 0 is any number."},
	{Name: "upstream_keepalive_idle_timeout", Kind: Duration, Default: "60", Planes: DataPlane, Description: "How long an upstream connection stays open unused; 0 is for ever."},
	{Name: "lua_ssl_trusted_certificate", Kind: PEMs, Default: "system", Planes: DataPlane, Description: "Authorities for upstreams with tls_verify; system is the machine's own."},
	{Name: "dns_resolver", Kind: List, Planes: DataPlane, Description: "Name servers as ip or ip:port; those of /etc/resolv.conf when unset."},
	{Name: "dns_hostsfile", Kind: Path, Default: "/etc/hosts", Planes: DataPlane, Description: "File of names that need no server."},
	{Name: "dns_order", Kind: List, Default: "LAST,SRV,A,CNAME", Planes: DataPlane, OneOf: recordTypes, Description: "Types of records that are tried for a name, in this order; LAST is the one that was found before."},
	{Name: "dns_valid_ttl", Kind: Duration, Planes: DataPlane, Description: "Lifetime of answers instead of their own."},
	{Name: "dns_stale_ttl", Kind: Duration, Default: "3600", Planes: DataPlane, Description: "How long an expired answer serves while a new one is fetched."},
	{Name: "dns_not_found_ttl", Kind: Duration, Default: "30", Planes: DataPlane, Description: "Lifetime of answers that there is no such name."},
	{Name: "dns_error_ttl", Kind: Duration, Default: "1", Planes: DataPlane, Description: "Lifetime of failed answers."},
	{Name: "dns_cache_size", Kind: Int, Default: "10000", Planes: DataPlane, Min: 1, Max: 1 << 30, Description: "Names that are remembered at most."},
	{Name: "dns_no_sync", Kind: Bool, Default: "off", Planes: DataPlane, Description: "Let each request that needs a name ask for it, instead of sharing one question."},
	{Name: "new_dns_client", Kind: Bool, Default: "off", Planes: DataPlane, Description: "Obey the settings that begin with resolver_ instead of those that begin with dns_, and ask for services only under names like _http._tcp.name."},
	{Name: "resolver_address", Kind: List, Planes: DataPlane, Description: "With new_dns_client, name servers as ip or ip:port; those of /etc/resolv.conf when unset."},
	{Name: "resolver_hosts_file", Kind: Path, Default: "/etc/hosts", Planes: DataPlane, Description: "With new_dns_client, the file of names that need no server."},
	{Name: "resolver_family", Kind: List, Default: "A,SRV", Planes: DataPlane, OneOf: []string{"A", "AAAA", "SRV"}, Description: "With new_dns_client, types of records that are asked for."},
	{Name: "resolver_valid_ttl", Kind: Duration, Planes: DataPlane, Description: "With new_dns_client, the lifetime of answers instead of their own."},
	{Name: "resolver_stale_ttl", Kind: Duration, Default: "3600", Planes: DataPlane, Description: "With new_dns_client, how long an expired answer serves while a new one is fetched."},
	{Name: "resolver_error_ttl", Kind: Duration, Default: "1", Planes: DataPlane, Description: "With new_dns_client, the lifetime of failed answers, also of names that do not exist."},
	{Name: "resolver_lru_cache_size", Kind: Int, Default: "10000", Planes: DataPlane, Min: 1, Max: 1 << 30, Description: "With new_dns_client, names that are remembered at most."},
}
