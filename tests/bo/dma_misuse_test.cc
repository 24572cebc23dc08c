// Wrong calls of DMA, each caught once and by its name: those that the kernel's
// DMA debugging looks for. Most can only be made by the author of a DMA type.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/bo/dma_misuse_rig.h"

namespace twostep {
namespace {

using Kind = DmaMisuse::Kind;
using testing::HasSubstr;

TEST(DmaMisuse, ASoundTypeIsNotReported) {
  for (const MachineKind kind : kAllMachines) {
    SCOPED_TRACE(NameOf(kind));
    DmaMisuseOf with(Checked(kind));
    if (kind == MachineKind::kSwiotlb) continue;  // it bounces nothing
    BoRef bo = with.MakeBound();
    EXPECT_EQ(with.rig.DeviceWrongBytes(bo, 1), 0u);
    with.rig.DeviceFill(bo, 2);
    EXPECT_EQ(with.rig.CpuWrongBytes(bo, 2), 0u);
    with.rig.CpuFill(bo, 3);
    ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
    EXPECT_EQ(with.rig.DeviceWrongBytes(bo, 3), 0u);
    with.Unbind(bo);
    EXPECT_EQ(with.All(), "");
  }
}

// --- At unmap ---

TEST(DmaMisuse, UnmappingNoAddress) {
  DmaMisuseOf with(MachineKind::kIommu);
  BoRef bo = with.MakeBound();
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    binding.port->domain().Unmap(SpaceBlock{}, pages.count());
    with.binder->Unmap(pages.frames(), binding);
  };
  with.mapper = "faulty for";
  with.rig.misuses().clear();
  with.Unbind(bo);
  with.ExpectOne(Kind::kUnmapOfNoAddress, bo);
}

TEST(DmaMisuse, UnmappingTwice) {
  for (const MachineKind kind :
       {MachineKind::kIommu, MachineKind::kBareMetal}) {
    SCOPED_TRACE(NameOf(kind));
    DmaMisuseOf with(kind);
    BoRef bo = with.MakeBound();
    with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
      with.binder->Unmap(pages.frames(), binding);
      with.binder->Unmap(pages.frames(), binding);
    };
    with.mapper = "faulty for";
    with.Unbind(bo);
    with.ExpectOne(Kind::kUnmapOfUnmapped, bo);
    EXPECT_EQ(with.rig.machine().domain().used_iova_pages(), 0u);
    EXPECT_EQ(with.rig.machine().domain().direct_pages(), 0u);
  }
}

TEST(DmaMisuse, UnmappingLessThanWasMappedUnmapsAllOfIt) {
  DmaMisuseOf with(MachineKind::kIommu);
  BoRef bo = with.MakeBound();
  with.binder->unbind = [](Pages& pages, DmaBinding& binding) {
    binding.port->domain().Unmap(binding.iova, pages.count() - 1);
  };
  with.Unbind(bo);
  with.ExpectOne(Kind::kUnmapOfOtherSize, bo);
  EXPECT_EQ(with.rig.machine().domain().used_iova_pages(), 0u);
}

TEST(DmaMisuse, UnmappingAsIfItWereOfTheOtherKind) {
  {
    DmaMisuseOf with(MachineKind::kIommu);
    BoRef bo = with.MakeBound();
    with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
      binding.addressing = DmaBinding::Addressing::kFrames;
      with.binder->Unmap(pages.frames(), binding);
    };
    with.Unbind(bo);
    with.ExpectOne(Kind::kUnmapOfOtherKind, bo);
    EXPECT_EQ(with.rig.machine().domain().used_iova_pages(), 0u);
  }
  DmaMisuseOf with(MachineKind::kBareMetal);
  BoRef bo = with.MakeBound();
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    binding.addressing = DmaBinding::Addressing::kIova;
    with.binder->Unmap(pages.frames(), binding);
  };
  with.Unbind(bo);
  with.ExpectOne(Kind::kUnmapOfOtherKind, bo);
  EXPECT_EQ(with.rig.machine().domain().direct_pages(), 0u);
}

