#ifndef EVICTION_EVICTION_ORDER_H_
#define EVICTION_EVICTION_ORDER_H_

// The entries of one memory type or one DMA binder, in the order of a policy,
// behind a lock. A leaf lock: held for one verb, or while candidates are looked
// at and tried, never across a wait. Thread-safe.
//
//   sections   entries of a client that is budgeted are ordered apart, so that
//              its protection and its limit cost no search; all others share
//              one
//   aside      entries that a search found reserved wait here, not in the
//              search's way, until they are used or found free
//   touch logs where the policy allows it, uses and ends of submissions are
//              logged for each thread, and told to the policy before anything
//              else is done
//   groups     members move to the end as one; a policy sees a group as one
//              entry

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "twostep/eviction/entry_queue.h"
#include "twostep/eviction/eviction_policy.h"
#include "twostep/eviction/eviction_sections.h"
#include "twostep/eviction/touch_log.h"
#include "twostep/machine/sync.h"

namespace twostep {

// Entries of one order, and one account, that move together. Guarded by the
// lock of the order. Must outlive its members' stay.
class EvictionGroup {
 public:
  EvictionGroup() { hook_.set_group(); }
  // REQUIRES: no members.
  ~EvictionGroup();
  EvictionGroup(const EvictionGroup&) = delete;
  EvictionGroup& operator=(const EvictionGroup&) = delete;

  // As of a moment ago, to who holds no lock.
  bool empty() const { return size_.load(std::memory_order_relaxed) == 0; }

 private:
  friend class EvictionOrder;

  // In the policy while there are members that are not aside.
  EvictionHook hook_;
  EntryQueue members_;  // those
  Atomic<size_t> size_{0};
  uint64_t bytes_ = 0;       // of those
  uint64_t bytes_told_ = 0;  // to the policy
};

// Where an entry stands: the same in all calls from Insert to Remove.
struct EvictionPlace {
  // Null: in the section that all share.
  const EvictionAccountPtr* account = nullptr;
  EvictionGroup* group = nullptr;
};

class EvictionOrder {
 public:
  using PolicyFactory = std::function<std::unique_ptr<EvictionPolicy>()>;
  using Place = EvictionPlace;
  using Asker = EvictionAsker;
  enum class Verdict : uint8_t {
    kNext,   // go on
    kAside,  // go on, and do not show this one to the next searches first
    kStop,
  };

  // Whether a search is shown what earlier ones have set aside, or that alone.
  enum class Asides : uint8_t { kShow, kLeaveOut, kOnly };

  explicit EvictionOrder(std::unique_ptr<EvictionPolicy> policy);
  ~EvictionOrder();

  // At most once, before the first entry. `factory` makes the policies of
  // budgeted clients' sections: without it there can be none.
  void Serve(const EvictionOwner& owner, PolicyFactory factory = nullptr);

  void Insert(EvictionHook& entry, const Place& place = {});
  void Touch(EvictionHook& entry, const Place& place = {}) {
    const bool plain = place.account == nullptr && place.group == nullptr;
    if (!plain || !LogUse(&entry)) TouchAtOnce(entry, place);
  }
  void Remove(EvictionHook& entry, Departure why, const Place& place = {});
  // As if all members had been used, the one used last at the end. Takes the
  // same time for any number of members.
  void TouchGroup(EvictionGroup& group, const Place& place);

  // As the policy's verbs of these names. Expect does nothing once Expects() is
  // false: nobody listens. Of budgeted clients the policies of those hear of a
  // submission's end that have had something to do since the last one: its
  // price does not grow with their number.
  bool Expects() const { return expects_.load(std::memory_order_relaxed); }
  void Expect(const EvictionFacts& entry, const Place& place = {});
  void Note(EvictionBoundary boundary);
  // Sets `entry`, which a search found of no use for now, aside, behind all
  // that are, until it is used. REQUIRES: it is in, and its owner has it
  // locked.
  void SetAside(EvictionHook& entry, const Place& place = {});
  size_t size() const;
  // How many a search for `asker` passes over, as their clients have no more
  // than is protected.
  size_t ProtectedFrom(const Asker& asker) const;

