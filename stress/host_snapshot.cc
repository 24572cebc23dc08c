#include "twostep/stress/host_snapshot.h"

#include <algorithm>
#include <functional>
#include <unordered_set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "twostep/dma_types/dma_binder.h"

namespace twostep {
namespace {

using Entries = std::vector<const EvictionHook*>;

bool IsOf(const EvictionHook* hook, const BufferObject& bo) {
  const std::less_equal<const void*> not_after;
  return not_after(&bo, hook) && !not_after(&bo + 1, hook);
}

// Those of `entries` that are also in `others`, and of no bo of `uses`: these
// have been used.
Entries Standing(const Entries& entries, const Entries& others,
                 const std::vector<BoUse>& uses) {
  const std::unordered_set<const EvictionHook*> known(others.begin(),
                                                      others.end());
  Entries standing;
  for (const EvictionHook* hook : entries) {
    const bool used =
        std::any_of(uses.begin(), uses.end(),
                    [&](const BoUse& use) { return IsOf(hook, *use.bo->bo); });
    if (!used && known.contains(hook)) standing.push_back(hook);
  }
  return standing;
}

}  // namespace

Stand StandOf(const BufferObject& bo) {
  return {&bo.manager(), bo.binder(), bo.start_page(),
          bo.pinned(),   bo.purged(), bo.pages().home()};
}

HostSnapshot::HostSnapshot(Machine& machine, Host& host, Device& device,
                           const std::list<KnownBo>& bos)
    : accounts_(AccountsOf(machine, device)) {
  const MoveStats& moves = host.stats();
  gone_.purged = moves.purges.load();
  gone_.bytes_out = moves.swap_out_bytes.load();
  gone_.bytes_in = moves.swap_in_bytes.load();
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    MemoryManager* manager = device.manager(static_cast<MemoryType>(type));
    if (manager == nullptr) continue;
    gone_.evicted += manager->evictions();
    for (uint8_t i = 0; i < manager->orders(); ++i) {
      Walk(manager->name(), manager->order(i));
    }
  }
  for (DmaBinder* binder : host.Binders()) {
    gone_.evicted += binder->stats().evictions;
    Walk(binder->name(), binder->order());
  }
  for (const KnownBo& known : bos) {
    stands_.emplace_back(known.bo.get(), StandOf(*known.bo));
  }
}

void HostSnapshot::Walk(std::string name, EvictionOrder& order) {
  Order& walked = orders_.emplace_back(Order{std::move(name), {}});
  order.Visit(
      {},
      [&](EvictionHook& hook) {
        walked.entries.push_back(&hook);
        return EvictionOrder::Verdict::kNext;
      },
      EvictionOrder::Asides::kLeaveOut);
}

std::string HostSnapshot::OthersDiffer(const HostSnapshot& before,
                                       const std::vector<BoUse>& uses) const {
  for (size_t i = 0; i < orders_.size() && i < before.orders_.size(); ++i) {
    const Entries& was = before.orders_[i].entries;
    const Entries& is = orders_[i].entries;
    if (Standing(was, is, uses) != Standing(is, was, uses)) {
      return absl::StrCat(
          "bos that it did not name stand elsewhere in the "
          "eviction order of ",
          orders_[i].name);
    }
  }
  return OthersMoved(before, uses);
}

std::string HostSnapshot::OthersMoved(const HostSnapshot& before,
                                      const std::vector<BoUse>& uses) const {
  Gone gone;
  for (size_t i = 0; i < stands_.size() && i < before.stands_.size(); ++i) {
    const auto& [bo, is] = stands_[i];
    const Stand& was = before.stands_[i].second;
    const bool named =
        std::any_of(uses.begin(), uses.end(),
                    [bo = bo](const BoUse& use) { return use.bo->bo == bo; });
    if (named || is == was) continue;
    const bool swapped_in =
        was.home == Pages::Home::kSwapped && is.home != Pages::Home::kNone;
    if (is.pinned != was.pinned || swapped_in ||
        (is.memory->fixed() && is.memory != was.memory)) {
      return absl::StrCat(bo->DebugName(),
                          ", which it did not name, is not where it was, and "
                          "was not evicted");
    }
    gone.evicted +=
        is.memory != was.memory || is.dma != was.dma || is.start != was.start;
    gone.purged += is.purged != was.purged;
    if (is.home == Pages::Home::kSwapped) gone.bytes_out += bo->size_bytes();
  }
  const uint64_t evicted = gone_.evicted - before.gone_.evicted;
  const uint64_t purged = gone_.purged - before.gone_.purged;
  // What is purged leaves its place without having been evicted.
  if (gone.evicted > evicted + purged || gone.purged > purged ||
      gone.bytes_out > gone_.bytes_out - before.gone_.bytes_out) {
    return absl::StrCat(gone.evicted, " bos that it did not name moved, ",
                        gone.purged, " were purged and ", gone.bytes_out,
                        " bytes swapped out, more than the host counted");
  }
  return "";
}

std::string HostSnapshot::AccountsDiffer(const HostSnapshot& before) const {
  for (const auto& [name, was] : before.accounts_) {
    const auto at = accounts_.find(name);
    const uint64_t is = at == accounts_.end() ? 0 : at->second;
    // What was left behind before may be gone by now.
    const bool exact =
        absl::EndsWith(name, " order") || absl::EndsWith(name, " pinned");
    if (is > was || (exact && is != was))
      return absl::StrCat(name, ": ", was, " before, ", is);
  }
  return "";
}

}  // namespace twostep
