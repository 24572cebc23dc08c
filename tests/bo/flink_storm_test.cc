// flink-storm (S26): clients guess handles and names, and open and name bos
// without end, while others share theirs. The storm ends at its own limits;
// nobody else fails, and nothing but its tables grows. For many seeds.

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/platforms.h"
#include "tests/bo/seeds.h"
#include "twostep/bo/handle_table.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

constexpr int kAttackers = 3;
constexpr int kFriends = 2;

class FlinkStorm : public testing::TestWithParam<uint32_t> {
 protected:
  static RigOptions Options() {
    RigOptions options = RigOptions::Small();
    options.host.name_seed = GetParam();
    return options;
  }
  // Near what the attacker was told, small as a count's, all of 32 bits beside
  // a half that is right, or anywhere.
  static BoName Guess(BoName known, std::mt19937_64* random) {
    const auto near = static_cast<uint64_t>(known);
    const uint64_t chance = (*random)();
    switch (chance % 5) {
      case 0:
        return BoName{near + 1 + chance % 1000};
      case 1:
        return BoName{near ^ uint64_t{1} << (chance >> 8) % 64};
      case 2:
        return BoName{(near & ~uint64_t{0xffffffff}) |
                      (near + 1 + (chance >> 32) % 0xffffffff) % (1ull << 32)};
      case 3:
        return BoName{chance >> 32};
      default:
        return BoName{(*random)()};
    }
  }
  // Opens, names and closes as its limits allow; each guess must fail.
  void Storm(HandleTable* client, const HandleLimits& limits, BoName known,
             uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<BoHandle> mine;
    for (int i = 0; i < 3000; ++i) {
      const bool full = mine.size() == limits.handles;
      const absl::Status guessed = client->Open(Guess(known, &random)).status();
      ASSERT_EQ(KindOf(guessed),
                full ? ErrorKind::kOverLimit : ErrorKind::kAbsent);
      const BoHandle stray{static_cast<uint32_t>(random())};
      if (std::find(mine.begin(), mine.end(), stray) == mine.end()) {
        ASSERT_EQ(KindOf(client->Find(stray).status()), ErrorKind::kAbsent);
        ASSERT_EQ(KindOf(client->Close(stray)), ErrorKind::kAbsent);
      }
      const auto opened = client->Open(known);
      ASSERT_EQ(opened.ok(), !full) << opened.status();
      if (opened.ok()) mine.push_back(*opened);
      const auto named = client->Publish(mine[random() % mine.size()]);
      if (!named.ok()) {
        ASSERT_EQ(KindOf(named.status()), ErrorKind::kOverLimit);
        ASSERT_EQ(client->names(), limits.names);
      }
      if (random() % 50 != 0) continue;
      const size_t place = random() % mine.size();
      ASSERT_EQ(client->Close(mine[place]), absl::OkStatus());
      mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(place));
    }
    EXPECT_EQ(client->handles(), mine.size());
    EXPECT_LE(client->names(), limits.names);
  }
  // Two who share a bo after the other: every step must work.
  void Share(HandleTable* a, HandleTable* b) {
    for (int i = 0; i < 300; ++i) {
      const BoRef bo = rig_.Make(kPageSize);
      const auto mine = a->Add(bo);
      ASSERT_TRUE(mine.ok());
      const auto name = a->Publish(*mine);
      ASSERT_TRUE(name.ok());
      const auto theirs = b->Open(*name);
      ASSERT_TRUE(theirs.ok());
      ASSERT_EQ(*b->Find(*theirs), bo);
      ASSERT_EQ(a->Close(*mine), absl::OkStatus());
      ASSERT_EQ(KindOf(b->Open(*name).status()), ErrorKind::kAbsent);
      ASSERT_EQ(b->Close(*theirs), absl::OkStatus());
    }
  }

  Rig rig_{Options()};
};

TEST_P(FlinkStorm, S26_ItHitsItsOwnLimitsAndHarmsNobody) {
  std::mt19937_64 random(GetParam());
  GlobalNames& names = rig_.host().names();
  HandleTable owner(names, "owner", {});
  const BoHandle shared = *owner.Add(rig_.Make(4 * kPageSize));
  rig_.CpuFill(*owner.Find(shared), GetParam());
  const BoName known = *owner.Publish(shared);
  const Accounts before = AccountsOf(rig_);

  std::vector<std::unique_ptr<HandleTable>> clients;
  size_t most_names = 1;
  std::vector<Thread> threads;
  for (int t = 0; t < kAttackers; ++t) {
    const HandleLimits limits{
        .handles = 1 + static_cast<uint32_t>(random() % 100),
        .names = static_cast<uint32_t>(random() % 20)};
    most_names += limits.names;
    clients.push_back(std::make_unique<HandleTable>(names, "attacker", limits));
    threads.emplace_back(
        [this, client = clients.back().get(), limits, known, seed = random()] {
          Storm(client, limits, known, seed);
        });
  }
  for (int t = 0; t < kFriends; ++t) {
    clients.push_back(
        std::make_unique<HandleTable>(names, "a", HandleLimits{}));
    clients.push_back(
        std::make_unique<HandleTable>(names, "b", HandleLimits{}));
    threads.emplace_back([this, a = clients.end()[-2].get(),
                          b = clients.end()[-1].get()] { Share(a, b); });
  }
  threads.clear();

  EXPECT_LE(names.size(), most_names);
  EXPECT_EQ(rig_.host().bo_count(), 1u);
  EXPECT_EQ(AccountsOf(rig_), before);
  clients.clear();
  EXPECT_EQ(names.size(), 1u);
  EXPECT_EQ(rig_.CpuWrongBytes(*owner.Find(shared), GetParam()), 0u);
  EXPECT_EQ(owner.Close(shared), absl::OkStatus());
  EXPECT_EQ(rig_.host().bo_count(), 0u);
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, FlinkStorm, testing::Range(0u, Seeds()));

}  // namespace
}  // namespace twostep
