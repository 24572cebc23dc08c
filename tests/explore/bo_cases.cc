// Bos that want the same few pages: 2 or 3 threads, 3 or 4 bos. After every
// schedule the audit finds nothing, and contents are right where there are any.

#include <string>
#include <vector>

#include "tests/explore/bos.h"
#include "tests/explore/cases.h"

namespace twostep::explore {
namespace {

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
  bos.ExpectNoneLeft();
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
  bos.ExpectNoneLeft();
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

// What is waited for as a victim moves away by itself.
void MovedAway(const Scarce& scarce) {
  Bos bos(scarce);
  const BoRef squatter = bos.Make(3);
  bos.Submit({squatter});
  {
    Thread mover([&] {
      const absl::Status status = bos.rig().Validate(squatter, kSystem);
      Expect(status.ok(), "no way out: " + status.ToString());
    });
    Thread newcomer([&] { bos.Submit({bos.Make(3)}); });
  }
  Expect(squatter->TryReserve(), "reserved by nobody");
  squatter->Unreserve();
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

// The device goes while bos are evicted from it, and the victims go as well.
void UnplugWhileEvicting(const Scarce& scarce) {
  Bos bos(scarce);
  BoRef one = bos.Make(2);
  BoRef other = bos.Make(2);
  bos.Submit({one, other});
  {
    Thread evictor([&] {
      const absl::Status status = bos.TrySubmit({bos.Make(3)});
      Expect(status.ok() || KindOf(status) == ErrorKind::kDeviceLost,
             "another answer: " + status.ToString());
    });
    Thread unplugger([&] { bos.rig().device().Unplug({}); });
    Thread dropper([&] {
      one.reset();
      other.reset();
    });
  }
  bos.ExpectNoneLeft();
  bos.Check();
}

// The CPU writes what a submission hands over: what it wrote last is what the
// device reads in the end.
void HandedOver(const Scarce& scarce) {
  RigOptions options = Small(scarce, Backing::kBacked);
  options.gpu.coherent = false;
  Bos bos(scarce.placement, options);
  const BoRef bo = bos.Make(1);
  bos.Submit({bo});
  const auto mapping = *CpuMapping::Create(bo);
  volatile std::byte& byte = mapping->data()[0];
  // It faults, and the page is the CPU's until the next submission.
  byte = std::byte{1};
  {
    Thread user([&] { bos.Submit({bo}); });
    Thread writer([&] { byte = std::byte{2}; });
  }
  bos.Submit({bo});
  Expect(WaitForCpu(*bo, Access::kRead).ok(), "the work failed");
  Expect(*bos.rig().DevicePage(bo, 0, Access::kRead) == std::byte{2},
         "the device reads stale bytes");
  bos.Check();
}

// One place for two bos, each asked to be there once.
void EvictOneAnother(const Scarce& scarce) {
  Bos bos(scarce);
  const BoRef both[] = {bos.Make(3), bos.Make(3)};
  {
    Thread one([&] { bos.Submit({both[0]}); });
    Thread other([&] { bos.Submit({both[1]}); });
  }
  bos.Check();
}

// Room for two of three: one of them goes for another, whose turn it is.
void OneOfThreeGoes(const Scarce& scarce) {
  Bos bos(scarce);
  const BoRef all[] = {bos.Make(2), bos.Make(2), bos.Make(2)};
  {
    std::vector<Thread> threads;
    for (const BoRef& bo : all) threads.emplace_back([&] { bos.Submit({bo}); });
  }
  bos.Check();
}

// Two submissions of the same bos in both orders.
void Crosswise(const Scarce& scarce) {
  Bos bos(scarce);
  const BoRef one = bos.Make(2);
  const BoRef other = bos.Make(2);
  {
    Thread there([&] { bos.Submit({one, other}); });
    Thread back([&] { bos.Submit({other, one}); });
  }
  bos.Check();
}

// Beside an eviction the victim is reserved, and its last reference goes.
void ReserveEvictDestroy(const Scarce& scarce) {
  Bos bos(scarce);
  BoRef victim = bos.Make(3);
  bos.Submit({victim});
  {
    Thread user([&] {
      victim->Reserve();
      victim->Unreserve();
      victim.reset();
    });
    Thread evictor([&] { bos.Submit({bos.Make(3)}); });
  }
  bos.ExpectNoneLeft();
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
      {"moved_away", "a victim moves away by itself", MovedAway},
      {"pin", "a pin comes and goes beside an eviction", PinAndEvict},
      {"no_wait", "busy is not exhausted", NoWait},
      {"contents", "bytes stay, on a backed machine", Contents},
      {"unplug", "the device goes amid evictions", UnplugWhileEvicting},
      {"handed_over", "the CPU writes what a submission hands over",
       HandedOver},
      {"crosswise", "two submissions of two bos in both orders", Crosswise},
      {"one_of_three_goes", "room for two, three threads and bos",
       OneOfThreeGoes},
      {"evict_one_another", "one place, two bos", EvictOneAnother},
      {"reserve_evict_destroy", "a victim is reserved, and goes",
       ReserveEvictDestroy},
  };
  std::vector<Case> cases;
  for (const Shape& shape : kShapes) {
    AddForEachScarce(shape.name, shape.about, shape.run, &cases);
  }
  cases.push_back({"bo/two_find_nothing", "both end, with everything pinned",
                   TwoFindNothing});
  return cases;
}

}  // namespace twostep::explore