TEST(DmaMisuse, UnmappingWithOtherFramesBehindTheAddresses) {
  DmaMisuseOf with(MachineKind::kIommu);
  BoRef bo = with.MakeBound();
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    std::vector<FrameNumber> frames(pages.frames().begin(),
                                    pages.frames().end());
    std::swap(frames[2], frames[3]);
    with.binder->Unmap(frames, binding);
  };
  with.Unbind(bo);
  EXPECT_THAT(with.All(), HasSubstr("page 2 of 4"));
  with.ExpectOne(Kind::kUnmapOfOtherFrames, bo);
}

TEST(DmaMisuse, UnmappingFewerSegmentsOfATable) {
  DmaMisuseOf with(MachineKind::kBareMetal);
  BoRef bo = with.MakeBound();
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    with.binder->Unmap(pages.frames().first(3), binding);
  };
  with.Unbind(bo);
  with.ExpectOne(Kind::kUnmapOfOtherSegmentCount, bo);
  EXPECT_EQ(with.rig.machine().domain().direct_pages(), 0u);
}

TEST(DmaMisuse, UnmappingInAnotherDirection) {
  for (const MachineKind kind :
       {MachineKind::kIommu, MachineKind::kBareMetal}) {
    SCOPED_TRACE(NameOf(kind));
    DmaMisuseOf with(kind);
    BoRef bo = with.MakeBound();
    with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
      binding.direction = DmaDirection::kFromDevice;
      with.binder->Unmap(pages.frames(), binding);
    };
    with.Unbind(bo);
    with.ExpectOne(Kind::kUnmapInOtherDirection, bo);
  }
}

TEST(DmaMisuse, BindingThoughTheMappingWasRefused) {
  DmaMisuseOf with(MachineKind::kIommu);
  BoRef most = with.MakeBound(200);
  with.rig.Pin(most);
  bool mapped = true;
  with.binder->bind = [&](Pages& pages, DmaPort& port, DmaBinding* binding) {
    mapped = with.binder->MapFrames(pages.frames(), port, binding).ok();
    return BindOutcome{};
  };
  with.binder->unbind = [](Pages&, DmaBinding&) {};
  BoRef bo = with.rig.Make(PagesToBytes(100));
  ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
  ASSERT_FALSE(mapped);
  EXPECT_THAT(with.All(), HasSubstr("refused"));
  with.ExpectOne(Kind::kMapErrorUnchecked, bo);
  with.Unbind(bo);
  with.binder->unbind = nullptr;
  with.rig.Unpin(most);
  with.Unbind(most);
  EXPECT_EQ(with.All(), "");
}

// --- At sync ---

TEST(DmaMisuse, SyncingWhatIsNotMapped) {
  DmaMisuseOf with(MachineKind::kNonCoherent);
  Pages pages(4);
  DmaBinding unbound;
  with.binder->SyncBytes(pages, unbound, {0, 64}, kForCpu);
  ASSERT_EQ(with.rig.misuses().size(), 1u);
  EXPECT_EQ(with.rig.misuses()[0].dma, Kind::kSyncOfUnmapped);
  with.rig.misuses().clear();
  with.binder->SyncForDevice(pages, unbound, {0, 4});
  ASSERT_EQ(with.rig.misuses().size(), 1u);
  EXPECT_EQ(with.rig.misuses()[0].dma, Kind::kSyncOfUnmapped);
  with.rig.misuses().clear();
}

TEST(DmaMisuse, SyncingBeyondTheEnd) {
  DmaMisuseOf with(MachineKind::kNonCoherent);
  Tried tried(with, 4);
  with.binder->SyncBytes(tried.pages, tried.binding, {kPageSize, 4 * kPageSize},
                         kForCpu);
  EXPECT_THAT(with.All(), HasSubstr("bo 77"));
  with.ExpectOne(Kind::kSyncOutOfRange, nullptr);
  with.binder->SyncForCpu(tried.pages, tried.binding, {3, 2});
  with.ExpectOne(Kind::kSyncOutOfRange, nullptr);
}

