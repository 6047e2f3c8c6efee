// Package botdetection is the plugin bot-detection: programs that crawl are kept out by
// the name that they give themselves. What allow has is let in whatever else has it.
package botdetection

import (
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is bot-detection.
var Plugin = &pdk.Plugin{
	Name:     "bot-detection",
	Priority: 2500,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "bot-detection",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.ArrayOf(schema.ValidRegex()).Named("allow").Defaults([]any{}).Described("Regular expressions over User-Agent of programs that are let in."),
			schema.ArrayOf(schema.ValidRegex()).Named("deny").Defaults([]any{}).Described("Regular expressions over User-Agent of programs that are kept out besides the known ones."),
		),
	},
}

// known are names that crawlers and fetching libraries go by, as regular expressions.
var known = compileKnown(
	`Pingdom\.com_bot_version_\d+\.\d+`,
	`facebookexternalhit/\d+\.\d+`,
	`Google.*/\+/web/snippet`,
	`Twitterbot/\d+\.\d+`,
	`/(?:(?:Ant-)?Nutch|[A-Za-z]+[Bb]ot|[A-Za-z]+[Ss]pider|Axtaris|fetchurl|Isara|ShopSalad|Tailsweep)[ -]\d+`,
	`(?:008|Altresium|Argus|BaiduMobaider|BoardReader|DNSGroup|DataparkSearch|EDI|Goodzer|Grub|INGRID|Infohelfer|LinkedInBot|LOOQ|Nutch|`+
		`PathDefender|Peew|PostPost|Steeler|VSE|WebCrunch|WebZIP|Y!J-BR[A-Z]|YahooSeeker|envolk|sproose|wminer)/\d+`,
	`MSIE \d+\.\d+.*MSIECrawler`,
	`(?:Google-HTTP-Java-Client|Apache-HttpClient|http%20client|Python-urllib|HttpMonitor|TLSProber|WinHTTP|JNLP)(?:[ /]\d+|$)`,
	`(?:1470\.net crawler|8bo Crawler Bot|Aboundex|Accoona|AdsBot-Google|AppEngine-Google|Arachnophilia|Baiduspider|Exabot|FAST Enterprise Crawler|`+
		`Googlebot|Mediapartners-Google|Megaupload|Sogou web spider|Yandex[A-Za-z]*|bingbot|msnbot|Slurp)`,
	`[A-Za-z0-9_-]*(?:[Cc]rawler|[Ss]pider|[Ss]craper)[A-Za-z0-9_-]*[ /]?\d*`,
)

func compileKnown(list ...string) []*schema.Regex {
	out := make([]*schema.Regex, len(list))
	for i, text := range list {
		r, err := schema.CompileRegex(text)
		if err != nil {
			panic("bot-detection: " + err.Error())
		}
		out[i] = r
	}
	return out
}

type config struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

type plugin struct {
	allow, deny []*schema.Regex
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{}
	var err error
	if p.allow, err = compile("allow", c.Allow); err != nil {
		return pdk.Phases{}, err
	}
	if p.deny, err = compile("deny", c.Deny); err != nil {
		return pdk.Phases{}, err
	}
	return pdk.Phases{Access: p.access}, nil
}

func compile(field string, list []string) ([]*schema.Regex, error) {
	out := make([]*schema.Regex, len(list))
	for i, text := range list {
		r, err := schema.CompileRegex(text)
		if err != nil {
			return nil, schema.Violate("config."+field, "not a valid regex: "+text)
		}
		out[i] = r
	}
	return out, nil
}

func (p *plugin) access(x *pdk.Exchange) error {
	switch x.Request.Header.Count("User-Agent") {
	case 0:
		return nil
	case 1:
	default:
		return x.Fail(400, "")
	}
	agent := strings.TrimSpace(x.Request.Header.Get("User-Agent"))
	for _, r := range p.allow {
		if r.Match(agent) {
			return nil
		}
	}
	for _, r := range p.deny {
		if r.Match(agent) {
			return x.Fail(403, "")
		}
	}
	for _, r := range known {
		if r.Match(agent) {
			return x.Fail(403, "")
		}
	}
	return nil
}
