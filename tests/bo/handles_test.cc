// Handles of clients and the global names between them (S26): stale ones fail,
// guesses fail like names that are gone, and who asks without end meets limits
// of its own.

#include <optional>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"
#include "twostep/bo/handle_table.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

class HandlesTest : public testing::Test {
 protected:
  static RigOptions Options() {
    RigOptions options = RigOptions::Small();
    options.host.name_seed = 7;
    return options;
  }
  std::unique_ptr<HandleTable> Client(const char* name,
                                      const HandleLimits& limits = {}) {
    return std::make_unique<HandleTable>(
        *rig_.host().CreateClient({.name = name, .handles = limits}));
  }
  BoHandle Create(HandleTable& client, uint64_t bytes = kPageSize) {
    return *client.Add(rig_.Make(bytes));
  }
  size_t bos() { return rig_.host().bo_count(); }

  Rig rig_{Options()};
};

TEST_F(HandlesTest, S26_AHandleFindsItsBoUntilItIsClosed) {
  auto client = Client("a");
  const BoHandle handle = Create(*client);
  const uint64_t id = (*client->Find(handle))->id();
  EXPECT_NE(handle, BoHandle::kNone);
  EXPECT_EQ((*client->Find(handle))->id(), id);
  EXPECT_EQ(client->handles(), 1u);
  EXPECT_EQ(bos(), 1u);

  EXPECT_TRUE(client->Close(handle).ok());
  EXPECT_EQ(client->handles(), 0u);
  EXPECT_EQ(bos(), 0u);
  EXPECT_EQ(KindOf(client->Find(handle).status()), ErrorKind::kAbsent);
  EXPECT_EQ(client->Close(handle).code(), absl::StatusCode::kNotFound);
}

TEST_F(HandlesTest, S26_AStaleHandleFailsThoughItsPlaceIsUsedAgain) {
  auto client = Client("a");
  std::set<BoHandle> seen;
  BoHandle stale = BoHandle::kNone;
  for (int i = 0; i < 4095; ++i) {
    const BoHandle handle = Create(*client);
    EXPECT_TRUE(seen.insert(handle).second) << i;
    if (stale != BoHandle::kNone) {
      ASSERT_EQ(KindOf(client->Find(stale).status()), ErrorKind::kAbsent);
      ASSERT_EQ(KindOf(client->Close(stale)), ErrorKind::kAbsent);
    }
    ASSERT_TRUE(client->Close(handle).ok());
    stale = handle;
  }
}

TEST_F(HandlesTest, S26_ThePlaceThatIsFreeLongestIsUsedFirst) {
  auto client = Client("a");
  std::vector<BoHandle> first;
  for (int i = 0; i < 3; ++i) first.push_back(Create(*client));
  for (const int i : {1, 0, 2}) ASSERT_TRUE(client->Close(first[i]).ok());
  const auto place = [](BoHandle handle) {
    return static_cast<uint32_t>(handle) % HandleLimits::kMostHandles;
  };
  for (const int i : {1, 0, 2}) {
    EXPECT_EQ(place(Create(*client)), place(first[i]));
  }
  EXPECT_EQ(place(Create(*client)), 3u);
}

TEST_F(HandlesTest, S26_HandlesMeanNothingToOtherClients) {
  auto a = Client("a");
  auto b = Client("b");
  const BoHandle handle = Create(*a);
  EXPECT_EQ(KindOf(b->Find(handle).status()), ErrorKind::kAbsent);
  EXPECT_EQ(KindOf(b->Publish(handle).status()), ErrorKind::kAbsent);
  EXPECT_EQ(KindOf(b->Close(handle)), ErrorKind::kAbsent);
  EXPECT_THAT(std::string(b->Find(handle).status().message()),
              HasSubstr("b has no handle"));
}

TEST_F(HandlesTest, S26_ANameOpensTheSameBoAndIsTheSameWhenAskedAgain) {
  auto a = Client("a");
  auto b = Client("b");
  const BoHandle mine = Create(*a, 2 * kPageSize);
  rig_.CpuFill(*a->Find(mine), 5);
  const BoName name = *a->Publish(mine);
  EXPECT_EQ(*a->Publish(mine), name);
  EXPECT_EQ(a->names(), 1u);

  const BoHandle theirs = *b->Open(name);
  EXPECT_EQ(*b->Find(theirs), *a->Find(mine));
  EXPECT_EQ(rig_.CpuWrongBytes(*b->Find(theirs), 5), 0u);
  EXPECT_EQ(bos(), 1u);
}

