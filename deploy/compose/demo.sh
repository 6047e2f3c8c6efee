#!/usr/bin/env bash
# The guided demo of hybrid mode: it starts the planes with Docker Compose, walks through them, and checks what it
# says. It needs Docker, docker compose (or docker-compose 1.29) and curl; the images are built by `make images`.
#
#   deploy/compose/demo.sh           walk, with a pause before each step when there is a terminal
#   deploy/compose/demo.sh --yes     walk without pauses
#   deploy/compose/demo.sh down      stop everything and remove it, with its volumes
#
# DEMO_TAG is the tag of the images, DEMO_NEXT_TAG the one that the last step upgrades to (DEMO_TAG when it is not
# set), DEMO_PROXY_PORT, DEMO_ADMIN_PORT and DEMO_MANAGER_PORT are the ports on this machine (8000, 8001 and 8002).
set -euo pipefail
cd "$(dirname "$0")"
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-sluice-demo} COMPOSE_PROFILES=${COMPOSE_PROFILES:-}
export DEMO_TAG=${DEMO_TAG:-latest}
next_tag=${DEMO_NEXT_TAG:-$DEMO_TAG}
proxy=http://127.0.0.1:${DEMO_PROXY_PORT:-8000}
admin=http://127.0.0.1:${DEMO_ADMIN_PORT:-8001}
manager=http://127.0.0.1:${DEMO_MANAGER_PORT:-8002}
work=$(mktemp -d)
load=
pause=
if [ -t 0 ] && [ -t 1 ]; then pause=yes; fi

if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
else
  compose=(docker-compose)
fi
compose() { "${compose[@]}" "$@" 2>"$work/compose.log" || { cat "$work/compose.log" >&2; return 1; }; }

finish() {
  if [ -n "$load" ]; then kill "$load" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

bold='' green='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' plain=$'\e[0m'; fi

number=0
step() { # step TITLE, and text on standard input
  number=$((number + 1))
  printf '\n%s%d. %s%s\n\n' "$bold" "$number" "$1" "$plain"
  sed 's/^/   /'
  if [ -n "$pause" ]; then
    read -rp '   [Enter] ' </dev/tty
  fi
  echo
}
show() { # show COMMAND...: print it as one would type it, and run it
  local word text=
  for word in "$@"; do
    if [ "$word" = compose ]; then word=${compose[*]}; fi
    if [[ $word =~ ^[A-Za-z0-9_./:=@%+,\ -]+$ ]]; then text+=" $word"; else text+=" '$word'"; fi
  done
  printf '   $%s\n' "${text//127.0.0.1/localhost}"
  "$@"
}
indent() { sed 's/^   \$/$/; s/^/   /'; }
good() { printf '   %sok%s  %s\n' "$green" "$plain" "$1"; }
bad() {
  printf '   FAILED  %s\n' "$1" >&2
  compose logs --no-color --tail=40 >&2 || true
  exit 1
}
# until_true SECONDS TEXT COMMAND...: repeat the command until it succeeds.
until_true() {
  local end=$((SECONDS + $1)) text=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$end" ]; then bad "$text"; fi
    sleep 0.1
  done
  good "$text"
}
code() { curl -s -o /dev/null -m 10 -w '%{http_code}' "$@"; }
answers() { [ "$(code "${@:2}")" = "$1" ]; }
# api METHOD PATH [curl arguments]: what serves on all nodes when it returns.
api() {
  local method=$1 path=$2 status
  shift 2
  printf '   $ curl -X %s http://localhost:%s%s' "$method" "${admin##*:}" "$path"
  if [ $# -gt 0 ]; then printf ' %q' "$@"; fi
  echo
  status=$(curl -sS -m 20 -o "$work/answer" -D "$work/head" -w '%{http_code}' -X "$method" -H 'X-Sluice-Wait: all' "$admin$path" "$@")
  case $status in
    20?) good "$status; serves on $(sed -n 's/\r//; s/^[Xx]-[Ss]luice-[Aa]pplied: //p' "$work/head" | sed 's/\(.*\)\/\(.*\)/\1 of \2 nodes/')" ;;
    *) cat "$work/answer" >&2; bad "$method $path answers $status" ;;
  esac
}
nodes_in_sync() { # nodes_in_sync N: N nodes are connected and have the newest configuration
  curl -fsS -m 5 -o "$work/nodes" "$admin/clustering/data-planes" || return 1
  [ "$(grep -o '"connected":true' "$work/nodes" | wc -l)" = "$1" ] && [ "$(grep -o '"lag":0,' "$work/nodes" | wc -l)" -ge "$1" ]
}
start_load() {
  : >"$work/codes"
  (while :; do code "$proxy/mock/get?apikey=top-secret-key" >>"$work/codes" || true; echo >>"$work/codes"; done) &
  load=$!
}
end_load() { # end_load WHAT: nothing failed while it ran
  kill "$load" 2>/dev/null || true
  wait "$load" 2>/dev/null || true
  load=
  local all wrong
  all=$(grep -c . "$work/codes" || true)
  # The last one may have been cut off by us.
  wrong=$(sed '$d' "$work/codes" | grep -vc '^200$' || true)
  if [ "$wrong" != 0 ] || [ "$all" -lt 20 ]; then
    sort "$work/codes" | uniq -c >&2
    bad "$1: $wrong of $all requests failed"
  fi
  good "$1: $all requests, none failed"
}