  // Shows the entries to `visit`, the one to give up first at the start, until
  // it says kStop. Entries of protected clients come later, or not at all:
  // first the shared section, then the clients that are furthest above their
  // low protection, then those furthest above their min; the asker's own come
  // last. `visit` runs under the lock: it may try locks, not wait, and must not
  // change the order. Returns how many entries had left the order by then.
  uint64_t Visit(const Asker& asker,
                 absl::FunctionRef<Verdict(EvictionHook&)> visit,
                 Asides asides = Asides::kShow);

  // From one search to the next: how often in a row it was of no use to look
  // beyond the first.
  Atomic<uint8_t>& vain_looks() { return vain_looks_; }

 private:
  using Section = EvictionSection;
  // How many of those aside a search looks at before all others.
  static constexpr int kAsideFirst = 2;

  // Threads beyond these take the lock for each use.
  static constexpr size_t kTouchLogs = 16;

  // False: it is to be told at once. Null: the end of a submission. Only of
  // policies that allow it are there logs.
  bool LogUse(EvictionHook* entry) {
    const internal::ReservationHolder& thread = *internal::ThisHolder();
    TouchLog* const log =
        touch_logs_[thread.number % kTouchLogs].load(std::memory_order_acquire);
    if (log == nullptr || !log->BelongsTo(thread)) {
      return LogFirstUse(thread, entry);
    }
    if (log->Add(entry)) TellSome(log);
    return true;
  }
  bool LogFirstUse(const internal::ReservationHolder& thread,
                   EvictionHook* entry);
  void TellSome(TouchLog* log);
  void TouchAtOnce(EvictionHook& entry, const Place& place);
  void TellTouches() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    for (const auto& log : made_logs_) {
      if (!log->empty()) Tell(*log);
    }
  }
  void Tell(TouchLog& log) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static void Use(EvictionPolicy& policy, EvictionHook& entry);
  void TouchNow(EvictionHook& entry, const Place& place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteNow(EvictionBoundary boundary) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  static EvictionGroup& GroupOf(EvictionHook& hook);
  static EvictionFacts FactsOf(const void* order, const EvictionHook& entry);
  // The owner as policies see it: groups are entries, too.
  EvictionOwner OwnerForPolicies() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Section& SectionOf(const Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
    return place.account == nullptr ? shared_ : SectionOf(*place.account);
  }
  Section& SectionOf(const EvictionAccountPtr& account)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Put(Section& section, EvictionHook& entry, EvictionGroup* group)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void Take(Section& section, EvictionHook& entry, EvictionGroup* group,
            Departure why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Verdict VisitSection(Section& section,
                       absl::FunctionRef<Verdict(EvictionHook&)> visit,
                       Asides asides) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  Verdict VisitPolicy(Section& section,
                      absl::FunctionRef<Verdict(EvictionHook&)> visit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  const bool logs_touches_;
  Atomic<bool> expects_{true};
  // Made as threads come by, each by its own thread's number.
  std::array<Atomic<TouchLog*>, kTouchLogs> touch_logs_{};
  // Written by everybody, unlike what is above.
  alignas(64) mutable SpinLock lock_;
  std::vector<std::unique_ptr<TouchLog>> made_logs_ ABSL_GUARDED_BY(lock_);
  EvictionOwner owner_ ABSL_GUARDED_BY(lock_);
  PolicyFactory factory_ ABSL_GUARDED_BY(lock_);
  Section shared_ ABSL_GUARDED_BY(lock_);
  EvictionSections budgeted_ ABSL_GUARDED_BY(lock_);
  // Of those, the ones that are marked so.
  std::vector<Section*> changed_ ABSL_GUARDED_BY(lock_);
  // Others may have what was used: only their identity may be asked for.
  bool telling_ ABSL_GUARDED_BY(lock_) = false;
  size_t size_ ABSL_GUARDED_BY(lock_) = 0;  // of all sections
  uint64_t left_ ABSL_GUARDED_BY(lock_) = 0;
  Atomic<uint8_t> vain_looks_{0};
};

}  // namespace twostep

#endif  // EVICTION_EVICTION_ORDER_H_
