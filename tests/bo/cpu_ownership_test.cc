// Who may touch a page: the CPU and the device in turn, where they do not see
// the same bytes at all times.

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <tuple>
#include <vector>

#include "tests/bo/platforms.h"
#include "twostep/machine/device_queue.h"

namespace twostep {
namespace {

constexpr PageCount kPages = 8;

class CpuOwnership
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {
 protected:
  MachineKind machine() const { return std::get<0>(GetParam()); }
  DmaType dma() const { return std::get<1>(GetParam()); }
  bool hands_over() const { return HandsOver(machine(), dma()); }
  DmaBinder::Stats& stats() { return rig_.device().binder(dma())->stats(); }
  uint64_t faults() { return rig_.host().stats().cpu_faults; }
  uint64_t for_cpu() { return stats().pages_synced_for_cpu; }
  uint64_t for_device() { return stats().pages_synced_for_device; }

  // A bo that the device filled with pattern 2 last.
  BoRef Bound() {
    BoRef bo = rig_.Make(PagesToBytes(kPages));
    rig_.CpuFill(bo, 1);
    EXPECT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
    rig_.DeviceFill(bo, 2);
    return bo;
  }
  std::vector<PageCount> CpuOwned(const BoRef& bo) {
    std::vector<PageCount> owned;
    for (PageCount page = 0; page < bo->page_count(); ++page) {
      if (bo->binding().CpuOwns(page)) owned.push_back(page);
    }
    return owned;
  }
  static std::byte Pattern(uint64_t seed, PageCount page) {
    return Rig::PatternByte(seed, PagesToBytes(page));
  }

  Rig rig_{OptionsOf(std::get<0>(GetParam()))};
};

// R4, S6
TEST_P(CpuOwnership, BindingTakesAwayWhatUserMappingsShowed) {
  BoRef bo = rig_.Make(PagesToBytes(kPages));
  auto first = *CpuMapping::Create(bo);
  auto second = *CpuMapping::Create(bo);
  for (PageCount page = 0; page < kPages; ++page) {
    first->data()[PagesToBytes(page)] = Pattern(3, page);
    ASSERT_EQ(second->data()[PagesToBytes(page)], Pattern(3, page));
  }
  EXPECT_EQ(faults(), 2 * kPages);
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  // Every page of both is gone.
  for (PageCount page = 0; page < kPages; ++page) {
    EXPECT_EQ(first->data()[PagesToBytes(page)], Pattern(3, page));
    EXPECT_EQ(second->data()[PagesToBytes(page)], Pattern(3, page));
  }
  EXPECT_EQ(faults(), 4 * kPages);
  EXPECT_EQ(rig_.Broken(), "");
}

// R5, R6, S6
TEST_P(CpuOwnership, AFaultGivesBackThatPageAlone) {
  BoRef bo = Bound();
  auto mapping = *CpuMapping::Create(bo);
  const uint64_t cpu_before = for_cpu();
  const uint64_t faults_before = faults();
  EXPECT_EQ(mapping->data()[PagesToBytes(3)], Pattern(2, 3));
  EXPECT_EQ(faults(), faults_before + 1);
  EXPECT_EQ(for_cpu(), cpu_before + (hands_over() ? 1 : 0));
  if (hands_over()) {
    EXPECT_EQ(CpuOwned(bo), std::vector<PageCount>{3});
  }
  // There it stays: no further fault, no further sync.
  mapping->data()[PagesToBytes(3) + 1] = std::byte{7};
  EXPECT_EQ(faults(), faults_before + 1);
  EXPECT_EQ(for_cpu(), cpu_before + (hands_over() ? 1 : 0));
  // A second mapping of the page faults, and syncs nothing again.
  auto other = *CpuMapping::Create(bo);
  EXPECT_EQ(other->data()[PagesToBytes(3) + 1], std::byte{7});
  EXPECT_EQ(faults(), faults_before + 2);
  EXPECT_EQ(for_cpu(), cpu_before + (hands_over() ? 1 : 0));
  EXPECT_EQ(rig_.Broken(), "");
}

// R5, R6, S6
TEST_P(CpuOwnership, TheNextDeviceUseTakesExactlyThosePagesAway) {
  BoRef bo = Bound();
  auto mapping = *CpuMapping::Create(bo);
  for (const PageCount page : {1u, 2u, 6u}) {
    mapping->data()[PagesToBytes(page)] = Pattern(5, page);
  }
  const uint64_t device_before = for_device();
  const uint64_t faults_before = faults();
  ValidateContext context;
  ASSERT_TRUE(rig_.Validate(bo, {Tt(dma())}, &context).ok());
  EXPECT_TRUE(context.hit);
  EXPECT_EQ(for_device(), device_before + (hands_over() ? 3 : 0));
  EXPECT_EQ(CpuOwned(bo), std::vector<PageCount>{});
  for (PageCount page = 0; page < kPages; ++page) {
    const std::byte* at = rig_.DevicePage(bo, page, Access::kRead);
    const bool written = page == 1 || page == 2 || page == 6;
    EXPECT_EQ(at[0], Pattern(written ? 5 : 2, page)) << page;
    EXPECT_EQ(at[1], Rig::PatternByte(2, PagesToBytes(page) + 1)) << page;
  }
  // Another use of what the device has already hands nothing over.
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_EQ(for_device(), device_before + (hands_over() ? 3 : 0));
  // The CPU lost its view of those three pages where it had to.
  for (const PageCount page : {1u, 2u, 6u}) {
    EXPECT_EQ(mapping->data()[PagesToBytes(page)], Pattern(5, page));
  }
  EXPECT_EQ(faults(), faults_before + (hands_over() ? 3 : 0));
  EXPECT_EQ(rig_.Broken(), "");
}

// R5, R6: what the CPU took back is synced once when all of it goes back.
TEST_P(CpuOwnership, UnbindingGivesTheCpuOnlyWhatItHasNot) {
  BoRef bo = Bound();
  auto mapping = *CpuMapping::Create(bo);
  mapping->data()[PagesToBytes(4)] = Pattern(5, 4);
  const uint64_t before = for_cpu();
  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
  EXPECT_EQ(for_cpu(), before + (hands_over() ? kPages - 1 : 0));
  EXPECT_EQ(mapping->data()[PagesToBytes(4)], Pattern(5, 4));
  EXPECT_EQ(mapping->data()[PagesToBytes(5)], Pattern(2, 5));
  EXPECT_EQ(rig_.Broken(), "");
}

// R5
TEST_P(CpuOwnership, AFaultWaitsForTheFence) {
  BoRef bo = Bound();
  auto mapping = *CpuMapping::Create(bo);
  DeviceQueue queue(rig_.machine().NewTimeline("test"), rig_.machine().clock(),
                    DeviceQueue::Execution::kThread);
  Atomic<bool> touching{false};
  bo->Reserve();
  std::byte* page = rig_.DevicePage(bo, 2, Access::kWrite);
  const Fence fence = queue.Submit({}, 1000000, [&touching, page] {
    while (!touching) std::this_thread::yield();
    for (int i = 0; i < 2000; ++i) std::this_thread::yield();
    page[0] = std::byte{99};
  });
  bo->fences().Add(fence, FenceUse::kWrite);
  bo->Unreserve();
  touching = true;
  EXPECT_EQ(mapping->data()[PagesToBytes(2)], std::byte{99});
  EXPECT_TRUE(fence.Signalled());
}

// B19
TEST_P(CpuOwnership, WhoMayNotWaitIsToldWhy) {
  RigOptions options = OptionsOf(machine());
  options.options.clock = Clock::Kind::kReal;
  Rig rig(options);
  BoRef bo = rig.Make(PagesToBytes(kPages));
  ASSERT_EQ(rig.Validate(bo, Tt(dma())), absl::OkStatus());
  auto mapping = *CpuMapping::Create(bo);
  Timeline& ring = rig.machine().NewTimeline("ring");
  bo->Reserve();
  const Fence fence = ring.Emit(0);
  bo->fences().Add(fence, FenceUse::kWrite);
  const auto touch = [&](const WaitLimit& limit) {
    return KindOf(mapping->Touch({0, 1}, Access::kRead, limit));
  };
  const auto map = [&](const WaitLimit& limit) {
    return KindOf(KernelMapping::Create(bo, limit).status());
  };
  const bool mappable = dma() != DmaType::kDynamic;
  Interrupt interrupt;
  interrupt.Raise();
  const std::pair<WaitLimit, ErrorKind> limits[] = {
      {{WaitLimit::Mode::kNoWait}, ErrorKind::kBusy},
      {WaitLimit::Within(1'000'000), ErrorKind::kTimeUp},
      {{.interrupt = &interrupt}, ErrorKind::kInterrupted}};
  // First for the reservation, then for the work.
  for (const bool reserved : {true, false}) {
    for (const auto& [limit, kind] : limits) {
      Thread other([&, limit = limit, kind = kind] {
        EXPECT_EQ(touch(limit), kind) << reserved;
        if (mappable || reserved) {
          EXPECT_EQ(map(limit), kind) << reserved;
        }
      });
      other.Join();
    }
    if (reserved) bo->Unreserve();
  }
  EXPECT_FALSE(bo->pinned());
  ring.Complete(fence.point);
  EXPECT_EQ(touch({WaitLimit::Mode::kNoWait}), ErrorKind::kNone);
  if (mappable) {
    EXPECT_EQ(map({WaitLimit::Mode::kNoWait}), ErrorKind::kNone);
  }
  EXPECT_EQ(rig.Broken(), "");
}

// R4, S6
TEST_P(CpuOwnership, AKernelMapSeesTheDevicesBytesUnlessBoundToDynamic) {
  BoRef bo = Bound();
  const std::string where = WhereIs(bo);
  {
    auto mapping = KernelMapping::Create(bo);
    if (dma() == DmaType::kDynamic) {
      ASSERT_FALSE(mapping.ok());
      EXPECT_EQ(KindOf(mapping.status()), ErrorKind::kMisuse);
      EXPECT_EQ(mapping.status().code(), absl::StatusCode::kFailedPrecondition);
      ASSERT_EQ(rig_.misuses().size(), 1);
      EXPECT_EQ(rig_.misuses()[0].kind, Misuse::Kind::kKernelMapOfDynamic);
      EXPECT_EQ(
          rig_.misuses()[0].message.find(bo->DebugName()) != std::string::npos,
          true)
          << rig_.misuses()[0].message;
      EXPECT_FALSE(bo->pinned());
      EXPECT_EQ(for_cpu(), 0);
    } else {
      ASSERT_TRUE(mapping.ok()) << mapping.status();
      EXPECT_TRUE(bo->pinned());
      for (uint64_t i = 0; i < bo->size_bytes(); ++i) {
        ASSERT_EQ((*mapping)->data()[i], Rig::PatternByte(2, i)) << i;
        (*mapping)->data()[i] = Rig::PatternByte(6, i);
      }
      EXPECT_EQ(rig_.Broken(), "");
    }
  }
  EXPECT_EQ(WhereIs(bo), where);
  EXPECT_FALSE(bo->pinned());
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, dma() == DmaType::kDynamic ? 2 : 6), 0);
  EXPECT_EQ(rig_.Broken(), "");
}

