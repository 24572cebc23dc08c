// S16, S17: memory that drivers allocate for themselves, and who gives way to
// whom when addresses or memory are short; every byte checked.

#include "twostep/bo/dma_unit.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"

namespace twostep {
namespace {

using testing::HasSubstr;
using Held = std::vector<std::unique_ptr<DmaAllocation>>;

// A driver of its own device: rings, which it gives up oldest first.
class Driver {
 public:
  Driver(Rig& rig, DmaUnit& unit, const std::string& name, uint64_t share_pages,
         uint64_t max_pages = DmaOwner::kUnlimited)
      : unit_(unit),
        port_(rig.machine().domain(), rig.machine().memory(), 64, true) {
    owner_ = unit.AddOwner({.name = name,
                            .max_pages = max_pages,
                            .share_pages = share_pages,
                            .reclaim = [this](uint64_t pages, Relief relief) {
                              Reclaim(pages, relief);
                            }});
  }

  // An owner goes behind its allocations.
  ~Driver() { FreeAll(); }

  absl::Status Allocate(PageCount pages, const WaitLimit& limit = {}) {
    auto ring = unit_.Allocate(*owner_, {.bytes = pages * kPageSize}, limit);
    if (!ring.ok()) return ring.status();
    for (PageCount page = 0; page < pages; ++page) {
      std::byte* at = Device(**ring, page);
      for (uint64_t i = 0; i < kPageSize; ++i) {
        EXPECT_EQ(at[i], std::byte{0});
        at[i] = Rig::PatternByte(seed_, PagesToBytes(page) + i);
      }
    }
    held.push_back(*std::move(ring));
    seeds_.push_back(seed_++);
    return absl::OkStatus();
  }
  // As the device sees it.
  std::byte* Device(const DmaAllocation& ring, PageCount page) {
    return port_.Resolve(ring.address() + PagesToBytes(page), Access::kWrite);
  }
  uint64_t WrongBytes() {
    uint64_t wrong = 0;
    for (size_t r = 0; r < held.size(); ++r) {
      for (uint64_t i = 0; i < held[r]->bytes(); ++i) {
        const auto page = static_cast<PageCount>(i / kPageSize);
        const std::byte* at =
            held[r]->bound() ? Device(*held[r], page) : held[r]->page(page);
        wrong += at[i % kPageSize] != Rig::PatternByte(seeds_[r], i);
      }
    }
    return wrong;
  }
  void FreeAll() {
    held.clear();
    seeds_.clear();
  }
  const DmaOwner& owner() const { return *owner_; }

  Held held;
  bool stubborn = false;
  std::vector<Relief> asked;

 private:
  void Reclaim(uint64_t pages, Relief relief) {
    asked.push_back(relief);
    if (stubborn) return;
    if (relief == Relief::kUnbind) {
      for (auto& ring : held) {
        if (!ring->bound()) continue;
        const uint64_t freed = ring->bytes() / kPageSize;
        ring->Unbind();
        if (freed >= pages) return;
        pages -= freed;
      }
      return;
    }
    while (!held.empty() && pages != 0) {
      pages -= std::min(pages, held.front()->bytes() / kPageSize);
      held.erase(held.begin());
      seeds_.erase(seeds_.begin());
    }
  }

