// What is used equals the sum over bos, after every kind of operation, and is
// nothing once they are gone; who is left at the end is named.

#include <tuple>
#include <vector>

#include "tests/bo/platforms.h"

namespace twostep {
namespace {

class AccountsAddUp
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {
 protected:
  DmaType dma() const { return std::get<1>(GetParam()); }
  void Check(const char* after) { EXPECT_EQ(rig_.Broken(), "") << after; }

  Rig rig_{OptionsOf(std::get<0>(GetParam()))};
};

// R13
TEST_P(AccountsAddUp, AfterEveryOperationAndAtTheEnd) {
  const Accounts nothing = NothingUsed(AccountsOf(rig_));
  EXPECT_EQ(AccountsOf(rig_), nothing);
  std::vector<BoRef> bos;
  for (int i = 0; i < 6; ++i) {
    bos.push_back(rig_.Make((3 + i) * kPageSize));
    Check("create");
  }
  for (int i = 0; i < 5; ++i) rig_.CpuFill(bos[i], i);
  Check("touch");
  EXPECT_EQ(AccountsOf(rig_)["frames of NORMAL"], 3 + 4 + 5 + 6 + 7);
  for (const BoRef& bo : bos) {
    ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
    Check("bind");
  }
  Accounts accounts = AccountsOf(rig_);
  EXPECT_EQ(accounts["tt used"], 33);
  EXPECT_EQ(accounts[rig_.device().binder(dma())->name() + " bound"], 33);
  EXPECT_EQ(accounts["coherent frames"], dma() == DmaType::kCoherent ? 33 : 0);
  EXPECT_EQ(accounts["CMA frames"], dma() == DmaType::kCma ? 33 : 0);
  bos[0]->Reserve();
  bos[0]->Pin();
  bos[0]->Unreserve();
  Check("pin");
  EXPECT_EQ(AccountsOf(rig_)["tt pinned"], 3);
  bos[0]->Reserve();
  bos[0]->Unpin();
  bos[0]->Unreserve();
  Check("unpin");
  ASSERT_TRUE(rig_.Validate(bos[0], kVram).ok());
  Check("to VRAM, the copy under way");
  ASSERT_TRUE(WaitForCpu(*bos[0], Access::kWrite).ok());
  while (rig_.host().ReapGhosts(WaitLimit{})) {
  }
  Check("to VRAM");
  ASSERT_TRUE(rig_.Validate(bos[0], Tt(dma())).ok());
  Check("from VRAM");
  EXPECT_EQ(rig_.CpuWrongBytes(bos[0], 0), 0);
  ASSERT_TRUE(rig_.Validate(bos[1], kSystem).ok());
  Check("unbind");
  ASSERT_TRUE(rig_.Validate(bos[2], Placement{.dma = dma()}).ok());
  Check("GPU unbind");
  ASSERT_TRUE(rig_.Validate(bos[3], std::vector<Placement>{}).ok());
  Check("drop");
  {
    BoRef much = rig_.Make(12 * kMiB);  // swaps others out
    ASSERT_TRUE((*CpuMapping::Create(much))
                    ->Touch(PageRange{0, 1}, Access::kWrite)
                    .ok());
    Check("swap-out");
    BoRef more = rig_.Make(2 * kMiB);
    ASSERT_TRUE((*CpuMapping::Create(more))
                    ->Touch(PageRange{0, 1}, Access::kWrite)
                    .ok());
    EXPECT_GT(AccountsOf(rig_)["swap slots"], 0);
    Check("more swap-out");
  }
  EXPECT_EQ(rig_.CpuWrongBytes(bos[1], 1), 0);
  EXPECT_EQ(rig_.CpuWrongBytes(bos[4], 4), 0);
  Check("swap-in");
  bos.clear();
  Check("destroy");
  EXPECT_EQ(AccountsOf(rig_), nothing);
}

// R13: bos that go while the copy engine still uses them.
TEST_P(AccountsAddUp, WhenBosGoWhileTheirCopiesAreUnderWay) {
  const Accounts nothing = NothingUsed(AccountsOf(rig_));
  for (const Placement& last : {kVram, Tt(dma()), kSystem}) {
    for (int i = 0; i < 4; ++i) {
      BoRef bo = rig_.Make(32 * kPageSize);
      rig_.CpuFill(bo, 1);
      ASSERT_TRUE(rig_.Validate(bo, Tt(dma())).ok());
      ASSERT_TRUE(rig_.Validate(bo, kVram).ok());
      ASSERT_TRUE(rig_.Validate(bo, last).ok());
      bo.reset();
      Check("gone under way");
    }
  }
  while (rig_.host().ReapGhosts(WaitLimit{})) {
  }
  Check("all copied");
  EXPECT_EQ(AccountsOf(rig_), nothing);
}

// R13: a pin does not outlive its bo.
TEST_P(AccountsAddUp, WhenAPinnedBoGoes) {
  const Accounts nothing = NothingUsed(AccountsOf(rig_));
  for (const Placement& where : {kVram, Tt(dma()), kSystem}) {
    BoRef bo = rig_.Make(4 * kPageSize);
    ASSERT_TRUE(rig_.Validate(bo, where).ok());
    bo->Reserve();
    bo->Pin();
    bo->Unreserve();
    bo.reset();
  }
  while (rig_.host().ReapGhosts(WaitLimit{})) {
  }
  Check("gone while pinned");
  EXPECT_EQ(AccountsOf(rig_), nothing);
}

// B1, R6, R13: the device goes first. Each bo still bound is named, and keeps
// its bytes.
TEST_P(AccountsAddUp, WhenTheDeviceGoesBeforeItsBos) {
  std::vector<BoRef> bos;
  for (const Placement& where :
       {Tt(dma()), kVram, Placement{.dma = DmaType::kCoherent}, kSystem}) {
    bos.push_back(rig_.Make(4 * kPageSize));
    rig_.CpuFill(bos.back(), bos.size());
    ASSERT_TRUE(rig_.Validate(bos.back(), where).ok());
  }
  bos[0]->Reserve();
  bos[0]->Pin();
  bos[0]->Unreserve();
  rig_.DestroyDevice();
  ASSERT_EQ(rig_.misuses().size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rig_.misuses()[i].kind, Misuse::Kind::kLiveAtTeardown);
    EXPECT_NE(rig_.misuses()[i].message.find(bos[i]->DebugName()),
              std::string::npos)
        << rig_.misuses()[i].message;
  }
  for (size_t i = 0; i < bos.size(); ++i) {
    EXPECT_EQ(WhereIs(bos[i]), "unbound + system, frames");
    EXPECT_EQ(rig_.CpuWrongBytes(bos[i], i + 1), 0);
  }
  Check("device gone");
  bos.clear();
  Check("bos gone");
  Machine& machine = rig_.machine();
  EXPECT_EQ(machine.memory().used_frames(Zone::kDma32), 0);
  EXPECT_EQ(machine.memory().used_frames(Zone::kNormal), 0);
  EXPECT_EQ(machine.coherent_pool().used_frames(), 0);
  EXPECT_EQ(machine.bounce_pool().used_frames(), 0);
  EXPECT_EQ(machine.cma().used_frames(), 0);
}

INSTANTIATE_TEST_SUITE_P(All, AccountsAddUp,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

// B1, R13: bos that outlive their host are named one by one, and what they held
// goes back to the machine.
TEST(Teardown, NamesEveryBoThatOutlivesItsHost) {
  RigOptions options = OptionsOf(MachineKind::kIommu);
  auto machine = *Machine::Create(options.machine, options.options);
  std::vector<std::string> reported;
  HostOptions host_options;
  host_options.misuse_handler = [&](const Misuse& misuse) {
    EXPECT_EQ(misuse.kind, Misuse::Kind::kLiveAtTeardown);
    reported.push_back(misuse.message);
  };
  std::vector<std::string> names;
  {
    auto host = *Host::Create(*machine, host_options);
    auto device = *Device::Create(*host, options.gpu);
    for (int i = 0; i < 3; ++i) {
      BoRef bo = *host->CreateBo(4 * kPageSize);
      names.push_back(bo->DebugName());
      ASSERT_TRUE((*CpuMapping::Create(bo))
                      ->Touch(PageRange{0, 1}, Access::kWrite)
                      .ok());
      bo.detach();  // a reference that is never given back
    }
    device.reset();
    EXPECT_EQ(reported.size(), 0);
  }
  ASSERT_EQ(reported.size(), 3);
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_NE(reported[i].find(names[i]), std::string::npos) << reported[i];
  }
  EXPECT_EQ(machine->memory().used_frames(Zone::kNormal), 0);
  EXPECT_EQ(machine->memory().used_frames(Zone::kDma32), 0);
}

// S12: a bo's frames are counted in the zone that each came from: NORMAL as
// long as there is any, then DMA32; where the machine has only that, all in it.
TEST(ZoneAccounts, FramesAreCountedWhereTheyCameFrom) {
  for (const uint64_t normal_bytes : {uint64_t{0}, kMiB, 2 * kMiB}) {
    RigOptions options = RigOptions::Small(IommuMode::kAbsent);
    options.machine.normal_bytes = normal_bytes;
    Rig rig(options);
    PhysicalMemory& memory = rig.machine().memory();
    const uint64_t before = memory.used_frames(Zone::kDma32);
    EXPECT_EQ(memory.used_frames(Zone::kNormal), 0u);
    std::vector<BoRef> bos;
    const auto expect_counts = [&] {
      uint64_t below = 0;
      uint64_t above = 0;
      for (const BoRef& bo : bos) {
        for (const FrameNumber frame : bo->pages().frames()) {
          (frame < kNormalZoneFirstFrame ? below : above) += 1;
        }
      }
      EXPECT_EQ(memory.used_frames(Zone::kDma32) - before, below);
      EXPECT_EQ(memory.used_frames(Zone::kNormal), above);
    };
    for (uint64_t i = 0; i < 20; ++i) {
      bos.push_back(rig.Make((20 + i) * kPageSize));
      rig.CpuFill(bos.back(), i);
      ASSERT_TRUE(rig.Validate(bos.back(), Tt(DmaType::kNone)).ok());
      EXPECT_EQ(rig.DeviceWrongBytes(bos.back(), i), 0u);
      expect_counts();
    }
    EXPECT_GT(memory.used_frames(Zone::kDma32), before);
    EXPECT_EQ(memory.used_frames(Zone::kNormal) == 0, normal_bytes == 0);
    for (uint64_t i = 0; i < bos.size(); ++i) {
      EXPECT_EQ(rig.CpuWrongBytes(bos[i], i), 0u);
    }
    EXPECT_EQ(rig.Broken(), "");
    while (!bos.empty()) {
      bos.pop_back();
      expect_counts();
    }
    EXPECT_EQ(memory.used_frames(Zone::kDma32), before);
  }
}

}  // namespace
}  // namespace twostep