// R4: a kernel map holds the bo; DYNAMIC cannot have it meanwhile, and a device
// that does not see the CPU's bytes cannot use it.
TEST_P(CpuOwnership, AKernelMappedBoIsNotHandedToTheDevice) {
  BoRef bo = rig_.Make(PagesToBytes(kPages));
  rig_.CpuFill(bo, 1);
  {
    auto mapping = *KernelMapping::Create(bo);
    absl::Status status = rig_.Validate(bo, Tt(dma()));
    EXPECT_EQ(KindOf(status), ErrorKind::kPinned) << status;
    EXPECT_EQ(bo->binder(), nullptr);
  }
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  if (dma() == DmaType::kDynamic) return;
  {
    auto mapping = *KernelMapping::Create(bo);
    absl::Status status = rig_.Validate(bo, Tt(dma()));
    if (hands_over()) {
      EXPECT_EQ(KindOf(status), ErrorKind::kMisuse) << status;
      ASSERT_EQ(rig_.misuses().size(), 1);
      EXPECT_EQ(rig_.misuses()[0].kind, Misuse::Kind::kDeviceUseOfKernelMapped);
    } else {
      EXPECT_TRUE(status.ok()) << status;
    }
  }
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
}

// R4, R6, S6: ownership ends with the binding, however it ends.
TEST_P(CpuOwnership, ContentsThatAreGivenUpLeaveNoPageOwned) {
  for (const Placement& next : {kSystem, kVram, Tt(dma())}) {
    BoRef bo = Bound();
    auto mapping = *CpuMapping::Create(bo);
    mapping->data()[0] = std::byte{1};
    ASSERT_TRUE(rig_.Validate(bo, std::vector<Placement>{}).ok());
    ASSERT_TRUE(rig_.Validate(bo, next).ok());
    EXPECT_EQ(rig_.Broken(), "");
    ASSERT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
    EXPECT_EQ(mapping->data()[0], std::byte{0});
  }
}

