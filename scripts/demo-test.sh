#!/usr/bin/env bash
# Runs the demo, and a deployment of Kong with our images, with a real Docker engine: with the one that runs, else,
# as root, with one of its own. That has a private socket and data folder, and processes, networks, mounts and
# packet filters of its own in namespaces that end with it.
#
# Where no engine can run it says so and why, and is content, unless CI=true and Docker is not even installed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"
start=$SECONDS
say() { printf -- '--- %s (%d s)\n' "$*" $((SECONDS - start)); }

without_engine() {
  echo "demo-test: NOT RUN: $1" >&2
  if [ "${CI:-}" = true ] && [ "${2:-}" = missing ]; then exit 1; fi
  exit 0
}

stop_engine() {
  local pid=$1
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
}

# can_run finds out whether the engine runs containers here at all, by one with nothing of ours in it.
can_run() {
  printf 'package main\n\nfunc main() {}\n' >"$1/main.go"
  mkdir "$1/probe"
  (cd "$1" && GOWORK=off CGO_ENABLED=0 go build -o probe/probe main.go) || return 1
  tar -C "$1/probe" -cf - probe | docker import - probe >/dev/null || return 1
  docker run --rm --publish 127.0.0.1::1 probe /probe || return 1
  docker rmi probe >/dev/null
}

# In the namespaces: start the engine, run the demo, stop the engine.
inside() {
  local folder=$1 pid status=0
  ip link set lo up
  dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" -H "unix://$folder/docker.sock" \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/${folder##*/}" >"$folder/log" 2>&1 &
  pid=$!
  trap 'stop_engine '"$pid" EXIT
  trap 'exit 130' INT TERM
  export DOCKER_HOST=unix://$folder/docker.sock
  for _ in $(seq 150); do
    if docker info >/dev/null 2>&1; then break; fi
    if ! kill -0 "$pid" 2>/dev/null; then break; fi
    sleep 0.2
  done
  if ! docker info >/dev/null 2>&1; then
    grep -i 'level=\(fatal\|error\)\|failed' "$folder/log" | tail -n 3 >"$folder/why" || tail -n 3 "$folder/log" >"$folder/why"
    exit 77
  fi
  say "a Docker engine of our own runs: $(docker version --format '{{.Server.Version}}')"
  if ! can_run "$folder" >"$folder/why" 2>&1; then exit 77; fi
  "$0" --demo || status=$?
  exit "$status"
}

# own_engine makes the namespaces and removes what is left on the disk.
own_engine() {
  local program
  for program in dockerd docker ip iptables unshare; do
    command -v "$program" >/dev/null 2>&1 || without_engine "no Docker engine runs, and $program, which starting one needs, is not installed" missing
  done
  [ "$(id -u)" = 0 ] || without_engine 'no Docker engine runs, and only root can start one'
  local status=0 child why
  folder=$(mktemp -d /tmp/sluice-demo.XXXXXX)
  trap remove_engine EXIT
  if ! unshare --net --mount --pid --fork --mount-proc true 2>"$folder/why"; then
    without_engine "this machine gives no namespaces to start a Docker engine in: $(cat "$folder/why")"
  fi
  # All that the namespaces have ends with this one process.
  unshare --net --mount --pid --fork --mount-proc --kill-child "$0" --inside "$folder" &
  child=$!
  trap 'kill "$child" 2>/dev/null; wait "$child" 2>/dev/null; exit 130' INT TERM
  wait "$child" || status=$?
  why=$(cat "$folder/why" 2>/dev/null || true)
  if [ "$status" = 77 ]; then without_engine "the Docker engine can not start, or runs no containers, on this machine: $why"; fi
  exit "$status"
}

# remove_engine removes what is left on the disk.
remove_engine() {
  local n
  # What was killed may still be ending.
  for n in 1 2 3 4 5 6 7 8 9; do
    rm -rf "$folder" 2>/dev/null && [ ! -e "$folder" ] && break
    sleep "0.$n"
  done
  find /sys/fs/cgroup -depth -type d -path "*/${folder##*/}*" -exec rmdir {} + 2>/dev/null || true
}

