#!/usr/bin/env bash
# Installs what tests and benchmarks need from Debian, where it may: as root, with apt. Where it may not, it
# says what is missing; the tests that need it look for themselves, skip and name it. With CI=true nothing
# may be missing, and nothing skips.
set -euo pipefail

# program:package
wanted=(curl:curl redis-server:redis-server wrk:wrk nginx:nginx-light haproxy:haproxy
  dockerd:docker.io docker:docker-cli docker-compose:docker-compose iptables:iptables ip:iproute2 unshare:util-linux
  systemd-analyze:systemd promtool:prometheus chromium:chromium openssl:openssl)

PATH="$PATH:/usr/sbin:/sbin"
missing() {
  local pair
  for pair in "${wanted[@]}"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || echo "$pair"
  done
}

lack=$(missing)
if [ -n "$lack" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  # Debian starts a service when it installs one; ours are started by the tests alone.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  packages=$(cut -d: -f2 <<<"$lack" | sort -u)
  echo "installing $(tr '\n' ' ' <<<"$packages")" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2 || true
  # Some of what is one package in one release of Debian is two in the next.
  known=$(for package in $packages; do if apt-cache show "$package" >/dev/null 2>&1; then echo "$package"; fi; done)
  xargs apt-get install -y -qq --no-install-recommends <<<"$known" >&2 || true
  lack=$(missing)
fi

if [ -n "$lack" ]; then
  names=$(cut -d: -f1 <<<"$lack" | tr '\n' ' ')
  echo "missing: ${names}- install the Debian packages $(cut -d: -f2 <<<"$lack" | sort -u | tr '\n' ' ')" >&2
  if [ "${CI:-}" = true ]; then
    exit 1
  fi
fi
