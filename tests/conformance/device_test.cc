// B1 and B2: devices come and go.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "tests/bo/rig.h"
#include "twostep/dma_types/binders.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/mem_types/managers.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<EvictionPolicy> Lru() { return *MakeEvictionPolicy("lru"); }

// A memory type that nobody uses.
class IdleManager final : public MemoryManager {
 public:
  explicit IdleManager(std::string name)
      : MemoryManager(std::move(name), Kind::kNowhere, 0, Lru()) {}

 private:
  Shortage::Kind DoAllocate(const SpaceRequest&, SpaceBlock*) override {
    return Shortage::Kind::kFull;
  }
  void DoFree(const SpaceBlock&) override {}
  Shortage DoDescribe(const SpaceRequest&) const override { return {}; }
};

TEST(Device, B1_StartsWithSystemInUseAndNothingElse) {
  RigOptions options = RigOptions::Small();
  options.gpu.vram_bytes = 0;
  options.gpu.vram_visible_bytes = 0;
  options.gpu.aperture_bytes = 0;
  Rig rig(options);
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    const MemoryManager* manager =
        rig.device().manager(static_cast<MemoryType>(type));
    if (type != static_cast<int>(MemoryType::kSystem)) {
      EXPECT_EQ(manager, nullptr) << type;
      continue;
    }
    ASSERT_NE(manager, nullptr);
    EXPECT_EQ(manager->kind(), MemoryManager::Kind::kNowhere);
    EXPECT_TRUE(manager->in_use());
    EXPECT_EQ(manager->used_pages(), 0);
    EXPECT_EQ(manager->order().size(), 0);
  }
  for (int type = 0; type < static_cast<int>(DmaType::kFirstRegistered);
       ++type) {
    const DmaBinder* binder = rig.device().binder(static_cast<DmaType>(type));
    ASSERT_NE(binder, nullptr) << type;
    EXPECT_EQ(binder->bound_pages_now(), 0);
  }
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Device, B1_SeveralLiveSideBySide) {
  Rig rig;
  GpuConfig config = RigOptions::Small().gpu;
  std::vector<std::unique_ptr<Device>> others;
  for (const char* name : {"second", "third"}) {
    config.name = name;
    others.push_back(*Device::Create(rig.host(), config));
  }
  BoRef first = rig.Make(kMiB);
  rig.CpuFill(first, 1);
  ASSERT_EQ(rig.Validate(first, kVram), absl::OkStatus());
  std::vector<BoRef> bos;
  for (auto& device : others) {
    bos.push_back(rig.Make(kMiB));
    rig.CpuFill(bos.back(), 2);
    bos.back()->Reserve();
    ValidateContext context;
    // Each has a VRAM of its own to fill.
    EXPECT_EQ(device->Validate(*bos.back(), {&kVram, 1}, &context),
              absl::OkStatus());
    EXPECT_EQ(&bos.back()->manager(), device->manager(MemoryType::kVram));
    bos.back()->Unreserve();
  }
  EXPECT_EQ(rig.Broken(), "");

  bos.erase(bos.begin());
  others.erase(others.begin());
  EXPECT_TRUE(rig.misuses().empty());
  EXPECT_EQ(rig.DeviceWrongBytes(first, 1), 0);
  EXPECT_EQ(rig.CpuWrongBytes(bos[0], 2), 0);
  EXPECT_EQ(rig.Broken(), "");
  bos.clear();
}

TEST(Device, B1_TeardownWithEverythingFreedLeavesNothing) {
  Rig rig;
  for (const Placement& placement :
       {kVram, kSystem, Tt(DmaType::kNone), Tt(DmaType::kDynamic),
        Tt(DmaType::kCoherent), Tt(DmaType::kCma)}) {
    BoRef bo = rig.Make(64 * kKiB);
    rig.CpuFill(bo, 1);
    ASSERT_EQ(rig.Validate(bo, placement), absl::OkStatus());
    rig.KeepBusy(bo);
  }
  rig.DestroyDevice();
  EXPECT_TRUE(rig.misuses().empty());
  EXPECT_EQ(rig.host().bo_count(), 0);
  Machine& machine = rig.machine();
  EXPECT_EQ(machine.memory().used_frames(Zone::kDma32), 0);
  EXPECT_EQ(machine.memory().used_frames(Zone::kNormal), 0);
  EXPECT_EQ(machine.coherent_pool().used_frames(), 0);
  EXPECT_EQ(machine.cma().used_frames(), 0);
  EXPECT_EQ(machine.bounce_pool().used_frames(), 0);
  EXPECT_EQ(machine.domain().used_iova_pages(), 0);
  EXPECT_EQ(machine.domain().direct_pages(), 0);
  EXPECT_EQ(machine.swap().used_pages(), 0);
}