TEST(DmaMisuse, SyncingInAnotherDirection) {
  DmaMisuseOf with(MachineKind::kNonCoherent);
  Tried tried(with, 4);
  tried.binding.direction = DmaDirection::kToDevice;
  with.binder->SyncBytes(tried.pages, tried.binding, tried.all(), kForDevice);
  with.ExpectOne(Kind::kSyncInOtherDirection, nullptr);
  tried.binding.direction = DmaDirection::kBoth;
}

TEST(DmaMisuse, SyncingForTheCpuWhatTheDeviceOnlyReads) {
  DmaMisuseOf with(MachineKind::kNonCoherent);
  with.binder->direction = DmaDirection::kToDevice;
  Tried tried(with, 4);
  with.binder->SyncBytes(tried.pages, tried.binding, tried.all(), kForDevice);
  EXPECT_EQ(with.All(), "");
  with.binder->SyncBytes(tried.pages, tried.binding, tried.all(), kForCpu);
  with.ExpectOne(Kind::kSyncForCpuOfReadOnly, nullptr);
}

TEST(DmaMisuse, SyncingForTheDeviceWhatItOnlyWrites) {
  DmaMisuseOf with(MachineKind::kNonCoherent);
  with.binder->direction = DmaDirection::kFromDevice;
  Tried tried(with, 4);
  with.binder->SyncBytes(tried.pages, tried.binding, tried.all(), kForCpu);
  EXPECT_EQ(with.All(), "");
  with.binder->SyncBytes(tried.pages, tried.binding, tried.all(), kForDevice);
  with.ExpectOne(Kind::kSyncForDeviceOfWriteOnly, nullptr);
}

TEST(DmaMisuse, SyncingATableOfOtherLength) {
  DmaMisuseOf with(MachineKind::kIommu);
  Tried tried(with, 4);
  Pages fewer(3);
  ASSERT_EQ(fewer.Populate(with.rig.machine().memory(), kNoFrame - 1,
                           PhysicalMemory::Zero::kYes),
            Shortage::Kind::kNone);
  with.binder->SyncForCpu(fewer, tried.binding, {0, 3});
  with.ExpectOne(Kind::kSyncOfOtherSegmentCount, nullptr);
  fewer.Release(with.rig.machine().memory(), with.rig.machine().swap());
}

// --- At map ---

TEST(DmaMisuse, MappingWhatIsNoMemory) {
  DmaMisuseOf with(MachineKind::kIommu);
  std::vector<FrameNumber> frames;
  with.binder->bind = [&](Pages& pages, DmaPort& port, DmaBinding* binding) {
    frames.assign(pages.frames().begin(), pages.frames().end());
    // The hole between the zones.
    frames[1] = static_cast<FrameNumber>(
        with.rig.machine().memory().frames(Zone::kDma32));
    return with.binder->MapFrames(frames, port, binding);
  };
  with.binder->unbind = [&](Pages&, DmaBinding& binding) {
    with.binder->Unmap(frames, binding);
  };
  BoRef bo = with.rig.Make(4 * kPageSize);
  ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
  EXPECT_THAT(with.All(), HasSubstr("page 1 is at"));
  with.ExpectOne(Kind::kMapOfNoFrame, bo);
  with.Unbind(bo);
  EXPECT_EQ(with.All(), "");
}

// A type that maps wherever there is room, whatever the device asks of it.
class DmaMisuseOfLimits : public DmaMisuseOf {
 public:
  explicit DmaMisuseOfLimits(const SegmentLimits& limits)
      : DmaMisuseOf([&] {
          RigOptions options = Checked(MachineKind::kIommu);
          options.gpu.segments = limits;
          return options;
        }()) {
    BoRef first = rig.Make(kPageSize);
    EXPECT_TRUE(rig.Validate(first, Tt(type)).ok());
    rig.Pin(first);
    filler_ = first;
    binder->bind = [](Pages& pages, DmaPort& port, DmaBinding* binding) {
      binding->addressing = DmaBinding::Addressing::kIova;
      return BindOutcome::OfMapping(port.domain().Map(
          pages.frames(), IovaLimits{port.highest()}, &binding->iova));
    };
  }
  ~DmaMisuseOfLimits() { rig.Unpin(filler_); }

