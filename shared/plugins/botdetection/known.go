package botdetection

import (
	"regexp"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Names of programs as the User-Agent parsers of the uap-core project know them. They
// count wherever they stand.
const (
	// crawlers of search engines, archives and feeds, and what messengers preview with.
	crawlers = `123metaspider-Bot, 1470.net crawler, 50.nu, 8bo Crawler Bot, Aboundex, AdsBot-Google, altavista, AppEngine-Google,
		archiver, Ask Jeeves, baiduspider, Baiduspider, baiDuSpider, BaiDuSpider, bingbot, BingPreview, blitzbot, BlogBridge, Bloglovin,
		BoardReader Blog Indexer, BoardReader Favicon Fetcher, boitho.com-dc, BotSeer, BUbiNG, Catchpoint, Charlotte, charlotte,
		Checklinks, Cityreview Robot, clumboot, Comodo HTTP(S) Crawler, Comodo-Webinspector-Crawler, ConveraCrawler, CRAWL-E, CrawlConvera,
		CrawlDaddy, CrawlFire, CSimpleSpider, Daumoa, Feed Seeker Bot, Feedbin, Finderbots, findlinks, Flamingo_SearchEngine, FollowSite Bot,
		furlbot, Genieo, gigabot, GomezAgent, gonzo1, Googlebot, Google SketchUp, grub-client, gsa-crawler, heritrix, HiddenMarket, holmes,
		HooWWWer, htdig, ia_archiver, ICC-Crawler, Icarus6j, ichiro, IconSurf, IlTrovatore, Index crawler, InfuzApp, Innovazion Crawler,
		InternetArchive, Job Roboter, KaloogaBot, KiwiStatus Spider, Kraken, Kurzor, larbin, LEIA, LesnikBot, Lijit Crawler, Linguee Bot,
		LinkAider, LinkedInBot, Lite Bot, Llaut, lycos, Mail.RU_Bot, masscan, masidani_bot, Mediapartners-Google, mogimogi, mozDex, MJ12bot,
		msnbot, msrbot, Mtps Feed Aggregation System, netresearch, Netvibes, NewsGator, Nutch, Nymesis, ObjectsSearch, OgScrper, Orbiter,
		OOZBOT, PagePeeker, PagesInventory, PaxleFramework, Peeplo Screenshot Bot, PlantyNet_WebRobot, Pompos, QuerySeekerSpider, Qwantify,
		Read%20Later, Reaper, RedCarpet, Retreiver, Riddler, Rival IQ, ScollSpider, scooter, Scrapy, Scrubby, searchsight, seekbot,
		semanticdiscovery, SemrushBot, Simpy, SimplePie, SEOstats, SimpleRSS, SiteCat Webbot, SiteCon, Slackbot-LinkExpanding, Slack-ImgProxy,
		Slurp, snappy, Speedy Spider, Squrl Java, Stringer, TheUsefulbot, ThumbShotsBot, Thumbshots.ru, Tiny Tiny RSS, Trends Crawler,
		Twitterbot, URL2PNG, USyd-NLP-Spider, Vagabondo, VoilaBot, Votay bot, Web-sniffer, WebThumb, WhatsApp, WhatWeb, WIRE, WordPress,
		Wotbox, www.almaden.ibm.com, yacy, YahooSeeker, YodaoBot, YottaaMonitor, Yowedo, ZeBot_www.ze.bz, ZooShot, ZyBorg`
	// libraries that fetch.
	libraries = `Google-HTTP-Java-Client, Apache-HttpClient, Go-http-client, scalaj-http, http%20client, Python-urllib, HttpMonitor, TLSProber,
		WinHTTP, JNLP, okhttp, aihttp, reqwest, axios, unirest-java, unirest-python, unirest-ruby, unirest-nodejs, unirest-php, unirest-net`
	// versioned names count with a slash and a number behind, at the start of a word.
	versioned = `008, Altresium, Argus, BaiduMobaider, BoardReader, DNSGroup, DataparkSearch, EDI, Goodzer, Grub, INGRID, Infohelfer, LOOQ,
		PathDefender, Peew, PostPost, Steeler, VSE, WebCrunch, WebZIP, envolk, sproose, wminer, Boto, Boto3, JetS3t, s3fs, aws-cli`
)

// known are the expressions of all of them.
var known = compileKnown(
	anyOf(crawlers), anyOf(libraries), `\b`+anyOf(versioned)+`/\d+`,
	`\baws-sdk-[a-z0-9-]+/\d+`, `\bY!J-BR[A-Z]/\d+`,
	`Pingdom\.com_bot_version_\d+\.\d+`, `facebookexternalhit/\d+\.\d+`, `Google.*/\+/web/snippet`, ` PTST/\d+\.?\d+$`,
	`MSIE \d+\.\d+.*; ?MSIECrawler`, `^(?:NING|vortex|voyager|Zao)`, `\bYeti\b`, `\bjbot\b`, `\b\w*favicon\w*\b`,
	`archive.*\.org_bot`, `Accoona-[A-Za-z]+-Agent`, `IP2[a-z]+Bot`, `Microsoft .* Bot`, `WASALive.Bot`, `WeSEE:[A-Za-z]+`, `Xenu.? ?Link Sleuth`,
	`Xerka [A-Za-z]+Bot`, `Yandex\w+`,
	`/(?:Ant-)?(?:Nutch|[A-Za-z]+[Bb]ot|[A-Za-z]+[Ss]pider|Axtaris|fetchurl|Isara|ShopSalad|Tailsweep)[ -]\d+`,
	// What says in general that it is one.
	`(?:[Aa]rchiver|[Ii]ndexer|[Ss]craper|[Bb]ot|[Ss]pider|[Cc]rawl[a-z]*)[/ ]\d+`,
	`(?i:spider|crawl)|[Ss]crape`,
)

// anyOf makes an expression of names that are separated by commas.
func anyOf(names string) string {
	list := strings.Split(names, ",")
	for i, name := range list {
		list[i] = regexp.QuoteMeta(strings.TrimSpace(name))
	}
	return "(?:" + strings.Join(list, "|") + ")"
}

func compileKnown(list ...string) []*schema.Regex {
	out := make([]*schema.Regex, len(list))
	for i, text := range list {
		r, err := schema.CompileRegex(text)
		if err != nil {
			panic("bot-detection: " + text + ": " + err.Error())
		}
		out[i] = r
	}
	return out
}
