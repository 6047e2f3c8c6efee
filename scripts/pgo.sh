#!/usr/bin/env bash
# Makes the profile that the data plane is built by: go build takes default.pgo from the folder of a program by
# itself. What is profiled is the bench's load, with and without plugins and TLS, on this machine.
#
#   scripts/pgo.sh [SECONDS]        about how long the load takes, 55 when it is not given
#
# A profile may be older than the code: functions that it does not know are built as ever.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=dataplane/cmd/sluice-dataplane
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp bin/sluice-controlplane "$stage/"
# Without the profile of before, whose inlining would hide what is called.
CGO_ENABLED=0 go build -trimpath -pgo=off -tags profile -o "$stage/sluice-dataplane" "./$folder"
CPU_PROFILE=$stage/cpu.pprof go run ./scripts/bench -bin "$stage" -rounds 1 -seconds "${1:-55}" -no-flows
if [[ ! -s $stage/cpu.pprof ]]; then
  echo "pgo: the data plane wrote no profile" >&2
  exit 1
fi
mv "$stage/cpu.pprof" "$folder/default.pgo"
ls -l "$folder/default.pgo"
