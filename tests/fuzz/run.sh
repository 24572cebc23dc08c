#!/usr/bin/env bash
# Builds the fuzzers and lets each look for so many seconds, from its corpus on:
#   tests/fuzz/run.sh [SECONDS [TARGET...]]      (20; all)
# TARGET: trace, machine_file, recorded_run, space, script. Exits 1 if one found
# something: it is kept in build/fuzz/ and printed, as a command that writes it
# (a clone may be gone by then), and docs/fuzzing.md says how it becomes a test.
set -euo pipefail

root=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
cd "$root"
# shellcheck source=tools/bootstrap.sh
source tools/bootstrap.sh
ensure_packages build check fuzz

seconds=${1-20}
targets=("${@:2}")
[[ ${#targets[@]} -gt 0 ]] ||
  targets=(trace machine_file recorded_run space script)
fuzzers=("${targets[@]/#///tests/fuzz:}")

# gold does not know some of AddressSanitizer's symbols, and says so of each.
bazel build --noshow_progress --color=no --config=fuzz "${fuzzers[@]/%/_fuzz}" \
  2> >(grep -v 'Cannot export local symbol' >&2)

mkdir -p build/fuzz
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
touch "$new/began"
found=0
for target in "${targets[@]}"; do
  printf '=== %s, %d s\n' "$target" "$seconds"
  mkdir "$new/$target"
  # What it says as it goes is much; each line that matters begins otherwise.
  ".bazel/bin/tests/fuzz/${target}_fuzz" "$new/$target" \
    "tests/fuzz/corpus/$target" -max_total_time="$seconds" -timeout=60 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/$target-" 2>&1 |
    grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD)|^\s+NEW_(FUNC|PC)|^"|^###' ||
    found=1
done
while IFS= read -r -d '' artifact; do
  printf '=== %s:\n' "$artifact"
  printf "mkdir -p build/fuzz && base64 -d >%s <<'END'\n" "$artifact"
  base64 "$artifact"
  printf 'END\n'
done < <(find build/fuzz -type f -newer "$new/began" -print0)
exit $found
