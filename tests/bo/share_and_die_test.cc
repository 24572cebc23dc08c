// share-and-die (S25): exporter, importers and clients go in every order, and
// several threads map, move, attach and detach at once. Nothing leaks, and who
// is left keeps the bytes.

#include <algorithm>
#include <random>

#include "tests/bo/seeds.h"
#include "tests/bo/sharing_rig.h"
#include "twostep/bo/handle_table.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

constexpr uint64_t kBytes = 8 * kPageSize;

// One bo, shared by three devices, in each of which it is mapped.
class ShareAndDie {
 public:
  // In a step each of these is no more. The client has the exported bo.
  enum Who { kExporter, kClient, kCamera, kDisplay, kNic, kAll };
  // How an importer's device goes: after its attachment, or before.
  enum class Manners { kGood, kBad };

  ShareAndDie(MachineKind kind, const Placement& at, Manners manners,
              bool pinning)
      : rig_(kind), manners_(manners) {
    devices_[kCamera] = rig_.MakeDevice("camera");
    devices_[kDisplay] = rig_.MakeDevice("display");
    devices_[kNic] = rig_.MakeDevice("nic", 1);
    bo_ = rig_.Make(kBytes);
    rig_.CpuFill(bo_, 1);
    shared_.push_back(rig_.Export(bo_));
    EXPECT_TRUE(rig_.Validate(bo_, at).ok());
    for (const Who who : {kCamera, kDisplay, kNic}) {
      attachments_[who] = pinning
                              ? rig_.AttachPinning(shared_[0], *devices_[who])
                              : rig_.Attach(shared_[0], *devices_[who]);
      EXPECT_TRUE(rig_.Map(*attachments_[who]).ok());
    }
  }

  void Kill(Who who) {
    switch (who) {
      case kExporter:
        rig_.DestroyDevice();
        break;
      case kClient:
        shared_.clear();
        bo_.reset();
        break;
      default:
        if (manners_ == Manners::kGood) attachments_[who].reset();
        devices_[who].reset();
        attachments_[who].reset();
    }
    alive_[who] = false;
    CheckSurvivors();
  }
  void CheckSurvivors() {
    ASSERT_EQ(rig_.Broken(), "");
    for (const Who who : {kCamera, kDisplay, kNic}) {
      if (!alive_[who]) continue;
      ASSERT_TRUE(rig_.Map(*attachments_[who]).ok());
      ASSERT_EQ(rig_.WrongBytes(*devices_[who], *attachments_[who], 1), 0u);
    }
    if (alive_[kClient]) {
      ASSERT_EQ(rig_.CpuWrongBytes(bo_, 1), 0u);
      for (const Who who : {kCamera, kDisplay, kNic}) {
        if (!alive_[who]) continue;
        ASSERT_TRUE(rig_.Map(*attachments_[who]).ok());
      }
    }
    ASSERT_EQ(rig_.Broken(), "");
  }
  void CheckNothingIsLeft() {
    rig_.ReapAll();
    EXPECT_EQ(rig_.host().bo_count(), 0u);
    EXPECT_TRUE(rig_.NothingUsed());
  }

 private:
  SharingRig rig_;
  const Manners manners_;
  std::unique_ptr<Device> devices_[kAll];
  BoRef bo_;
  std::vector<SharedBuffer> shared_;
  Attachment attachments_[kAll];
  bool alive_[kAll] = {true, true, true, true, true};
};

struct Death {
  MachineKind machine;
  Placement at;
  ShareAndDie::Manners manners;
  bool pinning;
};

class EveryOrderOfDeath : public testing::TestWithParam<Death> {};

TEST_P(EveryOrderOfDeath, S25_LeavesNothingAndSurvivorsKeepTheBytes) {
  const Death& death = GetParam();
  ShareAndDie::Who order[] = {ShareAndDie::kExporter, ShareAndDie::kClient,
                              ShareAndDie::kCamera, ShareAndDie::kDisplay,
                              ShareAndDie::kNic};
  do {
    ShareAndDie world(death.machine, death.at, death.manners, death.pinning);
    for (const ShareAndDie::Who who : order) {
      world.Kill(who);
      if (testing::Test::HasFatalFailure()) {
        FAIL() << "in the order " << order[0] << order[1] << order[2]
               << order[3] << order[4] << ", at " << who;
      }
    }
    world.CheckNothingIsLeft();
  } while (std::next_permutation(std::begin(order), std::end(order)));
}