 private:
  BoRef filler_;
};

TEST(DmaMisuse, MappingInLongerSegmentsThanTheDeviceTakes) {
  DmaMisuseOfLimits with({.max_bytes = 16 * kKiB, .max_segments = 1});
  with.binder->bind = [&](Pages& pages, DmaPort& port, DmaBinding* binding) {
    binding->addressing = DmaBinding::Addressing::kIova;
    const Shortage::Kind kind = port.domain().Map(
        pages.frames(), IovaLimits{port.highest()}, &binding->iova);
    EXPECT_EQ(kind, Shortage::Kind::kNone);
    return BindOutcome{};
  };
  BoRef bo = with.rig.Make(8 * kPageSize);
  ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
  with.ExpectOne(Kind::kMapOfTooLongSegment, bo);
}

TEST(DmaMisuse, MappingAcrossABoundary) {
  DmaMisuseOfLimits with({.boundary = 64 * kKiB, .max_segments = 1});
  with.binder->bind = [&](Pages& pages, DmaPort& port, DmaBinding* binding) {
    binding->addressing = DmaBinding::Addressing::kIova;
    const Shortage::Kind kind = port.domain().Map(
        pages.frames(), IovaLimits{port.highest()}, &binding->iova);
    EXPECT_EQ(kind, Shortage::Kind::kNone);
    EXPECT_NE(binding->iova.start % 16, 0u);
    return BindOutcome{};
  };
  BoRef bo = with.rig.Make(16 * kPageSize);
  ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
  with.ExpectOne(Kind::kMapAcrossBoundary, bo);
}

TEST(DmaMisuse, MappingABlockThatIsNotAligned) {
  DmaMisuseOfLimits with({.alignment = 64 * kKiB});
  with.binder->bind = [&](Pages& pages, DmaPort& port, DmaBinding* binding) {
    binding->addressing = DmaBinding::Addressing::kIova;
    const Shortage::Kind kind = port.domain().Map(
        pages.frames(), IovaLimits{port.highest()}, &binding->iova);
    EXPECT_EQ(kind, Shortage::Kind::kNone);
    EXPECT_NE(binding->iova.start % 16, 0u);
    return BindOutcome{};
  };
  BoRef bo = with.rig.Make(16 * kPageSize);
  ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
  with.ExpectOne(Kind::kMapOfMisalignedBlock, bo);
}

// Every further bo is bound to the frames of the first one.
void MapTheFirstBosFrames(DmaMisuseOf& with) {
  auto first = std::make_shared<std::vector<FrameNumber>>();
  with.binder->bind = [&with, first](Pages& pages, DmaPort& port,
                                     DmaBinding* binding) {
    if (first->empty()) {
      first->assign(pages.frames().begin(), pages.frames().end());
    }
    binding->direction = with.binder->direction;
    return with.binder->MapFrames(*first, port, binding);
  };
  with.binder->unbind = [&with, first](Pages&, DmaBinding& binding) {
    with.binder->Unmap(*first, binding);
  };
}

TEST(DmaMisuse, MappingAFrameThatIsMappedAlready) {
  DmaMisuseOf with(MachineKind::kIommu);
  MapTheFirstBosFrames(with);
  BoRef first = with.MakeBound();
  EXPECT_EQ(with.All(), "");
  BoRef second = with.rig.Make(4 * kPageSize);
  ASSERT_TRUE(with.rig.Validate(second, Tt(with.type)).ok());
  EXPECT_THAT(with.All(),
              HasSubstr(absl::StrCat("faulty for bo ", second->id(),
                                     " of gpu0 maps once more frame")));
  with.ExpectOne(Kind::kMapOverlaps, first);
  with.Unbind(second);
  with.Unbind(first);
  EXPECT_EQ(with.All(), "");
}

