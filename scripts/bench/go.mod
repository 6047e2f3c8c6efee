module github.com/sluice-gateway/sluice/scripts/bench

go 1.26.0
