# Everything that a developer or CI does with Sluice. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables

ROOT    := github.com/sluice-gateway/sluice
# The version without a tag; the commit is stamped behind it.
VERSION ?= 0.1.0-dev
commit  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || true)
ldflags := -s -w -X $(ROOT)/shared/version.version=$(VERSION)$(if $(commit),+$(commit))
# The modules of go.work, and the packages but for the tests with real processes.
modules  = $$(go list -m -f '{{.Dir}}')
packages = $$(go list work | grep -v '/scripts/e2e$$')
tools   := $(CURDIR)/bin/tools
# How long each fuzz target and a soak run, and what make run and make bench pass on.
FUZZTIME ?= 30s
SOAK_TIME ?= 30m
# How long make chaos breaks things, and how often it kills a control plane that writes.
CHAOS_TIME ?= 30m
KILLS ?= 200
RUN_ARGS ?=
BENCH_SECONDS ?= 240
BENCH_ARGS ?=
PGO_SECONDS ?= 55
# Whether the data plane is built by its profile (auto or off): all that it is made of is compiled by it then, for a
# minute the first time, which somebody who only looks does not wait for.
PGO ?= auto
# What buf breaking compares with: see scripts/base.sh.
BASE ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: PGO = off
run: build bin/upstream bin/run ## Start both planes and an example upstream until Ctrl-C
	@exec bin/run $(RUN_ARGS)

.PHONY: build
build: bin/sluice-controlplane bin/sluice-dataplane ## Build both programs into bin/

# The web UI is built when its sources changed, and left out where there is no Node.js.
.PHONY: web
web:
	@scripts/manager.sh

.PHONY: manager
manager: ## Build the web UI that the control plane embeds (needs Node.js)
	@scripts/manager.sh --required

# go build knows what changed; make does not have to.
.PHONY: bin/sluice-controlplane bin/sluice-dataplane bin/upstream bin/run
bin/sluice-controlplane: web
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(ldflags)' -o $@ ./controlplane/cmd/sluice-controlplane
bin/sluice-dataplane:
	@CGO_ENABLED=0 go build -trimpath -pgo=$(PGO) -ldflags '$(ldflags)' -o $@ ./dataplane/cmd/sluice-dataplane
bin/upstream bin/run:
	@CGO_ENABLED=0 go build -trimpath -o $@ ./scripts/e2e/cmd/$(notdir $@)

.PHONY: test
test: build bin/upstream bin/run ## Run every test of every module, then those with real processes
	@scripts/deps.sh
	go vet $(packages) ./scripts/e2e/...
	go test -shuffle=on -timeout 15m $(packages)
	$(MAKE) --no-print-directory e2e

.PHONY: e2e
e2e: build bin/upstream bin/run ## Run the tests with real processes
	@scripts/deps.sh
	E2E_BIN=$(CURDIR)/bin go test -shuffle=on -count=1 -timeout 20m ./scripts/e2e

.PHONY: release
release: manager ## Build archives for Linux and macOS into bin/release, the same bytes each time
	@VERSION='$(VERSION)' scripts/release.sh bin/release

.PHONY: images
images: web ## Build container images of both planes and of the demo with Docker, pulling nothing
	@VERSION='$(VERSION)' scripts/images.sh

.PHONY: demo
demo: images ## Walk through the hybrid-mode demo with Docker Compose
	@deploy/compose/demo.sh

.PHONY: demo-test
demo-test: web ## Run the demo with a real Docker engine, its own where none runs
	@scripts/deps.sh
	@scripts/demo-test.sh

.PHONY: soak
soak: build bin/upstream ## Send mixed traffic for SOAK_TIME while the configuration changes
	SOAK=$(SOAK_TIME) E2E_BIN=$(CURDIR)/bin go test -count=1 -v -run '^TestSoak$$' -timeout 24h ./scripts/e2e

.PHONY: chaos
chaos: build bin/upstream ## Break planes and links at random for CHAOS_TIME, kill -9 KILLS times, and check the history
	@scripts/deps.sh
	CHAOS=$(CHAOS_TIME) KILLS=$(KILLS) E2E_BIN=$(CURDIR)/bin go test -count=1 -v -run '^(TestKilledControlPlane|TestChaos)$$' -timeout 24h ./scripts/e2e

.PHONY: race
race: ## Run the short tests with the race detector
	go test -race -short -shuffle=on -timeout 25m $(packages)

