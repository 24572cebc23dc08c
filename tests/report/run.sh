#!/usr/bin/env bash
# Makes a replay's, a comparison's and a stress run's report and looks at them
# in Chromium: check_reports.py says at what. Screenshots are kept where a folder
# is named. Ends with 1 when anything is not as it must be.
#
#   tests/report/run.sh [FOLDER]
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(dirname "$(dirname "$here")")
# shellcheck source=tools/bootstrap.sh
source "$root/tools/bootstrap.sh"
ensure_packages build report

work=$(mktemp -d "${TMPDIR:-/tmp}/twostep-report.XXXXXX")
trap 'rm -rf "$work"' EXIT
shots=${1-$work/screenshots}
twostep=$root/twostep
traces=$root/examples/traces

# report NAME COMMAND...: with --report and --json added; must exit with $code.
reports=() code=0
report() {
  local name=$work/$1 is=0
  shift
  "$twostep" "$@" --report "$name.html" --json "$name.json" >"$name.log" 2>&1 ||
    is=$?
  [[ $is -eq $code ]] || { cat "$name.log" && return 1; }
  reports+=("$name.html" "$name.json")
}

# A file whose name would end the element that the data is in, and run.
hostile="$work/<!--</script><img src=x onerror=alert(1)>.botrace"
mkdir -p "$(dirname "$hostile")"
printf '#botrace 1\nc 1 1048576 t\nw 1 0 4096\ng 0 1*\nf\nd 1\n' >"$hostile"

# Bos with other numbers than the run gives them, and nothing submitted.
printf '#botrace 1\nc 70 1048576 t\nc 5 524288 t\nc 2 786432 t\ng 0 70 5\ng 0 2\nf\n' \
  >"$work/sparse.botrace"
printf '#botrace 1\nc 7 1048576 t\nf\n' >"$work/idle.botrace"

report replay replay --quiet --unbacked --placement ttm-like --vram "6 MiB" \
  "$traces/neverball.botrace.zst"
report bounced replay --quiet --vram "8 MiB" \
  --machine "$root/examples/machines/xen-swiotlb.toml"
report hostile replay --quiet "$hostile" "$traces/glmark2.botrace"
code=2 report failed replay --quiet --unbacked --placement vram --vram "6 MiB" \
  "$traces/neverball.botrace.zst"
report sparse replay --quiet --placement ttm-like --vram "2 MiB" \
  "$work/sparse.botrace" "$work/idle.botrace"
report idle replay --quiet "$work/idle.botrace"
report lazy replay --quiet --unbacked --placement tt \
  --machine "$root/examples/machines/iommu-lazy.toml"
report compare compare --quiet --policies lru,fifo,adaptive,s3fifo,mru \
  --placement ttm-like,fixed "$traces/glmark2.botrace"
report cache compare --quiet --cache-only "$traces/glmark2.botrace"
report stress stress 'xe_evict/evict-small*' 'twostep/*' verify-ccs
report alone stress evict-small
python3 -B "$here/check_reports.py" "$shots" "${reports[@]}"
