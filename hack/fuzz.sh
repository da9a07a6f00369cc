#!/usr/bin/env bash
# Runs every fuzz target of the module for $FUZZTIME, one after another.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZTIME:=30s}"
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | while read -r file; do
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/func //' | while read -r target; do
    echo "== $(dirname "$file") $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" "$(dirname "$file")"
  done
done
