// Bos that want the same few pages: 2 or 3 threads, 3 or 4 bos. After every
// schedule the audit finds nothing, and contents are right where there are any.

#include <string>
#include <vector>

#include "tests/bo/rig.h"
#include "tests/explore/cases.h"
#include "twostep/bo/exec.h"
#include "twostep/explore/history.h"

namespace twostep::explore {
namespace {

// What there are kPages pages of, and little else.
struct Scarce {
  const char* name;
  Placement placement;
  SpaceAllocator vram_allocator = SpaceAllocator::kRange;
};
const Scarce kScarce[] = {
    {"vram", kVram},
    {"vram_buddy", kVram, SpaceAllocator::kBuddy},
    {"aperture", Tt(DmaType::kNone)},
    {"iova", Tt(DmaType::kDynamic)},
    {"coherent", Tt(DmaType::kCoherent)},
    {"cma", Tt(DmaType::kCma)},
};
constexpr uint64_t kPages = 4;

RigOptions Small(const Scarce& scarce, Backing backing = Backing::kUnbacked) {
  RigOptions options = RigOptions::Small();
  const auto size_for = [&](DmaType dma, MemoryType memory) {
    const bool scarce_one =
        memory == MemoryType::kVram
            ? scarce.placement.memory == memory
            : scarce.placement.memory == memory && scarce.placement.dma == dma;
    return scarce_one ? kPages * kPageSize : 16 * kPageSize;
  };
  options.machine.dma32_bytes = 3 * kMiB;
  options.machine.normal_bytes = 0;
  options.machine.swap_bytes = kMiB;
  options.machine.swiotlb.bytes = 16 * kPageSize;
  options.machine.coherent_bytes =
      size_for(DmaType::kCoherent, MemoryType::kTt);
  options.machine.cma_bytes = size_for(DmaType::kCma, MemoryType::kTt);
  options.machine.iommu.iova_bytes =
      size_for(DmaType::kDynamic, MemoryType::kTt);
  options.gpu.vram_bytes = size_for(DmaType::kNone, MemoryType::kVram);
  options.gpu.vram_visible_bytes = options.gpu.vram_bytes;
  options.gpu.aperture_bytes = size_for(DmaType::kNone, MemoryType::kTt);
  options.gpu.vram_allocator = scarce.vram_allocator;
  options.options.backing = backing;
  options.host.name_seed = 1;
  return options;
}

class Bos {
 public:
  explicit Bos(const Scarce& scarce, Backing backing = Backing::kUnbacked)
      : placement_(scarce.placement), rig_(Small(scarce, backing)) {}

  Rig& rig() { return rig_; }
  const Placement& placement() const { return placement_; }
  BoRef Make(uint64_t pages) { return rig_.Make(pages * kPageSize); }

  // One submission of what fits alone; its work ends at a time of its own.
  void Submit(const std::vector<BoRef>& bos) {
    Exec exec(rig_.device());
    for (const BoRef& bo : bos) {
      exec.Add(*bo, {&placement_, 1}, FenceUse::kWrite);
    }
    ValidateContext context;
    const absl::Status status = exec.Run(&context);
    Expect(status.ok(), "a submission failed: " + status.ToString());
    for (const BoRef& bo : bos) Expect(InPlace(*bo), "not where it was asked");
    const uint64_t now_ns = rig_.machine().clock().now_ns();
    exec.Finish(ring_.EmitComplete(now_ns + 1000));
    Progress();
  }
  bool InPlace(const BufferObject& bo) {
    return &bo.manager() == rig_.device().manager(placement_.memory);
  }
  void Check() {
    const std::string broken = rig_.Broken();
    Expect(broken.empty(), broken);
    Expect(rig_.misuses().empty(), "misuse");
  }

 private:
  const Placement placement_;
  Rig rig_;
  Timeline& ring_{rig_.machine().NewTimeline("ring")};
};

// Three quarters each, in `parts` parts.
void BigAgainstBig(const Scarce& scarce, int threads) {
  Bos bos(scarce);
  {
    std::vector<Thread> all;
    for (int t = 0; t < threads; ++t) {
      all.emplace_back(
          [&bos, set = std::vector<BoRef>{bos.Make(2), bos.Make(1)}] {
            for (int round = 0; round < 2; ++round) bos.Submit(set);
          });
    }
  }
  bos.Check();
}

// One fills all again and again, one wants half of it.
void SquatterAndNewcomer(const Scarce& scarce) {
  Bos bos(scarce);
  const std::vector<BoRef> squat{bos.Make(2), bos.Make(2)};
  bos.Submit(squat);
  {
    Thread squatter([&] {
      for (int round = 0; round < 2; ++round) bos.Submit(squat);
    });
    Thread newcomer([&] { bos.Submit({bos.Make(2)}); });
  }
  bos.Check();
}

// The victims go while they are evicted.
void DestroyWhileEvicting(const Scarce& scarce) {
  Bos bos(scarce);
  BoRef one = bos.Make(2);
  BoRef other = bos.Make(2);
  bos.Submit({one, other});
  {
    Thread evictor([&] { bos.Submit({bos.Make(3)}); });
    Thread dropper([&] { one.reset(); });
    Thread second([&] { other.reset(); });
  }
  bos.rig().host().ReapGhosts({});
  Expect(bos.rig().host().bo_count() == 0, "a bo is left without references");
  bos.Check();
}

// Fresh bos come and go.
void MakeAndDrop(const Scarce& scarce) {
  Bos bos(scarce);
  {
    std::vector<Thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int round = 0; round < 2; ++round) bos.Submit({bos.Make(3)});
      });
    }
  }
  bos.rig().host().ReapGhosts({});
  Expect(bos.rig().host().bo_count() == 0, "a bo is left without references");
  bos.Check();
}

