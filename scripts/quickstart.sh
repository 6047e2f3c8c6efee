#!/usr/bin/env bash
# A gateway on this machine in one command: a control plane, a data plane and an example service.
#
#   quickstart.sh            start it, with Docker when an engine runs, else as processes of yours
#   quickstart.sh --docker   start it with Docker
#   quickstart.sh --local    start it as processes
#   quickstart.sh down       stop it and remove all of it
#
# It needs a checkout with Go, or an archive with the programs beside this file; with Docker, images that
# `make images` has built do as well. It keeps its state in QUICKSTART_HOME (~/.sluice-quickstart), or in volumes of
# Docker. QUICKSTART_PROXY_PORT, _PROXY_TLS_PORT, _ADMIN_PORT, _MANAGER_PORT, _CLUSTER_PORT, _CONTROL_STATUS_PORT,
# _DATA_STATUS_PORT and _UPSTREAM_PORT are its ports on 127.0.0.1: 8000, 8443, 8001, 8002, 8005, 8006, 8007 and 8100.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=${QUICKSTART_HOME:-$HOME/.sluice-quickstart}
proxy=${QUICKSTART_PROXY_PORT:-8000} tls=${QUICKSTART_PROXY_TLS_PORT:-8443} admin=${QUICKSTART_ADMIN_PORT:-8001}
cluster=${QUICKSTART_CLUSTER_PORT:-8005} control_status=${QUICKSTART_CONTROL_STATUS_PORT:-8006}
manager=${QUICKSTART_MANAGER_PORT:-8002} data_status=${QUICKSTART_DATA_STATUS_PORT:-8007} upstream=${QUICKSTART_UPSTREAM_PORT:-8100}
name=sluice-quickstart
# Settings in the environment are meant for something else.
while read -r variable; do unset "$variable"; done < <(env | sed -n 's/^\(\(SLUICE\|KONG\)_[A-Za-z0-9_]*\)=.*/\1/p')

say() { echo "quickstart: $*" >&2; }
engine() { command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1; }
checkout() { [ -e "$here/../go.work" ]; }
images() { docker image inspect sluice/controlplane sluice/dataplane sluice/demo >/dev/null 2>&1; }
golang() { checkout && command -v go >/dev/null 2>&1; }

wait_for() { # wait_for URL WHAT
  local n
  for n in $(seq 300); do
    if curl -fsS -o /dev/null -m 2 "$1" 2>/dev/null; then return; fi
    sleep 0.1
  done
  say "$2 does not answer at $1"
  return 1
}

