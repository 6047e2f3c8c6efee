#!/usr/bin/env bash
# Builds the web UI of controlplane/manager into controlplane/internal/manager/dist, from where the control plane
# embeds it. It does nothing when nothing changed since the last time, and npm runs only when package-lock.json did.
#
#   manager.sh             leaves the UI out, and says so, where there is no Node.js or npm can not install
#   manager.sh --required  fails then; so it does with CI=true
#   manager.sh --packages  only installs the packages, which tests and linters need
set -euo pipefail

cd "$(dirname "$0")/../controlplane/manager"
dist=../internal/manager/dist
oldest=20.19

mode=${1:-}
without() {
  if [ "$mode" != "" ] || [ "${CI:-}" = true ]; then
    echo "manager: $1" >&2
    exit 1
  fi
  if [ -e "$dist/index.html.gz" ]; then
    echo "manager: $1; the web UI of an earlier build stays in" >&2
  else
    echo "manager: $1; the control plane is built without the web UI" >&2
  fi
  exit 0
}

command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || without "Node.js $oldest or later is not installed"
version=$(node --version)
[ "$(printf '%s\n' "$oldest" "${version#v}" | sort -V | head -n 1)" = "$oldest" ] || without "Node.js is $version, and $oldest or later is needed"

# What the lock and .npmrc say was installed is compared with what they say now.
lock=$(cat package-lock.json .npmrc | sha256sum)
if [ "$(cat node_modules/.sluice-lock 2>/dev/null || true)" != "$lock" ]; then
  echo "manager: installing its packages; the first time takes a minute" >&2
  npm ci --loglevel=error >&2 || without "npm could not install its packages"
  echo "$lock" >node_modules/.sluice-lock
fi
[ "$mode" != --packages ] || exit 0

sources=$(find index.html package-lock.json vite.config.ts tsconfig.json scripts public src -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
if [ -e "$dist/index.html.gz" ] && [ "$(cat dist/.sources 2>/dev/null || true)" = "$sources" ]; then
  exit 0
fi
echo "manager: building" >&2
npx --no-install vite build --logLevel error >&2
node scripts/pack.mjs dist "$dist" >&2
echo "$sources" >dist/.sources
