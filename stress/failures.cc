// What is left after something failed: a mapping at its k-th page, for every k
// and every DMA unit; and each thing that can fail in a few submissions, once
// each, until they come through unharmed.

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/stress/accounts.h"
#include "twostep/stress/families.h"
#include "twostep/stress/flaky_driver.h"
#include "twostep/stress/small_world.h"

namespace twostep {
namespace {

// --- map-fails-at-k ---

struct Unit {
  const char* name;
  DmaType dma;
  uint64_t pages;
  void (*set_up)(WorldOptions* world, uint64_t bytes);
};
constexpr uint64_t kTwoSets = 2 * Swiotlb::kSetBytes / kPageSize;
const Unit kUnits[] = {
    {"IOVAs", DmaType::kDynamic, 64,
     [](WorldOptions* world, uint64_t bytes) {
       world->machine.iommu.mode = IommuMode::kTranslated;
       world->machine.iommu.iova_bytes = bytes;
     }},
    {"bounce buffers", DmaType::kDynamic, kTwoSets,
     [](WorldOptions* world, uint64_t bytes) {
       world->machine.swiotlb = {.bytes = bytes, .forced = true};
     }},
    {"coherent memory", DmaType::kCoherent, 64,
     [](WorldOptions* world, uint64_t bytes) {
       world->machine.coherent_bytes = bytes;
     }},
    {"the CMA area", DmaType::kCma, 64,
     [](WorldOptions* world, uint64_t bytes) {
       world->machine.cma_bytes = bytes;
     }},
};

WorldOptions MapFailsOptions(const StressOptions& options) {
  WorldOptions world = SmallWorldOptions(options);
  // All but k pages are the host's: where it took them is not to matter.
  world.machine.reserve_bytes = 0;
  world.machine.iommu.mode = IommuMode::kAbsent;
  world.machine.swap_bytes = 0;
  world.gpu.vram_bytes = 0;
  world.gpu.vram_visible_bytes = GpuConfig::kAllOfIt;
  world.gpu.aperture_bytes = 8 * kMiB;
  return world;
}

// Asks for `known` where all but `k` pages are not to be had: it is refused,
// and nothing is left of the attempt; or it gets them.
void AskWithKLeft(World& world, KnownBo* known, const Placement& place,
                  const std::string& of, uint64_t k) {
  const Accounts before = AccountsOf(world.machine(), world.device());
  const std::string where = WhereIs(*known->bo);
  const absl::Status status =
      world.Submit({.uses = {{known}}, .places = {&place, 1}});
  if (k >= known->bo->page_count()) {
    world.Expect(status, absl::StrCat(k, " pages of ", of));
    return;
  }
  world.Require(KindOf(status) == ErrorKind::kCannotFit,
                absl::StrCat(k, " pages of ", of, " left: ", status.message()));
  world.Require(AccountsOf(world.machine(), world.device()) == before &&
                    WhereIs(*known->bo) == where,
                absl::StrCat("a mapping that failed at page ", k, " of ", of,
                             " left something behind"));
  world.CheckRules();
}

void PlayUnitAtK(const Unit& unit, PageCount pages,
                 const StressOptions& options, Verdict* verdict) {
  WorldOptions world_options = MapFailsOptions(options);
  unit.set_up(&world_options, PagesToBytes(unit.pages));
  World world(world_options, verdict);
  if (!world.ok()) return;
  const Placement place = InTt(unit.dma);
  KnownBo* known = world.Make(PagesToBytes(pages));
  if (known == nullptr) return;
  auto mapping = CpuMapping::Create(known->bo);
  if (!world.Expect(mapping.status(), "mapping a bo")) return;
  world.WriteThrough(**mapping, known);
  for (PageCount k = 0; k <= pages && !world.failed(); ++k) {
    KnownBo* others = world.Make(PagesToBytes(unit.pages - k));
    if (others == nullptr ||
        !world.Expect(world.Submit({.uses = {{others}}, .places = {&place, 1}}),
                      "the others")) {
      return;
    }
    others->bo->Reserve();
    others->bo->Pin();
    others->bo->Unreserve();
    AskWithKLeft(world, known, place, unit.name, k);
    if (k < pages) world.CheckThrough(**mapping, *known);
    others->bo->Reserve();
    others->bo->Unpin();
    others->bo->Unreserve();
    world.CheckByCpu(*others);
    world.Drop(others);
  }
}

// No frame, after the k-th, for a bo that has none yet.
void PlayFramesAtK(PageCount pages, const StressOptions& options,
                   Verdict* verdict) {
  World world(MapFailsOptions(options), verdict);
  if (!world.ok()) return;
  PhysicalMemory& memory = world.machine().memory();
  constexpr FrameNumber kAnywhere = kNoFrame - 1;
  const Placement place = InTt(DmaType::kNone);
  for (PageCount k = 0; k <= pages && !world.failed(); ++k) {
    KnownBo* known = world.Make(PagesToBytes(pages));
    if (known == nullptr) return;
    std::vector<FrameNumber> taken(memory.free_frames(kAnywhere) - k);
    world.Require(
        memory.AllocateForHost(taken, kAnywhere) == Shortage::Kind::kNone,
        "frames for the host itself");
    AskWithKLeft(world, known, place, "frames", k);
    memory.FreeFromHost(taken);
    world.CheckByCpu(*known);
    world.WaitForJobs();
    world.Drop(known);
  }
}

void PlayMapFailsAtK(const StressOptions& options, Verdict* verdict) {
  const auto seed = static_cast<PageCount>(options.seed);
  for (const Unit& unit : kUnits) {
    // CMA gives aligned runs, so that k pages are one only for these.
    const PageCount pages = unit.dma == DmaType::kCma ? PageCount{2} << seed % 4
                            : unit.pages == kTwoSets  ? 65 + seed % 8
                                                      : 3 + seed % 16;
    PlayUnitAtK(unit, pages, options, verdict);
  }
  PlayFramesAtK(3 + seed % 16, options, verdict);
}

// --- fail-every-point ---

constexpr size_t kBos = 10;
constexpr size_t kSteps = 4;

WorldOptions EveryPointOptions(const StressOptions& options,
                               DeviceHooks* hooks) {
  WorldOptions world = SmallWorldOptions(options);
  world.machine.dma32_bytes = 8 * kMiB;
  world.machine.normal_bytes = 0;
  world.machine.swap_bytes = 0;
  world.queues = 2;
  world.hooks = hooks;
  return world;
}

// A few submissions of the seed's, of which something fails at the `n`-th
// point of a kind.
class EveryPoint {
 public:
  EveryPoint(Fault fault, uint64_t n, const StressOptions& options,
             Verdict* verdict)
      : fault_(fault),
        n_(n),
        random_(options.seed),
        driver_(SmallWorldDmaType(options.seed)),
        world_(EveryPointOptions(options, &driver_), verdict) {}