TEST_F(HandlesTest, S26_ANameEndsWithTheHandleItWasMadeFromAndFailsAsAGuess) {
  auto a = Client("a");
  auto b = Client("b");
  const BoHandle mine = Create(*a);
  const BoName name = *a->Publish(mine);
  const BoHandle theirs = *b->Open(name);
  ASSERT_TRUE(a->Close(mine).ok());
  EXPECT_EQ(rig_.host().names().size(), 0u);

  const absl::Status withdrawn = b->Open(name).status();
  const absl::Status guessed = b->Open(BoName{12345}).status();
  EXPECT_EQ(KindOf(withdrawn), ErrorKind::kAbsent);
  EXPECT_EQ(withdrawn, guessed);
  EXPECT_EQ(b->Open(BoName::kNone).status(), guessed);
  EXPECT_EQ(bos(), 1u);
  EXPECT_TRUE(b->Find(theirs).ok());
}

TEST_F(HandlesTest, S26_AClientThatGoesTakesItsNamesAndLeavesOthersTheirBos) {
  auto a = Client("a");
  auto b = Client("b");
  const BoHandle mine = Create(*a);
  rig_.CpuFill(*a->Find(mine), 6);
  const BoHandle theirs = *b->Open(*a->Publish(mine));
  a.reset();
  EXPECT_EQ(rig_.host().names().size(), 0u);
  EXPECT_EQ(rig_.CpuWrongBytes(*b->Find(theirs), 6), 0u);
  b.reset();
  EXPECT_EQ(bos(), 0u);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_F(HandlesTest, S26_LimitsAreNamedAndLiftedByClosing) {
  auto a = Client("a", {.handles = 2, .names = 1});
  const BoHandle first = Create(*a);
  const BoHandle second = Create(*a);
  const absl::Status third = a->Add(rig_.Make(kPageSize)).status();
  EXPECT_EQ(KindOf(third), ErrorKind::kOverLimit);
  EXPECT_EQ(third.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(third.message()), HasSubstr("2 handles"));
  EXPECT_EQ(bos(), 2u);

  EXPECT_TRUE(a->Publish(first).ok());
  const absl::Status named = a->Publish(second).status();
  EXPECT_EQ(KindOf(named), ErrorKind::kOverLimit);
  EXPECT_THAT(std::string(named.message()), HasSubstr("1 global name"));

  EXPECT_TRUE(a->Close(first).ok());
  EXPECT_TRUE(a->Publish(second).ok());
  EXPECT_TRUE(a->Add(rig_.Make(kPageSize)).ok());
}

TEST_F(HandlesTest, S26_TwoTablesOfAClientHaveOneLimit) {
  const ClientRef client = *rig_.host().CreateClient(
      {.name = "a", .handles = {.handles = 3, .names = 2}});
  auto one = std::make_unique<HandleTable>(client);
  HandleTable two(client);
  const BoHandle mine = Create(*one);
  const BoHandle own = Create(*one);
  const BoHandle other = Create(two);
  const BoName name = *one->Publish(mine);
  EXPECT_EQ(client->handles(), 3u);
  for (HandleTable* table : {one.get(), &two}) {
    const absl::Status full = table->Add(rig_.Make(kPageSize)).status();
    EXPECT_EQ(KindOf(full), ErrorKind::kOverLimit);
    EXPECT_THAT(std::string(full.message()),
                HasSubstr("a has reached its limit of 3 handles: close some"));
    EXPECT_EQ(table->Open(name).status(), full);
  }
  EXPECT_TRUE(two.Publish(other).ok());
  EXPECT_EQ(client->names(), 2u);
  EXPECT_EQ(KindOf(one->Publish(own).status()), ErrorKind::kOverLimit);

  // What one table gives up, the other may have.
  EXPECT_TRUE(one->Close(own).ok());
  EXPECT_TRUE(two.Open(name).ok());
  one.reset();
  EXPECT_EQ(client->handles(), 2u);
  EXPECT_EQ(client->names(), 1u);
  EXPECT_EQ(KindOf(two.Open(name).status()), ErrorKind::kAbsent);
  EXPECT_EQ(client->handles(), 2u);
  EXPECT_TRUE(two.Add(rig_.Make(kPageSize)).ok());
  EXPECT_FALSE(two.Add(rig_.Make(kPageSize)).ok());
}

TEST_F(HandlesTest, S26_TwoTablesOnThreadsNeverHaveMoreThanTheLimit) {
  const ClientRef client =
      *rig_.host().CreateClient({.name = "a", .handles = {.handles = 5}});
  const BoRef bo = rig_.Make(kPageSize);
  std::vector<Thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      HandleTable table(client);
      std::vector<BoHandle> mine;
      for (int i = 0; i < 2000; ++i) {
        const auto handle = table.Add(bo);
        EXPECT_LE(client->handles(), 5u);
        if (handle.ok()) mine.push_back(*handle);
        if (mine.empty() || (handle.ok() && i % 3 != 0)) continue;
        EXPECT_TRUE(table.Close(mine.back()).ok());
        mine.pop_back();
      }
    });
  }
  for (Thread& thread : threads) thread.Join();
  EXPECT_EQ(client->handles(), 0u);
}

