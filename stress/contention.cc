// Scenarios in which everybody wants what there is not enough of, that no suite
// has. Each plays on a small machine of its own, chosen by the seed.

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/mem_types/memory_manager.h"
#include "twostep/stress/families.h"
#include "twostep/stress/small_world.h"
#include "twostep/stress/threads.h"

namespace twostep {
namespace {

// More would be short of swap rather than of VRAM.
constexpr int kMostThreads = 16;
constexpr WaitLimit kNoWait{.mode = WaitLimit::Mode::kNoWait};

// Until `holds`, or something went wrong.
template <typename Holds>
void Await(const World& world, Holds holds) {
  for (uint64_t rounds = 0; !holds() && !world.failed(); ++rounds) {
    YieldFor(rounds);
  }
}

// --- only-busy ---

// Whoever may not wait is told that it is busy, and whoever may gets in as soon
// as the other lets go.
void PlayHeldForAMoment(SmallWorld<>& small, KnownBo* squatter,
                        KnownBo* newcomer) {
  World& world = small.world;
  if (!small.Submit({squatter}, {&kInVram, 1})) return;
  squatter->bo->Reserve();
  Thread other([&] {
    Submission submission = small.Of({newcomer}, {&kInVram, 1});
    submission.wait = kNoWait;
    const absl::Status told = world.Submit(submission);
    world.Require(KindOf(told) == ErrorKind::kBusy,
                  absl::StrCat("what is only reserved is: ", told.message()));
  });
  other.Join();
  Atomic<bool> trying{false};
  Thread waits([&] {
    trying.store(true);
    small.Submit({newcomer}, {&kInVram, 1});
  });
  Await(world, [&] { return trying.load(); });
  YieldFor(20 + small.random() % 100);
  squatter->bo->UnreserveUnused();
}

// The same for a job that ends when its ring is let go.
void PlayBusyForAMoment(SmallWorld<>& small, KnownBo* squatter,
                        KnownBo* newcomer) {
  World& world = small.world;
  if (!small.Submit({squatter}, {&kInVram, 1})) return;
  world.WaitForJobs();
  Timeline& ring = world.machine().NewTimeline("a long job");
  const Fence busy = ring.Emit(world.machine().clock().now_ns() + 1'000'000);
  squatter->bo->Reserve();
  squatter->bo->fences().Add(busy, FenceUse::kRead);
  squatter->bo->Unreserve();
  Submission submission = small.Of({newcomer}, {&kInVram, 1});
  submission.wait = kNoWait;
  const absl::Status told = world.Submit(submission);
  world.Require(KindOf(told) == ErrorKind::kBusy,
                absl::StrCat("what is only busy is: ", told.message()));
  Thread ends([&] {
    YieldFor(20 + small.seed % 100);
    ring.Complete(busy.point);
  });
  small.Submit({newcomer}, {&kInVram, 1});
}

void PlayOnlyBusy(const StressOptions& options, Verdict* verdict) {
  SmallWorld<> small(options, verdict);
  const int threads = options.ThreadsOr(3, 2, kMostThreads);
  const KnownBoList bos = small.Make(threads, kMiB * 3 / 4);
  if (bos.empty()) return;
  PlayHeldForAMoment(small, bos[0], bos[1]);
  PlayBusyForAMoment(small, bos[0], bos[1]);
  OnThreads(threads, [&](int t) {
    std::mt19937_64 random(small.seed * 64 + static_cast<uint64_t>(t));
    for (int round = 0; round < 8; ++round) {
      Submission submission =
          small.Of({bos[static_cast<size_t>(t)]}, {&kInVram, 1});
      if (random() % 3 == 0) submission.wait = kNoWait;
      const absl::Status status = small.world.Submit(submission);
      if (submission.wait.mode == WaitLimit::Mode::kWait ||
          KindOf(status) != ErrorKind::kBusy) {
        small.world.Expect(status, "a submission");
      }
      if (random() % 3 != 0) continue;
      // Reserved for a moment, for nothing.
      KnownBo* other = bos[random() % bos.size()];
      other->bo->Reserve();
      YieldFor(random() % 20);
      other->bo->UnreserveUnused();
    }
  });
  small.world.ExpectEvictions();
}

// --- big-against-big ---

// Half of VRAM is held by this thread, so that an older submission, of one bo,
// which has closed the gate of VRAM to make room, has to wait. A younger one
// comes, and must not be in place before it.
void PlayOlderFirst(SmallWorld<>& small, const KnownBoList& all,
                    const KnownBoList& resident, const KnownBoList& older,
                    const KnownBoList& younger) {
  World& world = small.world;
  // Each half in its place: nobody else is there.
  for (KnownBo* bo : all) {
    world.Expect(world.Submit({.uses = {{bo, BoUse::Does::kHold}},
                               .places = {&kInSystem, 1}}),
                 "leaving VRAM");
  }
  if (!small.Submit(resident, {&kInVram, 1})) return;
  world.WaitForJobs();
  ReservationLock& gate = world.device().manager(MemoryType::kVram)->gate();
  BufferObject& held = *resident.back()->bo;
  held.Reserve();
  Atomic<int> in_place{0};
  const auto submit = [&](const KnownBoList& bos, int expected) {
    Submission submission = small.Of(bos, {&kInVram, 1});
    submission.in_place = [&, expected] {
      const int place = in_place.fetch_add(1);
      world.Require(place == expected, "a younger submission was first");
    };
    world.Expect(world.Submit(submission), "a submission");
  };
  std::vector<Thread> threads;
  threads.emplace_back([&] { submit(older, 0); });
  Await(world, [&gate] {
    const bool open = gate.TryLock();
    if (open) gate.Unlock();
    return !open;
  });
  Atomic<bool> trying{false};
  threads.emplace_back([&] {
    trying.store(true);
    submit(younger, 1);
  });
  Await(world, [&] { return trying.load(); });
  YieldFor(20 + small.random() % 200);
  world.Require(in_place.load() == 0, "it was not what they waited for");
  held.UnreserveUnused();
}

// `parts` bos that are six tenths of VRAM together.
uint64_t PartBytes(int parts) {
  return kMiB * 6 / 10 / static_cast<uint64_t>(parts) / kPageSize * kPageSize;
}

void PlayBigAgainstBig(const StressOptions& options, Verdict* verdict) {
  SmallWorld<> small(options, verdict);
  const int threads = options.ThreadsOr(2, 2, kMostThreads);
  std::vector<KnownBoList> sets;
  for (int t = 0; t < threads; ++t) {
    const int parts = 1 + static_cast<int>(small.random() % 6);
    sets.push_back(small.Make(parts, PartBytes(parts)));
    if (sets.back().empty()) return;
  }
  const KnownBoList resident = small.Make(2, kMiB / 2);
  const KnownBoList older = small.Make(1, PartBytes(1));
  if (resident.empty() || older.empty()) return;
  KnownBoList all = resident;
  all.push_back(older[0]);
  for (const KnownBoList& set : sets)
    all.insert(all.end(), set.begin(), set.end());
  for (size_t round = 0; round < 4; ++round) {
    PlayOlderFirst(small, all, resident, older, sets[round % sets.size()]);
  }
  OnThreads(threads, [&](int t) {
    for (int round = 0; round < 10; ++round) {
      if (!small.Submit(sets[static_cast<size_t>(t)], {&kInVram, 1})) return;
    }
  });
  small.world.ExpectEvictions();
}

// --- squatter-and-spammer ---

// Knows when the first of the spammer's bos has been chosen to make room for
// the newcomer that is waiting.
class SquatDriver final : public TwoTierDriver {
 public:
  using TwoTierDriver::TwoTierDriver;

