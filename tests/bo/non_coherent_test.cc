// S22: a device that does not see the CPU's caches. Each side has a view of its
// own, pages change hands in both directions, and parts of pages are synced by
// the cache line; with every byte checked on both sides.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"

namespace twostep {
namespace {

using testing::HasSubstr;
constexpr auto kForDevice = DmaBinder::Sync::kForDevice;
constexpr auto kForCpu = DmaBinder::Sync::kForCpu;

std::byte DeviceByte(Rig& rig, const BoRef& bo, uint64_t i) {
  const std::byte* page = rig.DevicePage(
      bo, static_cast<PageCount>(i >> kPageShift), Access::kRead);
  return page[i % kPageSize];
}

// Bytes that are not `changed`'s pattern within [first, end), and not
// `before`'s elsewhere.
template <typename ByteAt>
uint64_t Wrong(uint64_t bytes, uint64_t before, uint64_t changed,
               ByteRange within, ByteAt byte_at) {
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < bytes; ++i) {
    const bool in = i >= within.first && i < within.first + within.count;
    wrong += byte_at(i) != Rig::PatternByte(in ? changed : before, i);
  }
  return wrong;
}

class NonCoherent : public testing::TestWithParam<DmaType> {
 protected:
  NonCoherent() : rig_(OptionsOf(MachineKind::kNonCoherent)) {}
  BoRef MakeBound(PageCount pages, uint64_t seed) {
    BoRef bo = rig_.Make(pages * kPageSize);
    rig_.CpuFill(bo, seed);
    EXPECT_TRUE(rig_.Validate(bo, Tt(GetParam())).ok());
    return bo;
  }

  Rig rig_;
};

// The views are apart until a page changes hands.
TEST_P(NonCoherent, OwnershipGoesBothWaysAndNothingGoesByItself) {
  rig_.Expect(DmaMisuse::Kind::kDeviceTouchedCpusPage);
  BoRef bo = MakeBound(4, 1);
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  // From the device: what it wrote is not where the CPU looks, yet.
  rig_.DeviceFill(bo, 2);
  const PhysicalMemory& memory = rig_.machine().memory();
  for (PageCount page = 0; page < 4; ++page) {
    const std::byte* cpu = memory.CpuBytes(bo->pages().frames()[page]);
    for (uint64_t i = 0; i < kPageSize; ++i) {
      ASSERT_EQ(cpu[i], Rig::PatternByte(1, PagesToBytes(page) + i));
    }
  }
  // Page 2 is taken by touching it, and no other.
  auto mapping = *CpuMapping::Create(bo);
  ASSERT_TRUE(mapping->Touch(PageRange{2, 1}, Access::kWrite).ok());
  const auto cpu = [&](uint64_t i) {
    return memory.CpuBytes(
        bo->pages().frames()[i >> kPageShift])[i % kPageSize];
  };
  const ByteRange page2{2 * kPageSize, kPageSize};
  EXPECT_EQ(Wrong(bo->size_bytes(), 1, 2, page2, cpu), 0);
  // To the device: what the CPU writes there stays its own until then.
  for (uint64_t i = 0; i < kPageSize; ++i) {
    mapping->data()[page2.first + i] = Rig::PatternByte(3, page2.first + i);
  }
  const auto device = [&](uint64_t i) { return DeviceByte(rig_, bo, i); };
  EXPECT_EQ(Wrong(bo->size_bytes(), 2, 3, {}, device), 0);
  ASSERT_TRUE(rig_.Validate(bo, Tt(GetParam())).ok());
  EXPECT_EQ(Wrong(bo->size_bytes(), 2, 3, page2, device), 0);
  // And home, all of it.
  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
  EXPECT_EQ(Wrong(bo->size_bytes(), 2, 3, page2, cpu), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(NonCoherent, PartsOfPagesAreSyncedByTheCacheLine) {
  const ByteRange kRanges[] = {{0, 1},       {63, 1},   {63, 2},
                               {100, 60},    {4095, 1}, {4095, 2},
                               {4000, 5000}, {64, 64},  {0, 4 * kPageSize},
                               {128, 0},     {16383, 1}};
  rig_.Expect(DmaMisuse::Kind::kDeviceTouchedCpusPage);
  BoRef bo = MakeBound(4, 1);
  auto mapping = *CpuMapping::Create(bo);
  const auto device = [&](uint64_t i) { return DeviceByte(rig_, bo, i); };
  const auto cpu = [&](uint64_t i) { return mapping->data()[i]; };
  for (const ByteRange& range : kRanges) {
    SCOPED_TRACE(testing::Message() << range.first << "+" << range.count);
    ASSERT_TRUE(mapping->Touch(PageRange{0, 4}, Access::kWrite).ok());
    ByteRange lines{range.first & ~uint64_t{63}, 0};
    while (range.count != 0 &&
           lines.first + lines.count < range.first + range.count) {
      lines.count += 64;
    }
    // Both sides have something of their own to say.
    for (uint64_t i = 0; i < bo->size_bytes(); ++i) {
      mapping->data()[i] = Rig::PatternByte(5, i);
    }
    rig_.DeviceFill(bo, 4);
    ASSERT_TRUE(CpuMapping::SyncBytes(*bo, range, kForDevice).ok());
    EXPECT_EQ(Wrong(bo->size_bytes(), 4, 5, lines, device), 0);
    EXPECT_EQ(Wrong(bo->size_bytes(), 5, 5, {}, cpu), 0);
    rig_.DeviceFill(bo, 6);
    ASSERT_TRUE(CpuMapping::SyncBytes(*bo, range, kForCpu).ok());
    EXPECT_EQ(Wrong(bo->size_bytes(), 5, 6, lines, cpu), 0);
    EXPECT_EQ(Wrong(bo->size_bytes(), 6, 6, {}, device), 0);
    // The pages are the CPU's as before.
    EXPECT_EQ(bo->binding().cpu_owned_pages, 4);
  }
  mapping.reset();
  EXPECT_EQ(rig_.Broken(), "");
}

TEST_P(NonCoherent, BytesOfAPageThatIsTheDevicesAreNobodyElsesToSync) {
  BoRef bo = MakeBound(4, 1);
  auto mapping = *CpuMapping::Create(bo);
  ASSERT_TRUE(mapping->Touch(PageRange{0, 2}, Access::kWrite).ok());
  for (const auto direction : {kForDevice, kForCpu}) {
    EXPECT_TRUE(CpuMapping::SyncBytes(*bo, {0, 2 * kPageSize}, direction).ok());
    const absl::Status status =
        CpuMapping::SyncBytes(*bo, {kPageSize, kPageSize + 1}, direction);
    EXPECT_EQ(KindOf(status), ErrorKind::kMisuse) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("page 2 is the device's"));
  }
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  mapping.reset();
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(All, NonCoherent,
                         testing::Values(DmaType::kNone, DmaType::kDynamic),
                         [](const auto& info) {
                           return std::string(NameOf(info.param));
                         });

// A ring that both work on, under a kernel mapping all the time.
TEST(NonCoherentRing, DescriptorsGoToAndFroWhileTheCpuKeepsThePage) {
  Rig rig(OptionsOf(MachineKind::kNonCoherent));
  BoRef bo = rig.Make(kPageSize);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kNone)).ok());
  auto ring = *KernelMapping::Create(bo);
  for (uint64_t slot = 0; slot < kPageSize / kCacheLineSize; ++slot) {
    const ByteRange line{slot * kCacheLineSize, kCacheLineSize};
    for (uint64_t i = 0; i < line.count; ++i) {
      ring->data()[line.first + i] = Rig::PatternByte(slot, i);
    }
    ASSERT_TRUE(CpuMapping::SyncBytes(*bo, line, kForDevice).ok());
    std::byte* device = rig.DevicePage(bo, 0, Access::kWrite);
    for (uint64_t i = 0; i < line.count; ++i) {
      ASSERT_EQ(device[line.first + i], Rig::PatternByte(slot, i));
      device[line.first + i] = Rig::PatternByte(slot + 1000, i);
    }
    ASSERT_TRUE(CpuMapping::SyncBytes(*bo, line, kForCpu).ok());
    for (uint64_t i = 0; i < line.count; ++i) {
      ASSERT_EQ(ring->data()[line.first + i], Rig::PatternByte(slot + 1000, i));
    }
  }
  ring.reset();
  EXPECT_EQ(rig.Broken(), "");
}