  DmaUnit& unit_;
  DmaPort port_;
  uint64_t seed_ = 1;
  std::vector<uint64_t> seeds_;
  std::unique_ptr<DmaOwner> owner_;
};

TEST(DmaUnit, AnAllocationIsZeroContiguousAlignedAndBelowTheMask) {
  for (const MachineKind kind : kAllMachines) {
    RigOptions options = OptionsOf(kind);
    options.machine.iommu.iova_base = uint64_t{1} << 33;
    Rig rig(options);
    DmaUnit unit(rig.host());
    auto owner = unit.AddOwner({.name = "nic"});
    const int mask_bits = kind == MachineKind::kIommu ? 34 : 32;
    for (const uint64_t bytes : {uint64_t{1}, 5 * kPageSize, 33 * kPageSize}) {
      auto ring = unit.Allocate(
          *owner,
          {.bytes = bytes, .alignment = 4 * kPageSize, .mask_bits = mask_bits});
      ASSERT_TRUE(ring.ok()) << ring.status();
      const PageCount pages = static_cast<PageCount>(BytesToPages(bytes));
      EXPECT_LT((*ring)->address() + PagesToBytes(pages),
                uint64_t{1} << mask_bits);
      if (pages >= 4) {
        EXPECT_EQ((*ring)->address() % (4 * kPageSize), 0);
      }
      DmaPort port(rig.machine().domain(), rig.machine().memory(), mask_bits,
                   true);
      for (PageCount page = 0; page < pages; ++page) {
        std::byte* at = port.Resolve((*ring)->address() + PagesToBytes(page),
                                     Access::kWrite);
        ASSERT_NE(at, nullptr) << port.last_fault();
        EXPECT_EQ(at, (*ring)->page(page));
        EXPECT_EQ(std::count(at, at + kPageSize, std::byte{0}), kPageSize);
      }
      EXPECT_EQ(owner->pages(), pages);
      EXPECT_EQ(rig.Broken(), "");
      // R7: unbound, its frames stay and its addresses fault.
      const DmaAddress address = (*ring)->address();
      (*ring)->page(0)[7] = std::byte{42};
      (*ring)->Unbind();
      EXPECT_EQ(port.Resolve(address, Access::kRead), nullptr);
      EXPECT_EQ((*ring)->page(0)[7], std::byte{42});
      EXPECT_EQ(owner->bound_pages(), 0);
      EXPECT_EQ(rig.Broken(), "");
      ASSERT_TRUE(unit.Bind(**ring).ok());
      EXPECT_EQ(port.Resolve((*ring)->address(), Access::kRead)[7],
                std::byte{42});
    }
    EXPECT_EQ(owner->pages(), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(DmaUnit, AnOwnersLimitIsItsOwnAndTheKernelHasNone) {
  Rig rig(OptionsOf(MachineKind::kIommu));
  DmaUnit unit(rig.host());
  Driver limited(rig, unit, "nic", 0, 16);
  Driver kernel(rig, unit, "kernel", 0);
  ASSERT_TRUE(limited.Allocate(12).ok());
  const absl::Status over = limited.Allocate(5);
  EXPECT_EQ(KindOf(over), ErrorKind::kOverLimit) << over;
  EXPECT_THAT(std::string(over.message()), HasSubstr("nic has 48 KiB"));
  ASSERT_TRUE(limited.Allocate(4).ok());
  ASSERT_TRUE(kernel.Allocate(200).ok());
  EXPECT_EQ(limited.WrongBytes() + kernel.WrongBytes(), 0);
  EXPECT_EQ(limited.asked.size() + kernel.asked.size(), 0);
  limited.held.front().reset();
  limited.FreeAll();
  EXPECT_EQ(limited.owner().pages(), 0);
  ASSERT_TRUE(limited.Allocate(16).ok());
  EXPECT_EQ(rig.Broken(), "");
}

TEST(DmaUnit, WhatMakesNoSenseIsNamed) {
  Rig rig(OptionsOf(MachineKind::kIommu));
  DmaUnit unit(rig.host());
  auto owner = unit.AddOwner({.name = "nic"});
  const auto wrong = [&](const DmaUnit::Request& request) {
    const absl::Status status = unit.Allocate(*owner, request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(wrong({}), HasSubstr("bytes"));
  EXPECT_THAT(wrong({.bytes = 1, .mask_bits = 23}), HasSubstr("mask_bits"));
  EXPECT_THAT(wrong({.bytes = 1, .alignment = 12288}), HasSubstr("alignment"));
  const absl::Status never =
      unit.Allocate(*owner, {.bytes = 2 * kMiB}).status();
  EXPECT_EQ(KindOf(never), ErrorKind::kNeverFits) << never;
  EXPECT_EQ(rig.Broken(), "");
}

// Addresses are short: unbinding is enough, and nobody loses a byte.
TEST(DmaUnit, ForAddressesOwnersAreAskedToUnbind) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.iova_bytes = 64 * kPageSize;
  Rig rig(options);
  DmaUnit unit(rig.host());
  Driver nic(rig, unit, "nic", 16);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(nic.Allocate(8).ok());
  EXPECT_EQ(nic.owner().bound_pages(), 64);
  // A bo, and another owner, in turn.
  BoRef bo = rig.Make(16 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(nic.owner().bound_pages(), 48);
  Driver camera(rig, unit, "camera", 16);
  ASSERT_TRUE(camera.Allocate(16).ok());
  EXPECT_EQ(nic.owner().bound_pages(), 32);
  EXPECT_EQ(nic.owner().pages(), 64);
  EXPECT_EQ(nic.WrongBytes() + camera.WrongBytes(), 0);
  for (const Relief relief : nic.asked) EXPECT_EQ(relief, Relief::kUnbind);
  EXPECT_EQ(rig.Broken(), "");
}

// Both are above their shares.
TEST(DmaUnit, WhoIsFurthestAboveItsShareIsAskedFirst) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  options.machine.iommu.iova_bytes = 64 * kPageSize;
  Rig rig(options);
  DmaUnit unit(rig.host());
  Driver nic(rig, unit, "nic", 16);
  Driver camera(rig, unit, "camera", 8);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(nic.Allocate(8).ok());
    ASSERT_TRUE(camera.Allocate(8).ok());
  }
  BoRef bo = rig.Make(8 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(nic.asked.size(), 0);
  EXPECT_EQ(camera.asked.size(), 1);
  EXPECT_EQ(camera.owner().bound_pages(), 24);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// Memory is short: pages are freed, or bos copied out.
TEST(DmaUnit, ForMemoryOwnersAreAskedToFreeAndBosAreEvicted) {
  Rig rig(OptionsOf(MachineKind::kBareMetal));
  DmaUnit unit(rig.host());
  rig.host().dma_owners().SetBoShare(128);
  Driver nic(rig, unit, "nic", 64);
  std::vector<BoRef> bos;
  for (int i = 0; i < 8; ++i) {
    bos.push_back(rig.Make(16 * kPageSize));
    rig.CpuFill(bos[i], i);
    ASSERT_TRUE(rig.Validate(bos[i], Tt(DmaType::kCoherent)).ok());
  }
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(nic.Allocate(16).ok());
  EXPECT_EQ(rig.machine().coherent_pool().used_frames(), 256);
  // The bos have their share, the owner is 64 pages above its own.
  BoRef bo = rig.Make(16 * kPageSize);
  rig.CpuFill(bo, 100);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kCoherent)).ok());
  EXPECT_EQ(nic.owner().pages(), 112);
  EXPECT_EQ(rig.host().binder(DmaType::kCoherent).stats().evictions, 0);
  // Now an owner within its share asks: the bos are above theirs by 16, nic by
  // 48: nic gives way until it is less far above than they are.
  Driver camera(rig, unit, "camera", 128);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(camera.Allocate(16).ok());
  EXPECT_GT(rig.host().binder(DmaType::kCoherent).stats().evictions, 0);
  EXPECT_LT(nic.owner().pages(), 112);
  EXPECT_EQ(camera.asked.size(), 0);
  EXPECT_EQ(camera.owner().pages(), 64);
  for (const Relief relief : nic.asked) EXPECT_EQ(relief, Relief::kFreePages);
  EXPECT_EQ(nic.WrongBytes() + camera.WrongBytes(), 0);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 100), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// R10, R12: everybody is asked before anybody is refused, and then nothing is
// held; the refusal says who has what.
TEST(DmaUnit, WhenNobodyGivesAnythingItIsRefusedByName) {
  Rig rig(OptionsOf(MachineKind::kBareMetal));
  DmaUnit unit(rig.host());
  Driver nic(rig, unit, "nic", 1000);
  Driver camera(rig, unit, "camera", 1000);
  ASSERT_TRUE(nic.Allocate(128).ok());
  nic.stubborn = true;
  BoRef pinned = rig.Make(96 * kPageSize);
  rig.CpuFill(pinned, 1);
  ASSERT_TRUE(rig.Validate(pinned, Tt(DmaType::kCoherent)).ok());
  rig.Pin(pinned);
  const absl::Status refused = camera.Allocate(64);
  EXPECT_EQ(KindOf(refused), ErrorKind::kCannotFit) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("nic has 512 KiB"));
  EXPECT_FALSE(nic.asked.empty());
  EXPECT_EQ(camera.owner().pages(), 0);
  EXPECT_EQ(rig.Broken(), "");
  nic.stubborn = false;  // and within its share: the last to be asked
  ASSERT_TRUE(camera.Allocate(64).ok());
  EXPECT_EQ(camera.WrongBytes(), 0);
  EXPECT_EQ(rig.DeviceWrongBytes(pinned, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// R12: all but k pages of the coherent memory are taken, for every k.
TEST(DmaUnit, AnAllocationThatFailsAtPageKHoldsNothing) {
  for (PageCount k = 0; k <= 20; ++k) {
    Rig rig(OptionsOf(MachineKind::kIommu));
    DmaUnit unit(rig.host());
    BoRef pinned = rig.Make((256 - k) * kPageSize);
    rig.CpuFill(pinned, 1);
    ASSERT_TRUE(rig.Validate(pinned, Tt(DmaType::kCoherent)).ok());
    rig.Pin(pinned);
    Driver nic(rig, unit, "nic", 0);
    EXPECT_EQ(nic.Allocate(20).ok(), k == 20) << k;
    EXPECT_EQ(nic.owner().pages(), k == 20 ? 20 : 0);
    EXPECT_EQ(nic.WrongBytes(), 0);
    EXPECT_EQ(rig.DeviceWrongBytes(pinned, 1), 0);
    EXPECT_EQ(rig.Broken(), "");
  }
}

}  // namespace
}  // namespace twostep