case ${1:-} in
  down)
    COMPOSE_PROFILES=five,metrics compose down --volumes --remove-orphans
    exit 0
    ;;
  --yes) pause= ;;
  '') ;;
  *)
    sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
for tag in "$DEMO_TAG" "$next_tag"; do
  for image in controlplane dataplane demo; do
    if ! docker image inspect "sluice/$image:$tag" >/dev/null 2>&1; then
      echo "There is no image sluice/$image:$tag yet: run make images first." >&2
      exit 1
    fi
  done
done

step 'Start one control plane, three data planes and two example services' <<'TEXT'
The control plane has the Admin API and the configuration. The data planes carry the traffic; a balancer has one
port in front of them. They trust each other by a certificate that is made now and stays in a volume.
TEXT
if [ -n "$(compose ps -q 2>/dev/null)" ]; then
  echo "   The demo is there already; deploy/compose/demo.sh down removes it." >&2
  exit 1
fi
show compose up -d
until_true 60 'the Admin API answers' answers 200 "$admin/"
until_true 10 'the manager, for browsers, answers' answers 200 "$manager/"
until_true 60 'three data planes are connected' nodes_in_sync 3
until_true 30 'the proxy answers: there is no route yet' answers 404 "$proxy/mock/get"

step 'A service and a route' <<'TEXT'
A service is what you call, a route is how clients get to it. "X-Sluice-Wait: all" lets the Admin API answer when
the change serves on all nodes.
TEXT
api POST /services --data name=example_service --data url=http://upstream-1:8100
api POST /services/example_service/routes --data name=example_route --data 'paths[]=/mock'
show curl -sS -o /dev/null -w '   %{http_code}\n' "$proxy/mock/get"
for _ in 1 2 3 4 5 6; do answers 200 "$proxy/mock/get" || bad 'a node does not answer with 200'; done
good 'every node answers with 200'

step 'Cache answers' <<'TEXT'
Each node keeps its own cache, so the first call to each of them is a miss.
TEXT
api POST /plugins --data name=proxy-cache --data config.strategy=memory --data config.cache_ttl=30 \
  --data 'config.content_type[]=application/json; charset=utf-8' --data 'config.content_type[]=application/json'
cached() { curl -fsS -m 5 -o /dev/null -D - "$proxy/mock/anything" | grep -qi '^x-cache-status: hit'; }
until_true 20 'X-Cache-Status: Hit' cached

step 'Ask for a key, and give one to a consumer' </dev/null
api POST /consumers --data username=luka
api POST /consumers/luka/key-auth --data key=top-secret-key
api POST /plugins --data name=key-auth --data config.key_names=apikey
answers 401 "$proxy/mock/anything" || bad 'no key is not refused'
good 'without a key: 401'
answers 200 "$proxy/mock/anything?apikey=top-secret-key" || bad 'the key is refused'
good 'with the key: 200'

step 'Spread calls over two targets' <<'TEXT'
The nodes find both by their DNS names. The answer says which one it comes from only in its own logs, so the check
is the health that every node reports.
TEXT
api POST /upstreams --data name=example_upstream --data healthchecks.active.http_path=/status/200 \
  --data healthchecks.active.healthy.interval=1 --data healthchecks.active.healthy.successes=1 \
  --data healthchecks.active.unhealthy.interval=1 --data healthchecks.active.unhealthy.tcp_failures=1 \
  --data healthchecks.active.unhealthy.timeouts=1
api POST /upstreams/example_upstream/targets --data target=upstream-1:8100
api POST /upstreams/example_upstream/targets --data target=upstream-2:8100
api PATCH /services/example_service --data host=example_upstream
target_healths() { # target_healths STATE N: N targets are in the state
  [ "$(curl -fsS -m 5 "$admin/upstreams/example_upstream/health" | grep -o "\"health\":\"$1\"" | wc -l)" -ge "$2" ]
}
until_true 20 'both targets are healthy' target_healths HEALTHY 2
show compose stop -t 1 upstream-2
until_true 20 'the nodes have noticed that one is gone' target_healths UNHEALTHY 1
for _ in 1 2 3 4 5 6; do answers 200 "$proxy/mock/get?apikey=top-secret-key" || bad 'a call went to the target that is gone'; done
good 'calls go to the one that is left'
show compose start upstream-2
until_true 20 'it is back' target_healths HEALTHY 2

