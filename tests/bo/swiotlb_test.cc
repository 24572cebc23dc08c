// S20, S21, and what a bounced bo looks like to its device: through the public
// interface, with every byte checked.

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"
#include "twostep/machine/page_pattern.h"

namespace twostep {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr PageCount kSetPages = Swiotlb::kSetBytes / kPageSize;

RigOptions Bouncing(uint64_t pool_bytes) {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.machine.swiotlb.bytes = pool_bytes;
  options.machine.swiotlb.forced = true;
  options.machine.dma32_bytes = 16 * kMiB + pool_bytes;
  return options;
}

DmaAddress FrameAddress(const BoRef& bo, PageCount page) {
  return PagesToBytes(bo->pages().frames()[page]);
}
bool Bounces(const BoRef& bo, PageCount page) {
  return bo->binding().Address(bo->pages(), page) != FrameAddress(bo, page);
}
PageCount BouncedPages(const BoRef& bo) {
  PageCount bounced = 0;
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    bounced += Bounces(bo, page);
  }
  return bounced;
}

// CPU -> device -> CPU, all bytes.
void ExpectBytesBothWays(Rig& rig, const BoRef& bo, uint64_t seed) {
  EXPECT_EQ(rig.DeviceWrongBytes(bo, seed), 0);
  rig.DeviceFill(bo, seed + 1);
  EXPECT_EQ(rig.CpuWrongBytes(bo, seed + 1), 0);
  rig.CpuFill(bo, seed + 2);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(rig.DeviceWrongBytes(bo, seed + 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// --- S21: each cause bounces, nothing else does ---

struct Cause {
  std::string name;
  std::function<void(RigOptions&)> set_up;
  // Whether that page must bounce, by what the machine is.
  std::function<bool(const BoRef&, PageCount)> must;
};

// Of a device that wants blocks of four pages.
bool InCrookedBlock(const BoRef& bo, PageCount page) {
  const PageCount first = page / 4 * 4;
  if (first + 4 > bo->page_count()) return false;
  bool crooked = FrameAddress(bo, first) % (4 * kPageSize) != 0;
  for (PageCount i = 1; i < 4; ++i) {
    crooked |= FrameAddress(bo, first + i) !=
               FrameAddress(bo, first) + PagesToBytes(i);
  }
  return crooked;
}
bool IsScattered(const BoRef& bo) {
  for (PageCount i = 1; i < bo->page_count(); ++i) {
    if (FrameAddress(bo, i) != FrameAddress(bo, 0) + PagesToBytes(i)) {
      return true;
    }
  }
  return false;
}

const Cause kCauses[] = {
    {"None", [](RigOptions&) {}, [](const BoRef&, PageCount) { return false; }},
    {"Mask", [](RigOptions& options) { options.gpu.dma_mask_bits = 32; },
     [](const BoRef& bo, PageCount page) {
       return FrameAddress(bo, page) >= 4 * kGiB;
     }},
    {"Misalignment",
     [](RigOptions& options) {
       options.gpu.segments.alignment = 4 * kPageSize;
     },
     InCrookedBlock},
    {"Contiguity",
     [](RigOptions& options) { options.gpu.segments.max_segments = 1; },
     [](const BoRef& bo, PageCount) { return IsScattered(bo); }},
    {"Forced",
     [](RigOptions& options) { options.machine.swiotlb.forced = true; },
     [](const BoRef&, PageCount) { return true; }},
};

class CauseOfBouncing : public testing::TestWithParam<Cause> {};

TEST_P(CauseOfBouncing, BouncesAndNothingElseDoes) {
  RigOptions options = Bouncing(2 * kMiB);
  options.machine.swiotlb.forced = false;
  options.machine.normal_bytes = 256 * kPageSize;
  options.gpu.dma_mask_bits = 64;
  GetParam().set_up(options);
  Rig rig(options);
  // Frames in a row, not in a row, above 4 GiB and below.
  std::vector<BoRef> bos;
  std::vector<BoRef> holes;
  for (int i = 0; i < 20; ++i) {
    bos.push_back(rig.Make((1 + i) * kPageSize));
    holes.push_back(rig.Make((1 + i % 3) * kPageSize));
    rig.CpuFill(bos.back(), i);
    rig.CpuFill(holes.back(), i);
  }
  holes.clear();
  for (int i = 0; i < 6; ++i) {
    bos.push_back(rig.Make((3 + 4 * i) * kPageSize));
    rig.CpuFill(bos.back(), 20 + i);
  }
  PageCount bounced = 0;
  PageCount straight = 0;
  for (size_t i = 0; i < bos.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(rig.Validate(bos[i], Tt(DmaType::kDynamic)).ok());
    for (PageCount page = 0; page < bos[i]->page_count(); ++page) {
      const bool must = GetParam().must(bos[i], page);
      EXPECT_EQ(Bounces(bos[i], page), must) << page;
      (must ? bounced : straight) += 1;
    }
    ExpectBytesBothWays(rig, bos[i], i);
  }
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(), bounced);
  EXPECT_EQ(bounced == 0, GetParam().name == "None");
  EXPECT_EQ(straight == 0, GetParam().name == "Forced");
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().bounced_bytes == 0,
            bounced == 0);
  for (const BoRef& bo : bos) ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(), 0);
  EXPECT_EQ(rig.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(All, CauseOfBouncing, testing::ValuesIn(kCauses),
                         [](const auto& info) { return info.param.name; });

// A translating IOMMU gives neighbours, aligned, below the mask.
TEST(CauseOfBouncing, AnIommuNeverBounces) {
  RigOptions options = Bouncing(2 * kMiB);
  options.machine.iommu.mode = IommuMode::kTranslated;
  options.machine.iommu.iova_base = uint64_t{1} << 33;
  options.gpu.dma_mask_bits = 34;
  options.gpu.segments = {.max_segments = 1, .alignment = 4 * kPageSize};
  Rig rig(options);
  for (int i = 0; i < 8; ++i) {
    BoRef bo = rig.Make((5 + i) * kPageSize);
    rig.CpuFill(bo, i);
    ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    EXPECT_EQ(bo->binding().Segments(bo->pages()).size(), 1);
    ExpectBytesBothWays(rig, bo, i);
  }
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(), 0);
}

// --- S23, R8: the segments of a bounced bo ---

TEST(BouncedSegments, ALargeBoIsSplitAtTheSegmentLimit) {
  Rig rig(Bouncing(4 * kMiB));
  BoRef bo = rig.Make(2 * kMiB);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  const std::vector<DmaSegment> segments = bo->binding().Segments(bo->pages());
  ASSERT_EQ(segments.size(), 8);
  for (const DmaSegment& segment : segments) {
    EXPECT_EQ(segment.bytes, Swiotlb::kSetBytes);
    EXPECT_EQ(segment.address % Swiotlb::kSetBytes, 0);
  }
  ExpectBytesBothWays(rig, bo, 1);
}

// dma-swiotlb-segment: 2 MiB, the pool empty and twice as large.
TEST(BouncedSegments, WhereTheDeviceTakesTooFewItIsRefusedAsTooLong) {
  for (const uint64_t max_segments : {1, 7}) {
    RigOptions options = Bouncing(4 * kMiB);
    options.gpu.segments.max_segments = max_segments;
    Rig rig(options);
    BoRef bo = rig.Make(2 * kMiB);
    rig.CpuFill(bo, 1);
    const std::string before = WhereIs(bo);
    const Accounts accounts = AccountsOf(rig);
    const absl::Status status = rig.Validate(bo, Tt(DmaType::kDynamic));
    EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr("segment limit 256 KiB"));
    EXPECT_THAT(message, Not(HasSubstr("full")));
    EXPECT_THAT(message, Not(HasSubstr("fragmented")));
    EXPECT_EQ(WhereIs(bo), before);
    EXPECT_EQ(AccountsOf(rig), accounts);
    EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0);
    // 256 KiB a segment, and no more.
    BoRef fits = rig.Make(max_segments * Swiotlb::kSetBytes);
    ASSERT_TRUE(rig.Validate(fits, Tt(DmaType::kDynamic)).ok());
    BoRef over = rig.Make(max_segments * Swiotlb::kSetBytes + kPageSize);
    EXPECT_EQ(KindOf(rig.Validate(over, Tt(DmaType::kDynamic))),
              ErrorKind::kNeverFits);
    EXPECT_EQ(rig.Broken(), "");
  }
}

