#ifndef TESTS_CONTRACT_PLACEMENT_POLICY_CONTRACT_H_
#define TESTS_CONTRACT_PLACEMENT_POLICY_CONTRACT_H_

// What every placement policy promises, ours or a user's. To join, in a test
// that links :placement_policy_contract:
//
//   INSTANTIATE_TEST_SUITE_P(Mine, PlacementPolicyContract,
//                            testing::Values(PlacementPolicyCase{"mine"}));

#include <cstdint>
#include <memory>
#include <ostream>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "twostep/placement/placement_registry.h"

namespace twostep {

struct PlacementPolicyCase {
  std::string spec;  // as ParsePlacementPolicy takes it
  // Whether it does without a memory type that the site lacks. One that does
  // what its user says need not.
  bool keeps_to_site = true;
};

class PlacementPolicyContract
    : public testing::TestWithParam<PlacementPolicyCase> {
 protected:
  static PlacementSite Site();
  static std::unique_ptr<PlacementPolicy> Make(
      const PlacementSite& site = Site());

  // One call after another, the same for the same seed.
  struct Asked {
    PlacementList list;
    bool evict_to = false;
  };
  static Asked AskSomething(PlacementPolicy& policy, std::mt19937_64& random,
                            uint64_t step);
};

inline void PrintTo(const PlacementPolicyCase& param, std::ostream* out) {
  *out << param.spec;
}

}  // namespace twostep

#endif  // TESTS_CONTRACT_PLACEMENT_POLICY_CONTRACT_H_
