// R15, B23, B24: searches do not walk past what cannot go, and bos that are
// used as one move as one.

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/bo/rig.h"
#include "twostep/bo/bulk_move.h"
#include "twostep/eviction/lru_policy.h"

namespace twostep {
namespace {

// LRU that counts how many entries it is asked about.
class CountingLru final : public EvictionPolicy {
 public:
  explicit CountingLru(Atomic<uint64_t>& steps) : steps_(steps) {}

  void Insert(EvictionHook& entry) override { lru_.Insert(entry); }
  void Touch(EvictionHook& entry) override {
    steps_ += 1;
    lru_.Touch(entry);
  }
  void Remove(EvictionHook& entry, Departure why) override {
    lru_.Remove(entry, why);
  }
  EvictionHook* First() override {
    steps_ += 1;
    return lru_.First();
  }
  EvictionHook* After(EvictionHook& entry) override {
    steps_ += 1;
    return lru_.After(entry);
  }

 private:
  Atomic<uint64_t>& steps_;
  LruPolicy lru_;
};

class OrderScale : public testing::TestWithParam<SpaceAllocator> {
 protected:
  RigOptions Options() {
    RigOptions options = RigOptions::Small();
    options.gpu.vram_bytes = 4 * kMiB;
    options.gpu.aperture_bytes = 4 * kMiB;
    options.gpu.vram_allocator = GetParam();
    options.options.backing = Backing::kUnbacked;
    options.host.make_eviction_policy = [this] {
      return std::make_unique<CountingLru>(steps_);
    };
    return options;
  }
  std::vector<BoRef> Fill(int count) {
    std::vector<BoRef> bos;
    for (int i = 0; i < count; ++i) {
      bos.push_back(rig_.Make(kPageSize));
      EXPECT_EQ(rig_.Validate(bos.back(), kVram), absl::OkStatus());
    }
    return bos;
  }
  // Steps that one validation takes that evicts one bo.
  uint64_t StepsOfOneEviction() {
    newcomers_.push_back(rig_.Make(kPageSize));
    const uint64_t before = steps_;
    EXPECT_EQ(rig_.Validate(newcomers_.back(), kVram), absl::OkStatus());
    return steps_ - before;
  }

  Atomic<uint64_t> steps_{0};
  Rig rig_{Options()};
  std::vector<BoRef> newcomers_;
};

TEST_P(OrderScale, R15ReservedBosAreWalkedPastOnce) {
  const std::vector<BoRef> bos = Fill(1024);
  const uint64_t none_reserved = StepsOfOneEviction();
  for (int i = 1; i < 1000; ++i) bos[i]->Reserve();
  StepsOfOneEviction();  // walks past all of them, once
  for (int i = 0; i < 10; ++i) {
    EXPECT_LE(StepsOfOneEviction(), none_reserved);
  }
  EXPECT_EQ(rig_.Broken(), "");
  for (int i = 1; i < 1000; ++i) bos[i]->Unreserve();
  EXPECT_EQ(rig_.Broken(), "");
  // They were used after all others but the newcomers: their turn.
  for (int i = 0; i < 20; ++i) {
    EXPECT_LE(StepsOfOneEviction(), none_reserved);
  }
}

// The same where they are other threads', who want them for longer.
TEST_P(OrderScale, R15BosThatOthersHaveAreWalkedPastOnce) {
  const std::vector<BoRef> bos = Fill(1024);
  const uint64_t none_reserved = StepsOfOneEviction();
  constexpr int kThreads = 4;
  Atomic<int> holding{0};
  Atomic<bool> stop{false};
  std::vector<Thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 1 + t; i < 1000; i += kThreads) bos[i]->Reserve();
      ++holding;
      for (uint64_t rounds = 0; !stop; ++rounds) YieldFor(rounds);
      for (int i = 1 + t; i < 1000; i += kThreads) bos[i]->UnreserveUnused();
    });
  }
  for (uint64_t rounds = 0; holding < kThreads; ++rounds) YieldFor(rounds);
  StepsOfOneEviction();
  for (int i = 0; i < 10; ++i) {
    EXPECT_LE(StepsOfOneEviction(), none_reserved);
  }
  stop = true;
  threads.clear();
  // Their turn has been all the while.
  for (int i = 0; i < 20; ++i) {
    EXPECT_LE(StepsOfOneEviction(), none_reserved);
  }
  EXPECT_EQ(std::count_if(bos.begin() + 1, bos.begin() + 1000,
                          [this](const BoRef& bo) {
                            return !rig_.In(bo, MemoryType::kVram);
                          }),
            20);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(OrderScale, R15PinnedAndBusyBosDoNotCount) {
  const std::vector<BoRef> bos = Fill(1024);
  const uint64_t none = StepsOfOneEviction();
  for (int i = 1; i < 500; ++i) rig_.Pin(bos[i]);
  for (int i = 500; i < 1000; ++i) rig_.KeepBusy(bos[i]);
  for (int i = 0; i < 10; ++i) EXPECT_LE(StepsOfOneEviction(), none);
  for (int i = 1; i < 500; ++i) rig_.Unpin(bos[i]);
}

