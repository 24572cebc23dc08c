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

HostSnapshot::HostSnapshot(Machine& machine, Host& host, Device& device,
                           bool walks_orders)
    : accounts_(AccountsOf(machine, device)) {
  const MoveStats& moves = host.stats();
  upheavals_ = moves.swap_out_bytes.load() + moves.swap_in_bytes.load() +
               moves.purges.load();
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    MemoryManager* manager = device.manager(static_cast<MemoryType>(type));
    if (manager == nullptr) continue;
    upheavals_ += manager->evictions();
    for (uint8_t i = 0; walks_orders && i < manager->orders(); ++i) {
      Walk(manager->name(), manager->order(i));
    }
  }
  for (DmaBinder* binder : host.Binders()) {
    upheavals_ += binder->stats().evictions;
    if (walks_orders) Walk(binder->name(), binder->order());
  }
}

void HostSnapshot::Walk(std::string name, EvictionOrder& order) {
  Order& walked = orders_.emplace_back(Order{std::move(name), {}});
  order.Visit({}, [&](EvictionHook& hook) {
    walked.entries.push_back(&hook);
    return EvictionOrder::Verdict::kNext;
  });
}

std::string HostSnapshot::Differs(const HostSnapshot& before,
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
  if (upheavals_ != before.upheavals_) return "";
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
