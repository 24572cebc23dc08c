// Whatever happens in whatever order, every byte is as last written, every rule
// that the audit knows holds after every step, and nothing is left at the end.
// A walk is a script made from a seed; one that fails is made small and
// printed. TWOSTEP_SCRIPT=FILE plays that one instead.

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <tuple>

#include "gtest/gtest.h"
#include "tests/script/generate.h"
#include "tests/script/play.h"
#include "tests/script/shrink.h"

namespace twostep {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr int kSteps = 1500;
constexpr int kSeeds = 1;
#elif defined(__SANITIZE_ADDRESS__) || !defined(NDEBUG)
constexpr int kSteps = 1500;
constexpr int kSeeds = 2;
#else
constexpr int kSteps = 3000;
constexpr int kSeeds = 8;
#endif

void ExpectGoesWell(const Script& script, const std::string& what) {
  const Ending ending = PlayApart(script);
  if (ending.ok()) return;
  const Script shrunk = Shrink(script, [&](const Script& candidate) {
    const Ending other = PlayApart(candidate);
    return !other.ok() && other.SameKindAs(ending);
  });
  ADD_FAILURE() << what << ", step " << ending.step << ": " << ending.what
                << "\nshrunk to " << shrunk.steps.size()
                << " operations: " << PlayApart(shrunk).what << "\n"
                << Print(shrunk);
}

class RandomWalk
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {
 protected:
  void Walk(bool mixed, uint64_t first_seed) {
    if (std::getenv("TWOSTEP_SCRIPT") != nullptr) GTEST_SKIP();
    const auto [machine, dma] = GetParam();
    const Recipe recipe{machine, dma, mixed, kSteps};
    // Other steps on each machine, with each type.
    first_seed += 1000 * (10 * static_cast<uint64_t>(machine) +
                          static_cast<uint64_t>(dma));
    for (uint64_t seed = first_seed;
         seed < first_seed + kSeeds && !HasFailure(); ++seed) {
      ExpectGoesWell(MakeScript(recipe, seed), "seed " + std::to_string(seed));
    }
  }
};

// R1, R3, R6, R7, R8, R12, R13, S4, S6
TEST_P(RandomWalk, NeverReadsAStaleByteNorBreaksARule) { Walk(false, 0); }

// R1, R3, R6, R7, R8, R12, R13, S1
TEST_P(RandomWalk, NeverReadsAStaleByteWhereTypesAreMixed) { Walk(true, 100); }

INSTANTIATE_TEST_SUITE_P(All, RandomWalk,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

TEST(ScriptFile, GoesWell) {
  const char* const path = std::getenv("TWOSTEP_SCRIPT");
  if (path == nullptr) GTEST_SKIP() << "TWOSTEP_SCRIPT names none";
  std::ifstream file(path);
  ASSERT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  const absl::StatusOr<Script> script = ParseScript(text.str());
  ASSERT_TRUE(script.ok()) << path << ": " << script.status();
  ExpectGoesWell(*script, path);
}

}  // namespace
}  // namespace twostep
