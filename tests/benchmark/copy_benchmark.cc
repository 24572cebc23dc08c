// Copies that evictions make: a bo leaves VRAM for frames, with its bytes,
// beside a plain copy of as much.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/benchmark/plain_copy.h"
#include "tests/benchmark/rig.h"
#include "tests/benchmark/rows.h"

namespace twostep {
namespace {

constexpr Placement kSystem{};

// More than caches hold, so that each bo is as cold as a victim is.
constexpr uint64_t kAllBytes = 128 * kMiB;

// All bos moved, one copy behind the other, and there: nanoseconds by the clock
// on the wall.
double MoveAllNs(Rig& rig, size_t count, const Placement& placement) {
  const double start_ns = WallNs();
  for (size_t i = 0; i < count; ++i) rig.Validate(rig.bo(i), placement);
  for (size_t i = 0; i < count; ++i) {
    BufferObject& bo = rig.bo(i);
    bo.Reserve();
    if (!bo.fences().Wait(FenceUse::kRead, WaitLimit{}).ok()) std::abort();
    bo.Unreserve();
  }
  return WallNs() - start_ns;
}

void EvictCopy(benchmark::State& state, uint64_t bytes) {
  if (Quick(state)) bytes = 64 << 10;
  const size_t count = Quick(state) ? 2 : kAllBytes / bytes;
  const uint64_t all_bytes = count * bytes;
  Rig rig({.vram_pages = all_bytes >> kPageShift, .backing = Backing::kBacked});
  rig.Make(count, bytes);
  PlainCopy plain(bytes, count);
  const auto there_and_back = [&] {
    MoveAllNs(rig, count, kVram);
    // Their frames come back, so that the next ones have been touched before.
    rig.host().ReapGhosts(WaitLimit{});
    return MoveAllNs(rig, count, kSystem);
  };
  there_and_back();
  double out_ns = 0, plain_ns = 0, plain_two_ns = 0;
  for (auto _ : state) {
    out_ns += there_and_back();
    plain_ns += plain.BestNs(1);
    plain_two_ns += plain.BestNs(2);
  }
  SetValue(state, plain_ns / out_ns);
  const double moved =
      static_cast<double>(all_bytes) * static_cast<double>(state.iterations());
  state.counters["gb_per_s"] = moved / out_ns;
  state.counters["plain_gb_per_s"] = moved / plain_ns;
  state.counters["plain_two_threads_gb_per_s"] = moved / plain_two_ns;
}

}  // namespace

std::vector<Row> CopyRows() {
  std::vector<Row> rows;
  for (const auto& [name, bytes] : {std::pair{"64_kib", uint64_t{64} << 10},
                                    std::pair{"2_mib", uint64_t{2} << 20},
                                    std::pair{"64_mib", uint64_t{64} << 20}}) {
    rows.push_back(
        {.name = absl::StrCat("evict_copy/", name),
         .run = [bytes = bytes](auto& state) { EvictCopy(state, bytes); },
         .iterations = 2,
         .real_time = true,
         .needs_bytes = 5 * kAllBytes});
  }
  return rows;
}

}  // namespace twostep
