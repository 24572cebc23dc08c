#include "twostep/eviction/eviction_order.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "boost/intrusive/parent_from_member.hpp"
#include "twostep/machine/check.h"

namespace twostep {

EvictionGroup::~EvictionGroup() { TWOSTEP_CHECK(empty()); }

EvictionOrder::EvictionOrder(std::unique_ptr<EvictionPolicy> policy)
    : logs_touches_(policy->TouchesBlindly()) {
  shared_.policy = std::move(policy);
}

EvictionOrder::~EvictionOrder() = default;

void EvictionOrder::Serve(const EvictionOwner& owner, PolicyFactory factory) {
  SpinLockHolder hold(lock_);
  owner_ = owner;
  factory_ = std::move(factory);
  shared_.policy->Serve(OwnerForPolicies());
}

EvictionOwner EvictionOrder::OwnerForPolicies() const {
  EvictionOwner mine = owner_;
  mine.facts_of = &FactsOf;
  mine.context = this;
  return mine;
}

EvictionGroup& EvictionOrder::GroupOf(EvictionHook& hook) {
  return *boost::intrusive::get_parent_from_member(&hook,
                                                   &EvictionGroup::hook_);
}

// Called by policies, under the lock.
EvictionFacts EvictionOrder::FactsOf(const void* order,
                                     const EvictionHook& entry)
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  const auto& mine = *static_cast<const EvictionOrder*>(order);
  const EvictionOwner& owner = mine.owner_;
  if (!entry.group()) {
    return (mine.telling_ ? owner.identity_of : owner.facts_of)(owner.context,
                                                                entry);
  }
  return EvictionFacts{
      .key = reinterpret_cast<uintptr_t>(&entry),
      .bytes = GroupOf(const_cast<EvictionHook&>(entry)).bytes_told_};
}

EvictionOrder::Section& EvictionOrder::SectionOf(
    const EvictionAccountPtr& account) {
  Section* section = budgeted_.Find(account.get());
  if (section == nullptr) {
    section = &budgeted_.Make(account);
    section->policy = factory_();
    section->policy->Serve(OwnerForPolicies());
    expects_.store(true, std::memory_order_relaxed);
  }
  if (!std::exchange(section->changed, true)) changed_.push_back(section);
  return *section;
}

void EvictionOrder::Put(Section& section, EvictionHook& entry,
                        EvictionGroup* group) {
  if (group == nullptr) {
    section.policy->Insert(entry);
    return;
  }
  group->bytes_ += owner_.identity_of(owner_.context, entry).bytes;
  if (group->members_.empty()) {
    group->bytes_told_ = group->bytes_;
    section.policy->Insert(group->hook_);
    group->hook_.set_arrived(owner_.touches_arrivals);
  }
  group->members_.PushBack(entry);
}

void EvictionOrder::Take(Section& section, EvictionHook& entry,
                         EvictionGroup* group, Departure why) {
  if (group == nullptr) {
    section.policy->Remove(entry, why);
    return;
  }
  group->bytes_ -= owner_.identity_of(owner_.context, entry).bytes;
  group->members_.Remove(entry);
  if (group->members_.empty()) section.policy->Remove(group->hook_, why);
}

void EvictionOrder::Insert(EvictionHook& entry, const Place& place) {
  SpinLockHolder hold(lock_);
  TellTouches();
  Section& section = SectionOf(place);
  Put(section, entry, place.group);
  if (place.group != nullptr) {
    ++place.group->size_;
  } else {
    entry.set_arrived(owner_.touches_arrivals);
  }
  ++section.size;
  ++size_;
  if (place.account != nullptr) budgeted_.Rank(section);
}

void EvictionOrder::TouchAtOnce(EvictionHook& entry, const Place& place) {
  SpinLockHolder hold(lock_);
  TellTouches();
  TouchNow(entry, place);
}

