// S9, S11, S14, S20, S21, S23 in a Xen PV guest: frames that are no neighbours
// on the bus, contiguity by exchange with a hypervisor that several guests
// share, and its virtual device; every byte checked.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/platforms.h"
#include "twostep/bo/virtual_device.h"

namespace twostep {
namespace {

using testing::HasSubstr;

RigOptions Guest() {
  RigOptions options = RigOptions::Small(IommuMode::kAbsent);
  options.machine.xen.pv = true;
  options.machine.xen.exchange_bytes = 8 * kMiB;
  options.machine.cma_bytes = 0;
  options.machine.swiotlb.bytes = 2 * kMiB;
  options.gpu.dma_mask_bits = 32;
  return options;
}

std::vector<DmaSegment> SegmentsOf(const BoRef& bo) {
  return bo->binding().Segments(bo->pages());
}
PageCount BouncedPages(Rig& rig, const BoRef& bo) {
  PageCount bounced = 0;
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    bounced += rig.machine().bounce_pool().Contains(
        bo->binding().Frame(bo->pages(), page));
  }
  return bounced;
}
void ExpectBytesBothWays(Rig& rig, const BoRef& bo, DmaType type,
                         uint64_t seed) {
  EXPECT_EQ(rig.DeviceWrongBytes(bo, seed), 0);
  rig.DeviceFill(bo, seed + 1);
  EXPECT_EQ(rig.CpuWrongBytes(bo, seed + 1), 0);
  rig.CpuFill(bo, seed + 2);
  ASSERT_TRUE(rig.Validate(bo, Tt(type)).ok());
  EXPECT_EQ(rig.DeviceWrongBytes(bo, seed + 2), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// S23: NONE gives a table in which nothing coalesces.
TEST(XenPv, NeighbouringFramesAreNoNeighboursOnTheBus) {
  Rig rig(Guest());
  BoRef bo = rig.Make(16 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kNone)).ok());
  EXPECT_EQ(SegmentsOf(bo).size(), 16);
  PageCount in_a_row = 0;
  for (PageCount page = 1; page < 16; ++page) {
    in_a_row +=
        bo->pages().frames()[page] == bo->pages().frames()[page - 1] + 1;
  }
  EXPECT_EQ(in_a_row, 15);
  ExpectBytesBothWays(rig, bo, DmaType::kNone, 1);
}

// S21: an entry of several pages is torn, so it bounces; one page is never. And
// S23: where the driver asks for a page an entry, as i915 does under Xen PV,
// nothing bounces.
TEST(XenPv, DynamicBouncesEntriesThatAreTornAndNoOthers) {
  Rig rig(Guest());
  std::vector<BoRef> single;
  for (int i = 0; i < 12; ++i) {
    single.push_back(rig.Make(kPageSize));
    rig.CpuFill(single[i], i);
    ASSERT_TRUE(rig.Validate(single[i], Tt(DmaType::kDynamic)).ok());
    EXPECT_EQ(BouncedPages(rig, single[i]),
              single[i]->pages().frames()[0] >= kNormalZoneFirstFrame ? 1 : 0);
    ExpectBytesBothWays(rig, single[i], DmaType::kDynamic, i);
  }
  BoRef whole = rig.Make(96 * kPageSize);
  rig.CpuFill(whole, 50);
  ASSERT_TRUE(rig.Validate(whole, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(BouncedPages(rig, whole), 96);
  EXPECT_LE(SegmentsOf(whole).size(), 3);
  ExpectBytesBothWays(rig, whole, DmaType::kDynamic, 50);
}

TEST(XenPv, TornEntriesBounceAlsoWithinTheMask) {
  RigOptions options = Guest();
  options.gpu.dma_mask_bits = 64;
  Rig rig(options);
  for (const PageCount pages : {1, 8}) {
    BoRef bo = rig.Make(pages * kPageSize);
    rig.CpuFill(bo, pages);
    ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    EXPECT_EQ(BouncedPages(rig, bo), pages == 1 ? 0 : pages);
    ExpectBytesBothWays(rig, bo, DmaType::kDynamic, pages);
  }
}

TEST(XenPv, APageAnEntryBouncesNothing) {
  RigOptions options = Guest();
  options.gpu.segments.max_bytes = kPageSize;
  options.gpu.dma_mask_bits = 64;
  Rig rig(options);
  for (int i = 0; i < 6; ++i) {
    BoRef bo = rig.Make((1 + 9 * i) * kPageSize);
    rig.CpuFill(bo, i);
    ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
    EXPECT_EQ(BouncedPages(rig, bo), 0);
    ExpectBytesBothWays(rig, bo, DmaType::kDynamic, i);
  }
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(), 0);
}

// S20: coherent memory is exchanged, never bounced.
TEST(XenPv, CoherentMemoryIsContiguousByExchangeAndDoesNotBounce) {
  Rig rig(Guest());
  const uint64_t before = rig.machine().frame_map()->exchanged_frames();
  EXPECT_EQ(before, 512);  // the bounce pool
  BoRef bo = rig.Make(64 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kCoherent)).ok());
  EXPECT_EQ(SegmentsOf(bo).size(), 1);
  EXPECT_LT(SegmentsOf(bo)[0].address, 4 * kGiB);
  EXPECT_EQ(rig.machine().frame_map()->exchanged_frames(), before + 64);
  ExpectBytesBothWays(rig, bo, DmaType::kCoherent, 1);
  EXPECT_EQ(BouncedPages(rig, bo), 0);
  // Given back when the pool gives the block back.
  ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
  EXPECT_EQ(rig.CpuWrongBytes(bo, 3), 0);
  rig.machine().coherent_pool().GiveBack(64);
  EXPECT_EQ(rig.machine().frame_map()->exchanged_frames(), before);
}