// Reserved for a moment: who wants its room waits.
void OnlyLocked(const Scarce& scarce) {
  Bos bos(scarce);
  const BoRef squatter = bos.Make(3);
  bos.Submit({squatter});
  {
    Thread holder([&] {
      squatter->Reserve();
      squatter->UnreserveUnused();
      squatter->Reserve();
      squatter->Unreserve();
    });
    Thread newcomer([&] { bos.Submit({bos.Make(3)}); });
    Thread another([&] { bos.Submit({bos.Make(2)}); });
  }
  bos.Check();
}

// Pinned and unpinned beside an eviction: it fails only if the pin is in its
// way.
void PinAndEvict(const Scarce& scarce) {
  Bos bos(scarce);
  const BoRef squatter = bos.Make(3);
  bos.Submit({squatter});
  const BoRef newcomer = bos.Make(3);
  {
    Thread pinner([&] {
      squatter->Reserve();
      squatter->Pin();
      squatter->Unreserve();
      squatter->Reserve();
      squatter->Unpin();
      squatter->Unreserve();
    });
    Thread evictor([&] {
      Exec exec(bos.rig().device());
      exec.Add(*newcomer, {&bos.placement(), 1}, FenceUse::kWrite);
      ValidateContext context;
      const absl::Status status = exec.Run(&context);
      Expect(status.ok() || KindOf(status) == ErrorKind::kCannotFit,
             "a submission failed: " + status.ToString());
    });
  }
  bos.Submit({newcomer});
  bos.Check();
}

// Two that cannot be served, each in the middle of a move as far as the other
// can see.
void TwoFindNothing() {
  Bos bos(kScarce[0]);
  Rig& rig = bos.rig();
  const Placement places[] = {kVram, Tt(DmaType::kCoherent)};
  std::vector<BoRef> pinned;
  for (const Placement& place : places) {
    pinned.push_back(bos.Make(place.memory == MemoryType::kVram ? 4 : 16));
    Expect(rig.Validate(pinned.back(), place).ok(), "no room for the pinned");
    rig.Pin(pinned.back());
  }
  {
    std::vector<Thread> threads;
    for (const Placement& place : places) {
      threads.emplace_back([&rig, &bos, place] {
        const BoRef bo = bos.Make(1);
        Exec exec(rig.device());
        exec.Add(*bo, {&place, 1}, FenceUse::kWrite);
        ValidateContext context;
        const absl::Status status = exec.Run(&context);
        Expect(KindOf(status) == ErrorKind::kCannotFit,
               "another answer: " + status.ToString());
      });
    }
  }
  bos.Check();
}

// Those who may not wait are told that it is busy, never that it cannot be.
void NoWait(const Scarce& scarce) {
  Bos bos(scarce);
  const BoRef squatter = bos.Make(3);
  bos.Submit({squatter});
  {
    Thread other([&] { bos.Submit({bos.Make(2)}); });
    Thread hasty([&] {
      const BoRef bo = bos.Make(3);
      ValidateContext context;
      context.wait.mode = WaitLimit::Mode::kNoWait;
      const absl::Status status =
          bos.rig().Validate(bo, {bos.placement()}, &context);
      Expect(status.ok() || KindOf(status) == ErrorKind::kBusy,
             "another answer: " + status.ToString());
    });
  }
  bos.Check();
}

// On a backed machine: what is written stays, whoever is evicted meanwhile.
void Contents(const Scarce& scarce) {
  Bos bos(scarce, Backing::kBacked);
  Rig& rig = bos.rig();
  const std::vector<BoRef> all{bos.Make(2), bos.Make(2), bos.Make(2)};
  for (size_t i = 0; i < all.size(); ++i) rig.CpuFill(all[i], i);
  {
    Thread one([&] { bos.Submit({all[0], all[1]}); });
    Thread other([&] { bos.Submit({all[2]}); });
    Thread reader([&] {
      Expect(rig.CpuWrongBytes(all[0], 0) == 0, "the CPU reads wrong bytes");
    });
  }
  for (size_t i = 0; i < all.size(); ++i) {
    Expect(rig.CpuWrongBytes(all[i], i) == 0, "wrong bytes afterwards");
  }
  bos.Check();
}

