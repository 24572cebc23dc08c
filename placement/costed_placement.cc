#include "twostep/placement/costed_placement.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "twostep/machine/clock.h"
#include "twostep/machine/types.h"

namespace twostep {
namespace {

// A use counts half as much after so many submissions: some frames.
constexpr double kHalfLife = 256;
// A move that did not pay off, and a submission: half of it is forgotten after
// 700.
constexpr double kCautionGrowth = 1.5;
constexpr double kMostCaution = 64;
constexpr double kCautionKept = 0.999;

// What a use costs in TT and would not in VRAM.
double SavedNs(const CostModel& cost, const PlacementFacts& bo) {
  const double bus =
      static_cast<double>(TransferNs(bo.bytes, cost.bus_mib_per_s));
  const double vram =
      static_cast<double>(TransferNs(bo.bytes, cost.vram_mib_per_s));
  double saved = std::max(bus - vram, 0.0);
  if (bo.cpu_bytes != 0) {
    saved += static_cast<double>(cost.zap_ns) +
             static_cast<double>(BytesToPages(bo.cpu_bytes)) *
                 static_cast<double>(cost.fault_ns + cost.zap_page_ns);
  }
  return saved;
}

double CopyNs(const CostModel& cost, uint64_t bytes) {
  return static_cast<double>(cost.engine_latency_ns +
                             TransferNs(bytes, cost.engine_mib_per_s));
}

}  // namespace

CostedPlacement::CostedPlacement(const PlacementSite& site,
                                 const Options& options)
    : lists_(site), site_(site), patience_(options.patience) {}

void CostedPlacement::Begin(const PlacementMoment&) {
  ++submission_;
  caution_ = 1 + (caution_ - 1) * kCautionKept;
}

PlacementList CostedPlacement::Choose(const PlacementFacts& facts,
                                      const PlacementMoment&) {
  // One other a use: all are looked at again as often as they are used.
  if (!bos_.empty()) {
    hand_ = (hand_ + 1) % bos_.size();
    SetWorth(bos_[hand_]);
  }
  Bo& bo = Find(facts);
  NoteUse(bo, facts);
  SetInVram(bo, facts.memory == MemoryType::kVram);
  if (bo.in_vram) {
    bo.bus_spent_ns = 0;
    bo.vram_saved_ns += bo.saved_ns;
    return lists_.make_room;
  }
  if (!facts.has_contents) return lists_.if_free;
  bo.bus_spent_ns += bo.saved_ns;
  const double move_ns = patience_ * caution_ * CopyNs(site_.cost, bo.bytes);
  // Of one that is new nothing is known: it may have room that nobody needs.
  if (bo.uses > 1 && bo.bus_spent_ns < move_ns) return lists_.over_bus;
  return bo.bus_spent_ns >= 2 * move_ns && Displaces(bo) ? lists_.make_room
                                                         : lists_.if_free;
}

PlacementList CostedPlacement::EvictTo(const PlacementFacts& facts) {
  Bo& bo = Find(facts);
  if (bo.in_vram) NoteOutcome(bo);
  SetInVram(bo, false);
  bo.vram_saved_ns = 0;
  return lists_.evict_to;
}

void CostedPlacement::NoteOutcome(const Bo& bo) {
  if (bo.vram_saved_ns < 2 * CopyNs(site_.cost, bo.bytes)) {
    caution_ = std::min(caution_ * kCautionGrowth, kMostCaution);
  }
}

void CostedPlacement::Forget(uint64_t key) {
  auto it = index_of_.find(key);
  if (it == index_of_.end()) return;
  const uint32_t index = it->second;
  SetInVram(bos_[index], false);
  index_of_.erase(it);
  if (index != bos_.size() - 1) {
    bos_[index] = bos_.back();
    index_of_[bos_[index].key] = index;
  }
  bos_.pop_back();
}

CostedPlacement::Bo& CostedPlacement::Find(const PlacementFacts& facts) {
  auto [it, fresh] =
      index_of_.try_emplace(facts.key, static_cast<uint32_t>(bos_.size()));
  if (fresh) {
    bos_.push_back(Bo{.key = facts.key,
                      .bytes = facts.bytes,
                      .first_use = submission_,
                      .last_use = submission_});
  }
  return bos_[it->second];
}

void CostedPlacement::NoteUse(Bo& bo, const PlacementFacts& facts) {
  // What the CPU took counts where it is seen: in VRAM it costs nothing.
  if (facts.memory != MemoryType::kVram || bo.saved_ns == 0) {
    bo.saved_ns = SavedNs(site_.cost, facts);
  }
  bo.uses =
      1 + bo.uses * std::exp2(-static_cast<double>(submission_ - bo.last_use) /
                              kHalfLife);
  bo.last_use = submission_;
  SetWorth(bo);
}

double CostedPlacement::UseRate(const Bo& bo) const {
  const auto kept = [](uint64_t submissions) {
    return std::exp2(-static_cast<double>(submissions) / kHalfLife);
  };
  // What the sum would be, had every submission used it since the first did.
  const double most =
      (1 - kept(submission_ - bo.first_use + 1)) / (1 - kept(1));
  return bo.uses * kept(submission_ - bo.last_use) / most;
}

void CostedPlacement::SetWorth(Bo& bo) {
  int worth = 0;
  if (bo.uses > 1 && bo.saved_ns != 0) {
    const double a_byte =
        bo.saved_ns / static_cast<double>(bo.bytes) * UseRate(bo);
    worth = std::clamp(
        static_cast<int>(std::floor(2 * std::log2(a_byte))) + kWorths / 2, 1,
        kWorths - 1);
  }
  if (worth == bo.worth) return;
  const bool in_vram = bo.in_vram;
  SetInVram(bo, false);
  bo.worth = worth;
  SetInVram(bo, in_vram);
}

void CostedPlacement::SetInVram(Bo& bo, bool in_vram) {
  if (in_vram == bo.in_vram) return;
  bo.in_vram = in_vram;
  uint64_t& bytes = vram_bytes_of_worth_[static_cast<size_t>(bo.worth)];
  bytes = in_vram ? bytes + bo.bytes : bytes - bo.bytes;
}

bool CostedPlacement::Displaces(const Bo& bo) const {
  uint64_t kept_bytes = bo.bytes;
  for (int worth = std::max(bo.worth - kHalf + 1, 0); worth < kWorths;
       ++worth) {
    kept_bytes += vram_bytes_of_worth_[static_cast<size_t>(worth)];
  }
  return kept_bytes <= site_.vram_bytes;
}

}  // namespace twostep
