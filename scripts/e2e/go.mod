module github.com/sluice-gateway/sluice/scripts/e2e

go 1.26.0

replace github.com/sluice-gateway/sluice/proto => ../../proto

replace github.com/sluice-gateway/sluice/shared => ../../shared

replace github.com/sluice-gateway/sluice/controlplane => ../../controlplane

replace github.com/sluice-gateway/sluice/dataplane => ../../dataplane

require (
	github.com/google/go-cmp v0.7.0
	github.com/hashicorp/go-hclog v1.6.3
	github.com/mccutchen/go-httpbin/v2 v2.26.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/stretchr/testify v1.12.1 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
)

require (
	github.com/fatih/color v1.13.0 // indirect
	github.com/mattn/go-colorable v0.1.12 // indirect
	github.com/mattn/go-isatty v0.0.14 // indirect
	github.com/sluice-gateway/sluice/shared v0.0.0
)