// S14: guests that share a hypervisor. What one has the other cannot, but
// single pages need nobody.
TEST(XenPv, GuestsShareWhatTheHypervisorExchanges) {
  auto pool = *ExchangePool::Create(4 * kMiB);
  RigOptions options = Guest();
  options.options.exchange_pool = pool.get();
  options.machine.swiotlb.bytes = kMiB;
  {
    Rig first(options);
    Rig second(options);
    EXPECT_EQ(pool->used_frames(), 512);
    BoRef a = first.Make(256 * kPageSize);
    first.CpuFill(a, 1);
    ASSERT_TRUE(first.Validate(a, Tt(DmaType::kCoherent)).ok());
    EXPECT_EQ(SegmentsOf(a).size(), 1);
    BoRef b = second.Make(256 * kPageSize);
    second.CpuFill(b, 2);
    ASSERT_TRUE(second.Validate(b, Tt(DmaType::kCoherent)).ok());
    EXPECT_EQ(SegmentsOf(b).size(), 1);
    EXPECT_EQ(pool->used_frames(), pool->frames());
    ExpectBytesBothWays(first, a, DmaType::kCoherent, 1);
    ExpectBytesBothWays(second, b, DmaType::kCoherent, 2);
    // A third has no bounce pool to begin with.
    const auto third = Machine::Create(options.machine, options.options);
    EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(pool->used_frames(), pool->frames());
  }
  EXPECT_EQ(pool->used_frames(), 0);
}

// S14: a guest that takes and gives up coherent memory, and what it has seen.
class BusyGuest {
 public:
  static constexpr uint64_t kBos = 6;

  BusyGuest(ExchangePool& pool, uint64_t number) : seed_(100 * number) {
    RigOptions options = Guest();
    options.options.exchange_pool = &pool;
    options.machine.swiotlb.bytes = 256 * kKiB;
    rig_ = std::make_unique<Rig>(options);
    for (uint64_t i = 0; i < kBos; ++i) {
      bos_.push_back(rig_->Make((16 + 24 * i) * kPageSize));
      rig_->CpuFill(bos_[i], seed_ + i);
    }
  }

