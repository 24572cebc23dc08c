// Enough is free, but not in one piece: eviction makes the hole. Compared with
// what trying all choices finds, on spaces small enough for that.

#include <algorithm>
#include <vector>

#include "tests/bo/platforms.h"

namespace twostep {
namespace {

enum class Space { kIova, kCma, kAperture };
constexpr uint64_t kSpacePages = 48;

// A bo in the space, as the test knows it.
struct Block {
  BoRef bo;
  uint64_t start;
  uint64_t size;
};

class Fragmentation : public testing::TestWithParam<Space> {
 protected:
  static RigOptions Options(Space space) {
    RigOptions options = OptionsOf(
        space == Space::kIova ? MachineKind::kIommu : MachineKind::kBareMetal);
    const uint64_t bytes = PagesToBytes(kSpacePages);
    if (space == Space::kIova) options.machine.iommu.iova_bytes = bytes;
    if (space == Space::kCma) options.machine.cma_bytes = bytes;
    if (space == Space::kAperture) options.gpu.aperture_bytes = bytes;
    return options;
  }
  Placement placement() const {
    return Tt(GetParam() == Space::kIova  ? DmaType::kDynamic
              : GetParam() == Space::kCma ? DmaType::kCma
                                          : DmaType::kNone);
  }
  bool There(Rig& rig, const BoRef& bo) const {
    return GetParam() == Space::kAperture
               ? InMemoryType(rig, bo, MemoryType::kTt)
               : bo->binder() != nullptr;
  }
  uint64_t StartOf(const BoRef& bo) const {
    switch (GetParam()) {
      case Space::kIova:
        return bo->binding().iova.start;
      case Space::kCma:
        return bo->binding().storage.start;
      case Space::kAperture:
        return bo->start_page();
    }
    return 0;
  }
  uint64_t SpaceStart(Rig& rig) const {
    switch (GetParam()) {
      case Space::kIova:
        return rig.machine().config().iommu.iova_base >> kPageShift;
      case Space::kCma:
        return rig.machine().cma().end_frame() - kSpacePages;
      case Space::kAperture:
        return 0;
    }
    return 0;
  }
  uint64_t AlignmentFor(PageCount pages) const {
    return GetParam() == Space::kCma ? CmaArea::RequestFor(pages).alignment : 1;
  }

  // The fewest blocks that have to go so that `pages` fit, when only the first
  // `candidates` of `order` may; ~0 when that is not enough.
  size_t Fewest(Rig& rig, const std::vector<Block>& order, size_t candidates,
                PageCount pages) const {
    const uint64_t first = SpaceStart(rig);
    const uint64_t alignment = AlignmentFor(pages);
    size_t fewest = ~size_t{0};
    for (uint64_t at = first; at + pages <= first + kSpacePages; ++at) {
      if (at % alignment != 0) continue;
      size_t in_the_way = 0;
      bool possible = true;
      for (size_t i = 0; i < order.size(); ++i) {
        const Block& block = order[i];
        if (block.start >= at + pages || at >= block.start + block.size) {
          continue;
        }
        possible &= i < candidates && !block.bo->pinned();
        ++in_the_way;
      }
      if (possible) fewest = std::min(fewest, in_the_way);
    }
    return fewest;
  }
};

// S5, R13
TEST_P(Fragmentation, EvictionMakesTheHoleAndNoMore) {
  int fragmented = 0;
  int middle = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE(seed);
    uint64_t state = seed * 0x9e3779b97f4a7c15u;
    const auto random = [&](uint64_t below) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      return (state >> 16) % below;
    };
    Rig rig(Options(GetParam()));
    // Filled, in the order used; some are pinned, some go again.
    std::vector<Block> order;
    Placement no_evicting = placement();
    no_evicting.use = Placement::Use::kDesired;
    for (int refused = 0; refused < 3;) {
      BoRef bo = rig.Make(PagesToBytes(1 + random(7)));
      if (!rig.Validate(bo, no_evicting).ok()) {
        ++refused;
        continue;
      }
      order.push_back(Block{bo, StartOf(bo), bo->page_count()});
    }
    for (int i = 0; i < 5; ++i) {
      const size_t at = random(order.size());
      if (i < 3) {
        order.erase(order.begin() + static_cast<ptrdiff_t>(at));
      } else if (random(3) == 0 && !order[at].bo->pinned()) {
        order[at].bo->Reserve();
        order[at].bo->Pin();
        order[at].bo->Unreserve();
      }
    }
    for (size_t i = 0; i < order.size(); ++i) {
      std::swap(order[i], order[i + random(order.size() - i)]);
    }
    for (Block& block : order) {
      ASSERT_TRUE(rig.Validate(block.bo, placement()).ok());
      ASSERT_EQ(StartOf(block.bo), block.start);
    }

