// Package plugins lists the plugins that come with the product: one folder and one
// line in All each. Both planes read the list; the control plane takes schemas,
// entities and endpoints from it, a data plane phases and commands.
//
// Own plugins from outside this tree join through NewRegistry:
//
//	plugins.NewRegistry(append(slices.Clone(plugins.All), mine.Plugin))
package plugins

import (
	"sync"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins/acl"
	"github.com/sluice-gateway/sluice/shared/plugins/basicauth"
	"github.com/sluice-gateway/sluice/shared/plugins/botdetection"
	"github.com/sluice-gateway/sluice/shared/plugins/correlationid"
	"github.com/sluice-gateway/sluice/shared/plugins/cors"
	"github.com/sluice-gateway/sluice/shared/plugins/datadog"
	"github.com/sluice-gateway/sluice/shared/plugins/filelog"
	"github.com/sluice-gateway/sluice/shared/plugins/function"
	"github.com/sluice-gateway/sluice/shared/plugins/hmacauth"
	"github.com/sluice-gateway/sluice/shared/plugins/httplog"
	"github.com/sluice-gateway/sluice/shared/plugins/iprestriction"
	"github.com/sluice-gateway/sluice/shared/plugins/jwt"
	"github.com/sluice-gateway/sluice/shared/plugins/keyauth"
	"github.com/sluice-gateway/sluice/shared/plugins/loggly"
	"github.com/sluice-gateway/sluice/shared/plugins/oauth2"
	"github.com/sluice-gateway/sluice/shared/plugins/opentelemetry"
	"github.com/sluice-gateway/sluice/shared/plugins/prometheus"
	"github.com/sluice-gateway/sluice/shared/plugins/proxycache"
	"github.com/sluice-gateway/sluice/shared/plugins/ratelimiting"
	"github.com/sluice-gateway/sluice/shared/plugins/redirect"
	"github.com/sluice-gateway/sluice/shared/plugins/requestsizelimiting"
	"github.com/sluice-gateway/sluice/shared/plugins/requesttermination"
	"github.com/sluice-gateway/sluice/shared/plugins/requesttransformer"
	"github.com/sluice-gateway/sluice/shared/plugins/responseratelimiting"
	"github.com/sluice-gateway/sluice/shared/plugins/responsetransformer"
	"github.com/sluice-gateway/sluice/shared/plugins/retry"
	"github.com/sluice-gateway/sluice/shared/plugins/session"
	"github.com/sluice-gateway/sluice/shared/plugins/statsd"
	"github.com/sluice-gateway/sluice/shared/plugins/syslog"
	"github.com/sluice-gateway/sluice/shared/plugins/tcplog"
	"github.com/sluice-gateway/sluice/shared/plugins/udplog"
)

// All lists the plugins that come with the product, by name.
var All = []*pdk.Plugin{
	acl.Plugin,
	basicauth.Plugin,
	botdetection.Plugin,
	correlationid.Plugin,
	cors.Plugin,
	datadog.Plugin,
	filelog.Plugin,
	hmacauth.Plugin,
	httplog.Plugin,
	iprestriction.Plugin,
	jwt.Plugin,
	keyauth.Plugin,
	loggly.Plugin,
	oauth2.Plugin,
	opentelemetry.Plugin,
	prometheus.Plugin,
	proxycache.Plugin,
	ratelimiting.Plugin,
	redirect.Plugin,
	requestsizelimiting.Plugin,
	requesttermination.Plugin,
	requesttransformer.Plugin,
	responseratelimiting.Plugin,
	responsetransformer.Plugin,
	retry.Plugin,
	session.Plugin,
	statsd.Plugin,
	syslog.Plugin,
	tcplog.Plugin,
	udplog.Plugin,
	function.Post,
	function.Pre,
}

// Bundled is the registry of All. It is made once.
var Bundled = sync.OnceValue(func() *Registry { return NewRegistry(All) })