  PlacementList EvictTo(const BufferObject& bo) override {
    if (bo.id() <= last_squatter.load()) begun.store(waiting.load());
    return TwoTierDriver::EvictTo(bo);
  }

  Atomic<uint64_t> last_squatter{0};
  // The number of the newcomer, from 1 on; 0: none.
  Atomic<uint64_t> waiting{0};
  Atomic<uint64_t> begun{0};
};

// Submissions that need nothing go on for as long as the newcomer's thread does
// not run. One that never gets hold of a bo has lost.
constexpr uint64_t kEndless = 100'000;

// Submits all the time, until told to stop. The submission that was under way
// when room for a newcomer was begun is older, which makes the newcomer give
// back what it has. Those that come after the next one have a newcomer before
// them that gives way to nobody: they must not get room first.
void Spam(SmallWorld<SquatDriver>& small, const KnownBoList& squat,
          const Atomic<bool>& stop, Atomic<uint64_t>* submits) {
  uint64_t begun_before = 0;
  uint64_t newcomer = 0;
  uint64_t since = 0;
  while (!stop.load() && !small.world.failed()) {
    const uint64_t begun = small.driver.begun.load();
    bool first = false;
    uint64_t moved_bytes = 0;
    Submission submission = small.Of(squat, {&kInVram, 1});
    submission.moved_bytes = &moved_bytes;
    submission.in_place = [&] {
      first = begun != 0 && begun == begun_before &&
              small.driver.waiting.load() == begun;
    };
    small.world.Expect(small.world.Submit(submission), "a submission");
    small.world.Require(!first || moved_bytes == 0,
                        "a younger one got room first");
    begun_before = begun;
    submits->fetch_add(1);
    const uint64_t now = small.driver.waiting.load();
    since = now != 0 && now == newcomer ? since + 1 : 0;
    newcomer = now;
    small.world.Require(
        since < kEndless,
        absl::StrCat("a newcomer has waited for ", since, " submissions"));
  }
}

void PlaySquatterAndSpammer(const StressOptions& options, Verdict* verdict) {
  SmallWorld<SquatDriver> small(options, verdict, kMiB * 5 / 4);
  World& world = small.world;
  SquatDriver& driver = small.driver;
  if (!world.ok()) return;
  // What the squatter is sure of is what a newcomer leaves of VRAM.
  constexpr PageCount kHalf = BytesToPages(kMiB / 2);
  const auto squatter = world.host().CreateClient(
      {.name = "squatter", .device = {.min_pages = kHalf}});
  const auto guest = world.host().CreateClient(
      {.name = "newcomer", .device = {.low_pages = kHalf}});
  if (!world.Expect(squatter.status(), "a client") ||
      !world.Expect(guest.status(), "a client")) {
    return;
  }
  const EvictionAccount& protects = (*squatter)->account(Resource::kDevice);
  const KnownBoList squat = small.Make(8, kMiB / 8, *squatter);
  if (squat.empty()) return;
  driver.last_squatter.store(squat.back()->bo->id());
  const KnownBoList newcomers = small.Make(2, kMiB / 2, *guest);
  if (newcomers.empty()) return;
  Atomic<bool> stop{false};
  Atomic<uint64_t> submits{0};
  Thread spammer([&] { Spam(small, squat, stop, &submits); });
  for (uint64_t round = 1; round <= 6 && !world.failed(); ++round) {
    const uint64_t seen = submits.load();
    Await(world, [&] { return submits.load() > seen; });
    driver.waiting.store(round);
    Submission submission =
        small.Of({newcomers[small.random() % 2]}, {&kInVram, 1});
    submission.in_place = [&] {
      world.Require(protects.used_pages() >= kHalf,
                    "the squatter has less than is its own");
      driver.waiting.store(0);
    };
    world.Expect(world.Submit(submission), "a newcomer's submission");
  }
  stop.store(true);
  spammer.Join();
  world.ExpectEvictions();
  // Coherent memory holds all that VRAM does not.
  if (SmallWorldDmaType(small.seed) != DmaType::kCoherent) {
    world.ExpectSwapping();
  }
}

// --- two-tier-pingpong ---

void PlayTwoTierPingpong(const StressOptions& options, Verdict* verdict) {
  SmallWorld<> small(options, verdict, 2 * kMiB);
  // VRAM and TT together hold two thirds of them.
  const KnownBoList bos = small.Make(36, kMiB / 8);
  if (bos.empty()) return;
  const uint64_t bytes = 36 * kMiB / 8;
  for (int round = 0; round < 6; ++round) {
    uint64_t moved_bytes = 0;
    for (size_t i = 0; i < bos.size(); i += 4) {
      const auto first = bos.begin() + static_cast<std::ptrdiff_t>(i);
      Submission submission =
          small.Of(KnownBoList(first, first + 4), small.driver.places());
      submission.moved_bytes = &moved_bytes;
      if (!small.world.Expect(small.world.Submit(submission), "a submission")) {
        return;
      }
    }
    // In turn, which is the worst order: what is in VRAM has always to make
    // room. Once in, once out, for each: in and out of a binder's own memory as
    // well.
    small.world.Require(
        moved_bytes >= kMiB && moved_bytes <= 4 * bytes,
        absl::StrCat("round ", round, " moved ", moved_bytes, " bytes of ",
                     bytes, ", and VRAM is ", kMiB));
  }
  small.world.ExpectEvictions();
  small.world.ExpectSwapping();
}

// --- everything-at-once ---

// Threads submit random sets, look at what they submit, make and drop bos.
void PlayEverythingAtOnce(const StressOptions& options, Verdict* verdict) {
  SmallWorld<> small(options, verdict, 2 * kMiB);
  const KnownBoList bos = small.Make(24, kMiB / 8);
  if (bos.empty()) return;
  OnThreads(options.ThreadsOr(3), [&](int t) {
    std::mt19937_64 random(small.seed * 64 + static_cast<uint64_t>(t));
    for (int round = 0; round < 12; ++round) {
      KnownBo* fresh = small.world.Make((1 + random() % 32) * kPageSize);
      if (fresh == nullptr) return;
      KnownBoList set{fresh};
      for (int i = 0; i < 5; ++i) {
        KnownBo* bo = bos[random() % bos.size()];
        if (std::find(set.begin(), set.end(), bo) == set.end()) {
          set.push_back(bo);
        }
      }
      if (!small.Submit(set, small.driver.places())) return;
      if (random() % 4 == 0) {
        auto mapping = CpuMapping::Create(bos[random() % bos.size()]->bo);
        if (!small.world.Expect(mapping.status(), "mapping a bo")) return;
        small.world.Expect(small.world.Absorb([&] {
          return (*mapping)->Touch(PageRange{0, 1}, Access::kRead);
        }),
                           "touching it");
      }
      small.world.Drop(fresh);
    }
  });
  small.world.ExpectEvictions();
}

}  // namespace

void AddContention(std::vector<Scenario>* scenarios) {
  const Scenario contention[] = {
      {"twostep", "only-busy",
       "what must leave VRAM is busy, or reserved for a moment: who waits gets "
       "in, who may not is told so",
       PlayOnlyBusy, kAllFaultsButLost},
      {"twostep", "big-against-big",
       "submissions of 60 % of VRAM each: all finish their rounds, the older "
       "one first",
       PlayBigAgainstBig},
      {"twostep", "squatter-and-spammer",
       "one fills VRAM and submits without end: a newcomer gets in",
       PlaySquatterAndSpammer},
      {"twostep", "two-tier-pingpong",
       "VRAM and TT are full: moves a round are bounded", PlayTwoTierPingpong},
      {"twostep", "everything-at-once",
       "threads submit, look, make and drop bos", PlayEverythingAtOnce,
       kAllFaults},
  };
  scenarios->insert(scenarios->end(), std::begin(contention),
                    std::end(contention));
}

}  // namespace twostep
