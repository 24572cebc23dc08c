// What a device can reach: the frames that are bound for it, at addresses that
// it can put on the bus, and nothing else.

#include <algorithm>
#include <tuple>

#include "tests/bo/platforms.h"

namespace twostep {
namespace {

class Unbinding
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {
 protected:
  DmaType dma() const { return std::get<1>(GetParam()); }

  BoRef Bound() {
    BoRef bo = rig_.Make(4 * kPageSize);
    rig_.CpuFill(bo, 1);
    EXPECT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
    return bo;
  }
  static std::vector<DmaAddress> AddressesOf(const BoRef& bo) {
    std::vector<DmaAddress> addresses;
    for (PageCount page = 0; page < bo->page_count(); ++page) {
      addresses.push_back(bo->binding().Address(bo->pages(), page));
    }
    return addresses;
  }
  void ExpectFaults(const std::vector<DmaAddress>& addresses) {
    DmaPort& port = rig_.device().port();
    for (const DmaAddress address : addresses) {
      const uint64_t before = port.faults();
      EXPECT_EQ(port.Resolve(address, Access::kRead), nullptr) << address;
      EXPECT_EQ(port.Resolve(address + kPageSize - 1, Access::kWrite), nullptr);
      EXPECT_EQ(port.faults(), before + 2);
      EXPECT_NE(port.last_fault(), "");
    }
    // What has happened is reported.
    EXPECT_NE(rig_.Broken().find("R7"), std::string::npos);
  }
  void ExpectReached(const std::vector<DmaAddress>& addresses) {
    for (const DmaAddress address : addresses) {
      EXPECT_NE(rig_.device().port().Resolve(address, Access::kRead), nullptr);
    }
    EXPECT_EQ(rig_.device().port().faults(), 0);
  }

  Rig rig_{OptionsOf(std::get<0>(GetParam()))};
};

// R7
TEST_P(Unbinding, MakesTheOldAddressesFault) {
  BoRef bo = Bound();
  const auto addresses = AddressesOf(bo);
  ExpectReached(addresses);
  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
  EXPECT_EQ(rig_.Broken(), "");
  ExpectFaults(addresses);
}

// R7
TEST_P(Unbinding, ByDestroyingTheBoMakesTheOldAddressesFault) {
  BoRef bo = Bound();
  const auto addresses = AddressesOf(bo);
  bo.reset();
  EXPECT_EQ(rig_.Broken(), "");
  ExpectFaults(addresses);
}

// R7: the addresses last as long as the copy that reads through them.
TEST_P(Unbinding, ByMovingToVramMakesTheOldAddressesFaultAfterTheCopy) {
  BoRef bo = Bound();
  const auto addresses = AddressesOf(bo);
  ASSERT_TRUE(rig_.Validate(bo, kVram).ok());
  ASSERT_TRUE(WaitForCpu(*bo, Access::kRead).ok());
  while (rig_.host().ReapGhosts(WaitLimit{})) {
  }
  EXPECT_EQ(rig_.Broken(), "");
  EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
  ExpectFaults(addresses);
}

// R7
TEST_P(Unbinding, ByGivingUpTheContentsMakesTheOldAddressesFault) {
  BoRef bo = Bound();
  const auto addresses = AddressesOf(bo);
  ASSERT_TRUE(rig_.Validate(bo, std::vector<Placement>{}).ok());
  EXPECT_EQ(rig_.Broken(), "");
  ExpectFaults(addresses);
}

// R7: of another DMA type; the new addresses are the only ones.
TEST_P(Unbinding, ByBindingAnewLeavesOnlyTheNewAddresses) {
  for (const DmaType next : kBuiltInDmaTypes) {
    if (next == dma()) continue;
    Rig rig(OptionsOf(std::get<0>(GetParam())));
    BoRef bo = rig.Make(4 * kPageSize);
    ASSERT_TRUE(rig.Validate(bo, Tt(dma())).ok());
    const auto before = AddressesOf(bo);
    ASSERT_TRUE(rig.Validate(bo, Tt(next)).ok());
    const auto now = AddressesOf(bo);
    uint64_t faults = 0;
    for (const DmaAddress address : before) {
      const bool again =
          std::find(now.begin(), now.end(), address) != now.end();
      EXPECT_EQ(rig.device().port().Resolve(address, Access::kRead) != nullptr,
                again);
      faults += !again;
    }
    EXPECT_EQ(rig.device().port().faults(), faults);
    for (const DmaAddress address : now) {
      EXPECT_NE(rig.device().port().Resolve(address, Access::kRead), nullptr);
    }
  }
}

// R7: swapped-out bos are nobody's.
TEST_P(Unbinding, BySwappingOutMakesTheOldAddressesFault) {
  BoRef bo = Bound();
  const auto addresses = AddressesOf(bo);
  std::vector<BoRef> hoard;
  while (bo->pages().home() != Pages::Home::kSwapped) {
    if (dma() == DmaType::kCoherent || dma() == DmaType::kCma) break;
    hoard.push_back(rig_.Make(kMiB));
    hoard.back()->Reserve();
    hoard.back()->Pin();
    hoard.back()->Unreserve();
    ASSERT_TRUE((*CpuMapping::Create(hoard.back()))
                    ->Touch(PageRange{0, 1}, Access::kWrite)
                    .ok());
    ASSERT_LT(hoard.size(), 20);
  }
  if (bo->binder() == nullptr) {  // else its frames are no use to others
    EXPECT_EQ(rig_.Broken(), "");
    ExpectFaults(addresses);
  }
  for (const BoRef& each : hoard) {
    each->Reserve();
    each->Unpin();
    each->Unreserve();
  }
}

// R7: next to what is bound there is nothing, nor where nothing ever was.
TEST_P(Unbinding, WasNeverBoundFaults) {
  BoRef bo = Bound();
  const auto addresses = AddressesOf(bo);
  const auto bound = [&](DmaAddress address) {
    return std::find(addresses.begin(), addresses.end(),
                     address & ~(kPageSize - 1)) != addresses.end();
  };
  std::vector<DmaAddress> others{0, 8 * kMiB, 4 * kGiB, kNoDmaAddress};
  for (const DmaAddress address : addresses) {
    for (const DmaAddress next : {address - kPageSize, address + kPageSize}) {
      if (!bound(next)) others.push_back(next);
    }
  }
  DmaPort& port = rig_.device().port();
  uint64_t faults = 0;
  for (const DmaAddress address : others) {
    if (bound(address)) continue;
    EXPECT_EQ(port.Resolve(address, Access::kWrite), nullptr) << address;
    EXPECT_EQ(port.faults(), ++faults);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Unbinding,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

class DmaMask : public testing::TestWithParam<int> {
 protected:
  int bits() const { return GetParam(); }
  DmaAddress highest() const {
    return bits() == 64 ? ~DmaAddress{0} : (DmaAddress{1} << bits()) - 1;
  }
  // The frames above 4 GiB come first; some below it are beyond 24 bits.
  RigOptions Options(IommuMode mode) const {
    RigOptions options = RigOptions::Small(mode);
    options.machine.dma32_bytes = 20 * kMiB;
    options.machine.normal_bytes = 64 * kPageSize;
    options.gpu.dma_mask_bits = bits();
    return options;
  }
  // Binds bos of 16 pages each and looks at every address. After four, which
  // take what is above 4 GiB, one takes most of what is below 16 MiB.
  void Fill(Rig& rig, DmaType type, uint64_t bos) {
    for (uint64_t i = 0; i < bos; ++i) {
      if (i == 4) {
        hoard_ = rig.Make(12 * kMiB);
        ASSERT_TRUE((*CpuMapping::Create(hoard_))
                        ->Touch(PageRange{0, 1}, Access::kWrite)
                        .ok());
      }
      BoRef bo = rig.Make(16 * kPageSize);
      rig.CpuFill(bo, i);
      const absl::Status status = rig.Validate(bo, Tt(type));
      ASSERT_TRUE(status.ok()) << status;
      for (PageCount page = 0; page < bo->page_count(); ++page) {
        ASSERT_LE(bo->binding().Address(bo->pages(), page) + kPageSize - 1,
                  highest());
      }
      EXPECT_EQ(rig.DeviceWrongBytes(bo, i), 0);
      rig.DeviceFill(bo, i + 1);
      EXPECT_EQ(rig.CpuWrongBytes(bo, i + 1), 0);
      ASSERT_TRUE(rig.Validate(bo, Tt(type)).ok());
      bos_.push_back(bo);
    }
    EXPECT_EQ(rig.Broken(), "");
  }

  void Forget() {
    bos_.clear();
    hoard_.reset();
  }

  std::vector<BoRef> bos_;
  BoRef hoard_;
};

// R8: NONE replaces frames that the device cannot reach by copies.
TEST_P(DmaMask, NoneCopiesWhatIsBeyondIt) {
  Rig rig(Options(IommuMode::kAbsent));
  Fill(rig, DmaType::kNone, 9);
  for (const BoRef& bo : bos_) {
    for (const FrameNumber frame : bo->pages().frames()) {
      EXPECT_LE(PagesToBytes(frame), highest());
    }
  }
  // A bo without contents gets frames within reach at once.
  BoRef fresh = rig.Make(16 * kPageSize);
  ASSERT_TRUE(rig.Validate(fresh, Tt(DmaType::kNone)).ok());
  EXPECT_EQ(rig.Broken(), "");
  Forget();
}

// R8: DYNAMIC bounces the same, and only that.
TEST_P(DmaMask, DynamicBouncesWhatIsBeyondIt) {
  Rig rig(Options(IommuMode::kAbsent));
  Fill(rig, DmaType::kDynamic, 9);
  uint64_t beyond = 0;
  uint64_t bounced = 0;
  for (const BoRef& bo : bos_) {
    if (bo->binder() == nullptr) continue;
    for (PageCount page = 0; page < bo->page_count(); ++page) {
      const bool needs = PagesToBytes(bo->pages().frames()[page]) > highest();
      beyond += needs;
      bounced += bo->binding().Address(bo->pages(), page) !=
                 PagesToBytes(bo->pages().frames()[page]);
      EXPECT_EQ(bo->binding().Address(bo->pages(), page) !=
                    PagesToBytes(bo->pages().frames()[page]),
                needs);
    }
  }
  EXPECT_EQ(rig.machine().bounce_pool().used_frames(), bounced);
  EXPECT_EQ(beyond != 0, bits() <= 32);
  Forget();
}

// R8: COHERENT and CMA memory lies below; that beyond it is refused.
TEST_P(DmaMask, OwnMemoryIsWithinItOrRefused) {
  for (const DmaType type : {DmaType::kCoherent, DmaType::kCma}) {
    Rig rig(Options(IommuMode::kAbsent));
    Fill(rig, type, 6);
    Forget();
    // 17 MiB of bounce pages push the other pools beyond 24 bits.
    RigOptions options = Options(IommuMode::kAbsent);
    options.machine.swiotlb.bytes = 17 * kMiB;
    Rig far(options);
    BoRef bo = far.Make(4 * kPageSize);
    far.CpuFill(bo, 1);
    const std::string before = WhereIs(bo);
    const Accounts accounts = AccountsOf(far);
    const absl::Status status = far.Validate(bo, Tt(type));
    if (bits() > 24) {
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(far.DeviceWrongBytes(bo, 1), 0);
    } else {
      EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
      EXPECT_NE(status.message().find("mask"), absl::string_view::npos)
          << status;
      EXPECT_EQ(WhereIs(bo), before);
      EXPECT_EQ(AccountsOf(far), accounts);
      EXPECT_EQ(far.CpuWrongBytes(bo, 1), 0);
    }
    EXPECT_EQ(far.Broken(), "");
  }
}

// R8: bounce pages beyond the mask would be no help.
TEST_P(DmaMask, ABouncePoolBeyondItIsRefused) {
  RigOptions options = Options(IommuMode::kAbsent);
  options.machine.swiotlb.bytes = 17 * kMiB;
  options.machine.swiotlb.forced = true;
  Rig rig(options);
  BoRef bo = rig.Make(4 * kPageSize);
  rig.CpuFill(bo, 1);
  const absl::Status status = rig.Validate(bo, Tt(DmaType::kDynamic));
  if (bits() > 24) {
    EXPECT_TRUE(status.ok()) << status;
  } else {
    EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
    EXPECT_NE(status.message().find("mask"), absl::string_view::npos) << status;
    EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0);
  }
  EXPECT_EQ(rig.Broken(), "");
}

// R8, S24: the IOVA space reaches beyond the mask; that half is not given out.
TEST_P(DmaMask, IovasStayWithinIt) {
  if (bits() <= 33 || bits() == 64) return;  // IOVAs lie beyond memory
  for (const DmaType type :
       {DmaType::kDynamic, DmaType::kCoherent, DmaType::kCma}) {
    RigOptions options = Options(IommuMode::kTranslated);
    options.machine.iommu.iova_base = (uint64_t{1} << bits()) - 25 * kPageSize;
    options.machine.iommu.iova_bytes = 50 * kPageSize;
    Rig rig(options);
    Fill(rig, type, 4);
    // One at a time fits into 25 pages: the others were evicted.
    EXPECT_EQ(rig.device().binder(type)->stats().evictions, 3);
    BoRef large = rig.Make(26 * kPageSize);
    EXPECT_EQ(KindOf(rig.Validate(large, Tt(type))), ErrorKind::kNeverFits);
    Forget();
  }
}

// R8: an IOVA space beyond the mask altogether.
TEST_P(DmaMask, IovasBeyondItAreRefused) {
  if (bits() > 40) return;
  Rig rig(Options(IommuMode::kTranslated));  // IOVAs start at 2^40
  BoRef bo = rig.Make(4 * kPageSize);
  rig.CpuFill(bo, 1);
  const absl::Status status = rig.Validate(bo, Tt(DmaType::kDynamic));
  EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
  EXPECT_NE(status.message().find("IOVA"), absl::string_view::npos) << status;
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0);
  // Direct addresses do not depend on it.
  EXPECT_TRUE(rig.Validate(bo, Tt(DmaType::kNone)).ok());
  EXPECT_EQ(rig.DeviceWrongBytes(bo, 1), 0);
  EXPECT_EQ(rig.Broken(), "");
}

// R7, R8: what lies beyond the mask is a fault even where it is mapped.
TEST_P(DmaMask, AnAccessBeyondItFaults) {
  if (bits() == 64) return;
  Rig rig(Options(IommuMode::kAbsent));
  EXPECT_EQ(rig.device().port().Resolve(highest() + 1, Access::kRead), nullptr);
  EXPECT_EQ(rig.device().port().faults(), 1);
}

INSTANTIATE_TEST_SUITE_P(All, DmaMask, testing::Range(24, 65),
                         testing::PrintToStringParamName());

// R8: a machine without a pool says so, and does not speak of masks.
TEST(NoPool, IsRefusedForWhatItIs) {
  for (const DmaType type : {DmaType::kCoherent, DmaType::kCma}) {
    RigOptions options = OptionsOf(MachineKind::kBareMetal);
    options.machine.coherent_bytes = 0;
    options.machine.swiotlb.bytes = 0;
    options.machine.cma_bytes = type == DmaType::kCma ? 0 : kMiB;
    Rig rig(options);
    BoRef bo = rig.Make(kPageSize);
    const absl::Status status = rig.Validate(bo, Tt(type));
    EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
    EXPECT_EQ(status.message().find("mask"), absl::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace twostep
