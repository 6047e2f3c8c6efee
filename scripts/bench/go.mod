module github.com/sluice-gateway/sluice/scripts/bench

go 1.26.0

replace github.com/sluice-gateway/sluice/scripts/e2e => ../e2e

require github.com/sluice-gateway/sluice/scripts/e2e v0.0.0
