#!/usr/bin/env bash
# example_test.sh COMMAND LINE...: the example exits 0 and prints each line.
set -euo pipefail

status=0
read -ra command <<<"$1"
output=$("${command[@]}") || status=$?
echo "$output"
((status == 0)) || exit "$status"
shift
for line; do
  grep -qxF -- "$line" <<<"$output" || {
    echo "missing: $line"
    exit 1
  }
done
