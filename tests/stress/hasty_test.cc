// R10: the count of calls that failed although they only had to wait: that it
// counts, so that none in a run means something.

#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "twostep/bo/error.h"
#include "twostep/eviction/lru_policy.h"
#include "twostep/stress/world.h"

namespace twostep {
namespace {

WorldOptions Small() {
  StressOptions options = StressOptions::Default(Backing::kBacked);
  options.gpu.vram_bytes = kMiB;
  options.gpu.aperture_bytes = 4 * kMiB;
  return WorldOptions::Of(options);
}

// A driver that says it cannot be done, a number of times.
class HastyDriver final : public DeviceHooks {
 public:
  explicit HastyDriver(int refusals) : refusals_(refusals) {}
  absl::StatusOr<Fence> Copy(CopyEngine& engine, CopyJob job,
                             absl::Span<const Fence> dependencies) override {
    if (refusals_ > 0) {
      --refusals_;
      return MakeError(ErrorKind::kCannotFit, "in haste");
    }
    return DeviceHooks::Copy(engine, std::move(job), dependencies);
  }

 private:
  int refusals_;
};

TEST(Hasty, ADriverThatRefusesForAMomentIsCounted) {
  for (const int refusals : {0, 1, 3}) {
    Verdict verdict;
    HastyDriver driver(refusals);
    WorldOptions options = Small();
    options.hooks = &driver;
    World world(options, &verdict);
    ASSERT_TRUE(world.ok());
    KnownBo* bo = world.Make(kMiB);
    EXPECT_EQ(world.Submit({.uses = {{bo}}, .places = {&kInVram, 1}}),
              absl::OkStatus());
    world.Finish();
    EXPECT_EQ(verdict.hasty, refusals == 0 ? 0 : 1) << refusals;
    EXPECT_EQ(verdict.failures, 0) << verdict.first_failure;
    EXPECT_EQ(verdict.clean(), refusals == 0);
  }
}

// LRU that shows nobody for so many questions, as if all were in use.
class ShowsNobody final : public EvictionPolicy {
 public:
  explicit ShowsNobody(int& questions) : questions_(questions) {}
  void Insert(EvictionHook& entry) override { lru_.Insert(entry); }
  void Touch(EvictionHook& entry) override { lru_.Touch(entry); }
  void Remove(EvictionHook& entry, Departure why) override {
    lru_.Remove(entry, why);
  }
  EvictionHook* First() override {
    if (questions_ == 0) return lru_.First();
    --questions_;
    return nullptr;
  }
  EvictionHook* After(EvictionHook& entry) override {
    return lru_.After(entry);
  }

 private:
  int& questions_;
  LruPolicy lru_;
};

TEST(Hasty, AVictimThatIsMissedIsCountedAndWhatCannotBeDoneIsNot) {
  int questions = 0;
  Verdict verdict;
  WorldOptions options = Small();
  options.host.make_eviction_policy = [&] {
    return std::make_unique<ShowsNobody>(questions);
  };
  World world(options, &verdict);
  ASSERT_TRUE(world.ok());
  KnownBo* first = world.Make(kMiB);
  KnownBo* second = world.Make(kMiB);
  const auto submit = [&](KnownBo* bo) {
    return world.Submit({.uses = {{bo}}, .places = {&kInVram, 1}});
  };
  EXPECT_EQ(submit(first), absl::OkStatus());
  // Asked twice before it is believed.
  questions = 2;
  EXPECT_EQ(submit(second), absl::OkStatus());
  EXPECT_EQ(questions, 0);
  // Pinned: no wait would help.
  second->bo->Reserve();
  second->bo->Pin();
  second->bo->Unreserve();
  EXPECT_EQ(KindOf(submit(first)), ErrorKind::kCannotFit);
  second->bo->Reserve();
  second->bo->Unpin();
  second->bo->Unreserve();
  // Nobody counts for whom it was not for the lack of waiting.
  Submission no_wait{.uses = {{first}}, .places = {&kInVram, 1}};
  no_wait.wait.mode = WaitLimit::Mode::kNoWait;
  questions = 2;
  EXPECT_FALSE(world.Submit(no_wait).ok());
  questions = 0;
  world.Finish();
  EXPECT_EQ(verdict.hasty, 1);
  EXPECT_EQ(verdict.failures, 0) << verdict.first_failure;
}

}  // namespace
}  // namespace twostep