free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# nothing_left fails when a project has left something in the engine.
nothing_left() {
  local what
  what=$(
    docker ps --all --quiet --filter "label=com.docker.compose.project=$1"
    docker volume ls --quiet --filter "label=com.docker.compose.project=$1"
    docker network ls --quiet --filter "label=com.docker.compose.project=$1"
  )
  if [ -n "$what" ]; then
    echo "demo-test: $1 has left behind: $what" >&2
    return 1
  fi
}

until_true() { # until_true SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then
      echo "demo-test: still not true: $*" >&2
      return 1
    fi
    sleep 0.2
  done
}

# check_image holds an image to what its users rely on.
check_image() {
  local image=$1 facts
  facts=$(docker image inspect --format '{{.Config.User}} {{json .Config.Healthcheck.Test}} {{.Size}}' "$image")
  case $facts in
    '65532:65532 ["CMD","sluice","health"] '*) ;;
    *) echo "demo-test: $image is $facts" >&2; return 1 ;;
  esac
  [ "${facts##* }" -lt 40000000 ] || { echo "demo-test: $image has ${facts##* } bytes" >&2; return 1; }
  # Nothing runs as root, and nothing needs to write to the root.
  docker run --rm --read-only --cap-drop ALL --network none "$image" version
}

# kong_file starts a deployment of Kong in which only the names of the images change.
kong_file() {
  local folder status=0
  folder=$(mktemp -d)
  cp deploy/compose/kong/*.yml "$folder/"
  "$0" --kong "$folder" || status=$?
  rm -rf "$folder"
  nothing_left sluice-kong-test
  return "$status"
}

# kong is what kong_file does in a folder with copies of the files; a process of its own, which the first command
# that fails ends.
kong() {
  cd "$1"
  export COMPOSE_PROJECT_NAME=sluice-kong-test KONG_ADMIN_PORT KONG_GUI_PORT KONG_PROXY_PORT KONG_PROXY_TLS_PORT
  KONG_ADMIN_PORT=$(free_port) KONG_GUI_PORT=$(free_port) KONG_PROXY_PORT=$(free_port) KONG_PROXY_TLS_PORT=$(free_port)
  # No image is pulled here, so something else stands in for the database, which nobody asks anything.
  export POSTGRES_IMAGE=sluice/demo:$DEMO_TAG
  head -c 12 /dev/urandom | base64 >POSTGRES_PASSWORD
  mkdir cluster
  docker run --rm --user "$(id -u)" --volume "$PWD/cluster:/cluster" "sluice/controlplane:$DEMO_TAG" \
    kong hybrid gen_cert /cluster/cluster.crt /cluster/cluster.key
  chmod 644 cluster/cluster.key
  files=("${COMPOSE[@]}" -f docker-compose.yml -f sluice.yml)
  done_with() {
    local status=$?
    if [ "$status" != 0 ]; then "${files[@]}" logs --no-color --tail=20 >&2 || true; fi
    "${files[@]}" down --volumes --timeout 5 >/dev/null 2>&1
    exit "$status"
  }
  trap done_with EXIT
  healthy() { docker inspect --format '{{.State.Health.Status}}' "$("${files[@]}" ps -q "$1")" | grep -qx healthy; }
  "${files[@]}" up -d 2>&1 | grep -i 'error\|warn' || true
  local admin=http://127.0.0.1:$KONG_ADMIN_PORT proxy=http://127.0.0.1:$KONG_PROXY_PORT
  for service in kong-cp kong-dp; do
    until_true 60 healthy "$service"
  done
  "${files[@]}" exec -T kong-dp kong health
  "${files[@]}" logs --no-color kong-migrations | grep 'nothing to do'
  curl -fsS -o /dev/null -X POST "$admin/services" --data name=admin --data url=http://kong-cp:8001
  curl -fsS -o /dev/null -X POST -H 'X-Sluice-Wait: all' "$admin/services/admin/routes" --data 'paths[]=/admin' --data name=admin
  curl -fsS "$proxy/admin/services/admin" | grep -q '"host":"kong-cp"'
  curl -fsSk "https://127.0.0.1:$KONG_PROXY_TLS_PORT/admin/" | grep -q '"role":"control_plane"'
  # What Kong's database kept is in the control plane's own volume, although the prefix of the file is in memory.
  "${files[@]}" restart kong-cp kong-dp >/dev/null 2>&1
  until_true 60 curl -fsS -o /dev/null "$proxy/admin/routes/admin"
  echo 'a route serves, and does so after a restart of both planes'
}

# quickstart starts a gateway in one command, calls it, and removes it.
quickstart() {
  local admin proxy
  admin=$(free_port) proxy=$(free_port)
  for image in controlplane dataplane demo; do docker tag "sluice/$image:$DEMO_TAG" "sluice/$image:latest"; done
  QUICKSTART_ADMIN_PORT=$admin QUICKSTART_PROXY_PORT=$proxy QUICKSTART_PROXY_TLS_PORT=$(free_port) \
    QUICKSTART_MANAGER_PORT=$(free_port) scripts/quickstart.sh --docker >/dev/null
  curl -fsS -o /dev/null -X POST "http://127.0.0.1:$admin/services" --data name=example --data url=http://upstream:8100
  curl -fsS -o /dev/null -X POST -H 'X-Sluice-Wait: all' "http://127.0.0.1:$admin/services/example/routes" --data 'paths[]=/example'
  curl -fsS -o /dev/null "http://127.0.0.1:$proxy/example/get"
  scripts/quickstart.sh down
  if [ -n "$(docker ps --all --quiet --filter label=sluice-quickstart; docker volume ls --quiet --filter label=sluice-quickstart)" ]; then
    echo 'demo-test: the quick start has left something behind' >&2
    return 1
  fi
}

find_compose() {
  if docker compose version >/dev/null 2>&1; then
    COMPOSE=(docker compose)
  elif command -v docker-compose >/dev/null 2>&1; then
    COMPOSE=(docker-compose)
  else
    without_engine 'neither docker compose nor docker-compose is installed' missing
  fi
}

# demo is a process of its own, too.
demo() {
  VERSION=$DEMO_NEXT_TAG scripts/images.sh
  VERSION=$DEMO_TAG scripts/images.sh
  for plane in controlplane dataplane; do check_image "sluice/$plane:$DEMO_TAG"; done
  say 'images are built; a deployment of Kong with the names of the images changed'
  kong_file
  say 'a quick start with Docker'
  quickstart
  say 'the demo'
  export COMPOSE_PROJECT_NAME=sluice-demo-test DEMO_PROXY_PORT DEMO_ADMIN_PORT DEMO_MANAGER_PORT
  DEMO_PROXY_PORT=$(free_port) DEMO_ADMIN_PORT=$(free_port) DEMO_MANAGER_PORT=$(free_port)
  trap 'deploy/compose/demo.sh down || true' EXIT
  deploy/compose/demo.sh --yes </dev/null
  deploy/compose/demo.sh down
  trap - EXIT
  nothing_left sluice-demo-test
  say 'all of it works, and nothing is left behind'
}

export DEMO_TAG=0.1.0-demo DEMO_NEXT_TAG=0.1.1-demo
case ${1:-} in
  --inside) inside "$2" ;;
  --demo)
    find_compose
    demo
    ;;
  --kong)
    find_compose
    kong "$2"
    ;;
  '')
    if docker info >/dev/null 2>&1; then
      "$0" --demo
    else
      own_engine
    fi
    ;;
  *)
    echo "demo-test: takes no arguments" >&2
    exit 2
    ;;
esac