  // Whether the point was reached.
  bool Play() {
    if (!SetUp()) return false;
    driver_.Arm(fault_, n_, &world_.machine());
    for (size_t step = 0; step < kSteps && !world_.failed(); ++step) {
      PlayStep(step);
    }
    return fault_ == Fault::kHeld || fault_ == Fault::kRing ? n_ <= kSteps
                                                            : driver_.reached();
  }

 private:
  bool SetUp() {
    if (!world_.ok()) return false;
    auto type = driver_.RegisterType(world_.host(), world_.device());
    if (!world_.Expect(type.status(), "a DMA type")) return false;
    own_ = InTt(*type);
    for (size_t i = 0; i < kBos; ++i) {
      KnownBo* bo = world_.Make(kMiB / 4 - PagesToBytes(random_() % 40));
      if (bo == nullptr) return false;
      bos_.push_back(bo);
      const Placement& first =
          i % 3 == 0 ? own_ : driver_.places()[i % 3 == 1 ? 0 : 1];
      if (!world_.Expect(world_.Submit({.uses = {{bo}}, .places = {&first, 1}}),
                         "setting up")) {
        return false;
      }
    }
    world_.WaitForJobs();
    return true;
  }

  Submission NextSubmission() {
    static constexpr Placement kOthers[] = {kInVram, InTt(DmaType::kDynamic),
                                            InTt(DmaType::kCoherent),
                                            InTt(DmaType::kCma)};
    Submission submission;
    const uint64_t where = random_() % 6;
    submission.places = where == 0   ? PlacementList{&own_, 1}
                        : where == 1 ? driver_.places()
                                     : PlacementList{&kOthers[where - 2], 1};
    const size_t first = random_() % kBos;
    const size_t count = 1 + random_() % 3;
    for (size_t i = 0; i < count; ++i) {
      submission.uses.push_back({bos_[(first + i) % kBos]});
    }
    return submission;
  }