// Where there is but one address for a frame it is not mapped again, and the
// first mapping stands.
TEST(DmaMisuse, MappingAFrameTwiceAtItsOwnAddress) {
  DmaMisuseOf with(MachineKind::kBareMetal);
  MapTheFirstBosFrames(with);
  BoRef first = with.MakeBound();
  BoRef second = with.rig.Make(4 * kPageSize);
  const FrameNumber firsts = first->pages().frames()[0];
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    if (pages.frames()[0] == firsts) {
      with.binder->Unmap(pages.frames(), binding);
    }
  };
  ASSERT_TRUE(with.rig.Validate(second, Tt(with.type)).ok());
  with.ExpectOne(Kind::kMapOverlaps, first);
  EXPECT_EQ(with.rig.DeviceWrongBytes(first, 1), 0u);
  with.Unbind(second);
  with.Unbind(first);
  EXPECT_EQ(with.All(), "");
}

TEST(DmaMisuse, MappingAFrameForReadingIsWrongTheEighthTime) {
  DmaMisuseOf with(MachineKind::kIommu);
  with.binder->direction = DmaDirection::kToDevice;
  MapTheFirstBosFrames(with);
  std::vector<BoRef> bos = {with.MakeBound()};
  for (int i = 1; i < 7; ++i) {
    bos.push_back(with.rig.Make(4 * kPageSize));
    ASSERT_TRUE(with.rig.Validate(bos.back(), Tt(with.type)).ok());
  }
  EXPECT_EQ(with.All(), "");
  bos.push_back(with.rig.Make(4 * kPageSize));
  ASSERT_TRUE(with.rig.Validate(bos.back(), Tt(with.type)).ok());
  with.ExpectOne(Kind::kMapOverlapsTooOften, bos[0]);
}

// --- Of what is mapped in pieces ---

// Pages 0 to 4 by themselves, and pages 5 to 7.
class DmaMisuseInPieces : public DmaMisuseOf {
 public:
  static constexpr PageCount kPages = 8;
  static constexpr PageCount kFirst = 5;

  DmaMisuseInPieces() : DmaMisuseOf(MachineKind::kBareMetal) {
    binder->bind = [this](Pages& pages, DmaPort& port, DmaBinding* binding) {
      binding->direction = binder->direction;
      EXPECT_TRUE(
          binder->MapFrames(pages.frames().first(kFirst), port, binding).ok());
      return binder->MapFrames(pages.frames().subspan(kFirst), port, binding);
    };
    binder->unbind = [this](Pages& pages, DmaBinding& binding) {
      binder->Unmap(pages.frames().first(kFirst), binding);
      binder->Unmap(pages.frames().subspan(kFirst), binding);
    };
  }
  // One has been reported of that page of the bo, and of that one of a piece.
  void ExpectOneAt(Kind kind, const BoRef& bo, PageCount page,
                   const char* piece) {
    ASSERT_EQ(rig.misuses().size(), 1u) << All();
    EXPECT_THAT(All(), HasSubstr(absl::StrCat("page ", page, ", which is page ",
                                              piece, " of the binding")));
    ExpectOne(kind, bo);
  }
};

TEST(DmaMisuse, InPiecesIsNotReported) {
  DmaMisuseInPieces with;
  BoRef bo = with.MakeBound(with.kPages);
  EXPECT_EQ(with.rig.DeviceWrongBytes(bo, 1), 0u);
  with.Unbind(bo);
  EXPECT_EQ(with.All(), "");
}

TEST(DmaMisuse, InPiecesAReportOfAnUnmapNamesPageAndPiece) {
  DmaMisuseInPieces with;
  BoRef bo = with.MakeBound(with.kPages);
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    with.binder->Unmap(pages.frames().first(with.kFirst), binding);
    std::vector<FrameNumber> frames(pages.frames().begin() + with.kFirst,
                                    pages.frames().end());
    std::swap(frames[1], frames[2]);
    with.binder->Unmap(frames, binding);
  };
  with.Unbind(bo);
  with.ExpectOneAt(Kind::kUnmapOfOtherFrames, bo, 6, "1 of 3 of piece 2");
}

