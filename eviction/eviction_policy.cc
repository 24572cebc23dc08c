#include "twostep/eviction/eviction_policy.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "boost/intrusive/list.hpp"

namespace twostep {
namespace {

// Oldest first. With `touch` moving an entry to the end this is LRU, without it
// FIFO.
class ListPolicy : public EvictionPolicy {
 public:
  void Insert(EvictionHook& entry) final { list_.push_back(entry); }
  void Remove(EvictionHook& entry) final {
    list_.erase(list_.iterator_to(entry));
  }
  EvictionHook* First() override {
    return list_.empty() ? nullptr : &list_.front();
  }
  EvictionHook* After(EvictionHook& entry) override {
    auto next = std::next(list_.iterator_to(entry));
    return next == list_.end() ? nullptr : &*next;
  }

 protected:
  boost::intrusive::list<EvictionHook,
                         boost::intrusive::constant_time_size<false>>
      list_;
};

class FifoPolicy final : public ListPolicy {
 public:
  void Touch(EvictionHook&) override {}
};

class LruPolicy : public ListPolicy {
 public:
  void Touch(EvictionHook& entry) final {
    list_.splice(list_.end(), list_, list_.iterator_to(entry));
  }
};

class MruPolicy final : public LruPolicy {
 public:
  EvictionHook* First() override {
    return list_.empty() ? nullptr : &list_.back();
  }
  EvictionHook* After(EvictionHook& entry) override {
    auto at = list_.iterator_to(entry);
    return at == list_.begin() ? nullptr : &*std::prev(at);
  }
};

template <typename Policy>
std::unique_ptr<EvictionPolicy> Make() {
  return std::make_unique<Policy>();
}

constexpr EvictionPolicyInfo kPolicies[] = {
    {"lru", "least recently used first", &Make<LruPolicy>},
    {"fifo", "in order of arrival; uses do not count", &Make<FifoPolicy>},
    {"mru", "most recently used first: keeps the start of a cyclic scan",
     &Make<MruPolicy>},
};

}  // namespace

std::span<const EvictionPolicyInfo> EvictionPolicies() { return kPolicies; }

absl::StatusOr<std::unique_ptr<EvictionPolicy>> MakeEvictionPolicy(
    absl::string_view name) {
  std::string known;
  for (const EvictionPolicyInfo& policy : kPolicies) {
    if (name == policy.name) return policy.make();
    absl::StrAppend(&known, known.empty() ? "" : ", ", policy.name);
  }
  return absl::NotFoundError(absl::StrCat("no eviction policy is named '", name,
                                          "'; there are: ", known));
}

}  // namespace twostep