// R15: who may not wait gives up after a number of busy ones, whatever there
// is.
TEST_P(OrderScale, R15WithoutWaitingOnlySoManyBusyBosAreTried) {
  std::vector<BoRef> bos;
  while (bos.size() < 1024) {
    bos.push_back(rig_.Make(kPageSize));
    ASSERT_EQ(rig_.Validate(bos.back(), {Tt(DmaType::kNone)}),
              absl::OkStatus());
  }
  for (const BoRef& bo : bos) rig_.KeepBusy(bo);
  const BoRef newcomer = rig_.Make(kPageSize);
  ValidateContext hasty{.wait = {WaitLimit::Mode::kNoWait}};
  const uint64_t before = steps_;
  EXPECT_EQ(KindOf(rig_.Validate(newcomer, {Tt(DmaType::kNone)}, &hasty)),
            ErrorKind::kBusy);
  EXPECT_LE(steps_ - before, 200u);
  EXPECT_EQ(rig_.Broken(), "");
}

// One that was reserved for a moment, and not used, keeps its turn.
TEST_P(OrderScale, R15OneSetAsideGoesFirstOnceItIsFree) {
  const std::vector<BoRef> bos = Fill(1024);
  bos[0]->Reserve();
  StepsOfOneEviction();
  EXPECT_TRUE(rig_.In(bos[0], MemoryType::kVram));
  EXPECT_FALSE(rig_.In(bos[1], MemoryType::kVram));
  bos[0]->UnreserveUnused();
  StepsOfOneEviction();
  EXPECT_FALSE(rig_.In(bos[0], MemoryType::kVram));
  EXPECT_TRUE(rig_.In(bos[2], MemoryType::kVram));
}

TEST_P(OrderScale, B24ABulkMovesToTheEndAsOneInConstantTime) {
  for (const int members : {4, 900}) {
    std::vector<BoRef> bos = Fill(1024);
    BulkMove bulk;
    for (int i = 0; i < members; ++i) {
      bos[i]->Reserve();
      bulk.Add(*bos[i]);
      bos[i]->UnreserveUnused();
    }
    // Behind it, until it moves.
    for (int i = members; i < 1024; ++i) rig_.Touch(bos[i]);
    const uint64_t before = steps_;
    bulk.MoveToEnd();
    EXPECT_LE(steps_ - before, 1u);
    // Touched within it: the last of the members, before the newcomer.
    rig_.Touch(bos[0]);
    for (int i = members; i < 1024; ++i) {
      StepsOfOneEviction();
      ASSERT_FALSE(rig_.In(bos[i], MemoryType::kVram)) << i;
    }
    for (int i = 1; i < members; ++i) {
      StepsOfOneEviction();
      ASSERT_FALSE(rig_.In(bos[i], MemoryType::kVram)) << i;
      ASSERT_TRUE(rig_.In(bos[0], MemoryType::kVram)) << i;
    }
    StepsOfOneEviction();
    EXPECT_FALSE(rig_.In(bos[0], MemoryType::kVram));
    EXPECT_EQ(rig_.Broken(), "");
    bos.clear();
    newcomers_.clear();
  }
}

TEST_P(OrderScale, B23APinnedOneLeavesItsBulkAndRejoinsAtItsEnd) {
  std::vector<BoRef> bos = Fill(1024);
  BulkMove bulk;
  for (int i = 0; i < 3; ++i) {
    bos[i]->Reserve();
    bulk.Add(*bos[i]);
    bos[i]->UnreserveUnused();
  }
  rig_.Pin(bos[0]);
  bulk.MoveToEnd();
  rig_.Unpin(bos[0]);
  for (int i = 3; i < 1024; ++i) StepsOfOneEviction();
  for (const int next : {1, 2, 0}) {
    ASSERT_TRUE(rig_.In(bos[next], MemoryType::kVram));
    StepsOfOneEviction();
    EXPECT_FALSE(rig_.In(bos[next], MemoryType::kVram)) << next;
  }
  bos[1]->Reserve();
  bulk.Remove(*bos[1]);
  bos[1]->Unreserve();
  EXPECT_EQ(rig_.Broken(), "");
  bos.clear();
}

INSTANTIATE_TEST_SUITE_P(All, OrderScale,
                         testing::Values(SpaceAllocator::kRange,
                                         SpaceAllocator::kBuddy),
                         [](const auto& info) {
                           return info.param == SpaceAllocator::kRange
                                      ? "Range"
                                      : "Buddy";
                         });

}  // namespace
}  // namespace twostep
