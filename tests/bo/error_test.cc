#include "twostep/bo/error.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Obstacle Full() {
  Obstacle obstacle;
  obstacle.place = "dynamic + tt";
  obstacle.what = "tt";
  obstacle.shortage = {Shortage::Kind::kFull, 2, 1};
  obstacle.wanted_pages = 4;
  return obstacle;
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST(Error, AStatusKnowsItsKind) {
  for (const auto& [kind, code] :
       {std::pair{ErrorKind::kCannotFit, absl::StatusCode::kResourceExhausted},
        {ErrorKind::kNeverFits, absl::StatusCode::kOutOfRange},
        {ErrorKind::kBusy, absl::StatusCode::kUnavailable},
        {ErrorKind::kWrongPlace, absl::StatusCode::kInvalidArgument},
        {ErrorKind::kPinned, absl::StatusCode::kFailedPrecondition},
        {ErrorKind::kMisuse, absl::StatusCode::kFailedPrecondition}}) {
    const absl::Status status = MakeError(kind, "words");
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(KindOf(status), kind);
    EXPECT_EQ(status.message(), "words");
  }
  EXPECT_EQ(KindOf(absl::OkStatus()), ErrorKind::kNone);
  EXPECT_EQ(KindOf(absl::ResourceExhaustedError("another's")),
            ErrorKind::kNone);
}

TEST(Error, FullSaysWhatIsWantedFreeAndPinned) {
  Obstacle obstacle = Full();
  EXPECT_EQ(Message(NoPlacement("bo 7 (16 KiB)", {obstacle}, "")),
            "bo 7 (16 KiB) fits nowhere; dynamic + tt: tt is full (16 KiB "
            "wanted, 8 KiB free)");
  obstacle.pinned_pages = 3;
  obstacle.held_pages = 5;
  obstacle.detail = "and more";
  EXPECT_EQ(Message(NoPlacement("bo 7 (16 KiB)", {obstacle}, "")),
            "bo 7 (16 KiB) fits nowhere; dynamic + tt: tt is full (16 KiB "
            "wanted, 8 KiB free), 12 KiB pinned, 20 KiB reserved or waiting "
            "for a fence, and more");
}

TEST(Error, FragmentedIsNotFull) {
  Obstacle obstacle = Full();
  obstacle.shortage = {Shortage::Kind::kFragmented, 6, 3};
  EXPECT_EQ(Message(NoPlacement("bo 7 (16 KiB)", {obstacle}, "")),
            "bo 7 (16 KiB) fits nowhere; dynamic + tt: tt is fragmented (16 "
            "KiB wanted, 24 KiB free, largest hole 12 KiB)");
}

TEST(Error, NeverFitsOnlyWhereNoPlacementEverCould) {
  Obstacle never = Full();
  never.shortage.kind = Shortage::Kind::kNeverFits;
  const absl::Status all = NoPlacement("bo 7", {never, never}, "");
  EXPECT_EQ(KindOf(all), ErrorKind::kNeverFits);
  EXPECT_THAT(Message(all), HasSubstr("tt can never hold 16 KiB"));
  EXPECT_EQ(KindOf(NoPlacement("bo 7", {never, Full()}, "")),
            ErrorKind::kCannotFit);
}

TEST(Error, OutOfUseIsNotFull) {
  Obstacle obstacle = Full();
  obstacle.shortage.kind = Shortage::Kind::kNotInUse;
  const absl::Status status = NoPlacement("bo 7", {obstacle}, "");
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  EXPECT_THAT(Message(status), HasSubstr("tt is out of use"));
  EXPECT_THAT(Message(status), Not(HasSubstr("full")));
}

TEST(Error, BusySaysForWhatWaitingWasForbidden) {
  const absl::Status status = NoPlacement("bo 7", {Full()}, "fence gpu:12");
  EXPECT_EQ(KindOf(status), ErrorKind::kBusy);
  EXPECT_THAT(Message(status),
              HasSubstr("waiting was forbidden: fence gpu:12"));
}