    const auto pages = static_cast<PageCount>(2 + random(12));
    size_t prefix = 0;
    while (prefix <= order.size() &&
           Fewest(rig, order, prefix, pages) == ~size_t{0}) {
      ++prefix;
    }
    uint64_t free = kSpacePages;
    for (const Block& block : order) free -= block.size;
    fragmented += prefix > 0 && free >= pages;

    BoRef more = rig.Make(PagesToBytes(pages));
    const absl::Status status = rig.Validate(more, placement());
    size_t evicted = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      if (There(rig, order[i].bo)) {
        EXPECT_EQ(StartOf(order[i].bo), order[i].start);
        continue;
      }
      ++evicted;
      // Nobody goes who was used after the last one that has to.
      EXPECT_LT(i, prefix);
      EXPECT_FALSE(order[i].bo->pinned());
    }
    if (prefix > order.size()) {
      EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
      EXPECT_EQ(evicted, 0);
    } else {
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(evicted, Fewest(rig, order, prefix, pages));
      middle += evicted > 1;
    }
    EXPECT_EQ(rig.Broken(), "");
    for (Block& block : order) {
      if (!block.bo->pinned()) continue;
      block.bo->Reserve();
      block.bo->Unpin();
      block.bo->Unreserve();
    }
    if (HasFailure()) break;
  }
  // The cases that this is about did come up.
  EXPECT_GT(fragmented, 20);
  EXPECT_GT(middle, 20);
}

std::string SpaceName(const testing::TestParamInfo<Space>& info) {
  static constexpr const char* kNames[] = {"Iova", "Cma", "Aperture"};
  return kNames[static_cast<size_t>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(All, Fragmentation,
                         testing::Values(Space::kIova, Space::kCma,
                                         Space::kAperture),
                         SpaceName);

// S5: of a run of three that are given up first, the middle one is enough.
TEST(FragmentedIovas, TheMiddleOfARunIsTakenWhereItIsEnough) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.iova_bytes = 6 * kPageSize;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (const uint64_t pages : {1, 4, 1}) {
    bos.push_back(rig.Make(PagesToBytes(pages)));
    ASSERT_TRUE(rig.Validate(bos.back(), Tt(DmaType::kDynamic)).ok());
  }
  ASSERT_TRUE(rig.Validate(bos[1], Tt(DmaType::kDynamic)).ok());
  BoRef more = rig.Make(4 * kPageSize);
  ASSERT_TRUE(rig.Validate(more, Tt(DmaType::kDynamic)).ok());
  EXPECT_NE(bos[0]->binder(), nullptr);
  EXPECT_EQ(bos[1]->binder(), nullptr);
  EXPECT_NE(bos[2]->binder(), nullptr);
}

// S5, R10: IOVAs are shared by all DMA types: where bos of no single type make
// a hole, those of several together do.
TEST(FragmentedIovas, AHoleMayTakeBosOfSeveralTypes) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.iova_bytes = 16 * kPageSize;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (const DmaType type : {DmaType::kDynamic, DmaType::kCoherent,
                             DmaType::kDynamic, DmaType::kCma}) {
    bos.push_back(rig.Make(4 * kPageSize));
    rig.CpuFill(bos.back(), bos.size());
    ASSERT_TRUE(rig.Validate(bos.back(), Tt(type)).ok());
  }
  BoRef more = rig.Make(8 * kPageSize);
  rig.CpuFill(more, 10);
  const absl::Status status = rig.Validate(more, Tt(DmaType::kDynamic));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(rig.DeviceWrongBytes(more, 10), 0);
  int evicted = 0;
  for (size_t i = 0; i < bos.size(); ++i) {
    evicted += bos[i]->binder() == nullptr;
    EXPECT_EQ(rig.CpuWrongBytes(bos[i], i + 1), 0);
  }
  EXPECT_EQ(evicted, 2);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