TEST(DmaMisuse, InPiecesAReportOfAnAccessNamesPageAndPiece) {
  for (const PageCount page : {3, 7}) {
    DmaMisuseInPieces with;
    BoRef bo = with.MakeBound(with.kPages);
    auto mapping = *CpuMapping::Create(bo);
    ASSERT_TRUE(mapping->Touch(PageRange{page, 1}, Access::kWrite).ok());
    with.rig.device().port().Resolve(bo->binding().Address(bo->pages(), page),
                                     Access::kRead);
    EXPECT_EQ(with.rig.misuses().size(), 1u);
    with.ExpectOneAt(Kind::kDeviceTouchedCpusPage, bo, page,
                     page == 3 ? "3 of 5 of piece 1" : "2 of 3 of piece 2");
    mapping.reset();
    ASSERT_TRUE(with.rig.Validate(bo, Tt(with.type)).ok());
  }
}

TEST(DmaMisuse, InPiecesAReportAfterTheUnbindNamesPageAndPiece) {
  DmaMisuseInPieces with;
  BoRef bo = with.MakeBound(with.kPages);
  const DmaAddress address = bo->binding().Address(bo->pages(), 6);
  with.Unbind(bo);
  EXPECT_EQ(with.rig.device().port().Resolve(address, Access::kRead), nullptr);
  with.ExpectOneAt(Kind::kUseAfterUnmap, bo, 6, "1 of 3 of piece 2");
}

TEST(DmaMisuse, InPiecesAReportOfAMappingNamesPageAndPiece) {
  DmaMisuseInPieces with;
  BoRef bo = with.MakeBound(with.kPages);
  const std::vector<FrameNumber> firsts(bo->pages().frames().begin(),
                                        bo->pages().frames().end());
  // The second one's last piece begins with a frame of the first one's last.
  with.binder->bind = [&](Pages& pages, DmaPort& port, DmaBinding* binding) {
    const std::vector<FrameNumber> again = {firsts[6]};
    EXPECT_TRUE(
        with.binder->MapFrames(pages.frames().first(with.kFirst), port, binding)
            .ok());
    return with.binder->MapFrames(again, port, binding);
  };
  BoRef second = with.rig.Make(PagesToBytes(with.kPages));
  ASSERT_TRUE(with.rig.Validate(second, Tt(with.type)).ok());
  EXPECT_THAT(with.All(), HasSubstr("page 5 of its own"));
  EXPECT_THAT(with.All(), HasSubstr("page 6, which is page 1 of 3 of piece 2"));
  with.rig.misuses().clear();
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    with.binder->Unmap(pages.frames().first(with.kFirst), binding);
  };
  with.Unbind(second);
  with.rig.misuses().clear();
  with.binder->unbind = [&](Pages& pages, DmaBinding& binding) {
    with.binder->Unmap(pages.frames().first(with.kFirst), binding);
    with.binder->Unmap(pages.frames().subspan(with.kFirst), binding);
  };
  with.Unbind(bo);
  EXPECT_EQ(with.All(), "");
}

// --- In life ---

TEST(DmaMisuse, LeavingMappingsWhenTheDeviceGoes) {
  DmaMisuseOf with(MachineKind::kIommu);
  auto port = std::make_unique<DmaPort>(with.rig.machine().domain(),
                                        with.rig.machine().memory(), 64, true,
                                        SegmentLimits{}, "gpu0.second");
  FrameNumber frame;
  PhysicalMemory& memory = with.rig.machine().memory();
  ASSERT_EQ(
      memory.Allocate({&frame, 1}, kNoFrame - 1, PhysicalMemory::Zero::kYes),
      Shortage::Kind::kNone);
  SpaceBlock iova;
  {
    const DmaDebug::Scope scope(with.rig.machine().dma_debug(),
                                {.port = port.get(), .name = "faulty"});
    ASSERT_EQ(port->domain().Map({&frame, 1}, {}, &iova),
              Shortage::Kind::kNone);
  }
  EXPECT_EQ(with.All(), "");
  port.reset();
  EXPECT_THAT(with.All(), HasSubstr("gpu0.second goes and leaves 1 mappings"));
  with.ExpectOne(Kind::kLeftAtTeardown, nullptr);
  with.rig.machine().domain().Unmap(iova, 1);
  memory.Free({&frame, 1});
  EXPECT_EQ(with.All(), "");
}