bool EvictionOrder::LogFirstUse(const internal::ReservationHolder& thread,
                                EvictionHook* entry) {
  if (!logs_touches_) return false;
  Atomic<TouchLog*>& mine = touch_logs_[thread.number % kTouchLogs];
  // Another thread's, whose number is as good as this one's.
  if (mine.load(std::memory_order_relaxed) != nullptr) return false;
  SpinLockHolder hold(lock_);
  TouchLog* log = mine.load(std::memory_order_relaxed);
  if (log != nullptr) return false;
  made_logs_.push_back(std::make_unique<TouchLog>(thread));
  log = made_logs_.back().get();
  mine.store(log, std::memory_order_release);
  log->Add(entry);
  return true;
}

// When nobody else has the lock if that can be; of this thread's uses alone:
// others' entries stay in their caches.
void EvictionOrder::TellSome(TouchLog* log) {
  if (log->MustTell()) {
    lock_.lock();
  } else if (!lock_.try_lock()) {
    return;
  }
  Tell(*log);
  lock_.unlock();
}

void EvictionOrder::Tell(TouchLog& log) {
  telling_ = true;
  log.Take([this](EvictionHook* entry) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (entry == nullptr) {
      NoteNow(EvictionBoundary::kSubmission);
    } else if (entry->settled()) {
      shared_.policy->Touch(*entry);
    } else {
      TouchNow(*entry, {});
    }
  });
  telling_ = false;
}

void EvictionOrder::Use(EvictionPolicy& policy, EvictionHook& entry) {
  if (entry.arrived()) {
    entry.set_arrived(false);
    policy.TouchArrival(entry);
  } else {
    policy.Touch(entry);
  }
}

void EvictionOrder::TouchNow(EvictionHook& entry, const Place& place) {
  Section& section = SectionOf(place);
  if (entry.aside()) {
    section.aside.Remove(entry);
    entry.set_aside(false);
    Put(section, entry, place.group);
    if (place.group == nullptr && owner_.touches_arrivals) {
      Use(*section.policy, entry);
    }
  } else if (place.group != nullptr) {
    place.group->members_.MoveToBack(entry);
  } else {
    Use(*section.policy, entry);
  }
}

void EvictionOrder::Remove(EvictionHook& entry, Departure why,
                           const Place& place) {
  SpinLockHolder hold(lock_);
  TellTouches();
  Section& section = SectionOf(place);
  bool known = true;  // to the policy
  if (entry.aside()) {
    section.aside.Remove(entry);
    entry.set_aside(false);
    // The policy has let it go for a while; that it is no more is news.
    known = why != Departure::kAside;
    if (known) Put(section, entry, place.group);
  }
  if (known) Take(section, entry, place.group, why);
  if (why != Departure::kAside) entry.Forget();
  if (place.group != nullptr) --place.group->size_;
  --section.size;
  --size_;
  if (place.account != nullptr) budgeted_.Rank(section);
  ++left_;
}

void EvictionOrder::TouchGroup(EvictionGroup& group, const Place& place) {
  SpinLockHolder hold(lock_);
  TellTouches();
  if (group.members_.empty()) return;
  EvictionPolicy& policy = *SectionOf(place).policy;
  // To a policy, sizes never change.
  if (group.bytes_told_ != group.bytes_) {
    policy.Remove(group.hook_, Departure::kAside);
    group.bytes_told_ = group.bytes_;
    policy.Insert(group.hook_);
    if (!owner_.touches_arrivals) return;
  }
  Use(policy, group.hook_);
}

void EvictionOrder::Expect(const EvictionFacts& entry, const Place& place) {
  SpinLockHolder hold(lock_);
  TellTouches();
  EvictionPolicy& policy = *SectionOf(place).policy;
  policy.Expect(entry);
  // Other sections' policies may be others.
  if (!policy.expects() && budgeted_.empty()) {
    expects_.store(false, std::memory_order_relaxed);
  }
}

void EvictionOrder::Note(EvictionBoundary boundary) {
  if (boundary == EvictionBoundary::kSubmission && LogUse(nullptr)) return;
  SpinLockHolder hold(lock_);
  TellTouches();
  NoteNow(boundary);
}

void EvictionOrder::NoteNow(EvictionBoundary boundary) {
  shared_.policy->Note(boundary);
  if (boundary != EvictionBoundary::kSubmission) {
    budgeted_.ForEach(
        [boundary](Section& section) { section.policy->Note(boundary); });
    return;
  }
  for (Section* section : changed_) {
    section->policy->Note(boundary);
    section->changed = false;
  }
  changed_.clear();
}

