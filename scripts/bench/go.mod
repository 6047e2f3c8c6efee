module github.com/sluice-gateway/sluice/scripts/bench

go 1.26.4

replace github.com/sluice-gateway/sluice/scripts/e2e => ../e2e

replace github.com/sluice-gateway/sluice/proto => ../../proto




require (
	github.com/coder/websocket v1.8.15
	github.com/sluice-gateway/sluice/proto v0.0.0-00010101000000-000000000000
	github.com/sluice-gateway/sluice/scripts/e2e v0.0.0
	google.golang.org/grpc v1.85.0
)

require (
	cloud.google.com/go/compute/metadata v0.9.0 // indirect
	github.com/cncf/xds/go v0.0.0-20260202195803-dba9d589def2 // indirect
	github.com/envoyproxy/protoc-gen-validate v1.3.3 // indirect
	github.com/google/uuid v1.6.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260928230214-8a89bd6388cc // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