.PHONY: cover
cover: ## Measure which code the tests of the modules reach
	@mkdir -p .run
	go test -coverprofile .run/cover.out $(packages)
	go tool cover -func .run/cover.out | tail -n 1

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME
	@grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
	  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$$file" | cut -d' ' -f2 | while read -r target; do
	    echo "$$(dirname "$$file") $$target"
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null
	  done
	done

.PHONY: bench
bench: build ## Compare with nginx and HAProxy on this machine (BENCH_SECONDS bounds it)
	@scripts/deps.sh
	go run ./scripts/bench -seconds $(BENCH_SECONDS) $(BENCH_ARGS)

.PHONY: pgo
pgo: build ## Make the profile that the data plane is built by, anew (PGO_SECONDS of load)
	@scripts/deps.sh
	@scripts/pgo.sh $(PGO_SECONDS)

.PHONY: bench-stream
bench-stream: build ## Measure the link between the planes with up to 5,000 nodes (BENCH_SECONDS bounds it, BENCH_ARGS=-full for 1M routes)
	go run ./scripts/bench/stream -seconds $(BENCH_SECONDS) $(BENCH_ARGS)

# The tools build for minutes on a cold cache, so only lint, generate and breaking
# need them, and only a change of what is pinned builds them again.
.PHONY: tools
tools: $(tools)/.stamp ## Build the pinned developer tools into bin/tools
$(tools)/.stamp: scripts/tools/go.sum proto/go.sum
	@mkdir -p $(tools)
	@if [ ! -s $@ ] || [ "$$(cat $@)" != "$$(cat $^ | sha256sum)" ]; then
	  echo "building the tools of scripts/tools and proto; the first time takes minutes"
	  (cd scripts/tools && GOWORK=off GOBIN=$(tools) go install tool)
	  (cd proto && GOWORK=off GOBIN=$(tools) go install tool)
	fi
	@cat $^ | sha256sum > $@

.PHONY: lint
lint: tools ## Lint Go, protobuf, the web UI and shell
	PATH="$(tools):$$PATH" golangci-lint run --timeout 20m $$(go list -m -f '{{.Dir}}/...')
	$(tools)/buf lint
	$(tools)/buf format --diff --exit-code
	bash -n scripts/*.sh deploy/compose/*.sh .ci/run
	$(MAKE) --no-print-directory manager-lint

.PHONY: manager-lint
manager-lint: ## Lint the web UI and check its types (needs Node.js)
	@scripts/manager.sh --packages
	cd controlplane/manager && npm run --silent lint

.PHONY: fmt
fmt: tools ## Format Go and protobuf
	$(tools)/golangci-lint fmt
	$(tools)/buf format --write

.PHONY: generate
generate: tools ## Generate Go from protobuf
	$(tools)/buf generate

.PHONY: generate-check
generate-check: generate ## Fail when the generated code is not what is committed
	@git diff --exit-code -- proto/gen
	@test -z "$$(git status --porcelain -- proto/gen)" || { git status --short -- proto/gen; exit 1; }

.PHONY: breaking
breaking: tools ## Fail when the wire format breaks those who have the commit before
	@base="$(BASE)"
	base="$${base:-$$(scripts/base.sh)}"
	if [ -z "$$base" ] || ! git cat-file -e "$$base:proto" 2>/dev/null; then
	  echo "breaking: no earlier commit with protobuf files to compare with"
	else
	  echo "buf breaking --against '.git#ref=$$base'"
	  $(tools)/buf breaking --against ".git#ref=$$base"
	fi

.PHONY: tidy-check
tidy-check: ## Fail when a go.mod is not tidy
	@for dir in $(modules); do
	  echo "go mod tidy -diff in $${dir#$(CURDIR)/}"
	  (cd "$$dir" && GOWORK=off go mod tidy -diff)
	done

.PHONY: modules-check
modules-check: ## Build each module by itself, without go.work
	@for dir in $(modules); do
	  echo "go build in $${dir#$(CURDIR)/}"
	  (cd "$$dir" && GOWORK=off go vet ./...)
	done

.PHONY: vuln
vuln: ## Look for known vulnerabilities (advisory: needs the network)
	-@for dir in $(modules); do
	  (cd "$$dir" && go run golang.org/x/vuln/cmd/govulncheck@latest ./...) || true
	done

.PHONY: clean
clean: ## Remove what was built, but not the tools and not the state of make run
	rm -f bin/sluice-controlplane bin/sluice-dataplane bin/upstream bin/run .run/cover.out
	rm -rf controlplane/manager/dist
	find controlplane/internal/manager/dist -mindepth 1 ! -name README.md -delete
