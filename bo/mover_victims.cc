// The part of Mover that deals with victims once a search has come to them:
// which are worth waiting for, which may still be taken, what becomes of them.

#include <algorithm>
#include <optional>
#include <utility>

#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"

namespace twostep {

void Mover::GiveBack(const VictimSearch::Victims& victims) {
  for (BufferObject* victim : victims) {
    if (!VictimSearch::IsAmong(awaited_, *victim)) victim->lock_.Unlock();
  }
}

namespace {

// Whether one of `others` is dearer than all of `victims`: of a client that has
// no more than its low, or of a higher priority.
bool Dearer(const VictimSearch::Victims& others,
            const VictimSearch::Victims& victims, Resource resource) {
  const auto is_protected = [resource](const BufferObject* bo) {
    if (bo->client() == nullptr) return false;
    const EvictionAccount& account = bo->client()->account(resource);
    const uint64_t low_pages = account.budget().low_pages;
    return low_pages != 0 && account.used_pages() <= low_pages;
  };
  const auto by_priority = [](const BufferObject* a, const BufferObject* b) {
    return a->priority() < b->priority();
  };
  if (std::any_of(others.begin(), others.end(), is_protected) &&
      std::none_of(victims.begin(), victims.end(), is_protected)) {
    return true;
  }
  return by_priority(
      *std::max_element(victims.begin(), victims.end(), by_priority),
      *std::max_element(others.begin(), others.end(), by_priority));
}

}  // namespace

void Mover::PreferIdle(
    VictimSearch::Victims* victims, const VictimSearch& search,
    Resource resource,
    absl::FunctionRef<VictimSearch::Victims(bool* found)> find) {
  const auto idle = [](const VictimSearch::Victims& all) {
    return std::all_of(all.begin(), all.end(), [](BufferObject* bo) {
      // What is worthless goes without a wait; what it leaves is waited for.
      return bo->worthless() || bo->fences_.Signalled();
    });
  };
  if (wait_.mode == WaitLimit::Mode::kNoWait || idle(*victims)) return;
  // It was of no use the last time: so it is, most likely, until some idle one
  // comes up.
  Atomic<uint8_t>& vain = search.vain_looks();
  const size_t most = vain.load(std::memory_order_relaxed) % kVainLooks == 0
                          ? kMostIdleSearches
                          : 1;
  // Reserved, so that the next search passes them over.
  absl::InlinedVector<VictimSearch::Victims, kMostIdleSearches> busy;
  bool found = true;
  bool better = false;
  while (!better && busy.size() < most) {
    busy.push_back(find(&found));
    VictimSearch::Victims& others = busy.back();
    if (!found || others.empty() || Dearer(others, *victims, resource)) break;
    better = others.size() <= victims->size() && idle(others);
  }
  if (better) {
    victims->swap(busy.back());
    vain.store(0, std::memory_order_relaxed);
  } else {
    vain.fetch_add(1, std::memory_order_relaxed);
  }
  for (const VictimSearch::Victims& all : busy) GiveBack(all);
}

VictimSearch::Victims Mover::FirstIdle(
    VictimSearch* search, Resource resource,
    absl::FunctionRef<bool(const BufferObject&)> accept) {
  const auto find = [&](bool* found) {
    VictimSearch::Victims first = search->First(accept);
    *found = !first.empty();
    return first;
  };
  bool found = false;
  VictimSearch::Victims victims = find(&found);
  if (found) PreferIdle(&victims, *search, resource, find);
  return victims;
}

Mover::Result Mover::EvictAll(const VictimSearch& search,
                              const VictimSearch::Victims& victims,
                              absl::FunctionRef<Result(BufferObject&)> evict) {
  // Each until its victim has gone.
  absl::InlinedVector<std::optional<EvictionAccount::Taking>, 8> takings(
      victims.size());
  for (size_t i = 0; i < victims.size(); ++i) {
    takings[i].emplace(search.TakesFrom(*victims[i]), victims[i]->page_count());
    if (takings[i]->held()) continue;
    for (BufferObject* spared : victims) {
      Telling::Victim(*spared);
      Telling::Settled(*spared, /*gone=*/false);
    }
    GiveBack(victims);
    // Once those others are done it is known what is left.
    left_.reset();
    return Result::kShort;
  }
  Result result = Result::kDone;
  for (size_t i = 0; i < victims.size(); ++i) {
    BufferObject* const victim = victims[i];
    Telling::Victim(*victim);
    const Result evicted = result == Result::kDone ? evict(*victim) : result;
    // All is given back when an older one was met: nothing is worth keeping.
    // When the caller's wait has ended, so has the search.
    if (evicted == Result::kLost ||
        (evicted == Result::kFailed && wait_.Ended() != WaitLimit::End::kNot)) {
      result = evicted;
    }
    Settle(*victim, evicted);
    takings[i].reset();
  }
  return result;
}

}  // namespace twostep
