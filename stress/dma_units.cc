// Step 1 runs out: a DMA unit that holds a quarter of the bos, for each of the
// units; a mapping that no bounce buffer can take; and CPU faults on bos that
// devices use meanwhile.

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/stress/accounts.h"
#include "twostep/stress/families.h"
#include "twostep/stress/small_world.h"
#include "twostep/stress/threads.h"

namespace twostep {
namespace {

constexpr uint64_t kUnitBos = 8;
constexpr size_t kBos = 4 * kUnitBos;
constexpr size_t kRounds = 4;
// Of dma-*-exhaust.
constexpr FullSize kUnit = {.bytes = 64 * kMiB, .backed = kMiB};

struct Unit {
  const char* name;
  const char* what;
  DmaType dma;
  void (*set_up)(uint64_t unit_bytes, WorldOptions* world);
};

// Bos are seen through an aperture that has room for all, and nothing is short
// but the unit.
WorldOptions OptionsOf(const StressOptions& options, const Unit& unit,
                       uint64_t unit_bytes) {
  WorldOptions world = SmallWorldOptions(options);
  world.machine.dma32_bytes = 16 * unit_bytes;
  world.machine.normal_bytes = 16 * unit_bytes;
  world.machine.coherent_bytes = unit_bytes;
  world.machine.iommu.mode = IommuMode::kAbsent;
  world.gpu.vram_bytes = 0;
  world.gpu.vram_visible_bytes = GpuConfig::kAllOfIt;
  world.gpu.aperture_bytes = 16 * unit_bytes;
  unit.set_up(unit_bytes, &world);
  return world;
}

// Of which the unit takes kUnitBos.
KnownBoList MakeAll(World* world, const Placement& place, size_t count,
                    uint64_t unit_bytes) {
  KnownBoList bos;
  while (world->ok() && bos.size() < count) {
    KnownBo* bo = world->Make(unit_bytes / kUnitBos);
    if (bo == nullptr ||
        !world->Expect(world->Submit({.uses = {{bo}}, .places = {&place, 1}}),
                       "a submission")) {
      return {};
    }
    bos.push_back(bo);
  }
  return bos;
}

// --- dma-*-exhaust ---

void PlayExhausted(const Unit& unit, const StressOptions& options,
                   Verdict* verdict) {
  const uint64_t unit_bytes = kUnit.In(options);
  World world(OptionsOf(options, unit, unit_bytes), verdict);
  if (!world.ok()) return;
  // What does not go through the unit, and must not notice. All that is bound
  // has IOVAs.
  const Placement aside = InTt(
      unit.dma == DmaType::kCoherent ? DmaType::kNone : DmaType::kCoherent);
  const KnownBoList others = MakeAll(
      &world, aside, world.machine().domain().translated() ? 0 : 2, unit_bytes);
  const Placement place = InTt(unit.dma);
  const KnownBoList bos = MakeAll(&world, place, kBos, unit_bytes);
  if (bos.empty()) return;
  DmaBinder& binder = world.host().binder(unit.dma);
  const DmaBinder::Stats& stats = binder.stats();
  world.Require(stats.evictions == kBos - kUnitBos,
                absl::StrCat(stats.evictions.load(),
                             " evictions, not as many as bos "
                             "more than the unit holds"));
  std::mt19937_64 random(options.seed);
  for (size_t i = 0; i < kRounds * kBos; ++i) {
    // In turn at first, which is the worst order, then at random.
    const size_t first = i < kRounds * kBos / 2 ? i : random() % kBos;
    Submission submission{.uses = {}, .places = {&place, 1}};
    const size_t count = 1 + random() % 4;
    size_t missing = 0;
    for (size_t j = 0; j < count; ++j) {
      KnownBo* bo = bos[(first + j) % kBos];
      submission.uses.push_back({bo});
      missing += bo->bo->binder() != &binder ? 1 : 0;
    }
    const uint64_t before = stats.evictions;
    if (!world.Expect(world.Submit(submission), "a submission")) return;
    // All are of one size: one has to go for each that comes, and no more.
    world.Require(stats.evictions - before <= missing,
                  absl::StrCat(stats.evictions - before, " evictions for ",
                               missing, " bos"));
    if (random() % 4 == 0) world.CheckByCpu(*bos[random() % kBos]);
  }
  const DmaBinder& others_binder = world.host().binder(aside.dma);
  for (KnownBo* other : others) {
    world.Require(other->bo->binder() == &others_binder,
                  "a bo had to go that has nothing of the unit");
  }
}

// --- dma-swiotlb-segment ---

// What the device asks for in fewer segments than bounce buffers can give is
// too long for it, whatever is free, and nobody goes for it.
void PlayTooLong(const Unit& unit, const StressOptions& options,
                 Verdict* verdict) {
  const uint64_t segments = 1 + options.seed % 7;
  for (const bool many : {false, true}) {
    WorldOptions world_options = OptionsOf(options, unit, kUnit.backed);
    world_options.machine.swiotlb.bytes = 8 * kMiB;
    if (!many) world_options.gpu.segments.max_segments = segments;
    World world(world_options, verdict);
    if (!world.ok()) return;
    const Placement place = InTt(DmaType::kDynamic);
    KnownBo* fits = world.Make(segments * Swiotlb::kSetBytes);
    KnownBo* over = world.Make(segments * Swiotlb::kSetBytes + kPageSize);
    KnownBo* large = world.Make(2 * kMiB);
    if (fits == nullptr || over == nullptr || large == nullptr) return;
    DmaBinder& binder = world.host().binder(DmaType::kDynamic);
    for (KnownBo* bo : {large, fits, over}) {
      const Accounts before = AccountsOf(world.machine(), world.device());
      const std::string where = WhereIs(*bo->bo);
      const absl::Status status =
          world.Submit({.uses = {{bo}}, .places = {&place, 1}});
      if (many || bo == fits) {
        world.Expect(status, "what the device can take");
        continue;
      }
      world.Require(
          KindOf(status) == ErrorKind::kNeverFits &&
              absl::StrContains(status.message(), "segment limit 256 KiB") &&
              !absl::StrContains(status.message(), "full") &&
              !absl::StrContains(status.message(), "fragmented"),
          absl::StrCat("too long is called: ", status.message()));
      world.Require(AccountsOf(world.machine(), world.device()) == before &&
                        WhereIs(*bo->bo) == where,
                    "what was refused left something behind");
    }
    world.Require(binder.stats().evictions == 0, "somebody had to go for it");
    if (!many) continue;
    const std::vector<DmaSegment> table =
        large->bo->binding().Segments(large->bo->pages());
    world.Require(table.size() == 2 * kMiB / Swiotlb::kSetBytes,
                  absl::StrCat("2 MiB bounce in ", table.size(), " segments"));
  }
}

// --- fault-storm ---

// Bos that CPU and device write in turn, through mappings that stay, while
// others evict them from a unit that is too small. Whose turn it is the
// programs settle among themselves; the library hands the pages over.
void PlayFaultStorm(const Unit& unit, const StressOptions& options,
                    Verdict* verdict) {
  World world(OptionsOf(options, unit, kUnit.backed), verdict);
  const Placement place = InTt(unit.dma);
  const KnownBoList bos = MakeAll(&world, place, kBos, kUnit.backed);
  if (bos.empty()) return;
  std::deque<Mutex> turns(bos.size());
  OnThreads(2 * options.ThreadsOr(2), [&](int thread) {
    std::mt19937_64 random(options.seed * 64 + static_cast<uint64_t>(thread));
    std::vector<std::unique_ptr<CpuMapping>> mappings;
    for (KnownBo* bo : bos) {
      auto mapping = CpuMapping::Create(bo->bo);
      if (!world.Expect(mapping.status(), "mapping a bo")) return;
      mappings.push_back(*std::move(mapping));
    }
    for (size_t i = 0; i < kRounds * kBos && !world.failed(); ++i) {
      const size_t which = random() % bos.size();
      MutexLock turn(turns[which]);
      if (thread % 2 != 0) {
        world.Expect(
            world.Submit(
                {.queue = thread,
                 .uses = {{bos[which], random() % 2 == 0 ? BoUse::Does::kWrite
                                                         : BoUse::Does::kRead}},
                 .places = {&place, 1}}),
            "a submission");
        continue;
      }
      world.CheckThrough(*mappings[which], *bos[which]);
      if (random() % 2 == 0) world.WriteThrough(*mappings[which], bos[which]);
    }
  });
  world.Require(world.host().stats().cpu_faults.load() > kBos,
                "the CPU hardly ever had to fault");
  world.Require(world.dma_evictions() > kBos - kUnitBos,
                "nothing was evicted meanwhile");
}

}  // namespace

void AddDmaUnits(std::vector<Scenario>* scenarios) {
  static constexpr Unit kIova = {
      "dma-iova-exhaust", "IOVAs for a quarter of the bos", DmaType::kDynamic,
      [](uint64_t unit_bytes, WorldOptions* world) {
        world->machine.iommu.mode = IommuMode::kTranslated;
        world->machine.iommu.iova_bytes = unit_bytes;
      }};
  static constexpr Unit kSwiotlb = {
      "dma-swiotlb-exhaust",
      "a Xen PV guest with bounce buffers for a quarter of the bos",
      DmaType::kDynamic, [](uint64_t unit_bytes, WorldOptions* world) {
        world->machine.xen.pv = true;
        world->machine.xen.exchange_bytes = 8 * unit_bytes;
        world->machine.cma_bytes = 0;
        world->machine.swiotlb.bytes = unit_bytes;
        world->gpu.dma_mask_bits = 32;
      }};
  static constexpr Unit kForced = {
      "", "", DmaType::kDynamic, [](uint64_t unit_bytes, WorldOptions* world) {
        world->machine.swiotlb = {.bytes = unit_bytes, .forced = true};
      }};
  static constexpr Unit kCoherent = {
      "dma-coherent-exhaust", "coherent memory for a quarter of the bos",
      DmaType::kCoherent, [](uint64_t unit_bytes, WorldOptions* world) {
        world->machine.coherent_bytes = unit_bytes;
      }};
  static constexpr Unit kCma = {
      "dma-cma-exhaust", "a CMA area for a quarter of the bos", DmaType::kCma,
      [](uint64_t unit_bytes, WorldOptions* world) {
        world->machine.cma_bytes = unit_bytes;
      }};
  for (const Unit& unit : {kIova, kSwiotlb, kCoherent, kCma}) {
    scenarios->push_back(
        {"twostep", unit.name,
         absl::StrCat(unit.what, ": one goes for each that comes"),
         [unit](const StressOptions& options, Verdict* verdict) {
           PlayExhausted(unit, options, verdict);
         }});
  }
  scenarios->push_back(
      {"twostep", "dma-swiotlb-segment",
       "more than bounce buffers give a device is too long, and never 'full'",
       [unit = kForced](const StressOptions& options, Verdict* verdict) {
         PlayTooLong(unit, options, verdict);
       }});
  scenarios->push_back(
      {"twostep", "fault-storm",
       "the CPU faults on bos that devices use, and that others evict",
       [iova = kIova, forced = kForced](const StressOptions& options,
                                        Verdict* verdict) {
         PlayFaultStorm(options.seed % 2 == 0 ? forced : iova, options,
                        verdict);
       }});
}

}  // namespace twostep