// R4, R6: the same where the contents were purged to make room.
TEST_P(CpuOwnership, PurgedContentsLeaveNoPageOwned) {
  BoRef bo = Bound();
  auto mapping = *CpuMapping::Create(bo);
  mapping->data()[0] = std::byte{1};
  bo->Reserve();
  bo->SetWorthless(true);
  bo->Unreserve();
  BoRef other = rig_.Make(8 * kMiB);  // all of the aperture
  ASSERT_TRUE(rig_.Validate(other, Tt(DmaType::kNone)).ok());
  ASSERT_TRUE(bo->purged());
  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
  EXPECT_EQ(mapping->data()[0], std::byte{0});
  EXPECT_EQ(rig_.Broken(), "");
}

// R5, R6: pages that stay the CPU's while the GPU's view alone is evicted.
TEST_P(CpuOwnership, GpuEvictionKeepsWhoOwnsWhat) {
  BoRef bo = Bound();
  auto mapping = *CpuMapping::Create(bo);
  mapping->data()[PagesToBytes(1)] = Pattern(5, 1);
  BoRef other = rig_.Make(8 * kMiB);  // all of the aperture
  ASSERT_TRUE(rig_.Validate(other, Tt(DmaType::kNone)).ok());
  ASSERT_FALSE(InMemoryType(rig_, bo, MemoryType::kTt));
  EXPECT_TRUE(BoundThrough(rig_, bo, dma()));
  const uint64_t before = for_device();
  ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
  EXPECT_EQ(for_device(), before + (hands_over() ? 1 : 0));
  EXPECT_EQ(rig_.DevicePage(bo, 1, Access::kRead)[0], Pattern(5, 1));
  EXPECT_EQ(rig_.Broken(), "");
}