  // The submission as it fares when something fails, and once more when
  // nothing does.
  void PlayStep(size_t step) {
    const Submission submission = NextSubmission();
    std::vector<std::string> were;
    for (const BoUse& use : submission.uses) {
      were.push_back(WhereIs(*use.bo->bo));
    }
    Submission harmed = submission;
    const absl::Status status = SubmitHarmed(step, &harmed);
    driver_.Repair();
    if (status.ok()) return;
    world_.Require(Expected(KindOf(status), status),
                   absl::StrCat("after ", NameOf(fault_), " ", n_, ": ",
                                status.message()));
    world_.CheckRules();
    // Of several the first may have moved.
    if (were.size() == 1 && fault_ != Fault::kHeld) {
      world_.Require(WhereIs(*submission.uses[0].bo->bo) == were[0],
                     absl::StrCat("after ", NameOf(fault_), " ", n_,
                                  " a bo is no longer ", were[0]));
    }
    world_.Expect(world_.Submit(submission),
                  absl::StrCat("once more, after ", NameOf(fault_), " ", n_));
  }

  absl::Status SubmitHarmed(size_t step, Submission* submission) {
    // With an end to its wait it is not tried again: the fault is over then.
    constexpr uint64_t kLongEnoughNs = 3'600'000'000'000;
    submission->wait = WaitLimit::Within(kLongEnoughNs);
    if (fault_ == Fault::kInterrupt) {
      submission->wait.interrupt = driver_.interrupt();
    }
    if (fault_ == Fault::kHeld && n_ - 1 == step) {
      return SubmitWhileHeld(submission);
    }
    if (fault_ == Fault::kRing && n_ - 1 == step) {
      return SubmitWhileItHangs(*submission->uses[0].bo->bo, *submission);
    }
    return world_.Submit(*submission);
  }
  // One bo after the other is somebody else's, and there is no waiting.
  absl::Status SubmitWhileHeld(Submission* submission) {
    submission->wait.mode = WaitLimit::Mode::kNoWait;
    absl::Status status;
    const BufferObject& first = *submission->uses[0].bo->bo;
    for (KnownBo* held : bos_) {
      const std::string where = WhereIs(first);
      held->bo->Reserve();
      Thread other([&] { status = world_.Submit(*submission); });
      other.Join();
      held->bo->UnreserveUnused();
      world_.Require(status.ok() || KindOf(status) == ErrorKind::kBusy,
                     absl::StrCat("what is reserved is: ", status.message()));
      world_.Require(
          status.ok() || submission->uses.size() > 1 || WhereIs(first) == where,
          absl::StrCat("refused, and from ", where, " to ", WhereIs(first)));
      world_.CheckRules();
    }
    return status;
  }
  // The ring of a job that reads it is given up while it is waited for.
  absl::Status SubmitWhileItHangs(BufferObject& bo,
                                  const Submission& submission) {
    Timeline& ring = world_.machine().NewTimeline("hung ring");
    bo.Reserve();
    bo.fences().Add(ring.Emit(world_.machine().clock().now_ns()),
                    FenceUse::kRead);
    bo.Unreserve();
    Thread reset([&ring] {
      YieldFor(20);
      ring.Fail(absl::UnavailableError("the ring hung, and was reset"));
    });
    return world_.Submit(submission);
  }

  bool Expected(ErrorKind kind, const absl::Status& status) const {
    switch (fault_) {
      case Fault::kCopy:
        return status.code() == absl::StatusCode::kInternal;
      case Fault::kBind:
        return kind == ErrorKind::kNeverFits || kind == ErrorKind::kCannotFit;
      case Fault::kFrames:
        return kind == ErrorKind::kCannotFit;
      case Fault::kInterrupt:
        return kind == ErrorKind::kInterrupted;
      case Fault::kHeld:
        return kind == ErrorKind::kBusy;
      case Fault::kRing:
        return false;
    }
    return false;
  }

  const Fault fault_;
  const uint64_t n_;
  std::mt19937_64 random_;
  FlakyDriver driver_;
  World world_;
  Placement own_;
  KnownBoList bos_;
};

void PlayFailEveryPoint(const StressOptions& options, Verdict* verdict) {
  for (const Fault fault : kFaults) {
    uint64_t n = 1;
    while (verdict->clean() && EveryPoint(fault, n, options, verdict).Play()) {
      ++n;
    }
  }
}

}  // namespace

void AddFailures(std::vector<Scenario>* scenarios) {
  scenarios->push_back(
      {"twostep", "map-fails-at-k",
       "of each DMA unit all but k pages are gone, for every k: what fails "
       "leaves nothing behind",
       PlayMapFailsAtK});
  scenarios->push_back(
      {"twostep", "fail-every-point",
       "the n-th copy, bind, frame, wait, reservation or ring fails, for every "
       "n until none is left",
       PlayFailEveryPoint});
}

}  // namespace twostep
