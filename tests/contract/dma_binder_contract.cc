#include "tests/contract/dma_binder_contract.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "twostep/machine/check.h"

namespace twostep {

using Scarce = BindOutcome::Scarce;
using Kind = Shortage::Kind;

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DmaBinderContract);

DmaBinderContract::DmaBinderContract() {
  const DmaBinderCase& param = GetParam();
  MachineConfig config;
  config.dma32_bytes = 8 * kMiB;
  config.normal_bytes = kMiB;
  config.coherent_bytes = config.cma_bytes = config.swiotlb.bytes =
      PagesToBytes(DmaBinderCase::kPoolPages);
  config.swiotlb.forced = param.bounce_all;
  config.swap_bytes = kMiB;
  // Above physical memory, as it must be.
  config.iommu = {param.iommu, uint64_t{1} << 33,
                  PagesToBytes(DmaBinderCase::kPoolPages), /*domains=*/2};
  machine_ = *Machine::Create(
      config, {.check_dma = CheckDma::kOn,
               .dma_misuse_handler = [this](const DmaMisuse& misuse) {
                 misuses_.push_back(misuse);
               }});
  if (!param.coherent) {
    TWOSTEP_CHECK(machine_->memory().SeparateDeviceView().ok());
  }
  binder_ = param.make(*machine_);
  port_ = std::make_unique<DmaPort>(machine_->domain(), machine_->memory(),
                                    param.mask_bits, param.coherent);
  at_start_ = Accounts();
}

void DmaBinderContract::TearDown() {
  ReturnFrames();
  for (const auto& bo : bos_) {
    if (bo->is_bound()) {
      EXPECT_TRUE(Unbind(*bo, Contents::kDrop).ok());
    }
    bo->pages.Release(machine_->memory(), machine_->swap());
  }
  EXPECT_EQ(Accounts(), at_start_);
  for (const DmaMisuse& misuse : misuses_) {
    if (std::find(expected_.begin(), expected_.end(), misuse.kind) ==
        expected_.end()) {
      ADD_FAILURE() << misuse.message;
    }
  }
}

Bound& DmaBinderContract::Make(PageCount pages) {
  return *bos_.emplace_back(std::make_unique<Bound>(pages));
}

Bound& DmaBinderContract::MakeBound(PageCount pages, uint64_t seed) {
  Bound& bo = Make(pages);
  CpuWrite(bo, seed);
  EXPECT_TRUE(Bind(bo).ok());
  return bo;
}

void DmaBinderContract::TakeFrames(uint64_t left) {
  const uint64_t free = machine_->memory().free_frames(kNoFrame - 1);
  taken_.resize(free - left);
  ASSERT_EQ(machine_->memory().Allocate(taken_, kNoFrame - 1,
                                        PhysicalMemory::Zero::kNo),
            Kind::kNone);
}

void DmaBinderContract::ReturnFrames() {
  machine_->memory().Free(taken_);
  taken_.clear();
}

void DmaBinderContract::CpuWrite(Bound& bo, uint64_t seed) {
  ASSERT_EQ(bo.pages.Populate(machine_->memory(), kNoFrame - 1,
                              PhysicalMemory::Zero::kYes),
            Kind::kNone);
  for (PageCount i = 0; i < bo.pages.count(); ++i) {
    FillPattern(seed, i, machine_->memory().CpuBytes(bo.pages.frames()[i]));
  }
}

bool DmaBinderContract::CpuSees(Bound& bo, PageCount page, uint64_t seed) {
  return PageChecksum(machine_->memory().CpuBytes(bo.pages.frames()[page])) ==
         PatternChecksum(seed, page);
}

uint64_t DmaBinderContract::CpuWrong(Bound& bo, uint64_t seed) {
  uint64_t wrong = 0;
  for (PageCount i = 0; i < bo.pages.count(); ++i)
    wrong += !CpuSees(bo, i, seed);
  return wrong;
}

void DmaBinderContract::DeviceWrite(Bound& bo, uint64_t seed) {
  for (PageCount i = 0; i < bo.pages.count(); ++i) {
    std::byte* at =
        port_->Resolve(bo.binding.Address(bo.pages, i), Access::kWrite);
    ASSERT_NE(at, nullptr) << port_->last_fault();
    FillPattern(seed, i, at);
  }
}

bool DmaBinderContract::DeviceSees(Bound& bo, PageCount page, uint64_t seed) {
  const std::byte* at =
      port_->Resolve(bo.binding.Address(bo.pages, page), Access::kRead);
  return at != nullptr && PageChecksum(at) == PatternChecksum(seed, page);
}