INSTANTIATE_TEST_SUITE_P(
    Machines, EveryOrderOfDeath,
    testing::Values(Death{MachineKind::kBareMetal, kVram,
                          ShareAndDie::Manners::kGood, false},
                    Death{MachineKind::kBareMetal, Tt(DmaType::kCma),
                          ShareAndDie::Manners::kBad, true},
                    Death{MachineKind::kIommu, Tt(DmaType::kDynamic),
                          ShareAndDie::Manners::kGood, true},
                    Death{MachineKind::kIommu, Tt(DmaType::kCoherent),
                          ShareAndDie::Manners::kBad, false},
                    Death{MachineKind::kSwiotlb, Tt(DmaType::kDynamic),
                          ShareAndDie::Manners::kBad, true},
                    Death{MachineKind::kNonCoherent, Tt(DmaType::kNone),
                          ShareAndDie::Manners::kGood, false}),
    [](const auto& test) {
      return absl::StrCat(
          NameOf(test.param.machine), test.param.pinning ? "Pinned" : "Moving",
          test.param.manners == ShareAndDie::Manners::kBad ? "Bad" : "Good");
    });

// Importers map and read, the exporter moves the bo about, others come and go:
// whoever has addresses reads the right bytes there until its fence, or what it
// reserved, ends.
class SharingAtOnce : public testing::TestWithParam<MachineKind> {};
INSTANTIATE_TEST_SUITE_P(Machines, SharingAtOnce,
                         testing::ValuesIn(kAllMachines));

TEST_P(SharingAtOnce, S25_MapMoveAttachAndDetach) {
  constexpr int kRounds = 150;
  SharingRig rig(GetParam());
  auto camera = rig.MakeDevice("camera");
  auto nic = rig.MakeDevice("nic", 1);
  BoRef bo = rig.Make(kBytes);
  rig.CpuFill(bo, 1);
  const SharedBuffer shared = rig.Export(bo);
  Atomic<uint64_t> wrong{0};
  Atomic<int> failed{0};
  // Calls `act` with `held` reserved until it has not lost to an older one.
  const auto run = [&](BufferObject& held, auto act) {
    for (;;) {
      ValidateContext context;
      held.Reserve();
      const absl::Status status = act(&context);
      held.Unreserve();
      if (KindOf(status) != ErrorKind::kContended) {
        if (!status.ok()) failed.fetch_add(1);
        EXPECT_EQ(status, absl::OkStatus());
        return;
      }
      if (!context.contention.Wait(WaitLimit{}).ok()) failed.fetch_add(1);
    }
  };
  const auto use = [&](Device& device, SharedAttachment& attachment) {
    run(*bo, [&](ValidateContext* context) {
      absl::Status status = attachment.Map(context);
      if (status.ok()) status = bo->fences().Wait(FenceUse::kRead, {});
      if (status.ok()) {
        wrong.fetch_add(rig.WrongBytes(device, attachment, 1));
      }
      return status;
    });
  };
  const auto validate = [&](BufferObject& moving, const Placement& place) {
    run(moving, [&](ValidateContext* context) {
      return rig.device().Validate(moving, {&place, 1}, context);
    });
  };
  Thread stays([&] {
    auto attachment = rig.Attach(shared, *camera);
    for (int i = 0; i < kRounds; ++i) use(*camera, *attachment);
  });
  Thread comes_and_goes([&] {
    for (int i = 0; i < kRounds; ++i) {
      auto attachment = rig.Attach(shared, *nic);
      use(*nic, *attachment);
      if (i % 2) use(*nic, *attachment);
    }
  });
  Thread squeezes([&] {
    for (int i = 0; i < kRounds; ++i) {
      const BoRef hog = rig.Make(kMiB - 4 * kPageSize);
      validate(*hog, Tt(DmaType::kDynamic));
    }
  });
  const Placement places[] = {kVram, Tt(DmaType::kDynamic),
                              Tt(DmaType::kCoherent), kSystem,
                              Tt(DmaType::kNone)};
  for (int i = 0; i < kRounds; ++i) validate(*bo, places[i % 5]);
  stays.Join();
  comes_and_goes.Join();
  squeezes.Join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(failed.load(), 0);
  EXPECT_EQ(rig.CpuWrongBytes(bo, 1), 0u);
  rig.ReapAll();
  EXPECT_EQ(rig.Broken(), "");
}