// Enough slots, no run of them: those in the way go, and nobody says "full".
TEST(BouncedSegments, AFragmentedPoolIsEvictedFromForAnUnsplitMapping) {
  RigOptions options = Bouncing(kMiB);
  options.gpu.segments.max_segments = 2;
  Rig rig(options);
  std::vector<BoRef> small;
  for (int i = 0; i < 256; ++i) {
    small.push_back(rig.Make(kPageSize));
    rig.CpuFill(small[i], i);
    ASSERT_TRUE(rig.Validate(small[i], Tt(DmaType::kDynamic)).ok());
  }
  // Every second one leaves: no two pages are neighbours.
  for (int i = 0; i < 256; i += 2) {
    ASSERT_TRUE(rig.Validate(small[i], kSystem).ok());
  }
  BoRef large = rig.Make(2 * Swiotlb::kSetBytes);
  rig.CpuFill(large, 1000);
  ASSERT_TRUE(rig.Validate(large, Tt(DmaType::kDynamic)).ok());
  EXPECT_LE(large->binding().Segments(large->pages()).size(), 2);
  ExpectBytesBothWays(rig, large, 1000);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(rig.CpuWrongBytes(small[i], i), 0);
}

// The same pool, and a device that takes what it gets: nobody is evicted.
TEST(BouncedSegments, AFragmentedPoolServesADeviceThatTakesManySegments) {
  Rig rig(Bouncing(kMiB));
  std::vector<BoRef> small;
  for (int i = 0; i < 256; ++i) {
    small.push_back(rig.Make(kPageSize));
    ASSERT_TRUE(rig.Validate(small[i], Tt(DmaType::kDynamic)).ok());
  }
  for (int i = 0; i < 256; i += 2) {
    ASSERT_TRUE(rig.Validate(small[i], kSystem).ok());
  }
  BoRef large = rig.Make(128 * kPageSize);
  rig.CpuFill(large, 5);
  ASSERT_TRUE(rig.Validate(large, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(large->binding().Segments(large->pages()).size(), 128);
  ExpectBytesBothWays(rig, large, 5);
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 0);
}

TEST(BouncedSegments, ADevicesOwnLimitsHoldInThePoolToo) {
  RigOptions options = Bouncing(2 * kMiB);
  options.gpu.segments = {.max_bytes = 24 * kPageSize,
                          .boundary = 32 * kPageSize,
                          .alignment = 8 * kPageSize};
  Rig rig(options);
  for (int i = 0; i < 6; ++i) {
    BoRef bo = rig.Make((17 + 9 * i) * kPageSize);
    rig.CpuFill(bo, i);
    ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    for (const DmaSegment& segment : bo->binding().Segments(bo->pages())) {
      EXPECT_LE(segment.bytes, 24 * kPageSize);
      EXPECT_EQ(segment.address / (32 * kPageSize),
                (segment.address + segment.bytes - 1) / (32 * kPageSize));
    }
    for (PageCount page = 0; page + 8 <= bo->page_count(); page += 8) {
      EXPECT_EQ(bo->binding().Address(bo->pages(), page) % (8 * kPageSize), 0);
    }
    ExpectBytesBothWays(rig, bo, i);
  }
}

// R12: all but k of the pool's pages are pinned by others, for every k.
TEST(BouncedSegments, AMapThatFailsAtPageKLeavesNothingBehind) {
  constexpr PageCount kPages = 70;  // two sets, for some k
  for (PageCount k = 0; k <= kPages; ++k) {
    SCOPED_TRACE(k);
    RigOptions options = Bouncing(2 * Swiotlb::kSetBytes);
    Rig rig(options);
    BoRef others = rig.Make((2 * kSetPages - k) * kPageSize);
    rig.CpuFill(others, 1);
    ASSERT_TRUE(rig.Validate(others, Tt(DmaType::kDynamic)).ok());
    rig.Pin(others);
    BoRef bo = rig.Make(kPages * kPageSize);
    rig.CpuFill(bo, 2);
    const std::string before = WhereIs(bo);
    const Accounts accounts = AccountsOf(rig);
    const absl::Status status = rig.Validate(bo, Tt(DmaType::kDynamic));
    EXPECT_EQ(status.ok(), k == kPages);
    if (!status.ok()) {
      EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
      EXPECT_EQ(WhereIs(bo), before);
      EXPECT_EQ(AccountsOf(rig), accounts);
      EXPECT_EQ(rig.CpuWrongBytes(bo, 2), 0);
    } else {
      EXPECT_EQ(rig.DeviceWrongBytes(bo, 2), 0);
    }
    EXPECT_EQ(rig.DeviceWrongBytes(others, 1), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

// --- S20: dma-swiotlb-exhaust ---

// A page of the bo as the CPU may see it now.
void FillPages(const BoRef& bo, uint64_t seed) {
  auto mapping = *CpuMapping::Create(bo);
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    FillPattern(seed, page, mapping->data() + PagesToBytes(page));
  }
}
PageCount WrongPages(const BoRef& bo, uint64_t seed) {
  auto mapping = *CpuMapping::Create(bo);
  PageCount wrong = 0;
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    wrong += PageChecksum(mapping->data() + PagesToBytes(page)) !=
             PatternChecksum(seed, page);
  }
  return wrong;
}
PageCount WrongDevicePages(Rig& rig, const BoRef& bo, uint64_t seed) {
  PageCount wrong = 0;
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    const std::byte* at = rig.DevicePage(bo, page, Access::kRead);
    wrong += at == nullptr || PageChecksum(at) != PatternChecksum(seed, page);
  }
  return wrong;
}

TEST(SwiotlbExhaust, DynamicEvictsAndGoesOnWhileCoherentNeverBounces) {
  RigOptions options = Bouncing(SwiotlbConfig{}.bytes);
  EXPECT_EQ(options.machine.swiotlb.bytes, 64 * kMiB);
  options.machine.dma32_bytes = 512 * kMiB;
  options.machine.coherent_bytes = 16 * kMiB;
  options.gpu.aperture_bytes = 512 * kMiB;
  options.gpu.dma_mask_bits = 32;
  Rig rig(options);
  std::vector<BoRef> coherent;
  for (int i = 0; i < 4; ++i) {
    coherent.push_back(rig.Make(4 * kMiB));
    FillPages(coherent[i], i);
    ASSERT_TRUE(rig.Validate(coherent[i], Tt(DmaType::kCoherent)).ok());
  }
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(), 0);
  constexpr int kBos = 64;  // of 4 MiB: 256 MiB through 64 MiB of slots
  std::vector<BoRef> bos;
  for (int i = 0; i < kBos; ++i) {
    bos.push_back(rig.Make(4 * kMiB));
    FillPages(bos[i], 100 + i);
    ASSERT_TRUE(rig.Validate(bos[i], Tt(DmaType::kDynamic)).ok()) << i;
    EXPECT_EQ(WrongDevicePages(rig, bos[i], 100 + i), 0) << i;
  }
  const DmaBinder::Stats& stats =
      rig.device().binder(DmaType::kDynamic)->stats();
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(),
            rig.machine().bounce_pool().frames());
  EXPECT_EQ(stats.evictions, kBos - 16);
  for (int i = 0; i < kBos; ++i) EXPECT_EQ(WrongPages(bos[i], 100 + i), 0) << i;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(BoundThrough(rig, coherent[i], DmaType::kCoherent)) << i;
    EXPECT_EQ(WrongDevicePages(rig, coherent[i], i), 0) << i;
    EXPECT_EQ(BouncedPages(coherent[i]), 0);
  }
  EXPECT_EQ(rig.device().binder(DmaType::kCoherent)->stats().bounced_bytes, 0);
  EXPECT_EQ(rig.device().binder(DmaType::kCoherent)->stats().evictions, 0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
