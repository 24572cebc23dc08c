#include "twostep/cli/replay_report.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "twostep/cli/figures.h"
#include "twostep/cli/terminal_text.h"

namespace twostep {
namespace {

// "dynamic 12, coherent 3"; only what is not 0.
std::string ByName(const std::map<std::string, uint64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [name, count] : counts) {
    if (count != 0)
      parts.push_back(absl::StrCat(name, " ", GroupedFigure(count)));
  }
  return parts.empty() ? "0" : absl::StrJoin(parts, ", ");
}

}  // namespace

nlohmann::ordered_json ReplayJson(const ReplayResult& r) {
  nlohmann::ordered_json violations = nlohmann::ordered_json::array();
  for (const Violation& violation : r.violations) {
    violations.push_back({{"rule", violation.rule}, {"what", violation.what}});
  }
  return {
      {"trace", r.trace},
      {"machine", r.machine},
      {"mode", r.mode},
      {"dma_type", r.dma_type},
      {"dma_exhaustion", r.dma_exhaustion},
      {"placement", r.placement},
      {"eviction", r.eviction},
      {"seed", r.seed},
      {"vram_bytes", r.vram_bytes},
      {"records", r.records},
      {"submissions", r.submissions},
      {"frames", r.frames},
      {"validates", r.validates},
      {"validate_hits", r.validate_hits},
      {"missed_bytes", r.missed_bytes},
      {"bus_bytes", r.bus_bytes},
      {"dma_binds", r.dma_binds},
      {"dma_evictions", r.dma_evictions},
      {"gpu_evictions", r.gpu_evictions},
      {"bytes_moved",
       {{"to_vram", r.to_vram_bytes},
        {"from_vram", r.from_vram_bytes},
        {"dma_evict_copy", r.dma_evict_copy_bytes},
        {"bounce", r.bounce_bytes},
        {"swap_out", r.swap_out_bytes},
        {"swap_in", r.swap_in_bytes}}},
      {"syncs",
       {{"for_device", r.pages_synced_for_device},
        {"for_cpu", r.pages_synced_for_cpu}}},
      {"cpu_faults", r.cpu_faults},
      {"gpu_faults", r.gpu_faults},
      {"bytes_checked", r.bytes_checked},
      {"bytes_wrong", r.bytes_wrong},
      {"rule_violations", r.rule_violations},
      {"violations", std::move(violations)},
      {"stall_ns", r.stall_ns},
      {"simulated_ns", r.simulated_ns},
      {"wall_seconds", r.wall_seconds},
      {"peak_rss_bytes", r.peak_rss_bytes},
  };
}

std::string ReplayTable(const ReplayResult& r) {
  const double hit_percent =
      100.0 * static_cast<double>(r.validate_hits) /
      static_cast<double>(std::max<uint64_t>(r.validates, 1));
  const std::pair<const char*, std::string> rows[] = {
      {"trace", ForTerminal(r.trace)},
      {"machine", absl::StrCat(r.machine, ", ", r.mode, ", VRAM ",
                               BytesFigure(r.vram_bytes))},
      {"policy", absl::StrCat(r.dma_type, ", ", r.placement, ", ", r.eviction,
                              r.dma_exhaustion == NameOf(DmaExhaustion::kEvict)
                                  ? ""
                                  : ", on DMA exhaustion " + r.dma_exhaustion)},
      {"records", absl::StrCat(GroupedFigure(r.records), " (",
                               GroupedFigure(r.submissions), " submissions, ",
                               GroupedFigure(r.frames), " frames)")},
      {"validates",
       absl::StrCat(GroupedFigure(r.validates), " (",
                    absl::StrFormat("%.1f", hit_percent), " % in place)")},
      {"DMA binds", ByName(r.dma_binds)},
      {"DMA evictions", ByName(r.dma_evictions)},
      {"GPU evictions", ByName(r.gpu_evictions)},
      {"moved", absl::StrCat(BytesFigure(r.to_vram_bytes), " to VRAM, ",
                             BytesFigure(r.from_vram_bytes), " from VRAM")},
      {"over the bus", BytesFigure(r.bus_bytes)},
      {"copied",
       absl::StrCat(BytesFigure(r.dma_evict_copy_bytes), " by DMA eviction, ",
                    BytesFigure(r.bounce_bytes), " bounced")},
      {"swapped", absl::StrCat(BytesFigure(r.swap_out_bytes), " out, ",
                               BytesFigure(r.swap_in_bytes), " in")},
      {"synced",
       absl::StrCat(GroupedFigure(r.pages_synced_for_device),
                    " pages for the device, ",
                    GroupedFigure(r.pages_synced_for_cpu), " for the CPU")},
      {"CPU faults", GroupedFigure(r.cpu_faults)},
      {"GPU stalled",
       absl::StrCat(DurationFigure(r.stall_ns), " of ",
                    DurationFigure(r.simulated_ns), " simulated")},
      {"took",
       absl::StrFormat(
           "%.2f s, %s records/s, %s at most", r.wall_seconds,
           GroupedFigure(static_cast<uint64_t>(static_cast<double>(r.records) /
                                               std::max(r.wall_seconds, 1e-9))),
           BytesFigure(r.peak_rss_bytes))},
  };
  std::string text;
  for (const auto& [name, value] : rows) {
    absl::StrAppendFormat(&text, "%-14s %s\n", name, value);
  }
  for (const Violation& violation : r.violations) {
    absl::StrAppend(&text, "broken         ", violation.rule, ": ",
                    violation.what, "\n");
  }
  absl::StrAppend(
      &text, r.clean() ? "clean          " : "WRONG          ",
      r.mode == "backed"
          ? absl::StrCat(BytesFigure(r.bytes_checked), " checked, ",
                         GroupedFigure(r.bytes_wrong), " bytes wrong, ")
          : "",
      GroupedFigure(r.rule_violations), " rules broken\n");
  return text;
}

}  // namespace twostep
