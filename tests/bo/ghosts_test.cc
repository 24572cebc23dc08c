// Storage that its bo has left while work may still use it: when it is given
// up, in whatever order the work ends, and who waits for which of it.

#include <algorithm>
#include <random>
#include <vector>

#include "tests/bo/rig.h"

namespace twostep {
namespace {

constexpr PageCount kPages = 4;
constexpr uint64_t kBo = kPages * kPageSize;

RigOptions RealClock() {
  RigOptions options = RigOptions::Small();
  options.options = {Backing::kBacked, Clock::Kind::kReal};
  return options;
}

uint64_t PendingPages(Rig& rig) {
  return rig.host().Report().lines[0].pending_pages[0];
}

// A bo that is gone, but for work on these.
void LeaveBehind(Rig& rig, const std::vector<Fence>& fences,
                 DmaType dma = DmaType::kDynamic, uint64_t bytes = kBo) {
  BoRef bo = rig.Make(bytes);
  ASSERT_EQ(rig.Validate(bo, Tt(dma)), absl::OkStatus());
  bo->Reserve();
  for (const Fence& fence : fences) bo->fences().Add(fence, FenceUse::kRead);
  bo->Unreserve();
}

TEST(Ghosts, AreGivenUpAsTheirWorkEndsInWhateverOrderTheyWereLeft) {
  for (int seed = 0; seed < 20; ++seed) {
    Rig rig(RealClock());
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    Timeline* const timelines[] = {&rig.machine().NewTimeline("a"),
                                   &rig.machine().NewTimeline("b")};
    struct Work {
      int timeline;
      uint64_t point;
    };
    std::vector<std::vector<Work>> left;
    for (int i = 0; i < 24; ++i) {
      left.emplace_back();
      for (int t = 0; t < 2; ++t) {
        if (t == 1 && random() % 2 == 0) continue;
        left.back().push_back({t, timelines[t]->Emit(0).point});
      }
    }
    std::shuffle(left.begin(), left.end(), random);
    for (const auto& works : left) {
      std::vector<Fence> fences;
      for (const Work& work : works) {
        fences.push_back({timelines[work.timeline], work.point});
      }
      LeaveBehind(rig, fences);
    }
    EXPECT_FALSE(rig.host().ReapGhosts({WaitLimit::Mode::kNoWait}));
    uint64_t done[2] = {};
    for (int step = 0; step < 12; ++step) {
      const size_t t = random() % 2;
      done[t] = std::min<uint64_t>(done[t] + random() % 6,
                                   t == 0 ? 24 : timelines[1]->Emit(0).point);
      timelines[t]->Complete(done[t]);
      rig.host().ReapGhosts({WaitLimit::Mode::kNoWait});
      const auto pending =
          std::count_if(left.begin(), left.end(), [&](const auto& works) {
            return std::any_of(works.begin(), works.end(), [&](Work work) {
              return work.point > done[work.timeline];
            });
          });
      ASSERT_EQ(PendingPages(rig), static_cast<uint64_t>(pending) * kPages)
          << seed << " " << step;
      EXPECT_EQ(rig.Broken(), "");
    }
    timelines[0]->Complete(24);
    timelines[1]->Complete(timelines[1]->Emit(0).point);
    EXPECT_TRUE(rig.host().ReapGhosts({}) || PendingPages(rig) == 0);
    EXPECT_EQ(PendingPages(rig), 0);
  }
}

// Others' storage would not help: its work may take as long as it likes.
TEST(Ghosts, WhoIsShortWaitsForTheOldestThatHasWhatItLacks) {
  RigOptions options = RigOptions::Small();
  options.machine.iommu.iova_bytes = 16 * kMiB;
  Rig rig(options);
  const Fence long_work = rig.PendingWork(100'000'000'000);
  Timeline& other = rig.machine().NewTimeline("other");
  const uint64_t now_ns = rig.machine().clock().now_ns();
  LeaveBehind(rig, {long_work}, DmaType::kDynamic, kMiB / 4);
  for (const uint64_t seconds : {1, 2}) {
    LeaveBehind(rig, {other.EmitComplete(now_ns + seconds * 1'000'000'000)},
                DmaType::kCoherent, kMiB / 2);
  }
  const BoRef bo = rig.Make(kMiB / 2);
  ASSERT_EQ(rig.Validate(bo, Tt(DmaType::kCoherent)), absl::OkStatus());
  const uint64_t took_ns = rig.machine().clock().now_ns() - now_ns;
  EXPECT_GE(took_ns, 1'000'000'000u);
  EXPECT_LT(took_ns, 2'000'000'000u);
  EXPECT_EQ(PendingPages(rig), BytesToPages(kMiB / 2 + kMiB / 4));
  while (rig.host().ReapGhosts({})) {
  }
  EXPECT_EQ(PendingPages(rig), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Ghosts, AWaitThatEndsLeavesThemForTheNext) {
  Rig rig(RealClock());
  Timeline& timeline = rig.machine().NewTimeline("work");
  const Fence work = timeline.Emit(0);
  for (int i = 0; i < 4; ++i) {
    LeaveBehind(rig, {work}, DmaType::kCoherent, kMiB / 4);
  }
  const BoRef bo = rig.Make(kMiB);
  ValidateContext hasty{.wait = WaitLimit::Within(1'000'000)};
  EXPECT_EQ(KindOf(rig.Validate(bo, {Tt(DmaType::kCoherent)}, &hasty)),
            ErrorKind::kTimeUp);
  EXPECT_EQ(PendingPages(rig), BytesToPages(kMiB));
  EXPECT_EQ(rig.Broken(), "");
  timeline.Complete(work.point);
  EXPECT_EQ(rig.Validate(bo, Tt(DmaType::kCoherent)), absl::OkStatus());
  EXPECT_EQ(PendingPages(rig), 0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
