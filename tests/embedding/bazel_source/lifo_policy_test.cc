// A policy from outside the project joins the contract of all eviction policies
// in one line.

#include <memory>

#include "gtest/gtest.h"
#include "tests/contract/eviction_policy_contract.h"
#include "twostep/eviction/entry_queue.h"

namespace ts = twostep;

// The newest goes first.
class LifoPolicy final : public ts::EvictionPolicy {
 public:
  void Insert(ts::EvictionHook& entry) override { queue_.PushBack(entry); }
  void Touch(ts::EvictionHook&) override {}
  void Remove(ts::EvictionHook& entry, ts::Departure) override {
    queue_.Remove(entry);
  }
  ts::EvictionHook* First() override { return queue_.back(); }
  ts::EvictionHook* After(ts::EvictionHook& entry) override {
    return queue_.Before(entry);
  }

 private:
  ts::EntryQueue queue_;
};

using ts::EvictionPolicyContract;
INSTANTIATE_TEST_SUITE_P(Mine, EvictionPolicyContract,
                         testing::Values(ts::EvictionPolicyCase{
                             "Lifo",
                             [] { return std::make_unique<LifoPolicy>(); }}));