// R5, R6: VRAM has no step 1; what the CPU took back goes along all the same.
TEST_P(CpuOwnership, WhatTheCpuWroteMovesToVram) {
  BoRef bo = Bound();
  auto mapping = *CpuMapping::Create(bo);
  mapping->data()[PagesToBytes(1)] = Pattern(5, 1);
  ASSERT_TRUE(rig_.Validate(bo, kVram).ok());
  ASSERT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
  EXPECT_EQ(rig_.DevicePage(bo, 1, Access::kRead)[0], Pattern(5, 1));
  EXPECT_EQ(rig_.DevicePage(bo, 2, Access::kRead)[0], Pattern(2, 2));
  EXPECT_EQ(mapping->data()[PagesToBytes(1)], Pattern(5, 1));
  EXPECT_EQ(rig_.Broken(), "");
}

INSTANTIATE_TEST_SUITE_P(All, CpuOwnership,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

// R6, S6: a bo of which some pages bounce and some are synced in place.
TEST(CpuOwnershipOfBothKinds, BouncedAndReachablePagesAreSynced) {
  RigOptions options = OptionsOf(MachineKind::kNonCoherent);
  options.gpu.dma_mask_bits = 32;
  options.machine.normal_bytes = 3 * kPageSize;
  Rig rig(options);
  BoRef bo = rig.Make(6 * kPageSize);
  rig.CpuFill(bo, 1);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  ASSERT_EQ(rig.machine().bounce_pool().used_frames(), 3);
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  rig.DeviceFill(bo, 2);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 2), 0);
  rig.CpuFill(bo, 3);
  ASSERT_TRUE(rig.Validate(bo, Tt(DmaType::kDynamic)).ok());
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 3), 0);
  rig.DeviceFill(bo, 4);
  ASSERT_TRUE(rig.Validate(bo, kSystem).ok());
  EXPECT_EQ(rig.CpuWrongBytes(bo, 4), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// Takes every stretch of `bytes` of this process's addresses.
class AddressHog {
 public:
  explicit AddressHog(size_t bytes) : bytes_(bytes) {
    // The call itself: sanitizers would keep an account of what it maps.
    for (;;) {
      const long start =
          syscall(SYS_mmap, nullptr, bytes, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (start == -1) break;
      starts_.push_back(start);
    }
  }
  ~AddressHog() {
    for (const long start : starts_) syscall(SYS_munmap, start, bytes_);
  }

 private:
  const size_t bytes_;
  std::vector<long> starts_;
};

// R12
TEST(CpuMapping, WithoutRoomForItThereIsAnErrorAndTheBoIsAsBefore) {
  constexpr uint64_t kSize = uint64_t{1} << 40;
  Rig rig;
  BoRef bo = rig.Make(kSize);
  const AddressHog hog(kSize);
  const auto mapping = CpuMapping::Create(bo);
  ASSERT_FALSE(mapping.ok());
  EXPECT_EQ(mapping.status().code(), absl::StatusCode::kResourceExhausted);
  bo->Reserve();
  bo->UnreserveUnused();
  EXPECT_EQ(rig.Broken(), "");
}

// R4, S6
TEST(CpuOwnershipDeathTest, AKernelMapOfDynamicStopsTheProcessByDefault) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        RigOptions options = OptionsOf(MachineKind::kIommu);
        auto machine = *Machine::Create(options.machine, options.options);
        auto host = *Host::Create(*machine, HostOptions{});
        auto device = *Device::Create(*host, options.gpu);
        BoRef bo = *host->CreateBo(kPageSize);
        ValidateContext context;
        bo->Reserve();
        const Placement placement = Tt(DmaType::kDynamic);
        if (!device->Validate(*bo, {&placement, 1}, &context).ok()) return;
        bo->Unreserve();
        (void)KernelMapping::Create(bo);
      },
      "misuse: kernel mapping of bo 1 .*DYNAMIC");
}

}  // namespace
}  // namespace twostep
