// What is left after the n-th thing fails: the bo where it was, with its bytes,
// on the orders it was on, and every account as before.

#include <functional>
#include <tuple>
#include <utility>

#include "tests/bo/platforms.h"

namespace twostep {
namespace {

// NONE, but fails when told to.
class FlakyBinder : public DmaBinder {
 public:
  FlakyBinder(Machine& machine, std::unique_ptr<EvictionPolicy> policy)
      : DmaBinder("flaky", machine, Sharing::kSharedIfCoherent, CanRunOut::kYes,
                  std::move(policy)) {}

  // The outcome of every bind from the `calls`-th on; 0: none fails.
  void FailFrom(int calls, BindOutcome outcome) {
    calls_until_failure_ = calls;
    outcome_ = outcome;
  }

 private:
  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents,
                     DmaBinding* binding) override {
    if (calls_until_failure_ == 1) return outcome_;
    if (calls_until_failure_ > 1) --calls_until_failure_;
    const Shortage::Kind kind = pages.Populate(
        machine().memory(), port.highest_frame(), PhysicalMemory::Zero::kYes);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kHostFrames, kind};
    }
    return MapFrames(pages.frames(), port, binding);
  }
  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding, Contents) override {
    UnmapFrames(pages.frames(), binding);
    return {};
  }
  Shortage DoDescribe(PageCount, const DmaPort&,
                      BindOutcome::Scarce) const override {
    return {};
  }

  int calls_until_failure_ = 0;
  BindOutcome outcome_;
};

RigOptions WithoutMask(MachineKind kind, DeviceHooks* hooks) {
  RigOptions options = OptionsOf(kind);
  options.gpu.dma_mask_bits = 64;
  options.hooks = hooks;
  return options;
}

// Places that a bo can be in before something fails.
struct Start {
  const char* name;
  std::vector<Placement> placements;
  bool has_bytes;
};
const Start kStarts[] = {
    {"Untouched", {}, false},
    {"Anonymous", {kSystem}, true},
    {"TtNone", {Tt(DmaType::kNone)}, true},
    {"TtDynamic", {Tt(DmaType::kDynamic)}, true},
    {"TtCoherent", {Tt(DmaType::kCoherent)}, true},
    {"TtCma", {Tt(DmaType::kCma)}, true},
    {"DynamicAlone", {Placement{.dma = DmaType::kDynamic}}, true},
    {"CoherentAlone", {Placement{.dma = DmaType::kCoherent}}, true},
    {"Vram", {kVram}, true},
};

class Failure : public testing::TestWithParam<std::tuple<MachineKind, size_t>> {
 protected:
  const Start& start() const { return kStarts[std::get<1>(GetParam())]; }

  BoRef MakeBo() {
    BoRef bo = rig_.Make(6 * kPageSize);
    if (start().has_bytes) rig_.CpuFill(bo, 1);
    if (!start().placements.empty()) {
      EXPECT_TRUE(rig_.Validate(bo, start().placements).ok());
      EXPECT_TRUE(WaitForCpu(*bo, Access::kWrite).ok());
    }
    while (rig_.host().ReapGhosts(WaitLimit{})) {
    }
    return bo;
  }
  void ExpectAsBefore(const BoRef& bo, const std::string& where,
                      const Accounts& accounts, const absl::Status& status) {
    EXPECT_EQ(WhereIs(bo), where) << status;
    EXPECT_EQ(AccountsOf(rig_), accounts) << status;
    EXPECT_EQ(rig_.Broken(), "") << status;
    if (bo->manager().kind() != MemoryManager::Kind::kNowhere) {
      EXPECT_EQ(rig_.DeviceWrongBytes(bo, 1), 0);
    }
  }
  void ExpectContents(const BoRef& bo) {
    if (start().has_bytes) {
      EXPECT_EQ(rig_.CpuWrongBytes(bo, 1), 0);
    }
  }

  RecordingHooks hooks_;
  Rig rig_{WithoutMask(std::get<0>(GetParam()), &hooks_)};
};

