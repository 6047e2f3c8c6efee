package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/sluice-gateway/sluice/controlplane"
	"github.com/sluice-gateway/sluice/shared/command"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// commands in the order of --help. The first is what is done without words.
var commands = []verb{
	{
		words: "start", about: "serve (what is done without a command)",
		run: func(_ context.Context, c *call) error { return serve(c.s, c.errs) },
	},
	{
		words: "version", about: "print the version",
		run: func(_ context.Context, c *call) error { return printVersion(c.out) },
	},
	{
		words: "health", about: "ask the control plane that runs with the same settings",
		run: func(ctx context.Context, c *call) error {
			return command.Health(ctx, c.s.Listeners("status_listen"), c.s.Listeners("admin_listen"), c.out)
		},
	},
	{
		words: "config", about: "print an example file of all settings",
		run: func(_ context.Context, c *call) error {
			_, err := io.WriteString(c.out, settings.Example(settings.ControlPlane, program))
			return err
		},
	},
	{
		words: "migrations", args: []string{"WORDS..."}, about: "say that there is nothing to do, as Kong's container files ask",
		run: func(_ context.Context, c *call) error { return command.Migrations(c.args, c.out) },
	},
	{
		words: "hybrid gen_cert", args: []string{"[CERT KEY]..."}, about: "make a certificate for cluster_mtls=shared",
		help: `-d DAYS says how long it lives, --keep leaves one that is there.`,
		run:  func(_ context.Context, c *call) error { return generate(c.args, c.out) },
	},
	{
		words: "nodes", about: "list the data planes", flags: withJSON,
		help: `IDENTITY is "own" for nodes that have joined with a token, and "shared" for those with cluster_cert.
--json writes the rows of /clustering/data-planes. The control plane must run.`,
		run: func(ctx context.Context, c *call) error { return controlplane.ListNodes(ctx, c.s, c.is("json"), c.out) },
	},
	{
		words: "nodes revoke", args: []string{"ID"}, about: "part with a data plane for good",
		help: `Its stream ends at once, its certificates are worthless, and no token lets it join again until it is
forgotten. It goes on proxying with what it has: stop it, too. A node with the shared certificate can come
back under another id; give the others a new certificate.`,
		run: func(ctx context.Context, c *call) error { return controlplane.RevokeNode(ctx, c.s, c.args[0]) },
	},
	{
		words: "nodes forget", args: []string{"ID"}, about: "take a data plane off the list; it must join again to come back",
		run: func(ctx context.Context, c *call) error { return controlplane.ForgetNode(ctx, c.s, c.args[0]) },
	},
	{
		words: "nodes drain", args: []string{"ID"}, about: "make a data plane not ready for traffic",
		help: `/status/ready of the node turns 503, so that load balancers leave it, and its idle connections are closed.
Requests that come all the same are served. --off, or a restart of the node, makes it ready again.`,
		flags: func(f *flag.FlagSet) { f.Bool("off", false, "make it ready again") },
		run: func(ctx context.Context, c *call) error {
			return controlplane.DrainNode(ctx, c.s, c.args[0], c.is("off"))
		},
	},
	{
		words: "token create", about: "make a join token and print the join line, TOKEN@host:port",
		help: `The line is for sluice-dataplane --join. It is printed once: the store keeps a hash of its secret.`,
		flags: func(f *flag.FlagSet) {
			f.String("ttl", "1h", "how long it is good, such as 30m or 7d: a `TIME`")
			f.Int("uses", 1, "how many nodes may join with it, 0 for any number: a `NUMBER`")
			f.String("comment", "", "free `TEXT`")
			f.String("address", "", "where nodes reach the control plane, cluster_advertise otherwise: `HOST:PORT`")
			withJSON(f)
		},
		run: createToken,
	},
	{
		words: "token list", about: "list the join tokens, without what is secret of them", flags: withJSON,
		run: func(ctx context.Context, c *call) error {
			return controlplane.ListJoinTokens(ctx, c.s, c.is("json"), c.out)
		},
	},
	{
		words: "token revoke", args: []string{"ID"}, about: "end a join token; nodes that have joined with it stay",
		run: func(ctx context.Context, c *call) error { return controlplane.RevokeJoinToken(ctx, c.s, c.args[0]) },
	},
	{
		words: "admin-token", args: []string{"WORDS..."}, about: "manage the tokens of the Admin API: create, list or revoke",
		help: `admin-token create NAME [role=read-only|editor|admin] [workspace=NAME] [expires=30d] [comment=TEXT]
                          make a token for the Admin API and print it
admin-token list          list the tokens, without what is secret of them
admin-token revoke NAME   end a token`,
		run: func(ctx context.Context, c *call) error { return controlplane.AdminToken(ctx, c.s, c.args, c.out) },
	},
	{
		words: "backup", args: []string{"FILE"}, about: "copy the store, while the control plane runs or not",
		help: `FILE must not exist. Keep cluster-ca.key, cluster.crt and cluster.key of the prefix beside it: without
the first all nodes that have joined have to join again.`,
		run: func(ctx context.Context, c *call) error { return controlplane.Backup(ctx, c.s, c.args[0]) },
	},
	{
		words: "restore", args: []string{"FILE"}, about: "make a copy the store; nodes follow it",
		help: `The control plane must not run. The copy gets a generation above that of both, by which nodes know that
they are to follow it although they may have seen later revisions.`,
		run: func(ctx context.Context, c *call) error { return controlplane.Restore(ctx, c.s, c.args[0]) },
	},
	{
		words: "verify", args: []string{"[FILE]..."}, about: "look for damage in the store, or in a backup",
		help: `Reads everything without changing anything: pages, checksums, the root over all entities, indexes, the
change log and references between entities. Without FILE it is the store of the prefix, also while the
control plane runs, when pages are left out. The exit code is 3 when something is wrong.`,
		flags: withJSON,
		run: func(ctx context.Context, c *call) error {
			file := ""
			switch len(c.args) {
			case 0:
			case 1:
				file = c.args[0]
			default:
				return &usageError{fmt.Sprintf("verify: %q is too much", c.args[1])}
			}
			return controlplane.Verify(ctx, c.s, file, c.is("json"), c.out)
		},
	},
}

func withJSON(f *flag.FlagSet) { f.Bool("json", false, "write JSON instead of a table") }

func createToken(ctx context.Context, c *call) error {
	t := controlplane.JoinToken{Comment: c.text("comment"), Address: c.text("address")}
	life, err := settings.ParseDuration(c.text("ttl"))
	if err != nil || life < time.Second {
		return &usageError{fmt.Sprintf("token create: --ttl: %q is not a time of a second or more, such as 30m, 1h or 7d", c.text("ttl"))}
	}
	t.Life = life
	t.Uses = c.flags.Lookup("uses").Value.(flag.Getter).Get().(int) //nolint:forcetypeassert // it is an Int
	if t.Uses < 0 {
		return &usageError{"token create: --uses: must not be less than 0"}
	}
	return controlplane.CreateJoinToken(ctx, c.s, t, c.is("json"), c.out)
}