uint64_t DmaBinderContract::DeviceWrong(Bound& bo, uint64_t seed) {
  uint64_t wrong = 0;
  for (PageCount i = 0; i < bo.pages.count(); ++i) {
    wrong += !DeviceSees(bo, i, seed);
  }
  return wrong;
}

std::vector<uint64_t> DmaBinderContract::Accounts() {
  return {machine_->memory().used_frames(Zone::kDma32),
          machine_->memory().used_frames(Zone::kNormal),
          machine_->bounce_pool().used_frames(),
          machine_->coherent_pool().used_frames(),
          machine_->cma().used_frames(),
          machine_->swap().used_pages(),
          machine_->domain().used_iova_pages(),
          machine_->domain().direct_pages(),
          binder_->bound_pages_now(),
          runs_out() && port_ != nullptr ? Describe(1, GetParam().scarce).free
                                         : GetParam().capacity};
}

namespace {

// R6
TEST_P(DmaBinderContract, BindingAndUnbindingKeepTheBytesBothWays) {
  Bound& bo = MakeBound(5, 1);
  EXPECT_EQ(DeviceWrong(bo, 1), 0);
  DeviceWrite(bo, 2);
  ASSERT_TRUE(Unbind(bo).ok());
  EXPECT_EQ(bo.pages.home(), Pages::Home::kMemory);
  EXPECT_EQ(CpuWrong(bo, 2), 0);
  CpuWrite(bo, 3);
  ASSERT_TRUE(Bind(bo).ok());
  EXPECT_EQ(DeviceWrong(bo, 3), 0);
  EXPECT_EQ(port().faults(), 0);
}

TEST_P(DmaBinderContract, PagesThatWereAbsentReadAsZeros) {
  const std::vector<std::byte> zeros(kPageSize);
  // Leave bytes behind in what the next one gets.
  ASSERT_TRUE(Unbind(MakeBound(16, 1), Contents::kDrop).ok());
  TearDown();
  Bound& bo = Make(16);
  ASSERT_TRUE(Bind(bo).ok());
  EXPECT_TRUE(bo.pages.present());
  for (PageCount i = 0; i < 16; ++i) {
    const std::byte* at =
        port().Resolve(bo.binding.Address(bo.pages, i), Access::kRead);
    ASSERT_NE(at, nullptr);
    EXPECT_EQ(std::memcmp(at, zeros.data(), kPageSize), 0) << i;
  }
}

// R7
TEST_P(DmaBinderContract, OldAddressesFaultAfterAnUnbind) {
  Bound& other = MakeBound(2, 7);
  Bound& bo = MakeBound(4, 1);
  std::vector<DmaAddress> addresses;
  for (PageCount i = 0; i < 4; ++i) {
    addresses.push_back(bo.binding.Address(bo.pages, i));
  }
  ASSERT_TRUE(Unbind(bo).ok());
  for (const DmaAddress address : addresses) {
    EXPECT_EQ(port().Resolve(address, Access::kRead), nullptr) << address;
  }
  EXPECT_EQ(port().faults(), 4);
  EXPECT_EQ(DeviceWrong(other, 7), 0);
}

// R7, S19
TEST_P(DmaBinderContract, AnAliasReachesThePagesFromAnotherDomainWhileBound) {
  DmaDomain& domain = machine().domain(1);
  DmaPort other(domain, machine().memory(), GetParam().mask_bits,
                GetParam().coherent);
  const auto mapped = [&] {
    return domain.used_iova_pages() + domain.direct_pages();
  };
  Bound& bo = MakeBound(4, 1);
  const auto addresses_there = [&] {
    std::vector<DmaAddress> addresses;
    for (PageCount i = 0; i < 4; ++i) {
      addresses.push_back(bo.binding.AddressIn(domain, bo.pages, i));
    }
    return addresses;
  };
  const auto expect_faults = [&](const std::vector<DmaAddress>& addresses) {
    for (const DmaAddress address : addresses) {
      EXPECT_EQ(other.Resolve(address, Access::kRead), nullptr) << address;
    }
    EXPECT_EQ(mapped(), 0);
  };
  EXPECT_FALSE(bo.binding.ReachableIn(domain));
  ASSERT_TRUE(binder().AddAlias(bo.pages, other, &bo.binding).ok());
  ASSERT_TRUE(binder().AddAlias(bo.pages, other, &bo.binding).ok());
  EXPECT_TRUE(bo.binding.ReachableIn(domain));
  EXPECT_EQ(mapped(), 4);
  for (PageCount i = 0; i < 4; ++i) {
    std::byte* at = other.Resolve(addresses_there()[i], Access::kWrite);
    ASSERT_NE(at, nullptr) << other.last_fault();
    EXPECT_EQ(PageChecksum(at), PatternChecksum(1, i));
    FillPattern(2, i, at);
  }
  EXPECT_EQ(DeviceWrong(bo, 2), 0);

  std::vector<DmaAddress> gone = addresses_there();
  binder().RemoveAlias(bo.pages, domain, &bo.binding);
  expect_faults(gone);
  EXPECT_EQ(DeviceWrong(bo, 2), 0);
  ASSERT_TRUE(binder().AddAlias(bo.pages, other, &bo.binding).ok());
  gone = addresses_there();
  ASSERT_TRUE(Unbind(bo).ok());
  expect_faults(gone);
  EXPECT_EQ(CpuWrong(bo, 2), 0);
}

// R8
TEST_P(DmaBinderContract, EveryAddressIsUnderTheMask) {
  Bound& bo = Make(16);
  CpuWrite(bo, 1);
  if (!port().domain().translated()) {
    // Or it is no test.
    EXPECT_GT(bo.pages.frames()[0], port().highest_frame());
  }
  ASSERT_TRUE(Bind(bo).ok());
  for (PageCount i = 0; i < 16; ++i) {
    EXPECT_LE(bo.binding.Address(bo.pages, i) + (kPageSize - 1),
              port().highest());
  }
}

TEST_P(DmaBinderContract, AccountsFollowBindsAndUnbinds) {
  const std::vector<uint64_t> before = Accounts();
  Bound& a = Make(3);
  Bound& b = Make(4);
  ASSERT_TRUE(Bind(a).ok());
  ASSERT_TRUE(Bind(b, Contents::kDrop).ok());
  EXPECT_EQ(binder().bound_pages_now(), 7);
  EXPECT_EQ(binder().stats().binds, 2);
  if (runs_out()) {
    EXPECT_EQ(Describe(1, GetParam().scarce).free, GetParam().capacity - 7);
  }
  ASSERT_TRUE(Unbind(a).ok());
  EXPECT_EQ(binder().bound_pages_now(), 4);
  ASSERT_TRUE(Unbind(b).ok());
  a.pages.Release(machine().memory(), machine().swap());
  b.pages.Release(machine().memory(), machine().swap());
  EXPECT_EQ(Accounts(), before);
}

TEST_P(DmaBinderContract, DroppedContentsCostNoSyncAndLeaveNoStorage) {
  Bound& bo = Make(4);
  ASSERT_TRUE(Bind(bo, Contents::kDrop).ok());
  EXPECT_EQ(binder().stats().pages_synced_for_device, 0);
  DeviceWrite(bo, 1);
  const bool own_memory = bo.pages.home() == Pages::Home::kBinder;
  ASSERT_TRUE(Unbind(bo, Contents::kDrop).ok());
  EXPECT_FALSE(bo.is_bound());
  EXPECT_EQ(binder().stats().pages_synced_for_cpu, 0);
  EXPECT_EQ(binder().stats().copied_back_bytes, 0);
  EXPECT_EQ(bo.pages.home(),
            own_memory ? Pages::Home::kNone : Pages::Home::kMemory);
}

// What each page belongs to, page by page. R6
TEST_P(DmaBinderContract, SyncsHandOverExactlyTheirPages) {
  Bound& bo = MakeBound(6, 1);
  if (!binder().hands_over(port())) GTEST_SKIP() << "pages are shared";
  // It looks at both sides of pages that are the CPU's.
  Expect(DmaMisuse::Kind::kDeviceTouchedCpusPage);
  const bool apart = bo.binding.bounce != nullptr || !port().coherent();
  DmaBinder::Stats& stats = binder().stats();
  EXPECT_EQ(stats.pages_synced_for_device, 6);
  EXPECT_EQ(bo.binding.cpu_owned_pages, 0);
  DeviceWrite(bo, 2);
  binder().SyncForCpu(bo.pages, bo.binding, PageRange{2, 2});
  EXPECT_EQ(stats.pages_synced_for_cpu, 2);
  EXPECT_EQ(bo.binding.cpu_owned_pages, 2);
  for (PageCount i = 0; i < 6; ++i) {
    const bool synced = i == 2 || i == 3;
    EXPECT_EQ(bo.binding.CpuOwns(i), synced) << i;
    EXPECT_EQ(CpuSees(bo, i, 2), synced || !apart) << i;
  }
  // Those that are the CPU's already stay as they are.
  FillPattern(3, 2, machine().memory().CpuBytes(bo.pages.frames()[2]));
  binder().SyncForCpu(bo.pages, bo.binding, PageRange{1, 3});
  EXPECT_EQ(stats.pages_synced_for_cpu, 3);
  EXPECT_TRUE(CpuSees(bo, 1, 2));
  EXPECT_TRUE(CpuSees(bo, 2, 3));
  // And back: only the pages of the range that are the CPU's.
  EXPECT_EQ(DeviceSees(bo, 2, 3), !apart);
  binder().SyncForDevice(bo.pages, bo.binding, PageRange{2, 4});
  EXPECT_EQ(stats.pages_synced_for_device, 8);
  EXPECT_TRUE(DeviceSees(bo, 2, 3));
  EXPECT_TRUE(DeviceSees(bo, 5, 2));
  EXPECT_TRUE(bo.binding.CpuOwns(1));
  EXPECT_EQ(bo.binding.cpu_owned_pages, 1);
  // Unbinding fetches the rest, and no page twice.
  FillPattern(4, 1, machine().memory().CpuBytes(bo.pages.frames()[1]));
  ASSERT_TRUE(Unbind(bo).ok());
  EXPECT_EQ(stats.pages_synced_for_cpu, 8);
  for (PageCount i = 0; i < 6; ++i) {
    EXPECT_TRUE(CpuSees(bo, i, i == 1 ? 4 : i == 2 ? 3 : 2)) << i;
  }
}

TEST_P(DmaBinderContract, SharedPagesNeedNoSync) {
  Bound& bo = MakeBound(4, 1);
  if (binder().hands_over(port())) GTEST_SKIP() << "pages change hands";
  DeviceWrite(bo, 2);
  EXPECT_EQ(CpuWrong(bo, 2), 0);
  CpuWrite(bo, 3);
  EXPECT_EQ(DeviceWrong(bo, 3), 0);
  binder().SyncForCpu(bo.pages, bo.binding, bo.all());
  binder().SyncForDevice(bo.pages, bo.binding, bo.all());
  EXPECT_EQ(bo.binding.cpu_owned_pages, 0);
  EXPECT_EQ(binder().stats().pages_synced_for_cpu, 0);
  EXPECT_EQ(binder().stats().pages_synced_for_device, 0);
}

TEST_P(DmaBinderContract, MoreThanAllOfItNeverFits) {
  if (!runs_out()) GTEST_SKIP() << "runs out of page frames only";
  const std::vector<uint64_t> before = Accounts();
  const PageCount pages = GetParam().capacity + 1;
  const BindOutcome outcome = Bind(Make(pages));
  EXPECT_EQ(outcome.scarce, GetParam().scarce);
  EXPECT_EQ(outcome.kind, Kind::kNeverFits);
  EXPECT_EQ(Describe(pages, outcome.scarce).kind, Kind::kNeverFits);
  EXPECT_EQ(Accounts(), before);
  ASSERT_TRUE(Bind(Make(GetParam().capacity)).ok());
}

// R12
TEST_P(DmaBinderContract, WhatIsFullSaysSoAndChangesNothing) {
  if (!runs_out()) GTEST_SKIP() << "runs out of page frames only";
  Bound& present = Make(2);
  CpuWrite(present, 5);
  const std::vector<FrameNumber> frames(present.pages.frames().begin(),
                                        present.pages.frames().end());
  Bound& absent = Make(2);
  Bound& most = MakeBound(GetParam().capacity - 1, 1);
  const std::vector<uint64_t> before = Accounts();
  for (Bound* bo : {&present, &absent}) {
    const BindOutcome outcome = Bind(*bo);
    EXPECT_EQ(outcome.scarce, GetParam().scarce);
    EXPECT_EQ(outcome.kind, Kind::kFull);
    EXPECT_FALSE(bo->is_bound());
    EXPECT_EQ(bo->binding.bounce, nullptr);
    EXPECT_EQ(Accounts(), before);
  }
  const Shortage shortage = Describe(2, GetParam().scarce);
  EXPECT_EQ(shortage.kind, Kind::kFull);
  EXPECT_EQ(shortage.free, 1);
  EXPECT_EQ(shortage.largest_hole, 1);
  EXPECT_FALSE(absent.pages.present());
  EXPECT_TRUE(
      std::equal(frames.begin(), frames.end(), present.pages.frames().begin()));
  EXPECT_EQ(CpuWrong(present, 5), 0);
  EXPECT_EQ(DeviceWrong(most, 1), 0);
  EXPECT_EQ(binder().stats().binds, 1);
  ASSERT_TRUE(Unbind(most).ok());
  ASSERT_TRUE(Bind(present).ok());
  EXPECT_EQ(DeviceWrong(present, 5), 0);
}

TEST_P(DmaBinderContract, HolesServeOnlyTypesThatNeedNoNeighbours) {
  if (!runs_out()) GTEST_SKIP() << "runs out of page frames only";
  std::vector<Bound*> quarters;
  const PageCount quarter = GetParam().capacity / 4;
  for (int i = 0; i < 4; ++i) quarters.push_back(&MakeBound(quarter, i));
  ASSERT_TRUE(Unbind(*quarters[0]).ok());
  ASSERT_TRUE(Unbind(*quarters[2]).ok());
  Bound& half = Make(2 * quarter);
  CpuWrite(half, 9);
  const std::vector<uint64_t> before = Accounts();
  const BindOutcome outcome = Bind(half);
  if (!GetParam().fragments) {
    EXPECT_TRUE(outcome.ok());
    EXPECT_EQ(DeviceWrong(half, 9), 0);
    return;
  }
  EXPECT_EQ(outcome.scarce, GetParam().scarce);
  EXPECT_EQ(outcome.kind, Kind::kFragmented);
  const Shortage shortage = Describe(2 * quarter, outcome.scarce);
  EXPECT_EQ(shortage.kind, Kind::kFragmented);
  EXPECT_EQ(shortage.free, 2 * quarter);
  EXPECT_EQ(shortage.largest_hole, quarter);
  EXPECT_EQ(Accounts(), before);
  EXPECT_EQ(CpuWrong(half, 9), 0);
  ASSERT_TRUE(Unbind(*quarters[1]).ok());
  EXPECT_TRUE(Bind(half).ok());
}

// What the choice of victims by position rests on.
TEST_P(DmaBinderContract, SpaceThatFragmentsShowsWhereABindingIs) {
  if (!GetParam().fragments) GTEST_SKIP() << "positions do not matter";
  Bound& bo = MakeBound(8, 1);
  const Scarce scarce = GetParam().scarce;
  const SpaceBlock block =
      scarce == Scarce::kIova ? bo.binding.iova : bo.binding.storage;
  ASSERT_NE(block.node, 0);
  bool asked = false;
  EXPECT_TRUE(binder().WithSpace(
      scarce, 8, port(),
      [&](RangeAllocator& space, const SpaceRequest& request) {
        asked = true;
        EXPECT_EQ(request.size, 8);
        EXPECT_EQ(space.capacity(), GetParam().capacity);
        const RangeAllocator::Surroundings around = space.Around(block.node);
        EXPECT_EQ(around.start, block.start);
        EXPECT_EQ(around.end, block.start + 8);
      }));
  EXPECT_TRUE(asked);
}

// R12
TEST_P(DmaBinderContract, WithoutPageFramesBindingWorksOrChangesNothing) {
  Bound& present = Make(3);
  CpuWrite(present, 5);
  Bound& absent = Make(3);
  TakeFrames(/*left=*/2);
  for (Bound* bo : {&present, &absent}) {
    const std::vector<uint64_t> before = Accounts();
    const Pages::Home home = bo->pages.home();
    const BindOutcome outcome = Bind(*bo);
    if (outcome.ok()) continue;
    EXPECT_EQ(outcome.scarce, Scarce::kHostFrames);
    EXPECT_EQ(outcome.kind, Kind::kFull);
    const Shortage shortage = Describe(3, Scarce::kHostFrames);
    EXPECT_EQ(shortage.kind, Kind::kFull);
    EXPECT_EQ(shortage.free, 2);
    EXPECT_EQ(bo->pages.home(), home);
    EXPECT_FALSE(bo->is_bound());
    EXPECT_EQ(Accounts(), before);
  }
  if (present.is_bound()) {
    EXPECT_EQ(DeviceWrong(present, 5), 0);
  } else {
    EXPECT_EQ(CpuWrong(present, 5), 0);
  }
}

// R12
TEST_P(DmaBinderContract, WithoutPageFramesUnbindingWorksOrChangesNothing) {
  Bound& bo = MakeBound(3, 1);
  DeviceWrite(bo, 2);
  TakeFrames();
  const std::vector<uint64_t> before = Accounts();
  const BindOutcome outcome = Unbind(bo);
  if (!outcome.ok()) {
    EXPECT_EQ(outcome.scarce, Scarce::kHostFrames);
    EXPECT_EQ(outcome.kind, Kind::kFull);
    EXPECT_TRUE(bo.is_bound());
    EXPECT_EQ(Accounts(), before);
    EXPECT_EQ(Describe(3, Scarce::kHostFrames).free, 0);
    // The bytes are there, and the device reaches them once they are its again.
    binder().SyncForDevice(bo.pages, bo.binding, bo.all());
    EXPECT_EQ(DeviceWrong(bo, 2), 0);
    ReturnFrames();
    ASSERT_TRUE(Unbind(bo).ok());
  }
  EXPECT_EQ(CpuWrong(bo, 2), 0);
}

TEST_P(DmaBinderContract, DroppingWorksWithoutPageFrames) {
  Bound& bo = MakeBound(3, 1);
  TakeFrames();
  EXPECT_TRUE(Unbind(bo, Contents::kDrop).ok());
}

TEST_P(DmaBinderContract, BindingTwiceOrUnbindingTwiceIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Bound& bo = MakeBound(2, 1);
  EXPECT_DEATH(Bind(bo), "binding->port == nullptr");
  ASSERT_TRUE(Unbind(bo).ok());
  EXPECT_DEATH(Unbind(bo), "binding.port != nullptr");
}

// R6, R12, R13 in any order of events: `seeds` says what each page must hold.
TEST_P(DmaBinderContract, RandomStepsKeepBytesAndAccounts) {
  std::mt19937 random(20120111);
  const auto below = [&](uint32_t n) {
    return static_cast<uint32_t>(random() % n);
  };
  struct Subject {
    Bound* bo;
    std::vector<uint64_t> seeds;
  };
  std::vector<Subject> subjects;
  for (int i = 0; i < 8; ++i) {
    Bound& bo = Make(1 + below(16));
    CpuWrite(bo, 0);
    subjects.push_back({&bo, std::vector<uint64_t>(bo.pages.count(), 0)});
  }
  for (uint64_t step = 1; step <= 500; ++step) {
    Subject& subject = subjects[below(subjects.size())];
    Bound& bo = *subject.bo;
    const PageCount page = below(bo.pages.count());
    const PageRange range{page, 1 + below(bo.pages.count() - page)};
    const bool shared = !binder().hands_over(port());
    const uint32_t what = below(5);
    if (what == 0 || !bo.is_bound()) {
      const BindOutcome outcome = bo.is_bound() ? Unbind(bo) : Bind(bo);
      ASSERT_TRUE(outcome.ok() || outcome.scarce == GetParam().scarce) << step;
    } else if (what == 1) {
      binder().SyncForCpu(bo.pages, bo.binding, range);
    } else if (what == 2) {
      binder().SyncForDevice(bo.pages, bo.binding, range);
    } else if (what == 3 && (shared || bo.binding.CpuOwns(page))) {
      subject.seeds[page] = step;
      FillPattern(step, page,
                  machine().memory().CpuBytes(bo.pages.frames()[page]));
    } else if (what == 4 && !bo.binding.CpuOwns(page)) {
      subject.seeds[page] = step;
      FillPattern(
          step, page,
          port().Resolve(bo.binding.Address(bo.pages, page), Access::kWrite));
    }
    uint64_t bound_pages = 0;
    for (Subject& each : subjects) {
      Bound& bound = *each.bo;
      bound_pages += bound.is_bound() ? bound.pages.count() : 0;
      for (PageCount i = 0; i < bound.pages.count(); ++i) {
        const bool cpus = !bound.is_bound() || bound.binding.CpuOwns(i);
        ASSERT_TRUE(cpus ? CpuSees(bound, i, each.seeds[i])
                         : DeviceSees(bound, i, each.seeds[i]))
            << "step " << step << " page " << i;
      }
    }
    ASSERT_EQ(binder().bound_pages_now(), bound_pages) << step;
  }
  EXPECT_EQ(port().faults(), 0);
}

}  // namespace
}  // namespace twostep
