// S23, R8: a bound bo as a compact scatter/gather table, within what its device
// takes, for each DMA type; every byte is read through the table.

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"
#include "twostep/bo/shared_buffer.h"

namespace twostep {
namespace {

using testing::HasSubstr;

std::vector<DmaSegment> SegmentsOf(const BoRef& bo) {
  return bo->binding().Segments(bo->pages());
}

// Reads the bo as the device would: segment by segment.
uint64_t WrongBytesByTable(Rig& rig, const BoRef& bo, uint64_t seed) {
  uint64_t at = 0;
  uint64_t wrong = 0;
  for (const DmaSegment& segment : SegmentsOf(bo)) {
    for (uint64_t page = 0; page < segment.bytes; page += kPageSize) {
      const std::byte* bytes =
          rig.device().port().Resolve(segment.address + page, Access::kRead);
      for (uint64_t i = 0; i < kPageSize; ++i, ++at) {
        wrong += bytes == nullptr || bytes[i] != Rig::PatternByte(seed, at);
      }
    }
  }
  return wrong + (bo->size_bytes() - std::min(at, bo->size_bytes()));
}

void ExpectWithin(const BoRef& bo, const SegmentLimits& limits) {
  const std::vector<DmaSegment> segments = SegmentsOf(bo);
  EXPECT_LE(segments.size(), limits.max_segments);
  for (const DmaSegment& segment : segments) {
    EXPECT_LE(segment.bytes, limits.max_bytes);
    EXPECT_TRUE(limits.boundary == 0 ||
                segment.address / limits.boundary ==
                    (segment.address + segment.bytes - 1) / limits.boundary);
  }
}

class Segments
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {
 protected:
  static MachineKind machine() { return std::get<0>(GetParam()); }
  static DmaType type() { return std::get<1>(GetParam()); }
  static bool OneIova() {
    return machine() == MachineKind::kIommu && type() != DmaType::kNone;
  }
};

TEST_P(Segments, NeighboursOnTheBusCoalesce) {
  Rig rig(OptionsOf(machine()));
  BoRef first = rig.Make(16 * kPageSize);
  rig.CpuFill(first, 1);
  ASSERT_TRUE(rig.Validate(first, Tt(type())).ok());
  // Nothing was used before: its frames are in a row, wherever they are.
  EXPECT_EQ(SegmentsOf(first).size(), 1);
  EXPECT_EQ(WrongBytesByTable(rig, first, 1), 0);
  // Frames that come back one by one are scattered.
  std::vector<BoRef> holes;
  for (int i = 0; i < 16; ++i) {
    holes.push_back(rig.Make(kPageSize));
    rig.CpuFill(holes.back(), i);
  }
  for (int i = 0; i < 16; i += 2) holes[i].reset();
  BoRef second = rig.Make(12 * kPageSize);
  rig.CpuFill(second, 2);
  ASSERT_TRUE(rig.Validate(second, Tt(type())).ok());
  const std::vector<DmaSegment> segments = SegmentsOf(second);
  EXPECT_TRUE(!OneIova() || segments.size() == 1);
  for (size_t i = 1; i < segments.size(); ++i) {
    EXPECT_NE(segments[i - 1].address + segments[i - 1].bytes,
              segments[i].address);
  }
  EXPECT_EQ(WrongBytesByTable(rig, second, 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// R8
TEST_P(Segments, KeepToTheDevicesSizeAndBoundary) {
  const SegmentLimits kLimits[] = {
      {.max_bytes = kPageSize},
      {.max_bytes = 5 * kPageSize + 1},
      {.boundary = 8 * kPageSize},
      {.max_bytes = 6 * kPageSize, .boundary = 8 * kPageSize}};
  for (const SegmentLimits& limits : kLimits) {
    RigOptions options = OptionsOf(machine());
    options.gpu.segments = limits;
    Rig rig(options);
    for (int i = 0; i < 8; ++i) {
      BoRef bo = rig.Make((3 + 5 * i) * kPageSize);
      rig.CpuFill(bo, i);
      ASSERT_TRUE(rig.Validate(bo, Tt(type())).ok());
      ExpectWithin(bo, limits);
      EXPECT_EQ(WrongBytesByTable(rig, bo, i), 0);
      EXPECT_EQ(rig.Broken(), "");
    }
  }
}

// A device that takes one segment: it gets one, or is told why not, and then
// the bo is as it was.
TEST_P(Segments, OneSegmentIsHadOrRefused) {
  RigOptions options = OptionsOf(machine());
  options.gpu.segments.max_segments = 1;
  Rig rig(options);
  std::vector<BoRef> holes;
  for (int i = 0; i < 40; ++i) {
    holes.push_back(rig.Make(kPageSize));
    rig.CpuFill(holes.back(), i);
    ASSERT_TRUE(rig.Validate(holes.back(), Tt(type())).ok());
  }
  for (int i = 0; i < 40; i += 2) {
    ASSERT_TRUE(rig.Validate(holes[i], kSystem).ok());
    holes[i].reset();
  }
  int served = 0;
  for (int i = 0; i < 10; ++i) {
    BoRef bo = rig.Make(8 * kPageSize);
    rig.CpuFill(bo, i);
    const std::string before = WhereIs(bo);
    const Accounts accounts = AccountsOf(rig);
    const absl::Status status = rig.Validate(bo, Tt(type()));
    if (status.ok()) {
      ++served;
      ExpectWithin(bo, options.gpu.segments);
      EXPECT_EQ(WrongBytesByTable(rig, bo, i), 0);
    } else {
      EXPECT_EQ(type(), DmaType::kNone) << status;
      EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr("in more segments than the device takes"));
      EXPECT_EQ(WhereIs(bo), before);
      EXPECT_EQ(AccountsOf(rig), accounts);
      EXPECT_EQ(rig.CpuWrongBytes(bo, i), 0);
    }
    EXPECT_EQ(rig.Broken(), "");
  }
  EXPECT_EQ(served == 10, type() != DmaType::kNone);
}

INSTANTIATE_TEST_SUITE_P(All, Segments,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

// IOVAs begin where the fewest segments come of it.
TEST(IovaSegments, ABoundaryCostsNoSegmentThatItNeedNot) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.gpu.segments = {.boundary = 16 * kPageSize, .max_segments = 2};
  Rig rig(options);
  for (int i = 0; i < 5; ++i) {
    BoRef crooked = rig.Make((1 + 2 * i) * kPageSize);
    rig.CpuFill(crooked, i);
    ASSERT_TRUE(rig.Validate(crooked, Tt(DmaType::kDynamic)).ok());
    BoRef bo = rig.Make(32 * kPageSize);
    rig.CpuFill(bo, i);
    ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    ExpectWithin(bo, options.gpu.segments);
    EXPECT_EQ(WrongBytesByTable(rig, bo, i), 0);
  }
  BoRef large = rig.Make(33 * kPageSize);
  const absl::Status status = rig.Validate(large, Tt(DmaType::kDynamic));
  EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
  EXPECT_EQ(rig.Broken(), "");
}

TEST(IovaSegments, WholeBlocksAreAligned) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.gpu.segments.alignment = 16 * kPageSize;
  Rig rig(options);
  for (const DmaType type :
       {DmaType::kDynamic, DmaType::kCoherent, DmaType::kCma}) {
    for (const PageCount pages : {1, 15, 16, 17, 33}) {
      BoRef bo = rig.Make(pages * kPageSize);
      rig.CpuFill(bo, pages);
      ASSERT_TRUE(rig.Validate(bo, Tt(type)).ok());
      if (pages >= 16) {
        EXPECT_EQ(SegmentsOf(bo)[0].address % (16 * kPageSize), 0);
      }
      EXPECT_EQ(WrongBytesByTable(rig, bo, pages), 0);
    }
  }
  EXPECT_EQ(rig.Broken(), "");
}

// Coherent memory that is in pieces: those in the way leave by copying.
TEST(CoherentSegments, NeighboursAreHadByEvicting) {
  RigOptions options = OptionsOf(MachineKind::kBareMetal);
  options.gpu.segments.max_segments = 1;
  Rig rig(options);
  const std::vector<BoRef> small = rig.MakePages(256, Tt(DmaType::kCoherent));
  for (int i = 0; i < 256; i += 2) {
    ASSERT_TRUE(rig.Validate(small[i], kSystem).ok());
  }
  BoRef large = rig.Make(64 * kPageSize);
  rig.CpuFill(large, 1000);
  ASSERT_TRUE(rig.Validate(large, Tt(DmaType::kCoherent)).ok());
  EXPECT_EQ(SegmentsOf(large).size(), 1);
  EXPECT_EQ(WrongBytesByTable(rig, large, 1000), 0);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(rig.CpuWrongBytes(small[i], i), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// Devices that share are served within the narrowest of their limits.
TEST(SharedSegments, AnImportersLimitsHoldForIt) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  Rig rig(options);
  GpuConfig config;
  config.name = "nic";
  config.vram_bytes = config.aperture_bytes = 0;
  config.segments = {.max_bytes = 4 * kPageSize, .max_segments = 4};
  auto nic = *Device::Create(rig.host(), config);
  BoRef bo = rig.Make(16 * kPageSize);
  rig.CpuFill(bo, 1);
  auto shared = SharedBuffer::Export(bo, rig.device());
  ASSERT_TRUE(shared.ok());
  auto at_nic = *shared->Attach(*nic, {});
  ValidateContext context;
  bo->Reserve();
  EXPECT_TRUE(at_nic->Map(&context).ok());
  EXPECT_EQ(at_nic->Segments().size(), 4);
  bo->Unreserve();
  EXPECT_EQ(rig.Broken(), "");
  at_nic.reset();
  // One that takes too few of them is refused by name.
  BoRef large = rig.Make(17 * kPageSize);
  auto larger = SharedBuffer::Export(large, rig.device());
  auto attached = *larger->Attach(*nic, {});
  large->Reserve();
  const absl::Status refused = attached->Map(&context);
  large->Unreserve();
  EXPECT_EQ(KindOf(refused), ErrorKind::kNeverFits) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("nic takes at most 4 segments of at most 16 KiB"));
  attached.reset();
}

}  // namespace
}  // namespace twostep
