module github.com/sluice-gateway/sluice/scripts/e2e

go 1.26.0

replace github.com/sluice-gateway/sluice/proto => ../../proto

replace github.com/sluice-gateway/sluice/shared => ../../shared

replace github.com/sluice-gateway/sluice/controlplane => ../../controlplane

replace github.com/sluice-gateway/sluice/dataplane => ../../dataplane

require (
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/mccutchen/go-httpbin/v2 v2.26.0 // indirect
)
