// S21, and what a bounced bo looks like to its device: through the public
// interface, with every byte checked. What happens when bounce buffers run out
// the scenarios dma-swiotlb-exhaust, dma-swiotlb-segment and map-fails-at-k
// show (stress/).

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bo/platforms.h"
#include "twostep/bo/validate_context.h"

namespace twostep {
namespace {

using testing::HasSubstr;

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

// The order of eviction goes through all sets again and again: by itself it
// makes no run before nearly all have gone.
void TouchAcrossSets(Rig& rig, const std::vector<BoRef>& bos) {
  std::map<std::pair<uint64_t, DmaAddress>, BoRef> order;
  for (const BoRef& bo : bos) {
    if (bo->binder() == nullptr) continue;
    const DmaAddress address = bo->binding().Address(bo->pages(), 0);
    order[{address % Swiotlb::kSetBytes, address}] = bo;
  }
  for (const auto& [place, bo] : order) rig.Touch(bo);
}

// Enough slots, no run of them: those in the way go, and nobody says "full".
TEST(BouncedSegments, AFragmentedPoolIsEvictedFromForAnUnsplitMapping) {
  RigOptions options = Bouncing(kMiB);
  options.gpu.segments.max_segments = 2;
  Rig rig(options);
  const std::vector<BoRef> small = rig.MakePages(256, Tt(DmaType::kDynamic));
  // Every second one leaves: no two pages are neighbours.
  for (int i = 0; i < 256; i += 2) {
    ASSERT_TRUE(rig.Validate(small[i], kSystem).ok());
  }
  TouchAcrossSets(rig, small);
  BoRef large = rig.Make(2 * Swiotlb::kSetBytes);
  rig.CpuFill(large, 1000);
  ASSERT_TRUE(rig.Validate(large, Tt(DmaType::kDynamic)).ok());
  EXPECT_LE(large->binding().Segments(large->pages()).size(), 2);
  // Half of the pages of two sets, and no more.
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 64);
  ExpectBytesBothWays(rig, large, 1000);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(rig.CpuWrongBytes(small[i], i), 0);
}

// One of the two runs that it needs is there.
TEST(BouncedSegments, ARunThatIsFreeAlreadyIsNotMadeAgain) {
  RigOptions options = Bouncing(kMiB);
  options.gpu.segments.max_segments = 2;
  Rig rig(options);
  const std::vector<BoRef> small = rig.MakePages(256, Tt(DmaType::kDynamic));
  const DmaAddress set =
      small[0]->binding().Address(small[0]->pages(), 0) / Swiotlb::kSetBytes;
  for (int i = 0; i < 256; ++i) {
    const DmaAddress address =
        small[i]->binding().Address(small[i]->pages(), 0);
    if (address / Swiotlb::kSetBytes != set && i % 2 == 0) continue;
    ASSERT_TRUE(rig.Validate(small[i], kSystem).ok());
  }
  TouchAcrossSets(rig, small);
  BoRef large = rig.Make(2 * Swiotlb::kSetBytes);
  rig.CpuFill(large, 1000);
  ASSERT_TRUE(rig.Validate(large, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 32);
  ExpectBytesBothWays(rig, large, 1000);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(rig.CpuWrongBytes(small[i], i), 0);
}

// The same, and in each set one that cannot go: nobody goes in vain.
TEST(BouncedSegments, PinnedBosInEverySetAreNamedAndNobodyGoes) {
  RigOptions options = Bouncing(kMiB);
  options.gpu.segments.max_segments = 1;
  Rig rig(options);
  const std::vector<BoRef> small = rig.MakePages(256, Tt(DmaType::kDynamic));
  std::set<DmaAddress> sets;
  std::vector<BoRef> pinned;
  for (int i = 0; i < 256; ++i) {
    const DmaAddress address =
        small[i]->binding().Address(small[i]->pages(), 0);
    if (sets.insert(address / Swiotlb::kSetBytes).second) {
      pinned.push_back(small[i]);
      rig.Pin(small[i]);
    } else if (i % 2 == 0) {
      ASSERT_TRUE(rig.Validate(small[i], kSystem).ok());
    }
  }
  ASSERT_EQ(pinned.size(), 4);
  BoRef large = rig.Make(Swiotlb::kSetBytes);
  rig.CpuFill(large, 1000);
  const absl::Status status = rig.Validate(large, Tt(DmaType::kDynamic));
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("is fragmented"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("16 KiB pinned"));
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 0);
  EXPECT_EQ(rig.CpuWrongBytes(large, 1000), 0);
  // One may go: its set is what is made room in.
  rig.Unpin(pinned[2]);
  ASSERT_TRUE(rig.Validate(large, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(pinned[2]->binder(), nullptr);
  ExpectBytesBothWays(rig, large, 1000);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(rig.CpuWrongBytes(small[i], i), 0);
  for (const BoRef& bo : pinned) {
    if (bo != pinned[2]) rig.Unpin(bo);
  }
}

// A bo may have several mappings, and with it goes all that it has.
TEST(BouncedSegments, ABoInPiecesThatStandsInTheWayGoesOnce) {
  RigOptions options = Bouncing(Swiotlb::kSetBytes);
  options.gpu.segments.max_segments = 8;
  Rig rig(options);
  std::vector<BoRef> small;
  for (int i = 0; i < 64; ++i) {
    small.push_back(rig.Make(kPageSize));
    ASSERT_TRUE(rig.Validate(small[i], Tt(DmaType::kDynamic)).ok());
  }
  // Eight holes, no two of them neighbours, are all that the next one gets.
  std::map<DmaAddress, BoRef> by_address;
  for (const BoRef& bo : small) {
    by_address[bo->binding().Address(bo->pages(), 0)] = bo;
  }
  int at = 0;
  for (const auto& [address, bo] : by_address) {
    if (at++ % 8 != 0) continue;
    ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
  }
  BoRef pieces = rig.Make(8 * kPageSize);
  rig.CpuFill(pieces, 7);
  ASSERT_TRUE(rig.Validate(pieces, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(pieces->binding().Segments(pieces->pages()).size(), 8);
  ExpectBytesBothWays(rig, pieces, 7);
  // The least recent one: its eight pages are no run of two.
  for (const BoRef& bo : small) rig.Touch(bo);
  BoRef other = rig.Make(16 * kPageSize);
  rig.CpuFill(other, 8);
  ASSERT_TRUE(rig.Validate(other, Tt(DmaType::kDynamic)).ok());
  EXPECT_LE(other->binding().Segments(other->pages()).size(), 8);
  EXPECT_EQ(pieces->binder(), nullptr);
  // Each of eight runs of two needs one of the small ones at most.
  EXPECT_LE(rig.device().binder(DmaType::kDynamic)->stats().evictions, 1 + 8);
  ExpectBytesBothWays(rig, other, 8);
  EXPECT_EQ(rig.CpuWrongBytes(pieces, 9), 0);
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

// --- min_align_mask ---

// As NVMe has it, a page; and with more bits, which frames that are not in a
// row have in common with their bounce pages only in mappings of their own.
TEST(MinAlignMask, ABouncedPageKeepsTheBitsOfItsAddressWithinTheMask) {
  for (const uint64_t mask : {uint64_t{4095}, uint64_t{65535}}) {
    RigOptions options = Bouncing(4 * kMiB);
    options.gpu.segments.min_align_mask = mask;
    Rig rig(options);
    std::vector<BoRef> bos;
    std::vector<BoRef> holes;
    for (int i = 0; i < 24; ++i) {
      bos.push_back(rig.Make((1 + 3 * i) * kPageSize));
      holes.push_back(rig.Make((1 + i % 3) * kPageSize));
      rig.CpuFill(bos.back(), i);
      rig.CpuFill(holes.back(), i);
    }
    holes.clear();
    for (int i = 0; i < 6; ++i) {
      bos.push_back(rig.Make((3 + 4 * i) * kPageSize));
      rig.CpuFill(bos.back(), 24 + i);
    }
    bool scattered = false;
    for (size_t i = 0; i < bos.size(); ++i) {
      ASSERT_TRUE(rig.Validate(bos[i], Tt(DmaType::kDynamic)).ok());
      scattered |= IsScattered(bos[i]);
      for (PageCount page = 0; page < bos[i]->page_count(); ++page) {
        EXPECT_TRUE(Bounces(bos[i], page));
        EXPECT_EQ(bos[i]->binding().Address(bos[i]->pages(), page) & mask,
                  FrameAddress(bos[i], page) & mask);
      }
      ExpectBytesBothWays(rig, bos[i], i);
    }
    EXPECT_TRUE(scattered);
    EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().evictions, 0);
  }
}

TEST(MinAlignMask, WithoutRoomAtThoseBitsOthersGiveWay) {
  RigOptions options = Bouncing(512 * kKiB);
  options.gpu.segments.min_align_mask = 65535;
  Rig rig(options);
  std::vector<BoRef> bos;
  for (int i = 0; i < 40; ++i) {
    bos.push_back(rig.Make((1 + 7 * i % 24) * kPageSize));
    rig.CpuFill(bos[i], i);
    ASSERT_TRUE(rig.Validate(bos[i], Tt(DmaType::kDynamic)).ok()) << i;
    EXPECT_EQ(rig.DeviceWrongBytes(bos[i], i), 0);
  }
  EXPECT_GT(rig.device().binder(DmaType::kDynamic)->stats().evictions, 0);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// 252 KiB a segment are what such a device has of bounce buffers.
TEST(MinAlignMask, ADeviceThatTakesOneSegmentGetsLessOfIt) {
  RigOptions options = Bouncing(kMiB);
  options.gpu.segments = {.max_segments = 1, .min_align_mask = 4095};
  Rig rig(options);
  BoRef fits = rig.Make(252 * kKiB);
  rig.CpuFill(fits, 1);
  ASSERT_TRUE(rig.Validate(fits, Tt(DmaType::kDynamic)).ok());
  ExpectBytesBothWays(rig, fits, 1);
  BoRef over = rig.Make(256 * kKiB);
  const absl::Status status = rig.Validate(over, Tt(DmaType::kDynamic));
  EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("min_align_mask"));
  EXPECT_NE(fits->binder(), nullptr);
}

TEST(MinAlignMask, WhatCannotBeKeptIsRefusedByName) {
  for (const SegmentLimits& limits :
       {SegmentLimits{.min_align_mask = 4096},
        SegmentLimits{.min_align_mask = 256 * kKiB - 1},
        SegmentLimits{.alignment = 64 * kKiB, .min_align_mask = 65535}}) {
    Rig rig;
    GpuConfig gpu;
    gpu.segments = limits;
    const auto device = Device::Create(rig.host(), gpu);
    EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(device.status().message()),
                HasSubstr("segments.min_align_mask"));
  }
}

// --- Areas ---

TEST(SwiotlbAreas, ThreadsRunShortInAreasOfTheirOwnAndKeepTheirBytes) {
  RigOptions options = Bouncing(kMiB);
  options.machine.swiotlb.areas = 4;
  Rig rig(options);
  ASSERT_EQ(rig.machine().bounce_pool().areas(), 4);
  std::vector<Thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&rig, t] {
      std::vector<BoRef> mine;
      for (uint64_t i = 0; i < 6; ++i) {
        mine.push_back(rig.Make((8 + 9 * i) * kPageSize));
        rig.CpuFill(mine[i], 10 * t + i);
      }
      for (int round = 0; round < 20; ++round) {
        for (uint64_t i = 0; i < 6; ++i) {
          // Pinned, so that it is not evicted between validation and use.
          ValidateContext context;
          ASSERT_TRUE(WithReserved(*mine[i], &context, [&] {
                        const Placement placement = Tt(DmaType::kDynamic);
                        const absl::Status status = rig.device().Validate(
                            *mine[i], {&placement, 1}, &context);
                        if (status.ok()) mine[i]->Pin();
                        return status;
                      }).ok());
          EXPECT_EQ(rig.DeviceWrongBytes(mine[i], 10 * t + i), 0);
          rig.Unpin(mine[i]);
        }
      }
      for (uint64_t i = 0; i < 6; ++i) {
        EXPECT_EQ(rig.CpuWrongBytes(mine[i], 10 * t + i), 0);
      }
    });
  }
  threads.clear();
  EXPECT_GT(rig.device().binder(DmaType::kDynamic)->stats().evictions, 0);
  EXPECT_EQ(rig.Broken(), "");
  rig.host().ReapGhosts({});
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(), 0);
}

// One thread, and areas that are too small for all: it goes on to the others,
// also to make room.
TEST(SwiotlbAreas, RoomForASegmentIsMadeInWhicheverAreaItCanBe) {
  RigOptions options = Bouncing(kMiB);
  options.machine.swiotlb.areas = 4;
  options.gpu.segments.max_segments = 1;
  Rig rig(options);
  std::vector<BoRef> large;
  for (int i = 0; i < 4; ++i) {
    large.push_back(rig.Make(Swiotlb::kSetBytes));
    rig.CpuFill(large[i], i);
    ASSERT_TRUE(rig.Validate(large[i], Tt(DmaType::kDynamic)).ok());
  }
  for (int i = 0; i < 3; ++i) rig.Pin(large[i]);
  BoRef more = rig.Make(Swiotlb::kSetBytes);
  rig.CpuFill(more, 9);
  ASSERT_TRUE(rig.Validate(more, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(large[3]->binder(), nullptr);
  ExpectBytesBothWays(rig, more, 9);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(rig.CpuWrongBytes(large[i], i), 0);
  for (int i = 0; i < 3; ++i) rig.Unpin(large[i]);
}

}  // namespace
}  // namespace twostep
