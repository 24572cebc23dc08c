#ifndef TESTS_CONTRACT_EVICTION_POLICY_CONTRACT_H_
#define TESTS_CONTRACT_EVICTION_POLICY_CONTRACT_H_

// What every eviction policy promises, ours or a user's. To join, in a test
// that links :eviction_policy_contract:
//
//   INSTANTIATE_TEST_SUITE_P(Mine, EvictionPolicyContract,
//                            testing::Values(EvictionPolicyCase{
//                                "Lifo", [] { return MakeMine(); }}));

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/eviction/eviction_policy.h"

namespace twostep {

struct EvictionPolicyCase {
  std::string name;
  std::function<std::unique_ptr<EvictionPolicy>()> make;
};

inline void PrintTo(const EvictionPolicyCase& param, std::ostream* out) {
  *out << param.name;
}

// A policy and the entries that stand in its order, by their keys. Entries are
// made when they come and destroyed when they go, and a policy is asked, and
// asks, only what the interface allows: else the test fails.
class PolicyUnderTest {
 public:
  // Serve is not called when `capacity_bytes` is kNotServed.
  static constexpr uint64_t kNotServed = ~uint64_t{0};
  PolicyUnderTest(std::unique_ptr<EvictionPolicy> policy,
                  uint64_t capacity_bytes);
  ~PolicyUnderTest();

  EvictionPolicy& policy() { return *policy_; }
  size_t size() const { return in_.size(); }
  bool Has(uint64_t key) const { return in_.count(key) != 0; }
  std::vector<uint64_t> Keys() const;

  void Insert(uint64_t key);
  void Touch(uint64_t key);
  void Remove(uint64_t key, Departure why);
  // What kAside took out, again.
  void Return(uint64_t key);
  bool IsAside(uint64_t key) const { return aside_.count(key) != 0; }
  void Expect(uint64_t key);

  // The keys from First on, up to `most`.
  std::vector<uint64_t> Walk(size_t most = SIZE_MAX);
  // The same from the entry behind `key` on.
  std::vector<uint64_t> WalkBehind(uint64_t key);

 private:
  struct Entry : EvictionHook {
    uint64_t key = 0;
  };
  using Entries = std::map<uint64_t, std::unique_ptr<Entry>>;

  EvictionFacts FactsOf(uint64_t key) const;
  std::vector<uint64_t> WalkFrom(EvictionHook* entry, size_t most);

  std::unique_ptr<EvictionPolicy> policy_;
  Entries in_;
  Entries aside_;
  // Which entry the verb under way is about: the only one with facts to give.
  const EvictionHook* asked_about_ = nullptr;
};

class EvictionPolicyContract
    : public testing::TestWithParam<EvictionPolicyCase> {
 protected:
  std::unique_ptr<PolicyUnderTest> Make(uint64_t capacity_bytes) {
    return std::make_unique<PolicyUnderTest>(GetParam().make(), capacity_bytes);
  }
  // Steps of all kinds, by chance, with at most about 40 entries.
  void Churn(PolicyUnderTest& order, uint64_t seed, int steps,
             const std::function<void()>& after_each);
};

}  // namespace twostep

#endif  // TESTS_CONTRACT_EVICTION_POLICY_CONTRACT_H_
