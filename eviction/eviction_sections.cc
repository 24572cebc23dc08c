#include "twostep/eviction/eviction_sections.h"

#include <algorithm>
#include <iterator>

namespace twostep {

EvictionSection* EvictionSections::Find(const EvictionAccount* account) const {
  const auto found = by_account_.find(account);
  return found == by_account_.end() ? nullptr : found->second;
}

EvictionSection& EvictionSections::Make(const EvictionAccountPtr& account) {
  if (unused_.empty() && all_.size() >= look_for_unused_) {
    for (const auto& section : all_) {
      if (section->account.use_count() == 1 && section->size == 0) {
        by_account_.erase(section->account.get());
        unused_.push_back(section.get());
      }
    }
    look_for_unused_ = 2 * (all_.size() - unused_.size()) + 8;
  }
  if (unused_.empty()) {
    unused_.push_back(
        all_.emplace_back(std::make_unique<EvictionSection>()).get());
    unused_.back()->number = all_.size();
    ranks_.insert(*unused_.back());
  }
  EvictionSection& section = *unused_.back();
  unused_.pop_back();
  section.account = account;
  section.policy = nullptr;
  by_account_.emplace(account.get(), &section);
  return section;
}

uint64_t EvictionSections::RankNow(const EvictionSection& section) {
  constexpr uint64_t kAboveLow = uint64_t{1} << 63;
  if (section.size == 0) return 0;
  const uint64_t used = section.account->used_pages();
  const Budget& budget = section.account->budget();
  const uint64_t low_pages = std::max(budget.low_pages, budget.min_pages);
  if (used > low_pages) return kAboveLow | (used - low_pages);
  return used > budget.min_pages ? used - budget.min_pages : 0;
}

void EvictionSections::SetRank(EvictionSection& section, uint64_t rank) {
  if (rank == section.rank) return;
  const auto here = ranks_.iterator_to(section);
  const auto next = std::next(here);
  section.rank = rank;
  const bool stays =
      (here == ranks_.begin() || GoesBefore()(*std::prev(here), section)) &&
      (next == ranks_.end() || GoesBefore()(section, *next));
  if (stays) return;
  ranks_.erase(here);
  ranks_.insert(section);
}

void EvictionSections::Rank(EvictionSection& section) {
  SetRank(section, RankNow(section));
}

void EvictionSections::RankAll() {
  for (const auto& section : all_) Rank(*section);
  visits_to_ranking_ = all_.size() / 8;
}

void EvictionSections::Visit(const EvictionAsker& asker,
                             absl::FunctionRef<bool(EvictionSection&)> visit) {
  EvictionSection* const own = Find(asker.account);
  if (asker.own_only) {
    if (own != nullptr) visit(*own);
    return;
  }
  ++visits_;
  const bool ranked = visits_to_ranking_ <= 1;
  if (ranked) {
    RankAll();
  } else {
    --visits_to_ranking_;
  }
  if (!VisitRanked(visit)) return;
  if (!ranked) {
    RankAll();
    if (!VisitRanked(visit)) return;
  }
  if (own != nullptr && own->visited != visits_) visit(*own);
}

bool EvictionSections::VisitRanked(
    absl::FunctionRef<bool(EvictionSection&)> visit) {
  for (auto it = ranks_.begin(); it != ranks_.end() && it->rank != 0;) {
    EvictionSection& section = *it;
    ++it;
    if (section.visited == visits_) continue;
    const uint64_t rank = RankNow(section);
    if (rank < section.rank) {
      // Its turn comes later, or now after all.
      SetRank(section, rank);
      if (it == ranks_.end() || GoesBefore()(section, *it)) {
        it = ranks_.iterator_to(section);
      }
      continue;
    }
    section.visited = visits_;
    if (!visit(section)) return false;
  }
  return true;
}

}  // namespace twostep