  // Each bo in turn goes in, with every byte looked at and written, and its
  // block goes back to the hypervisor, by and by.
  void Churn(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      for (uint64_t i = 0; i < kBos; ++i) {
        ASSERT_TRUE(rig_->Validate(bos_[i], Tt(DmaType::kCoherent)).ok());
        in_pieces_ += SegmentsOf(bos_[i]).size() > 1;
        whole_ += SegmentsOf(bos_[i]).size() == 1;
        ASSERT_EQ(rig_->DeviceWrongBytes(bos_[i], seed_ + i), 0);
        rig_->DeviceFill(bos_[i], seed_ + kBos + i);
        ASSERT_EQ(rig_->CpuWrongBytes(bos_[i], seed_ + kBos + i), 0);
        rig_->CpuFill(bos_[i], seed_ + i);
        if ((i + static_cast<uint64_t>(round)) % 2 == 0) {
          ASSERT_TRUE(rig_->Validate(bos_[i], kSystem).ok());
          ASSERT_EQ(rig_->CpuWrongBytes(bos_[i], seed_ + i), 0);
        }
        if (i == kBos - 1) GiveBack();
      }
    }
  }
  void GiveBack() { rig_->machine().coherent_pool().GiveBack(256); }
  void ExpectIntact() {
    EXPECT_EQ(rig_->Broken(), "");
    for (uint64_t i = 0; i < kBos; ++i) {
      EXPECT_EQ(rig_->CpuWrongBytes(bos_[i], seed_ + i), 0) << i;
    }
  }
  uint64_t exchanged() const {
    return rig_->machine().frame_map()->exchanged_frames();
  }
  Rig& rig() { return *rig_; }
  int in_pieces() const { return in_pieces_; }
  int whole() const { return whole_; }

 private:
  const uint64_t seed_;
  std::unique_ptr<Rig> rig_;
  std::vector<BoRef> bos_;
  int in_pieces_ = 0;
  int whole_ = 0;
};

TEST(XenPv, FourGuestsOnThreadsRunShortOfOneHypervisorsMemoryAndGiveItBack) {
  // The bounce pools take half of it; what is left is for one guest's coherent
  // memory, where four want as much each.
  auto pool = *ExchangePool::Create(2 * kMiB);
  std::vector<std::unique_ptr<BusyGuest>> guests;
  for (uint64_t i = 0; i < 4; ++i) {
    guests.push_back(std::make_unique<BusyGuest>(*pool, i));
  }
  EXPECT_EQ(pool->used_frames(), pool->frames() / 2);
  const auto all_exchanged = [&] {
    uint64_t frames = 0;
    for (const auto& guest : guests) frames += guest->exchanged();
    return frames;
  };
  for (int round = 0; round < 3; ++round) {
    {
      std::vector<Thread> threads;
      for (const auto& guest : guests) {
        threads.emplace_back([&guest] { guest->Churn(4); });
      }
    }
    EXPECT_EQ(pool->used_frames(), all_exchanged());
    for (const auto& guest : guests) guest->ExpectIntact();
  }
  int in_pieces = 0;
  int whole = 0;
  for (const auto& guest : guests) {
    in_pieces += guest->in_pieces();
    whole += guest->whole();
  }
  EXPECT_GT(in_pieces, 0) << "the hypervisor never ran short";
  EXPECT_GT(whole, 0);
  // Once the others are gone, their bounce pools as well, the last one has it
  // all.
  guests.resize(1);
  EXPECT_EQ(pool->used_frames(), all_exchanged());
  BoRef bo = guests[0]->rig().Make(16 * kPageSize);
  guests[0]->rig().CpuFill(bo, 7);
  ASSERT_TRUE(guests[0]->rig().Validate(bo, Tt(DmaType::kCoherent)).ok());
  EXPECT_EQ(SegmentsOf(bo).size(), 1);
  ExpectBytesBothWays(guests[0]->rig(), bo, DmaType::kCoherent, 7);
  bo = nullptr;
  guests.clear();
  EXPECT_EQ(pool->used_frames(), 0);
}

TEST(XenPv, WhereTheHypervisorHasNoneCoherentMemoryIsInSinglePages) {
  RigOptions options = Guest();
  options.machine.xen.exchange_bytes = 2 * kMiB;  // the bounce pool has it all
  options.gpu.segments.max_segments = 8;
  Rig rig(options);
  BoRef bo = rig.Make(8 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kCoherent)).ok());
  EXPECT_EQ(SegmentsOf(bo).size(), 8);
  ExpectBytesBothWays(rig, bo, DmaType::kCoherent, 1);
  BoRef large = rig.Make(9 * kPageSize);
  rig.CpuFill(large, 5);
  const absl::Status status = rig.Validate(large, Tt(DmaType::kCoherent));
  EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("fragmented"));
  EXPECT_EQ(rig.CpuWrongBytes(large, 5), 0);
  EXPECT_EQ(rig.Broken(), "");
}

