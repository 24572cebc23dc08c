#!/usr/bin/env bash
# Proves that every sync between CPU and device is needed: takes each away in
# turn and expects the tests of bos to fail. Builds in a copy of the checkout, so
# the checkout itself is never changed.
#   tests/mutation/lost_syncs.sh [NAME...]     all of them, or those named
# Ends with 1 when some sync was not missed. The random walks are left out: they
# would notice as well, but spend minutes on shrinking what they found.
set -euo pipefail

root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
# Name, file, and a sed script that takes the sync away.
lost() {
  cat <<'TABLE'
bind-initial-sync|dma_types/dma_binder.cc|s/^    DoSync(pages, \*binding, PageRange{0.*$//
unbind-sync-for-cpu|dma_types/dma_binder.cc|/^BindOutcome DmaBinder::Unbind/,/^}/s/^    SyncForCpu(.*$//
sync-for-device|dma_types/dma_binder.cc|s/^  HandOver(pages, binding, range, Sync::kForDevice);$//
sync-for-cpu|dma_types/dma_binder.cc|s/^  HandOver(pages, binding, range, Sync::kForCpu);$//
hand-over-sync|dma_types/dma_binder.cc|s/^    DoSync(pages, binding, PageRange{first.*$//
clean-for-device|dma_types/dma_binder.cc|s/^      memory.CleanForDevice(frame);$//
invalidate-for-cpu|dma_types/dma_binder.cc|s/^      memory.InvalidateForCpu(frame);$//
bounce-for-device|dma_types/dynamic_binder.cc|s/^    if (memory.backed()) {$/    if (memory.backed() \&\& direction != Sync::kForDevice) {/
bounce-for-cpu|dma_types/dynamic_binder.cc|s/^    if (memory.backed()) {$/    if (memory.backed() \&\& direction == Sync::kForDevice) {/
dynamic-unbounced-bo|dma_types/dynamic_binder.cc|s/^      DmaBinder::DoSync(pages, binding, range, direction);$//
dynamic-unbounced-page|dma_types/dynamic_binder.cc|s/^        DmaBinder::DoSync(pages, binding, PageRange{i, 1}, direction);$//
cpu-fault|bo/cpu_mapping.cc|/^absl::Status CpuMapping::ServeLocked/,/^}/s/^    bo.binder_->SyncForCpu(.*$//
kernel-map|bo/cpu_mapping.cc|/KernelMapping::Create/,/^}/{s/^    bo->binder_->SyncForCpu(bo->pages_, \*bo->binding_,$//;s/^                            PageRange{0, bo->page_count()});$//}
take-pages-from-cpu|bo/mover.cc|s/^  bo.binder_->SyncForDevice(.*$//
take-at-hit|bo/device.h|s/^        return bo.flags_ & BufferObject::kCpuOwnsPages ? TakePagesFromCpu(bo)$/        return false ? TakePagesFromCpu(bo)/
take-before-vram|bo/mover.cc|/^Mover::Result Mover::MoveToFixed/,/^}/s/(bo.flags_ & BufferObject::kCpuOwnsPages)/false/
take-before-tt|bo/mover.cc|/^Mover::Result Mover::Rebind/,/^}/s/(bo.flags_ & BufferObject::kCpuOwnsPages)/false/
take-kills-mappings|bo/mover.cc|s/^    if (page > first) KillMappings(bo, PageRange{first, page - first});$//
own-memory-copy-in|dma_types/own_memory_binder.cc|s/^    if (contents == Contents::kKeep) CopyFrames(pages.frames(), own_frames);$//
own-memory-copy-back|dma_types/own_memory_binder.cc|s/^    CopyFrames(pages.frames(), frames);$//
none-copy-below-mask|dma_types/none_binder.cc|s/^    CopyFrames(beyond, within);$//
TABLE
}

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git -C "$root" archive HEAD | tar -x -C "$copy"
cd "$copy"
# One server and one cache for all runs, gone with the copy.
bazel=(bazel "--output_user_root=${LOST_SYNCS_CACHE:-$copy/.cache}")
run() { "${bazel[@]}" test --jobs=2 --test_output=errors -- //tests/bo/... -//tests/bo:random_walk_test >"$copy/log" 2>&1; }

if ! run; then
  tail -n 50 "$copy/log"
  echo "the tests fail with every sync in place" >&2
  exit 1
fi
missed=0
while IFS='|' read -r name file edit; do
  [[ $# -eq 0 || " $* " == *" $name "* ]] || continue
  cp "$file" "$copy/original"
  sed -i "$edit" "$file"
  if cmp -s "$file" "$copy/original"; then
    verdict="NOT APPLIED"
    missed=1
  elif run; then
    verdict="NOT NOTICED"
    missed=1
  elif ! grep -q '^Executed' "$copy/log" || grep -q 'FAILED TO BUILD' "$copy/log"; then
    verdict="DOES NOT BUILD"
    missed=1
  else
    verdict="noticed by $(grep -oE '^//tests/bo:[a-z_]+ .*FAILED' "$copy/log" | grep -oE ':[a-z_]+' | tr -d : | tr '\n' ' '), first: $(grep -m1 -oE '^\[  FAILED  \] [^ ,]+' "$copy/log" | cut -c14-)"
  fi
  printf '%-24s %s\n' "$name" "$verdict"
  cp "$copy/original" "$file"
done < <(lost)
"${bazel[@]}" shutdown
exit "$missed"
