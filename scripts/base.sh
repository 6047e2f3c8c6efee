#!/usr/bin/env bash
# Prints the commit that a change is compared with: where this branch left origin/main or main, else
# the commit before this one. Prints nothing when the history does not reach that far.
set -euo pipefail
head=$(git rev-parse HEAD)
for main in origin/main main; do
  base=$(git merge-base "$main" HEAD 2>/dev/null || true)
  if [ -n "$base" ] && [ "$base" != "$head" ]; then
    echo "$base"
    exit 0
  fi
done
git rev-parse --verify --quiet HEAD~1 || true
