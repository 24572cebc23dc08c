#ifndef EVICTION_EVICTION_SECTIONS_H_
#define EVICTION_EVICTION_SECTIONS_H_

// The sections of an eviction order that belong to budgeted accounts, one each,
// found by account and ranked by what their accounts have above what is
// protected. Knows no policies' verbs and no entries. Guarded by the lock of
// the order.
//
// Accounts change under nobody's lock, and in other orders as well. A rank is
// looked at again when the section changes, when its turn has come, and all of
// them once in so many visits as there are eight sections: the price of a
// search does not grow with their number, and with fifteen or fewer ranks are
// never old. With more, one whose account has grown elsewhere may get its turn
// late, but is never missed: before a visit ends, all are looked at.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "boost/intrusive/set.hpp"
#include "twostep/eviction/entry_queue.h"
#include "twostep/eviction/eviction_account.h"
#include "twostep/eviction/eviction_policy.h"

namespace twostep {

using EvictionAccountPtr = std::shared_ptr<const EvictionAccount>;

// For whom room is made.
struct EvictionAsker {
  const EvictionAccount* account = nullptr;
  // Nobody else's entries are to be given up: it is at its own limit.
  bool own_only = false;
};

// Entries that are ordered among themselves.
struct EvictionSection
    : boost::intrusive::set_base_hook<
          boost::intrusive::link_mode<boost::intrusive::normal_link>> {
  EvictionAccountPtr account;  // null: the section that all others share
  std::unique_ptr<EvictionPolicy> policy;
  EntryQueue aside;
  size_t size = 0;  // all entries, members and those aside
  // Something has come, been used or gone since the last submission ended.
  bool changed = false;

 private:
  friend class EvictionSections;

  uint64_t rank = 0;     // as of when it was last looked at; the highest goes
  uint64_t visited = 0;  // the last visit that came by
  size_t number = 0;     // among equals the lowest goes
};

class EvictionSections {
 public:
  EvictionSections() = default;
  EvictionSections(const EvictionSections&) = delete;
  EvictionSections& operator=(const EvictionSections&) = delete;

  bool empty() const { return all_.empty(); }
  // Null: it has none.
  EvictionSection* Find(const EvictionAccount* account) const;
  // An empty one, without a policy; perhaps that of an account which nobody
  // else has any more. REQUIRES: the account has none.
  EvictionSection& Make(const EvictionAccountPtr& account);
  // To be called when the section has changed.
  void Rank(EvictionSection& section);

  // Shows the sections that have something to give up for `asker` until `visit`
  // says false: first those furthest above their low protection, then those
  // furthest above their min, the asker's own in any case, at the end at the
  // latest.
  void Visit(const EvictionAsker& asker,
             absl::FunctionRef<bool(EvictionSection&)> visit);
  template <typename Use>
  void ForEach(Use use) const {
    for (const auto& section : all_) use(*section);
  }

 private:
  struct GoesBefore {
    bool operator()(const EvictionSection& a, const EvictionSection& b) const {
      return a.rank != b.rank ? a.rank > b.rank : a.number < b.number;
    }
  };
  using Ranks =
      boost::intrusive::set<EvictionSection,
                            boost::intrusive::compare<GoesBefore>,
                            boost::intrusive::constant_time_size<false>>;

  static uint64_t RankNow(const EvictionSection& section);
  void SetRank(EvictionSection& section, uint64_t rank);
  void RankAll();
  // Those from the highest rank down that this visit has not come by. False:
  // `visit` said so.
  bool VisitRanked(absl::FunctionRef<bool(EvictionSection&)> visit);

  std::vector<std::unique_ptr<EvictionSection>> all_;
  absl::flat_hash_map<const EvictionAccount*, EvictionSection*> by_account_;
  Ranks ranks_;
  std::vector<EvictionSection*> unused_;
  size_t look_for_unused_ = 8;  // when there are as many
  uint64_t visits_ = 0;
  size_t visits_to_ranking_ = 0;
};

}  // namespace twostep

#endif  // EVICTION_EVICTION_SECTIONS_H_
