// The built-in policies join the contract.

#include "tests/contract/eviction_policy_contract.h"

#include "absl/strings/str_replace.h"
#include "examples/custom_policy/largest_first_policy.h"
#include "twostep/eviction/belady_policy.h"
#include "twostep/eviction/policy_registry.h"

namespace twostep {
namespace {

// All by their names, and some with parameters that make a difference.
std::vector<EvictionPolicyCase> Cases() {
  std::vector<EvictionPolicyCase> cases;
  const auto add = [&](const std::string& spec) {
    cases.push_back(
        {absl::StrReplaceAll(spec,
                             {{":", "_"}, {"=", "_"}, {",", "_"}, {".", "_"}}),
         *ParseEvictionPolicy(spec)});
  };
  for (const EvictionPolicyInfo& policy : EvictionPolicies()) {
    add(policy.name);
  }
  for (const char* spec :
       {"clock:bits=3", "s3fifo:small=0.5,ghost=0.1,threshold=1", "2q:in=0.9",
        "lirs:hir=0.3", "gdsf:cost=1", "generations:generations=2",
        "generations:frames=3", "random:seed=9"}) {
    add(spec);
  }
  cases.push_back({"belady", [] {
                     return std::make_unique<BeladyPolicy>(
                         [](uint64_t key) { return key * 31 % 17; });
                   }});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(
    All, EvictionPolicyContract, testing::ValuesIn(Cases()),
    [](const testing::TestParamInfo<EvictionPolicyCase>& info) {
      return "_" + info.param.name;
    });

// As a policy from outside does it.
INSTANTIATE_TEST_SUITE_P(
    LargestFirst, EvictionPolicyContract,
    testing::Values(EvictionPolicyCase{
        "LargestFirst",
        [] { return std::make_unique<example::LargestFirstPolicy>(8); }}));

}  // namespace
}  // namespace twostep
