#!/usr/bin/env bash
# Builds the images sluice/controlplane, sluice/dataplane and sluice/demo from binaries that are built here, with
# plain `docker build` and without pulling anything.
#
# VERSION is stamped and is the tag, besides "latest"; PLATFORM is linux/amd64 or linux/arm64, this machine's when
# it is not set; REPOSITORY is what is before the slash of the names, sluice when it is not set.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:-0.1.0-dev}
repository=${REPOSITORY:-sluice}
arch=${PLATFORM:-linux/$(go env GOARCH)}
arch=${arch#linux/}
commit=${COMMIT-$(git rev-parse --short=12 HEAD 2>/dev/null || true)}
root=github.com/sluice-gateway/sluice
limit=$((40 * 1000 * 1000)) # bytes of an image

build() { # build OUTPUT PACKAGE
  CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X $root/shared/version.version=$version${commit:+"+$commit"}" -o "$1" "$2"
}

# authorities finds the machine's bundle of certificate authorities, for calls of plugins and upstreams.
authorities() {
  local path
  for path in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [ -n "$path" ] && [ -s "$path" ]; then
      echo "$path"
      return
    fi
  done
  echo "images: this machine has no bundle of certificate authorities: install ca-certificates, or set SSL_CERT_FILE" >&2
  return 1
}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
# Contexts are readable whatever the umask is.
umask 022

make_image() { # make_image NAME DOCKERFILE CONTEXT [ARGUMENT]
  local name=$repository/$1 size
  find "$3" -exec touch -h -t 197001010000 {} + # the same content is the same layer
  local platform=()
  if [ "$arch" != "$(docker version --format '{{.Server.Arch}}')" ]; then
    platform=(--platform "linux/$arch")
  fi
  if ! docker build "${platform[@]}" --file "$2" ${4:+--build-arg "$4"} --build-arg "VERSION=$version" \
    --tag "$name:$version" --tag "$name:latest" "$3" >"$stage/log" 2>&1; then
    cat "$stage/log" >&2
    return 1
  fi
  size=$(docker image inspect --format '{{.Size}}' "$name:$version")
  if [ "$size" -ge "$limit" ]; then
    echo "images: $name has $size bytes, which is not under $limit" >&2
    return 1
  fi
  printf '%-28s %5.1f MB\n' "$name:$version" "$(awk "BEGIN { print $size / 1e6 }")"
}

# accounts gives the number that containers run as its names.
accounts() {
  mkdir -p "$1/etc"
  printf '%s\n' root:x:0:0:root:/:/nologin sluice:x:65532:65532:Sluice:/var/lib/sluice:/nologin kong:x:65532:65532:Sluice:/var/lib/sluice:/nologin >"$1/etc/passwd"
  printf '%s\n' root:x:0: sluice:x:65532: kong:x:65532: >"$1/etc/group"
}

for plane in controlplane dataplane; do
  rootfs=$stage/$plane/rootfs state=$stage/$plane/state
  mkdir -p "$rootfs"/{etc/ssl/certs,etc/sluice,usr/local/bin}
  # A new volume has the owner and mode of the folder below it. What is not here, the containers' user can not write.
  mkdir -p "$state/etc/sluice/cluster" "$state/var/lib/sluice/$plane"
  chmod 700 "$state/etc/sluice/cluster" "$state/var/lib/sluice" "$state/var/lib/sluice/$plane"
  accounts "$rootfs"
  cp "$(authorities)" "$rootfs/etc/ssl/certs/ca-certificates.crt"
  build "$rootfs/usr/local/bin/sluice-$plane" "./$plane/cmd/sluice-$plane"
  ln -s "sluice-$plane" "$rootfs/usr/local/bin/sluice"
  ln -s "sluice-$plane" "$rootfs/usr/local/bin/kong"
  make_image "$plane" deploy/docker/Dockerfile "$stage/$plane" "PLANE=$plane"
done

rootfs=$stage/demo/rootfs
mkdir -p "$rootfs/usr/local/bin"
accounts "$rootfs"
build "$rootfs/usr/local/bin/upstream" ./scripts/e2e/cmd/upstream
build "$rootfs/usr/local/bin/front" ./scripts/e2e/cmd/front
make_image demo deploy/docker/demo.Dockerfile "$stage/demo"