TEST(Error, OneClauseAnObstacle) {
  Obstacle second = Full();
  second.place = second.what = "vram";
  EXPECT_EQ(Message(NoPlacement("bo 7", {Full(), second}, "")),
            "bo 7 fits nowhere; dynamic + tt: tt is full (16 KiB wanted, 8 KiB "
            "free); vram: vram is full (16 KiB wanted, 8 KiB free)");
}

// The same, of real shortages.

TEST(ValidateError, FragmentedNamesTheLargestHoleAndThePins) {
  Rig rig;
  std::vector<BoRef> bos;
  for (int i = 0; i < 4; ++i) {
    bos.push_back(rig.Make(256 * kKiB));
    ASSERT_EQ(rig.Validate(bos.back(), kVram), absl::OkStatus());
  }
  rig.Pin(bos[1]);
  rig.Pin(bos[3]);
  BoRef bo = rig.Make(512 * kKiB);
  const absl::Status status = rig.Validate(bo, kVram);
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit);
  bos[0].reset();
  bos[2].reset();
  EXPECT_THAT(Message(rig.Validate(bo, kVram)),
              HasSubstr("vram is fragmented (512 KiB wanted, 512 KiB free, "
                        "largest hole 256 KiB), 512 KiB pinned"));
}

TEST(ValidateError, EachPlacementHasItsOwnReason) {
  Rig rig;
  BoRef pinned = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(pinned, kVram), absl::OkStatus());
  rig.Pin(pinned);
  BoRef bo = rig.Make(2 * kMiB);
  const absl::Status never = rig.Validate(bo, {kVram, Tt(DmaType::kCma)});
  EXPECT_EQ(KindOf(never), ErrorKind::kNeverFits);
  EXPECT_THAT(Message(never), HasSubstr("vram can never hold 2048 KiB"));
  EXPECT_THAT(Message(never),
              HasSubstr("cma + tt: cma memory can never hold 2048 KiB"));
  BoRef small = rig.Make(kPageSize);
  BoRef coherent = rig.Make(kMiB);
  ASSERT_EQ(rig.Validate(coherent, Tt(DmaType::kCoherent)), absl::OkStatus());
  rig.Pin(coherent);
  const absl::Status full =
      rig.Validate(small, {kVram, Tt(DmaType::kCoherent)});
  EXPECT_EQ(KindOf(full), ErrorKind::kCannotFit);
  EXPECT_THAT(Message(full), HasSubstr("; vram: vram is full (4 KiB wanted, 0 "
                                       "KiB free), 1024 KiB pinned"));
  EXPECT_THAT(Message(full),
              HasSubstr("; coherent + tt: coherent memory is full (4 KiB "
                        "wanted, 0 KiB free), 1024 KiB pinned"));
}

TEST(ValidateError, AMachineWithoutThatMemoryIsNotOutOfReach) {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.machine.swiotlb.bytes = 0;
  options.machine.coherent_bytes = 0;
  options.machine.cma_bytes = 0;
  Rig rig(options);
  BoRef bo = rig.Make(kPageSize);
  for (const DmaType dma : {DmaType::kCoherent, DmaType::kCma}) {
    const absl::Status status = rig.Validate(bo, Tt(dma));
    EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
    EXPECT_THAT(Message(status), HasSubstr("memory can never hold 4 KiB"));
    EXPECT_THAT(Message(status), Not(HasSubstr("mask")));
  }
}

TEST(ValidateError, MemoryBeyondTheDmaMaskIsSaidToBe) {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.machine.dma32_bytes = 32 * kMiB;
  options.machine.swiotlb.bytes = 20 * kMiB;  // pushes the others up
  options.gpu.dma_mask_bits = 24;
  Rig rig(options);
  BoRef bo = rig.Make(kPageSize);
  for (const DmaType dma : {DmaType::kCoherent, DmaType::kCma}) {
    const absl::Status status = rig.Validate(bo, Tt(dma));
    EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
    EXPECT_THAT(Message(status), HasSubstr("beyond the device's DMA mask"));
  }
}

}  // namespace
}  // namespace twostep