step 'Five calls a minute, over all nodes together' <<'TEXT'
The policy "cluster" counts over all data planes and needs no Redis.
TEXT
# A minute that ends meanwhile would count anew.
while [ "$(date +%-S)" -ge 50 ]; do sleep 1; done
api POST /plugins --data name=rate-limiting --data config.minute=5 --data config.policy=cluster
codes=
for _ in 1 2 3 4 5 6 7 8; do codes+=" $(code "$proxy/mock/get?apikey=top-secret-key")"; done
echo "  $codes"
[ "$codes" = ' 200 200 200 200 200 429 429 429' ] || bad 'the sixth call is not the first with 429'
good 'the sixth call and those after it are answered with 429'
limit=$(sed -n 's/.*"id":"\([0-9a-f-]*\)".*/\1/p' "$work/answer" | head -n 1)
api DELETE "/plugins/$limit"

step 'Figures for Prometheus' <<'TEXT'
Every node shows its own at /metrics of its status port. With the profile "metrics" Prometheus and Grafana are
started too, with alerts and a dashboard; their images come from Docker Hub.
TEXT
api POST /plugins --data name=prometheus --data config.status_code_metrics=true --data config.latency_metrics=true \
  --data config.bandwidth_metrics=true --data config.upstream_health_metrics=true

step 'Five data planes' <<'TEXT'
Two more nodes join with a token that is good for both of them and for ten minutes. They get certificates of their own
and the whole configuration, and the balancer finds them by their name.
TEXT
start_load
export COMPOSE_PROFILES=five DEMO_JOIN
DEMO_JOIN=$(show compose exec -T controlplane sluice token create --ttl 10m --uses 2 | tee "$work/join" | tail -n 1)
sed '$d' "$work/join"
show compose up -d --no-recreate dataplane-4 dataplane-5
until_true 60 'five data planes are connected' nodes_in_sync 5
sleep 1
end_load 'meanwhile'
compose exec -T controlplane sluice nodes | indent

step 'The control plane stops; traffic is served on' <<'TEXT'
A node that restarts meanwhile serves what it has on disk.
TEXT
start_load
show compose stop controlplane
until_true 10 'the Admin API is gone' answers 000 "$admin/"
show compose exec -T dataplane-1 sluice drain 1 | indent
show compose restart dataplane-1
until_true 30 'the restarted node is ready again, from its disk' compose exec -T dataplane-1 sluice health
sleep 1
end_load 'without a control plane and with a node restarted'

step 'The control plane comes back' <<'TEXT'
The nodes connect by themselves and get what has changed since.
TEXT
show compose start controlplane
until_true 60 'five data planes are connected again' nodes_in_sync 5
api POST /routes --data name=second_route --data 'paths[]=/again' --data service.name=example_service
answers 200 "$proxy/again/get?apikey=top-secret-key" || bad 'the new route is not served'
good 'a new route serves'

step "A rolling upgrade to $next_tag, without a failed request" <<'TEXT'
The control plane first; then each node is drained, which makes the balancer leave it alone, and replaced.
TEXT
start_load
export DEMO_TAG=$next_tag
show compose up -d --no-deps --force-recreate controlplane
until_true 60 'the Admin API answers' answers 200 "$admin/"
for n in 1 2 3 4 5; do
  show compose exec -T "dataplane-$n" sluice drain 1 | indent
  show compose up -d --no-deps --force-recreate "dataplane-$n"
  until_true 30 "node $n is ready" compose exec -T "dataplane-$n" sluice health
  sleep 0.6 # the balancer asks four times a second
done
end_load 'during the upgrade'
until_true 60 'five data planes are connected' nodes_in_sync 5
compose exec -T dataplane-5 sluice version | indent

cat <<TEXT

   That was it. Everything still runs:

     Admin API   ${admin/127.0.0.1/localhost}
     Manager     ${manager/127.0.0.1/localhost}
     Proxy       ${proxy/127.0.0.1/localhost}/mock/get?apikey=top-secret-key
     Metrics     ${compose[*]} --project-name $COMPOSE_PROJECT_NAME --profile metrics up -d, then http://localhost:3000
                 (in the folder deploy/compose, with DEMO_TAG=$DEMO_TAG)

   deploy/compose/demo.sh down stops and removes it.
TEXT
