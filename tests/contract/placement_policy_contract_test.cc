// The built-in placement policies join the contract.

#include "tests/contract/placement_policy_contract.h"

namespace twostep {
namespace {

INSTANTIATE_TEST_SUITE_P(All, PlacementPolicyContract,
                         testing::Values(PlacementPolicyCase{"fixed", false},
                                         PlacementPolicyCase{"vram", false},
                                         PlacementPolicyCase{"tt", false},
                                         PlacementPolicyCase{"machine"},
                                         PlacementPolicyCase{"ttm-like"},
                                         PlacementPolicyCase{"throttled"},
                                         PlacementPolicyCase{"costed"}));

}  // namespace
}  // namespace twostep