// R12, R13: step 1 fails, for every reason there is.
TEST_P(Failure, OfABindLeavesTheBoAsItWas) {
  auto owned =
      std::make_unique<FlakyBinder>(rig_.machine(), rig_.host().MakePolicy());
  FlakyBinder* flaky = owned.get();
  const DmaType type = *rig_.device().RegisterDmaType(std::move(owned));
  BoRef bo = MakeBo();
  const std::string where = WhereIs(bo);
  const Accounts accounts = AccountsOf(rig_);
  using Scarce = BindOutcome::Scarce;
  for (const Placement& to : {Tt(type), Placement{.dma = type}}) {
    for (const BindOutcome& outcome :
         {BindOutcome{Scarce::kUnit, Shortage::Kind::kFull},
          BindOutcome{Scarce::kUnit, Shortage::Kind::kNeverFits},
          BindOutcome{Scarce::kIova, Shortage::Kind::kFragmented},
          BindOutcome{Scarce::kHostFrames, Shortage::Kind::kFull},
          BindOutcome{Scarce::kRefused, Shortage::Kind::kNeverFits, "no"}}) {
      if (outcome.scarce == Scarce::kHostFrames ||
          (outcome.scarce == Scarce::kIova &&
           rig_.machine().domain().translated())) {
        continue;  // others would be evicted, and nothing gained
      }
      flaky->FailFrom(1, outcome);
      const absl::Status status = rig_.Validate(bo, to);
      ASSERT_FALSE(status.ok());
      EXPECT_TRUE(KindOf(status) == ErrorKind::kCannotFit ||
                  KindOf(status) == ErrorKind::kNeverFits)
          << status;
      ExpectAsBefore(bo, where, accounts, status);
    }
  }
  ExpectContents(bo);
  flaky->FailFrom(0, {});
  ASSERT_TRUE(rig_.Validate(bo, Tt(type)).ok());
  ExpectContents(bo);
}

// R12, R13: the k-th copy of a validation fails, its own or a victim's.
TEST_P(Failure, OfAnyCopyLeavesTheBoAsItWas) {
  for (const Placement& to :
       {kVram, kSystem, Tt(DmaType::kNone), Tt(DmaType::kDynamic),
        Tt(DmaType::kCoherent), Tt(DmaType::kCma)}) {
    for (int k = 1;; ++k) {
      ASSERT_LT(k, 10);
      std::vector<BoRef> crowd;
      BoRef bo = MakeBo();
      // The rest of VRAM is taken.
      for (int i = 0; i < 5; ++i) {
        crowd.push_back(rig_.Make(50 * kPageSize));
        rig_.CpuFill(crowd.back(), 10 + i);
        ASSERT_TRUE(rig_.Validate(crowd.back(), kVram).ok());
        ASSERT_TRUE(WaitForCpu(*crowd.back(), Access::kWrite).ok());
      }
      while (rig_.host().ReapGhosts(WaitLimit{})) {
      }
      const std::string where = WhereIs(bo);
      const Accounts accounts = AccountsOf(rig_);
      const int copies = hooks_.copies;
      hooks_.copies_until_failure = k;
      hooks_.copy_failed = false;
      const absl::Status status = rig_.Validate(bo, to);
      const bool failed = hooks_.copy_failed;
      hooks_.copies_until_failure = 0;
      EXPECT_EQ(status.ok(), !failed) << status;
      if (failed) {
        EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
        EXPECT_EQ(WhereIs(bo), where);
        EXPECT_EQ(rig_.Broken(), "");
        if (hooks_.copies == copies) {  // nobody else had moved
          ExpectAsBefore(bo, where, accounts, status);
        }
      }
      ExpectContents(bo);
      for (size_t i = 0; i < crowd.size(); ++i) {
        EXPECT_EQ(rig_.CpuWrongBytes(crowd[i], 10 + i), 0);
      }
      if (HasFailure() || !failed) break;
    }
  }
}

// R12: pools that are too small say so, and change nothing.
TEST_P(Failure, OfAPoolThatIsTooSmallLeavesTheBoAsItWas) {
  BoRef bo = rig_.Make(kMiB + kPageSize);
  rig_.CpuFill(bo, 1);
  ASSERT_TRUE(rig_.Validate(bo, kSystem).ok());
  const std::string where = WhereIs(bo);
  const Accounts accounts = AccountsOf(rig_);
  for (const Placement& to :
       {kVram, Tt(DmaType::kCoherent), Tt(DmaType::kCma)}) {
    const absl::Status status = rig_.Validate(bo, to);
    EXPECT_EQ(KindOf(status), ErrorKind::kNeverFits) << status;
    ExpectAsBefore(bo, where, accounts, status);
  }
  EXPECT_EQ(rig_.CpuWrongBytes(bo, 1), 0);
}