void EvictionOrder::SetAside(EvictionHook& entry, const Place& place) {
  SpinLockHolder hold(lock_);
  TellTouches();
  Section& section = SectionOf(place);
  if (entry.aside()) {
    section.aside.MoveToBack(entry);
    return;
  }
  Take(section, entry, place.group, Departure::kAside);
  entry.set_aside(true);
  section.aside.PushBack(entry);
}

size_t EvictionOrder::size() const {
  SpinLockHolder hold(lock_);
  return size_;
}

size_t EvictionOrder::ProtectedFrom(const Asker& asker) const {
  if (asker.own_only) return 0;
  SpinLockHolder hold(lock_);
  size_t bos = 0;
  budgeted_.ForEach([&](const Section& section) {
    const EvictionAccount& account = *section.account;
    const bool passed_over = &account != asker.account &&
                             account.used_pages() <= account.budget().min_pages;
    if (passed_over) bos += section.size;
  });
  return bos;
}

uint64_t EvictionOrder::Visit(const Asker& asker,
                              absl::FunctionRef<Verdict(EvictionHook&)> visit,
                              Asides asides) {
  SpinLockHolder hold(lock_);
  TellTouches();
  if (!asker.own_only &&
      VisitSection(shared_, visit, asides) == Verdict::kStop) {
    return left_;
  }
  if (!budgeted_.empty()) {
    budgeted_.Visit(
        asker, [&](Section& section) ABSL_NO_THREAD_SAFETY_ANALYSIS {
          return VisitSection(section, visit, asides) != Verdict::kStop;
        });
  }
  return left_;
}

EvictionOrder::Verdict EvictionOrder::VisitSection(
    Section& section, absl::FunctionRef<Verdict(EvictionHook&)> visit,
    Asides asides) {
  if (asides == Asides::kLeaveOut) return VisitPolicy(section, visit);
  // Some that were reserved when last seen: they were the first to go.
  absl::InlinedVector<EvictionHook*, kAsideFirst> seen;
  Verdict verdict = Verdict::kNext;
  EvictionHook* aside = section.aside.front();
  while (aside != nullptr && seen.size() < kAsideFirst &&
         verdict != Verdict::kStop) {
    seen.push_back(aside);
    verdict = visit(*aside);
    aside = section.aside.Behind(*aside);
  }
  if (verdict != Verdict::kStop && asides != Asides::kOnly) {
    verdict = VisitPolicy(section, visit);
  }
  for (; aside != nullptr && verdict != Verdict::kStop;
       aside = section.aside.Behind(*aside)) {
    verdict = visit(*aside);
  }
  for (EvictionHook* entry : seen) section.aside.MoveToBack(*entry);
  return verdict;
}

EvictionOrder::Verdict EvictionOrder::VisitPolicy(
    Section& section, absl::FunctionRef<Verdict(EvictionHook&)> visit) {
  // Set aside once the walk is over: a policy need not bear it before.
  struct Reserved {
    EvictionHook* entry;
    EvictionGroup* group;
  };
  absl::InlinedVector<Reserved, 16> reserved;
  Verdict verdict = Verdict::kNext;
  const auto show = [&](EvictionHook& entry, EvictionGroup* group) {
    verdict = visit(entry);
    if (verdict == Verdict::kAside) reserved.push_back({&entry, group});
    return verdict != Verdict::kStop;
  };
  EvictionPolicy& policy = *section.policy;
  for (EvictionHook* entry = policy.First(); entry != nullptr;
       entry = policy.After(*entry)) {
    if (entry->group()) {
      EvictionGroup& group = GroupOf(*entry);
      EvictionHook* member = group.members_.front();
      while (member != nullptr && show(*member, &group)) {
        member = group.members_.Behind(*member);
      }
    } else {
      show(*entry, nullptr);
    }
    if (verdict == Verdict::kStop) break;
  }
  for (const Reserved& entry : reserved) {
    Take(section, *entry.entry, entry.group, Departure::kAside);
    entry.entry->set_aside(true);
    section.aside.PushBack(*entry.entry);
  }
  return verdict;
}

}  // namespace twostep