TEST(Device, B1_TeardownReportsLiveBosOneByOneAndKeepsTheirBytes) {
  Rig rig;
  std::vector<BoRef> bound;
  for (const Placement& placement :
       {kVram, Tt(DmaType::kNone), Tt(DmaType::kDynamic),
        Tt(DmaType::kCoherent), Tt(DmaType::kCma)}) {
    bound.push_back(rig.Make(64 * kKiB));
    rig.CpuFill(bound.back(), bound.size());
    ASSERT_EQ(rig.Validate(bound.back(), placement), absl::OkStatus());
  }
  BoRef anonymous = rig.Make(64 * kKiB);
  ASSERT_EQ(rig.Validate(anonymous, kSystem), absl::OkStatus());
  rig.Pin(bound[0]);
  rig.KeepBusy(bound[1]);
  rig.DestroyDevice();

  ASSERT_EQ(rig.misuses().size(), bound.size());
  for (size_t i = 0; i < bound.size(); ++i) {
    EXPECT_EQ(rig.misuses()[i].kind, Misuse::Kind::kLiveAtTeardown);
    EXPECT_THAT(rig.misuses()[i].message, HasSubstr(bound[i]->DebugName()));
    EXPECT_EQ(&bound[i]->manager(), &rig.host().system_manager());
    EXPECT_EQ(bound[i]->binder(), nullptr);
    EXPECT_EQ(rig.CpuWrongBytes(bound[i], i + 1), 0);
  }
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Device, B1_AHostThatGoesReportsLiveBosOneByOne) {
  auto machine = *Machine::Create(RigOptions::Small().machine, {});
  std::vector<std::string> messages;
  HostOptions options;
  options.misuse_handler = [&](const Misuse& misuse) {
    messages.push_back(misuse.message);
  };
  auto host = *Host::Create(*machine, options);
  std::vector<std::string> names;
  for (int i = 0; i < 2; ++i) {
    // Its reference is never given back: that is the misuse.
    names.push_back((*host->CreateBo(kPageSize)).detach()->DebugName());
  }
  host.reset();
  ASSERT_EQ(messages.size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_THAT(messages[i], HasSubstr(names[i]));
  }
  EXPECT_EQ(machine->memory().used_frames(Zone::kNormal), 0);
}

TEST(Device, B2_ABadDescriptionIsRefusedWithTheFieldsName) {
  struct Case {
    const char* field;
    std::function<void(GpuConfig&)> spoil;
  };
  const Case cases[] = {
      {"name", [](GpuConfig& gpu) { gpu.name = ""; }},
      {"dma_mask_bits", [](GpuConfig& gpu) { gpu.dma_mask_bits = 23; }},
      {"dma_mask_bits", [](GpuConfig& gpu) { gpu.dma_mask_bits = 65; }},
      {"segments.max_bytes",
       [](GpuConfig& gpu) { gpu.segments.max_bytes = 0; }},
      {"segments.boundary", [](GpuConfig& gpu) { gpu.segments.boundary = 1; }},
      {"segments.max_segments",
       [](GpuConfig& gpu) { gpu.segments.max_segments = 0; }},
      {"segments.alignment",
       [](GpuConfig& gpu) { gpu.segments.alignment = 3 * kPageSize; }},
      {"vram_bytes", [](GpuConfig& gpu) { gpu.vram_bytes += 1; }},
      {"vram_bytes", [](GpuConfig& gpu) { gpu.vram_bytes = 16 * 1024 * kGiB; }},
      {"vram_visible_bytes",
       [](GpuConfig& gpu) {
         gpu.vram_visible_bytes = gpu.vram_bytes + kPageSize;
       }},
      {"vram_visible_bytes", [](GpuConfig& gpu) { --gpu.vram_visible_bytes; }},
      {"aperture_bytes", [](GpuConfig& gpu) { gpu.aperture_bytes += 1; }},
      {"aperture_bytes",
       [](GpuConfig& gpu) { gpu.aperture_bytes = 16 * 1024 * kGiB; }},
  };
  RigOptions options = RigOptions::Small();
  options.options.backing = Backing::kUnbacked;
  Rig rig(options);
  for (const Case& bad : cases) {
    GpuConfig config = options.gpu;
    bad.spoil(config);
    auto device = Device::Create(rig.host(), config);
    ASSERT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument)
        << bad.field;
    EXPECT_THAT(std::string(device.status().message()),
                HasSubstr(std::string(bad.field) + ":"));
  }
  // Nothing of them is left behind.
  BoRef bo = rig.Make(kPageSize);
  EXPECT_EQ(rig.Validate(bo, kVram), absl::OkStatus());
  EXPECT_EQ(rig.Broken(), "");
}

TEST(Device, B2_AMemoryTypeThatIsThereAlreadyIsRefusedByName) {
  Rig rig;
  auto again = rig.device().RegisterMemoryType(*MakeTtManager(kMiB, Lru()));
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("'tt'"));
  // The refused one has left no trace: another takes the next place.
  auto other =
      rig.device().RegisterMemoryType(std::make_unique<IdleManager>("other"));
  ASSERT_EQ(other.status(), absl::OkStatus());
  EXPECT_EQ(*other, MemoryType::kFirstRegistered);
}

TEST(Device, B2_ADmaTypeThatIsThereAlreadyIsRefusedByName) {
  Rig rig;
  auto again =
      rig.device().RegisterDmaType(MakeCmaBinder(rig.machine(), Lru()));
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("'cma'"));
  EXPECT_EQ(rig.device().binder(DmaType::kFirstRegistered), nullptr);
}

TEST(Device, B2_MoreMemoryTypesThanThereIsRoomForAreRefused) {
  Rig rig;
  int registered = static_cast<int>(MemoryType::kFirstRegistered);
  absl::Status status;
  for (; registered <= kMaxMemoryTypes && status.ok(); ++registered) {
    status = rig.device()
                 .RegisterMemoryType(std::make_unique<IdleManager>(
                     "type" + std::to_string(registered)))
                 .status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(registered, kMaxMemoryTypes + 1);
}

TEST(Device, B2_AnUnknownEvictionPolicyIsRefusedByName) {
  auto machine = *Machine::Create(RigOptions::Small().machine, {});
  HostOptions options;
  options.eviction_policy = "newest";
  auto host = Host::Create(*machine, options);
  EXPECT_EQ(host.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(host.status().message()), HasSubstr("'newest'"));
}

}  // namespace
}  // namespace twostep