TEST(XenPv, WhatAGuestCannotHaveIsRefusedByName) {
  const auto refused = [](auto change) {
    RigOptions options = Guest();
    change(options.machine);
    return std::string(
        Machine::Create(options.machine, options.options).status().message());
  };
  EXPECT_THAT(refused([](auto& m) { m.cma_bytes = kMiB; }),
              HasSubstr("cma_bytes"));
  EXPECT_THAT(refused([](auto& m) { m.iommu.mode = IommuMode::kTranslated; }),
              HasSubstr("xen.pv"));
  EXPECT_THAT(refused([](auto& m) { m.xen.exchange_bytes = kMiB; }),
              HasSubstr("2 MiB"));
  EXPECT_THAT(refused([](auto& m) { m.dma32_bytes = 4 * kGiB; }),
              HasSubstr("dma32_bytes"));
}

// S9, S11: one driver for both machines, by asking the virtual device.
class XenDriver {
 public:
  explicit XenDriver(Rig& rig)
      : rig_(rig), hypervisor_(*VirtualDevice::Find(rig.host())) {}
  bool virtual_device() const { return hypervisor_ != nullptr; }
  VirtualDevice& hypervisor() { return *hypervisor_; }
  DmaType TypeFor(const BoRef& bo) {
    bo->Reserve();
    const bool coherent = hypervisor_ != nullptr &&
                          hypervisor_->NeedsCoherent(*bo, rig_.device());
    bo->Unreserve();
    return coherent ? DmaType::kCoherent : DmaType::kNone;
  }

 private:
  Rig& rig_;
  std::unique_ptr<VirtualDevice> hypervisor_;
};

TEST(VirtualDevice, SaysWhatNeedsCoherentMemoryAndIsAbsentOnBareMetal) {
  for (const bool pv : {false, true}) {
    RigOptions options = Guest();
    options.machine.xen.pv = pv;
    options.gpu.dma_mask_bits = 64;
    options.gpu.segments.max_segments = 1;  // a scan-out engine
    Rig rig(options);
    XenDriver driver(rig);
    EXPECT_EQ(driver.virtual_device(), pv);
    // Kept, or frames that come back would be scattered on any machine.
    std::vector<BoRef> bos;
    for (const PageCount pages : {1, 8}) {
      for (const bool filled : {false, true}) {
        BoRef bo = rig.Make(pages * kPageSize);
        bos.push_back(bo);
        if (filled) rig.CpuFill(bo, pages);
        const DmaType type = driver.TypeFor(bo);
        EXPECT_EQ(type == DmaType::kCoherent, pv && pages > 1);
        ASSERT_TRUE(rig.Validate(bo, Tt(type)).ok());
        EXPECT_EQ(SegmentsOf(bo).size(), 1);
        if (filled) ExpectBytesBothWays(rig, bo, type, pages);
      }
    }
    EXPECT_EQ(rig.Broken(), "");
  }
}

TEST(VirtualDevice, LendsItsIdentityToAnonymousCoherentBos) {
  Rig rig(Guest());
  XenDriver driver(rig);
  BoRef bo = rig.Make(8 * kPageSize);
  rig.CpuFill(bo, 1);
  ValidateContext context;
  bo->Reserve();
  ASSERT_TRUE(driver.hypervisor().MakeCoherent(*bo, &context).ok());
  EXPECT_EQ(bo->device(), &driver.hypervisor().device());
  EXPECT_TRUE(rig.machine().coherent_pool().Contains(bo->pages().frames()[0]));
  EXPECT_EQ(SegmentsOf(bo).size(), 1);
  bo->Unreserve();
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0);
  rig.CpuFill(bo, 2);
  // A real device gets a copy of its own.
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kCoherent)).ok());
  EXPECT_EQ(bo->device(), &rig.device());
  ExpectBytesBothWays(rig, bo, DmaType::kCoherent, 2);
}

}  // namespace
}  // namespace twostep
