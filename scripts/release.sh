#!/usr/bin/env bash
# Builds both programs for every platform into archives with one file of checksums. The same commit and the
# same Go give the same bytes, in whatever folder and at whatever time: nothing of the machine is in them.
#
#   scripts/release.sh [FOLDER]     FOLDER is bin/release when it is not given
#
# VERSION, COMMIT and SOURCE_DATE_EPOCH may be set; PLATFORMS is a list such as "linux/amd64 darwin/arm64".
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-bin/release}
mkdir -p "$out"
out=$(cd "$out" && pwd)
commit=${COMMIT-$(git rev-parse --short=12 HEAD 2>/dev/null || true)}
version=${VERSION:-0.1.0-dev}
# Files in the archives are as old as the commit.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
read -ra platforms <<<"${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}"
root=github.com/sluice-gateway/sluice

if ! tar --version 2>/dev/null | grep -q 'GNU tar'; then
  echo "release: GNU tar is needed, for its --sort and --mtime" >&2
  exit 1
fi
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
rm -f "$out"/sluice-*.tar.gz "$out/SHA256SUMS"

for platform in "${platforms[@]}"; do
  name=sluice-$version-${platform/\//-}
  folder=$stage/$name
  mkdir -p "$folder/systemd"
  for plane in controlplane dataplane; do
    # Flags of whoever builds would change the bytes.
    GOFLAGS=-trimpath GOAMD64=v1 GOARM64=v8.0 CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=${platform#*/} \
      go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X $root/shared/version.version=$version${commit:+"+$commit"}" \
      -o "$folder/sluice-$plane" "./$plane/cmd/sluice-$plane"
    cp "deploy/settings/$plane.conf" "$folder/"
    cp "deploy/systemd/sluice-$plane.service" "$folder/systemd/"
  done
  cp README.md CHANGELOG.md LICENSE scripts/quickstart.sh "$folder/"
  chmod -R u=rwX,go=rX "$folder"
  tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --format=gnu -C "$stage" -cf - "$name" |
    gzip -9n >"$out/$name.tar.gz"
  rm -rf "$folder"
  echo "$out/$name.tar.gz"
done
cd "$out"
sha256sum sluice-*.tar.gz >SHA256SUMS
