#!/usr/bin/env bash
# example_test.sh BINARY LINE...: the example exits 0 and prints each line.
set -euo pipefail

status=0
output=$("$1") || status=$?
echo "$output"
((status == 0)) || exit "$status"
shift
for line; do
  grep -qxF -- "$line" <<<"$output" || {
    echo "missing: $line"
    exit 1
  }
done