// All at once, for many seeds: an exporter, three importers, a client with
// handles and somebody who squeezes them, each in a thread, until each dies at
// a time of its own, in good order or leaving all as it is.
class EverybodyDies : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr int kBos = 3;

  static RigOptions Options() {
    RigOptions options = OptionsOf(kAllMachines[GetParam() % 4]);
    options.host.name_seed = GetParam();
    return options;
  }
  EverybodyDies() {
    GpuConfig config = Options().gpu;
    config.name = "squeezer";
    squeezer_ = *Device::Create(rig_.host(), config);
    for (const auto& [name, domain] :
         {std::pair("camera", 0), std::pair("display", 0),
          std::pair("nic", 1)}) {
      importers_.push_back(rig_.MakeDevice(name, domain));
    }
    for (uint32_t i = 0; i < kBos; ++i) {
      bos_.push_back(rig_.Make(kBytes));
      rig_.CpuFill(bos_.back(), i);
      seeds_[i] = i;
      shared_.push_back(rig_.Export(bos_.back()));
    }
  }

  // Calls `act` with `held` reserved until it has not lost to an older one.
  template <typename Act>
  void Run(BufferObject& held, Act act) {
    const Ticket ticket;
    for (;;) {
      ValidateContext context;
      held.Reserve();
      const absl::Status status = act(&context);
      held.Unreserve();
      if (KindOf(status) != ErrorKind::kContended) {
        EXPECT_EQ(status, absl::OkStatus());
        return;
      }
      EXPECT_EQ(context.contention.Wait(WaitLimit{}), absl::OkStatus());
    }
  }
  // Maps, reads what the last one wrote, and at times writes something else or
  // leaves work behind.
  void Use(Device& device, int number, SharedAttachment& attachment,
           std::mt19937* random) {
    BufferObject& bo = attachment.bo();
    Run(bo, [&](ValidateContext* context) {
      absl::Status status = attachment.Map(context);
      if (status.ok()) status = bo.fences().Wait(FenceUse::kRead, WaitLimit{});
      if (!status.ok()) return status;
      wrong_ += rig_.WrongBytes(device, attachment, seeds_[number]);
      if ((*random)() % 2 == 0) {
        rig_.Fill(device, attachment, ++seeds_[number]);
      }
      if ((*random)() % 4 == 0) {
        bo.fences().Add(rig_.PendingWork(1000), FenceUse::kRead);
      }
      if ((*random)() % 2 == 0) attachment.Unmap();
      return status;
    });
  }
  void Import(int number, std::vector<SharedBuffer> shared,
              std::mt19937 random) {
    std::unique_ptr<Device>& device = importers_[number];
    std::vector<std::pair<int, Attachment>> attachments;
    const int rounds = 20 + static_cast<int>(random() % 100);
    for (int round = 0; round < rounds; ++round) {
      if (attachments.size() < 4) {
        const int which = static_cast<int>(random() % shared.size());
        attachments.emplace_back(
            which, random() % 4 == 0
                       ? rig_.AttachPinning(shared[which], *device)
                       : rig_.Attach(shared[which], *device));
      }
      const auto& used = attachments[random() % attachments.size()];
      SharedAttachment& attachment = *used.second;
      Use(*device, used.first, attachment, &random);
      // What pins for long leaves no room for others.
      Run(attachment.bo(), [&](ValidateContext*) {
        if (random() % 2 == 0) attachment.Unmap();
        return absl::OkStatus();
      });
      if (random() % 3 == 0) {
        attachments.erase(
            attachments.begin() +
            static_cast<std::ptrdiff_t>(random() % attachments.size()));
      }
    }
    switch (random() % 3) {
      case 0:
        attachments.clear();
        device.reset();
        break;
      case 1:  // reported, and its attachments are of no use any more
        device.reset();
        shared.clear();
        break;
      default:  // the client goes before the device
        shared.clear();
        attachments.clear();
        device.reset();
    }
  }
  void Export(std::vector<BoRef> bos, std::mt19937 random) {
    const Placement places[] = {kVram, Tt(DmaType::kDynamic), kSystem,
                                Tt(DmaType::kCoherent), Tt(DmaType::kNone)};
    const int rounds = 20 + static_cast<int>(random() % 200);
    for (int round = 0; round < rounds; ++round) {
      BufferObject& bo = *bos[random() % bos.size()];
      const Placement& place = places[random() % 5];
      Run(bo, [&](ValidateContext* context) {
        // Somebody may need it where it is.
        if (bo.pinned()) return absl::OkStatus();
        return rig_.device().Validate(bo, {&place, 1}, context);
      });
    }
    if (random() % 2 == 0) bos.clear();
    rig_.DestroyDevice();
  }
  void Hold(std::vector<BoRef> bos, std::mt19937 random) {
    HandleTable mine(rig_.host().names(), "client", {});
    HandleTable others(rig_.host().names(), "friend", {});
    for (int round = 0; round < 200; ++round) {
      if (bos.empty()) return;
      const BoHandle handle = *mine.Add(bos[random() % bos.size()]);
      const auto opened = others.Open(*mine.Publish(handle));
      ASSERT_TRUE(opened.ok());
      if (random() % 2 == 0) {
        EXPECT_TRUE(mine.Close(handle).ok());
      }
      if (random() % 20 == 0) bos.pop_back();
    }
  }
  void Squeeze(std::mt19937 random) {
    const Placement places[] = {Tt(DmaType::kDynamic), Tt(DmaType::kCoherent),
                                Tt(DmaType::kNone)};
    const int rounds = 5 + static_cast<int>(random() % 25);
    for (int round = 0; round < rounds; ++round) {
      const Placement& place = places[random() % 3];
      std::vector<BoRef> hogs;
      for (int i = 0; i < 8; ++i) {
        hogs.push_back(rig_.Make(kMiB / 8));
        Run(*hogs.back(), [&](ValidateContext* context) {
          return squeezer_->Validate(*hogs.back(), {&place, 1}, context);
        });
      }
    }
    squeezer_.reset();
  }

  SharingRig rig_{Options()};
  std::unique_ptr<Device> squeezer_;
  std::vector<std::unique_ptr<Device>> importers_;
  std::vector<BoRef> bos_;
  std::vector<SharedBuffer> shared_;
  uint64_t seeds_[kBos];  // each guarded by the reservation of its bo
  Atomic<uint64_t> wrong_{0};
};