TEST(DmaMisuse, LeavingAMappingBehindAtEachUnbindIsToldOnce) {
  DmaMisuseOf with(MachineKind::kIommu);
  with.binder->unbind = [](Pages&, DmaBinding&) {};
  BoRef bo = with.MakeBound();
  BoRef other = with.MakeBound();
  with.Unbind(bo);
  with.ExpectOne(Kind::kLeftByUnbind, bo);
  with.Unbind(other);
  EXPECT_EQ(with.All(), "");
  // Nor is the device blamed for it once more.
  with.rig.DestroyDevice();
  EXPECT_EQ(with.All(), "");
}

TEST(DmaMisuse, LeavingAMappingBehindABindThatFails) {
  DmaMisuseOf with(MachineKind::kIommu);
  BoRef bo = with.rig.Make(4 * kPageSize);
  with.binder->bind = [&](Pages& pages, DmaPort& port, DmaBinding* binding) {
    EXPECT_TRUE(with.binder->MapFrames(pages.frames(), port, binding).ok());
    return BindOutcome{BindOutcome::Scarce::kRefused,
                       Shortage::Kind::kNeverFits, "no"};
  };
  EXPECT_FALSE(with.rig.Validate(bo, Tt(with.type)).ok());
  EXPECT_THAT(with.All(), HasSubstr("a bind to faulty that fails"));
  with.ExpectOne(Kind::kLeftByUnbind, bo);
}

// --- The checks themselves ---

TEST(DmaMisuse, NothingIsLookedForWhereItIsOff) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.options.check_dma = CheckDma::kOff;
  DmaMisuseOf with(options);
  EXPECT_EQ(with.rig.machine().dma_debug(), nullptr);
  BoRef bo = with.rig.Make(4 * kPageSize);
  ASSERT_TRUE(with.rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  const DmaAddress address = bo->binding().Address(bo->pages(), 0);
  with.Unbind(bo);
  EXPECT_EQ(with.rig.device().port().Resolve(address, Access::kRead), nullptr);
  EXPECT_EQ(with.All(), "");
}

TEST(DmaMisuse, DebugBuildsLookForItUnlessTold) {
  const auto machine = *Machine::Create(MachineConfig{}, MachineOptions{});
  const auto off =
      *Machine::Create(MachineConfig{}, {.check_dma = CheckDma::kOff});
  const auto on =
      *Machine::Create(MachineConfig{}, {.check_dma = CheckDma::kOn});
  EXPECT_EQ(off->dma_debug(), nullptr);
  EXPECT_NE(on->dma_debug(), nullptr);
#if defined(NDEBUG) || defined(TWOSTEP_FIBERS)
  EXPECT_EQ(machine->dma_debug(), nullptr);
#else
  EXPECT_NE(machine->dma_debug(), nullptr);
#endif
}

TEST(DmaMisuse, AMachineWithoutAHostTellsItsOwnHandlerOrStops) {
  std::vector<DmaMisuse> told;
  const auto use_after_unmap = [](Machine& machine) {
    FrameNumber frame;
    ASSERT_EQ(machine.memory().Allocate({&frame, 1}, kNoFrame - 1,
                                        PhysicalMemory::Zero::kYes),
              Shortage::Kind::kNone);
    machine.domain().MapDirect({&frame, 1});
    machine.domain().UnmapDirect({&frame, 1});
    machine.domain().UnmapDirect({&frame, 1});
    machine.memory().Free({&frame, 1});
  };
  {
    const auto machine = *Machine::Create(
        MachineConfig{}, {.check_dma = CheckDma::kOn,
                          .dma_misuse_handler = [&](const DmaMisuse& misuse) {
                            told.push_back(misuse);
                          }});
    use_after_unmap(*machine);
  }
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].kind, Kind::kUnmapOfUnmapped);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const auto machine =
            *Machine::Create(MachineConfig{}, {.check_dma = CheckDma::kOn});
        use_after_unmap(*machine);
      },
      "DMA misuse: unmap-of-unmapped: somebody unmaps 1 frames");
}

}  // namespace
}  // namespace twostep