// Room for one of two bos. What is where, and who has it.
struct PlaceModel {
  int in_place = -1;
  int owner[2] = {-1, -1};
};

// Reserve, validate, look and unreserve, each as one step of a model.
class Client {
 public:
  Client(int me, Bos& bos, const std::vector<BoRef>& all,
         History<PlaceModel>& history)
      : me_(me), bos_(bos), all_(all), history_(history) {}

  bool TryReserve(int bo) {
    return history_.Do(
        Name("tries", bo), [&] { return all_[bo]->TryReserve(); },
        [=, me = me_](PlaceModel& model, bool taken) {
          const bool free = model.owner[bo] == -1;
          // An evictor reserves its victim for a moment.
          if (taken) model.owner[bo] = me;
          return free || !taken;
        });
  }
  void Reserve(int bo) {
    history_.Do(
        Name("reserves", bo),
        [&] {
          all_[bo]->Reserve();
          return true;
        },
        [=, me = me_](PlaceModel& model, bool) {
          return std::exchange(model.owner[bo], me) == -1;
        });
  }
  void Unreserve(int bo) {
    history_.Do(
        Name("unreserves", bo),
        [&] {
          all_[bo]->Unreserve();
          return true;
        },
        [=, me = me_](PlaceModel& model, bool) {
          return std::exchange(model.owner[bo], -1) == me;
        });
  }
  // REQUIRES: reserved. Evicts the other one, unless somebody has it. False: it
  // has to make way for somebody older.
  bool Validate(int bo) {
    return history_.Do(
        Name("validates", bo),
        [&] {
          ValidateContext context;
          const absl::Status status = bos_.rig().device().Validate(
              *all_[bo], {&bos_.placement(), 1}, &context);
          Expect(status.ok() || KindOf(status) == ErrorKind::kContended,
                 "another answer: " + status.ToString());
          return status.ok();
        },
        [=, me = me_](PlaceModel& model, bool done) {
          if (!done) return true;
          if (model.owner[bo] != me) return false;
          const int other = 1 - bo;
          if (model.in_place == other && model.owner[other] != -1) return false;
          model.in_place = bo;
          return true;
        });
  }
  // REQUIRES: reserved.
  void Look(int bo) {
    history_.Do(
        Name("looks at", bo), [&] { return bos_.InPlace(*all_[bo]); },
        [=](PlaceModel& model, bool there) {
          return there == (model.in_place == bo);
        });
  }

 private:
  std::string Name(const char* does, int bo) const {
    return std::to_string(me_) + " " + does + " bo " + std::to_string(bo);
  }

  const int me_;
  Bos& bos_;
  const std::vector<BoRef>& all_;
  History<PlaceModel>& history_;
};

void Linearizable(const Scarce& scarce) {
  Bos bos(scarce);
  const std::vector<BoRef> all{bos.Make(3), bos.Make(3)};
  History<PlaceModel> history;
  {
    std::vector<Thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        Client client(t, bos, all, history);
        client.Reserve(t);
        if (client.Validate(t)) client.Look(t);
        client.Unreserve(t);
        if (client.TryReserve(1 - t)) {
          client.Look(1 - t);
          client.Unreserve(1 - t);
        }
      });
    }
  }
  Expect(history.Linearizable({}), "no order explains:\n" + history.Describe());
  bos.Check();
}

}  // namespace

std::vector<Case> BoCases() {
  struct Shape {
    const char* name;
    const char* about;
    void (*run)(const Scarce& scarce);
  };
  static constexpr Shape kShapes[] = {
      {"big_against_big_2", "two submissions that do not fit together",
       [](const Scarce& scarce) { BigAgainstBig(scarce, 2); }},
      {"big_against_big_3", "three do not",
       [](const Scarce& scarce) { BigAgainstBig(scarce, 3); }},
      {"squatter", "one that fills all, and a newcomer", SquatterAndNewcomer},
      {"destroy", "victims go while they are evicted", DestroyWhileEvicting},
      {"make_and_drop", "fresh bos come and go", MakeAndDrop},
      {"only_locked", "room of a bo that is reserved for a moment", OnlyLocked},
      {"pin", "a pin comes and goes beside an eviction", PinAndEvict},
      {"no_wait", "busy is not exhausted", NoWait},
      {"contents", "bytes stay, on a backed machine", Contents},
      {"linearizable", "reserve, validate and look against a model",
       Linearizable},
  };
  std::vector<Case> cases;
  for (const Shape& shape : kShapes) {
    for (const Scarce& scarce : kScarce) {
      cases.push_back(Case{std::string("bo/") + shape.name + "/" + scarce.name,
                           shape.about, [run = shape.run, &scarce] {
                             // A check of the rig's own ends the schedule.
                             testing::FLAGS_gtest_break_on_failure = true;
                             run(scarce);
                           }});
    }
  }
  cases.push_back({"bo/two_find_nothing", "both end, with everything pinned",
                   TwoFindNothing});
  return cases;
}

}  // namespace twostep::explore