// What bounces is copied, to the byte; what is shared is in no need of it.
TEST(PartialSync, BouncedBytesAreCopiedToTheByteAndSharedOnesNotAtAll) {
  Rig rig(OptionsOf(MachineKind::kSwiotlb));
  BoRef bo = rig.Make(2 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  auto mapping = *CpuMapping::Create(bo);
  ASSERT_TRUE(mapping->Touch(PageRange{0, 2}, Access::kWrite).ok());
  for (uint64_t i = 0; i < bo->size_bytes(); ++i) {
    mapping->data()[i] = Rig::PatternByte(2, i);
  }
  const ByteRange range{4090, 17};
  const uint64_t bounced =
      rig.device().binder(DmaType::kDynamic)->stats().bounced_bytes;
  ASSERT_TRUE(CpuMapping::SyncBytes(*bo, range, kForDevice).ok());
  EXPECT_EQ(rig.device().binder(DmaType::kDynamic)->stats().bounced_bytes,
            bounced + 17);
  EXPECT_EQ(Wrong(bo->size_bytes(), 1, 2, range,
                  [&](uint64_t i) { return DeviceByte(rig, bo, i); }),
            0);
  mapping.reset();

  BoRef shared = rig.Make(kPageSize);
  rig.CpuFill(shared, 3);
  ASSERT_TRUE(rig.Validate(shared, Tt(DmaType::kCoherent)).ok());
  EXPECT_TRUE(CpuMapping::SyncBytes(*shared, {0, 9}, kForDevice).ok());
  EXPECT_TRUE(CpuMapping::SyncBytes(*shared, {0, 9}, kForCpu).ok());
  EXPECT_EQ(rig.DeviceWrongBytes(shared, 3), 0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