// R12, R13: no frame and no swap slot is left.
TEST_P(Failure, ForWantOfFramesLeavesEverybodyWhereTheyWere) {
  BoRef bo = MakeBo();
  std::vector<BoRef> hoard;
  for (uint64_t pages = 1024; pages != 0;) {
    hoard.push_back(rig_.Make(PagesToBytes(pages)));
    auto mapping = *CpuMapping::Create(hoard.back());
    if (!mapping->Touch(PageRange{0, 1}, Access::kWrite).ok()) {
      hoard.pop_back();
      pages /= 2;
      continue;
    }
  }
  // Those that have frames are seen by the device.
  for (const BoRef& other : hoard) {
    if (other->pages().home() != Pages::Home::kMemory) continue;
    (void)rig_.Validate(other, Tt(DmaType::kNone));
  }
  if (bo->pages().home() == Pages::Home::kSwapped) return;  // was not there
  if (!start().has_bytes) return;
  const std::string where = WhereIs(bo);
  std::vector<std::string> others;
  for (const BoRef& other : hoard) others.push_back(WhereIs(other));
  const Accounts accounts = AccountsOf(rig_);
  BoRef fresh = rig_.Make(4 * kPageSize);
  for (const Placement& to : {Tt(DmaType::kNone), Tt(DmaType::kDynamic)}) {
    const absl::Status status = rig_.Validate(fresh, to);
    EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
    EXPECT_EQ(WhereIs(fresh), "unbound + system, no pages");
    EXPECT_EQ(AccountsOf(rig_), accounts);
  }
  if (InMemoryType(rig_, bo, MemoryType::kVram) ||
      bo->pages().home() == Pages::Home::kBinder) {
    const absl::Status status = rig_.Validate(bo, kSystem);
    EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
    ExpectAsBefore(bo, where, accounts, status);
  }
  for (size_t i = 0; i < hoard.size(); ++i) {
    EXPECT_EQ(WhereIs(hoard[i]), others[i]) << i;
  }
  EXPECT_EQ(rig_.Broken(), "");
  hoard.clear();
  ExpectContents(bo);
}

INSTANTIATE_TEST_SUITE_P(
    All, Failure,
    testing::Combine(testing::ValuesIn(kAllMachines),
                     testing::Range<size_t>(0, std::size(kStarts))),
    [](const auto& info) {
      return std::string(NameOf(std::get<0>(info.param))) +
             kStarts[std::get<1>(info.param)].name;
    });

// R12: a refused type is found out before the old binding is given up for good.
TEST(FailureOfASwitch, OfTypesRestoresTheOldOne) {
  for (const DmaType from : kBuiltInDmaTypes) {
    for (const DmaType to : {DmaType::kCoherent, DmaType::kCma}) {
      if (from == to) continue;
      RigOptions options = OptionsOf(MachineKind::kBareMetal);
      RecordingHooks hooks;
      options.hooks = &hooks;
      Rig rig(options);
      BoRef all = rig.Make(kMiB);  // all there is of that memory, pinned
      ASSERT_TRUE(rig.Validate(all, Tt(to)).ok());
      all->Reserve();
      all->Pin();
      all->Unreserve();
      BoRef bo = rig.Make(6 * kPageSize);
      rig.CpuFill(bo, 1);
      ASSERT_TRUE(rig.Validate(bo, Tt(from)).ok());
      rig.DeviceFill(bo, 2);
      const std::string where = WhereIs(bo);
      const Accounts accounts = AccountsOf(rig);
      hooks.log.clear();
      const absl::Status status = rig.Validate(bo, Tt(to));
      EXPECT_EQ(KindOf(status), ErrorKind::kCannotFit) << status;
      EXPECT_EQ(WhereIs(bo), where);
      EXPECT_EQ(AccountsOf(rig), accounts);
      EXPECT_EQ(rig.DeviceWrongBytes(bo, 2), 0);
      EXPECT_EQ(rig.CpuWrongBytes(bo, 2), 0);
      EXPECT_EQ(rig.Broken(), "");
      // Whoever follows the events knows that it is bound and seen.
      int dma = 1;
      int gpu = 1;
      const std::string name = absl::StrCat("bo ", bo->id(), " ");
      for (const std::string& line : hooks.log) {
        dma += line == name + "dma bound";
        dma -= line == name + "dma unbound";
        gpu += line == name + "gpu bound";
        gpu -= line == name + "gpu unbound";
        EXPECT_TRUE(dma >= gpu && gpu >= 0 && dma <= 1) << line;
      }
      EXPECT_EQ(dma, 1);
      EXPECT_EQ(gpu, 1);
      all->Reserve();
      all->Unpin();
      all->Unreserve();
    }
  }
}

}  // namespace
}  // namespace twostep