# ours reports whether a process is the one that we have started: numbers are given again.
ours() { # ours PID PROGRAM
  if [ -d /proc/self ]; then
    { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null | grep -qF "$2"
  else
    ps -p "$1" -o command= 2>/dev/null | grep -qF "$2"
  fi
}

stop_local() {
  local file pid program n
  for file in "$home"/*.pid; do
    [ -e "$file" ] || continue
    read -r pid program <"$file"
    if ours "$pid" "$program"; then
      kill "$pid" 2>/dev/null || true
      for n in $(seq 200); do
        ours "$pid" "$program" || break
        if [ "$n" = 200 ]; then kill -9 "$pid" 2>/dev/null || true; fi
        sleep 0.1
      done
    fi
    rm -f "$file"
  done
}

down() {
  if [ -d "$home" ]; then
    stop_local
    # Only what we have made.
    rm -rf "$home/controlplane" "$home/dataplane" "$home/logs"
    rmdir "$home" 2>/dev/null || say "$home has files that are not ours, and stays"
  fi
  if engine; then
    docker ps --all --quiet --filter "label=$name" | xargs -r docker rm --force --volumes >/dev/null
    docker volume ls --quiet --filter "label=$name" | xargs -r docker volume rm >/dev/null
    docker network ls --quiet --filter "label=$name" | xargs -r docker network rm >/dev/null
  fi
  say 'it is stopped and removed'
}

# programs says where the programs are, and builds them in a checkout.
programs() {
  if [ -x "$here/sluice-controlplane" ] && [ -x "$here/sluice-dataplane" ]; then
    echo "$here"
  elif golang; then
    make --no-print-directory -C "$here/.." build bin/upstream >&2
    (cd "$here/../bin" && pwd)
  else
    say 'there are no programs: use an archive that has them, a checkout with Go and make, or --docker'
    return 1
  fi
}

launch() { # launch PROGRAM ARGUMENTS...
  local program=$1
  shift
  nohup "$bin/$program" "$@" >"$home/logs/$program.log" 2>&1 </dev/null &
  echo "$! $bin/$program" >"$home/$program.pid"
  disown
}

start_local() {
  local port bin pid program
  for file in "$home"/*.pid; do
    [ -e "$file" ] || continue
    read -r pid program <"$file"
    if ours "$pid" "$program"; then
      say "it runs already; $0 down removes it"
      return 1
    fi
  done
  bin=$(programs)
  for port in "$proxy" "$tls" "$admin" "$manager" "$cluster" "$control_status" "$data_status" "$upstream"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      say "port $port is taken; the variables that $0 begins with choose others"
      return 1
    fi
  done
  mkdir -p "$home/logs"
  chmod 700 "$home"
  trap 'say "it did not start; the logs are in $home/logs"; stop_local' ERR
  launch sluice-controlplane --prefix "$home/controlplane" --admin_listen "127.0.0.1:$admin" \
    --admin_gui_listen "127.0.0.1:$manager" --admin_gui_api_url "http://localhost:$admin" \
    --cluster_listen "127.0.0.1:$cluster" --status_listen "127.0.0.1:$control_status"
  wait_for "http://127.0.0.1:$admin/" 'the Admin API'
  launch sluice-dataplane --prefix "$home/dataplane" --proxy_listen "127.0.0.1:$proxy, 127.0.0.1:$tls ssl http2" \
    --status_listen "127.0.0.1:$data_status" --cluster_control_plane "127.0.0.1:$cluster" \
    --cluster_cert "$home/controlplane/cluster.crt" --cluster_cert_key "$home/controlplane/cluster.key"
  wait_for "http://127.0.0.1:$data_status/status/ready" 'the data plane'
  service=http://localhost:$upstream
  if [ -x "$bin/upstream" ]; then
    launch upstream -listen "127.0.0.1:$upstream"
    wait_for "http://127.0.0.1:$upstream/get" 'the example service'
  fi
  trap - ERR
}

start_docker() {
  if ! engine; then
    say 'no Docker engine runs'
    return 1
  fi
  if [ -n "$(docker ps --all --quiet --filter "label=$name")" ]; then
    say "it is there already; $0 down removes it"
    return 1
  fi
  if ! images; then
    golang || { say 'there are no images: make images builds them, in a checkout with Go'; return 1; }
    say 'building the images'
    "$here/images.sh" >&2
  fi
  local safe=(--read-only --cap-drop ALL --security-opt no-new-privileges --label "$name" --network "$name")
  trap 'say "it did not start; $0 down removes what is there"' ERR
  docker network create --label "$name" "$name" >/dev/null
  docker volume create --label "$name" "$name-cluster" >/dev/null
  docker volume create --label "$name" "$name-controlplane" >/dev/null
  docker volume create --label "$name" "$name-dataplane" >/dev/null
  docker run --rm "${safe[@]}" --volume "$name-cluster:/etc/sluice/cluster" sluice/controlplane \
    hybrid gen_cert /etc/sluice/cluster/cluster.crt /etc/sluice/cluster/cluster.key >/dev/null
  local certificate=(--volume "$name-cluster:/etc/sluice/cluster:ro" --env SLUICE_CLUSTER_CERT=/etc/sluice/cluster/cluster.crt
    --env SLUICE_CLUSTER_CERT_KEY=/etc/sluice/cluster/cluster.key)
  docker run --detach "${safe[@]}" "${certificate[@]}" --name "$name-controlplane" --network-alias controlplane \
    --volume "$name-controlplane:/var/lib/sluice" --publish "127.0.0.1:$admin:8001" --env SLUICE_ADMIN_LISTEN=0.0.0.0:8001 \
    --publish "127.0.0.1:$manager:8002" --env SLUICE_ADMIN_GUI_LISTEN=0.0.0.0:8002 --env "SLUICE_ADMIN_GUI_API_URL=http://localhost:$admin" \
    sluice/controlplane >/dev/null
  docker run --detach "${safe[@]}" --name "$name-upstream" --network-alias upstream sluice/demo >/dev/null
  docker run --detach "${safe[@]}" "${certificate[@]}" --name "$name-dataplane" --volume "$name-dataplane:/var/lib/sluice" \
    --publish "127.0.0.1:$proxy:8000" --publish "127.0.0.1:$tls:8443" --env SLUICE_CLUSTER_CONTROL_PLANE=controlplane:8005 \
    --env SLUICE_DNS_ORDER=LAST,A,CNAME,SRV sluice/dataplane >/dev/null
  wait_for "http://127.0.0.1:$admin/" 'the Admin API'
  local n
  for n in $(seq 300); do
    if docker exec "$name-dataplane" sluice health >/dev/null 2>&1; then break; fi
    if [ "$n" = 300 ]; then
      say 'the data plane is not ready'
      return 1
    fi
    sleep 0.1
  done
  service=http://upstream:8100
  trap - ERR
}

set -E
case ${1:-} in
  down)
    down
    exit 0
    ;;
  --docker) start_docker ;;
  --local) start_local ;;
  '') if engine && { images || golang; }; then start_docker; else start_local; fi ;;
  *)
    sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
cat <<TEXT
Sluice runs: the Admin API at http://localhost:$admin, the manager for browsers at http://localhost:$manager, the proxy at
http://localhost:$proxy and https://localhost:$tls.

  curl -i -X POST http://localhost:$admin/services --data name=example --data url=$service
  curl -i -X POST http://localhost:$admin/services/example/routes --data 'paths[]=/example'
  curl -i http://localhost:$proxy/example/get

Remove it with: $0 down
TEXT