TEST_P(EverybodyDies, S25_NothingLeaksAndSurvivorsKeepTheBytes) {
  std::mt19937 random(GetParam());
  std::vector<Thread> threads;
  for (int number = 0; number < 3; ++number) {
    threads.emplace_back(
        [this, number, shared = shared_, chance = std::mt19937(random())] {
          Import(number, shared, chance);
        });
  }
  threads.emplace_back([this, bos = bos_, chance = std::mt19937(random())] {
    Export(bos, chance);
  });
  threads.emplace_back([this, bos = bos_, chance = std::mt19937(random())] {
    Hold(bos, chance);
  });
  threads.emplace_back(
      [this, chance = std::mt19937(random())] { Squeeze(chance); });
  // At times somebody survives them all.
  const BoRef survivor = random() % 2 == 0 ? bos_[0] : nullptr;
  bos_.clear();
  shared_.clear();
  threads.clear();
  EXPECT_EQ(wrong_.load(), 0u);
  if (survivor != nullptr) {
    EXPECT_EQ(rig_.CpuWrongBytes(survivor, seeds_[0]), 0u);
    EXPECT_EQ(rig_.host().bo_count(), 1u);
    EXPECT_EQ(rig_.Broken(), "");
    survivor->Reserve();
    EXPECT_FALSE(survivor->pinned());
    survivor->UnreserveUnused();
    return;
  }
  rig_.ReapAll();
  EXPECT_EQ(rig_.host().bo_count(), 0u);
  EXPECT_EQ(rig_.host().names().size(), 0u);
  EXPECT_EQ(rig_.Broken(), "");
  EXPECT_TRUE(rig_.NothingUsed());
}

INSTANTIATE_TEST_SUITE_P(Seeds, EverybodyDies, testing::Range(0u, Seeds()));

}  // namespace
}  // namespace twostep