TEST_F(HandlesTest, S26_ALimitAboveTheRoomOfATableIsRefused) {
  const absl::Status refused =
      rig_.host()
          .CreateClient(
              {.name = "a",
               .handles = {.handles = HandleLimits::kMostHandles + 1}})
          .status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("1048577 handles"));
}

TEST_F(HandlesTest, S26_AFullTableSaysNothingOfNames) {
  auto a = Client("a");
  const BoName name = *a->Publish(Create(*a));
  auto b = Client("b", {.handles = 0});
  EXPECT_EQ(KindOf(b->Open(name).status()), ErrorKind::kOverLimit);
  EXPECT_EQ(b->Open(name).status(), b->Open(BoName{1}).status());
}

TEST_F(HandlesTest, S26_NamesRepeatWithTheSeedAndDifferWithout) {
  GlobalNames same(7);
  GlobalNames other(8);
  GlobalNames chance{std::nullopt};
  const BoRef bo = rig_.Make(kPageSize);
  const BoName name = rig_.host().names().Publish(bo);
  const BoName names[] = {same.Publish(bo), other.Publish(bo),
                          chance.Publish(bo)};
  EXPECT_EQ(names[0], name);
  EXPECT_NE(names[1], name);
  EXPECT_NE(names[2], name);
  rig_.host().names().Withdraw(name);
  same.Withdraw(names[0]);
  other.Withdraw(names[1]);
  chance.Withdraw(names[2]);
}

// The vector printed in the cipher's paper.
TEST(NameSequence, IsTheCipherThatItSaysItIs) {
  const NameSequence sequence(
      NameSequence::Key{0x03020100, 0x0b0a0908, 0x13121110, 0x1b1a1918});
  EXPECT_EQ(sequence.At(0x3b7265747475432d), 0x8c6fa548454e028bu);
}

TEST(NameSequence, NeverRepeatsAndLooksLikeChance) {
  NameSequence sequence(1);
  std::set<uint64_t> seen;
  int ones[64] = {};
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    const uint64_t name = sequence.Next();
    EXPECT_TRUE(seen.insert(name).second);
    for (int bit = 0; bit < 64; ++bit) ones[bit] += name >> bit & 1;
  }
  // Six standard deviations of a fair coin.
  for (const int count : ones) EXPECT_NEAR(count, kCount / 2, 6 * 71);
}

TEST_F(HandlesTest, S26_ClientsDieInAnyOrderWhileOthersOpen) {
  auto owner = Client("owner");
  const BoHandle shared = Create(*owner);
  const BoName name = *owner->Publish(shared);
  std::vector<Thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        auto client = Client(t == 0 ? "x" : "y");
        const auto opened = client->Open(name);
        if (!opened.ok()) {
          ASSERT_EQ(KindOf(opened.status()), ErrorKind::kAbsent);
          break;
        }
        ASSERT_TRUE(client->Publish(*opened).ok());
        ASSERT_TRUE(client->Find(*opened).ok());
      }
    });
  }
  owner.reset();
  for (Thread& thread : threads) thread.Join();
  EXPECT_EQ(bos(), 0u);
  EXPECT_EQ(rig_.host().names().size(), 0u);
}

}  // namespace
}  // namespace twostep
