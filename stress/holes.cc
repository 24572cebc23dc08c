// Enough is free, but not in one piece: eviction makes the hole, and evicts no
// more than needed. What is needed is found by trying every place there is.

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/stress/families.h"
#include "twostep/stress/small_world.h"

namespace twostep {
namespace {

// Sizes are in units: pages, where there are bytes to check.
constexpr FullSize kUnit = {.bytes = kMiB, .backed = kPageSize};
constexpr uint64_t kSpaceUnits = 48;
constexpr uint64_t kLargest = 13;
constexpr size_t kBos = 40;
constexpr int kAsks = 250;

enum class Space { kIova, kCma, kAperture, kBounce };

// What bounces has to fit in one slot set.
uint64_t UnitBytes(const StressOptions& options, Space space) {
  return space == Space::kBounce ? kPageSize : kUnit.In(options);
}

WorldOptions OptionsOf(const StressOptions& options, Space space,
                       uint64_t units) {
  const uint64_t unit_bytes = UnitBytes(options, space);
  WorldOptions world = SmallWorldOptions(options);
  world.machine.dma32_bytes = 3072 * unit_bytes;
  world.machine.normal_bytes = 1024 * unit_bytes;
  world.machine.iommu.mode =
      space == Space::kIova ? IommuMode::kTranslated : IommuMode::kAbsent;
  world.gpu.vram_bytes = 0;
  world.gpu.vram_visible_bytes = GpuConfig::kAllOfIt;
  const uint64_t bytes = units * unit_bytes;
  if (space == Space::kIova) world.machine.iommu.iova_bytes = bytes;
  if (space == Space::kCma) world.machine.cma_bytes = bytes;
  world.gpu.aperture_bytes =
      space == Space::kAperture ? bytes : 512 * unit_bytes;
  if (space == Space::kBounce) {
    world.machine.swiotlb = {.bytes = bytes, .forced = true};
    world.gpu.segments.max_segments = 1;
  }
  return world;
}

// A small space of addresses, and who is where in it.
class HoleMaker {
 public:
  HoleMaker(Space space, uint64_t pages, World* world)
      : space_(space),
        pages_(pages),
        world_(*world),
        place_(InTt(space == Space::kCma        ? DmaType::kCma
                    : space == Space::kAperture ? DmaType::kNone
                                                : DmaType::kDynamic)) {}

  bool There(const KnownBo& known) const {
    return space_ == Space::kAperture
               ? &known.bo->manager() ==
                     world_.device().manager(MemoryType::kTt)
               : known.bo->binder() != nullptr;
  }
  // Leaves nothing under way, so that nobody is passed over for being busy.
  absl::Status Ask(KnownBo* known, Placement::Use use) {
    Placement place = place_;
    place.use = use;
    const absl::Status status =
        world_.Submit({.uses = {{known}}, .places = {&place, 1}});
    world_.WaitForJobs();
    if (status.ok()) {
      Forget(known);
      order_.push_back(known);
    }
    return status;
  }
  void Pin(KnownBo* known) {
    known->bo->Reserve();
    known->bo->Pin();
    known->bo->UnreserveUnused();
  }
  // It is the one used last, then.
  void Unpin(KnownBo* known) {
    known->bo->Reserve();
    known->bo->Unpin();
    known->bo->Unreserve();
    Forget(known);
    order_.push_back(known);
  }
  void Forget(KnownBo* known) {
    order_.erase(std::remove(order_.begin(), order_.end(), known),
                 order_.end());
  }
  uint64_t FreePages() const {
    uint64_t free = pages_;
    for (const KnownBo* known : order_) free -= known->bo->page_count();
    return free;
  }
  // Those who are there, the one used last at the end.
  const KnownBoList& order() const { return order_; }

  // Asks for the bo, which is not there, by evicting, and sees that those who
  // have to go, and no others, went. Whether somebody had to though enough was
  // free.
  bool AskByEvicting(KnownBo* known) {
    const PageCount pages = known->bo->page_count();
    const bool enough_free = FreePages() >= pages;
    size_t prefix = 0;
    size_t fewest = Fewest(prefix, pages);
    while (fewest == kNever && prefix < order_.size()) {
      fewest = Fewest(++prefix, pages);
    }
    const KnownBoList before = order_;
    const absl::Status status = Ask(known, Placement::Use::kAlways);
    size_t gone = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      if (There(*before[i])) continue;
      ++gone;
      Forget(before[i]);
      // Nobody goes who was used after the last one that has to.
      world_.Require(i < prefix && !before[i]->bo->pinned(),
                     "somebody went who need not");
    }
    if (fewest == kNever) {
      world_.Require(
          KindOf(status) == ErrorKind::kCannotFit && gone == 0,
          absl::StrCat("no hole can be made, ", gone,
                       " went, and it is called: ", status.message()));
      return false;
    }
    world_.Expect(status, "a hole could be made");
    world_.Require(gone == fewest, absl::StrCat(gone, " went for a hole that ",
                                                fewest, " were in the way of"));
    return gone > 0 && enough_free;
  }

 private:
  static constexpr size_t kNever = ~size_t{0};

  uint64_t StartOf(const KnownBo& known) const {
    switch (space_) {
      case Space::kIova:
        return known.bo->binding().iova.start;
      case Space::kCma:
        return known.bo->binding().storage.start;
      case Space::kAperture:
        return known.bo->start_page();
      case Space::kBounce:
        return known.bo->binding().Frame(known.bo->pages(), 0);
    }
    return 0;
  }
  uint64_t First() const {
    switch (space_) {
      case Space::kIova:
        return world_.machine().config().iommu.iova_base >> kPageShift;
      case Space::kCma:
        return world_.machine().cma().end_frame() - pages_;
      case Space::kAperture:
        return 0;
      case Space::kBounce:
        return world_.machine().bounce_pool().first_frame();
    }
    return 0;
  }
  // The fewest bos that have to go so that `pages` fit, when only the first
  // `candidates` may.
  size_t Fewest(size_t candidates, PageCount pages) {
    starts_.clear();
    for (const KnownBo* known : order_) starts_.push_back(StartOf(*known));
    const uint64_t alignment =
        space_ == Space::kCma ? CmaArea::RequestFor(pages).alignment : 1;
    size_t fewest = kNever;
    for (uint64_t at = First(); at + pages <= First() + pages_; ++at) {
      if (at % alignment != 0) continue;
      size_t in_the_way = 0;
      bool possible = true;
      for (size_t i = 0; i < order_.size(); ++i) {
        const BufferObject& bo = *order_[i]->bo;
        if (starts_[i] >= at + pages || at >= starts_[i] + bo.page_count()) {
          continue;
        }
        possible &= i < candidates && !bo.pinned();
        ++in_the_way;
      }
      if (possible) fewest = std::min(fewest, in_the_way);
    }
    return fewest;
  }

  const Space space_;
  const uint64_t pages_;
  World& world_;
  const Placement place_;
  KnownBoList order_;
  std::vector<uint64_t> starts_;
};

// Bos of mixed sizes are asked for in a space of which every second one is
// pinned, now this and now that.
void PlayHoles(Space space, const StressOptions& options, Verdict* verdict) {
  World world(OptionsOf(options, space, kSpaceUnits), verdict);
  if (!world.ok()) return;
  const uint64_t unit_bytes = UnitBytes(options, space);
  HoleMaker holes(space, kSpaceUnits * unit_bytes >> kPageShift, &world);
  std::mt19937_64 random(options.seed);
  KnownBoList bos;
  for (size_t i = 0; i < kBos; ++i) {
    bos.push_back(world.Make((1 + random() % kLargest) * unit_bytes));
    if (bos.back() == nullptr) return;
  }
  for (int refused = 0; refused < 3;) {
    KnownBo* bo = bos[random() % kBos];
    if (holes.There(*bo)) continue;
    if (!holes.Ask(bo, Placement::Use::kDesired).ok()) ++refused;
  }
  const auto pin_every_second = [&] {
    const KnownBoList there = holes.order();
    const size_t first = random() % 2;
    for (size_t i = 0; i < there.size(); ++i) {
      const bool pinned = there[i]->bo->pinned();
      if (i % 2 == first && !pinned) holes.Pin(there[i]);
      if (i % 2 != first && pinned) holes.Unpin(there[i]);
    }
  };
  const auto unpin_all = [&] {
    const KnownBoList there = holes.order();
    for (KnownBo* bo : there) {
      if (bo->bo->pinned()) holes.Unpin(bo);
    }
  };
  int made = 0;
  for (int ask = 0; ask < kAsks && !world.failed(); ++ask) {
    if (ask % 8 == 0) pin_every_second();
    if (ask % 8 == 4) unpin_all();
    KnownBo* bo = bos[random() % kBos];
    if (holes.There(*bo)) continue;
    made += holes.AskByEvicting(bo) ? 1 : 0;
  }
  unpin_all();
  for (KnownBo* bo : bos) {
    if (!holes.There(*bo)) holes.AskByEvicting(bo);
    world.Require(holes.There(*bo), "not all could be validated");
  }
  world.Require(made > 0, "enough was always free in one piece");
}

// An area of 256 units of which 30 are used, scattered so that nowhere 16 are
// free in a row: a few bos go for such a run, or the pinned ones are named.
void PlayScatter(const StressOptions& options, Verdict* verdict) {
  constexpr uint64_t kArea = 256;
  constexpr uint64_t kUsed = 30;
  constexpr uint64_t kRun = 16;
  World world(OptionsOf(options, Space::kCma, kArea), verdict);
  if (!world.ok()) return;
  const uint64_t unit_bytes = kUnit.In(options);
  const uint64_t unit_pages = unit_bytes >> kPageShift;
  HoleMaker holes(Space::kCma, kArea * unit_pages, &world);
  std::mt19937_64 random(options.seed);
  KnownBoList all;
  for (uint64_t i = 0; i < kArea; ++i) {
    KnownBo* bo = world.Make(unit_bytes);
    if (bo == nullptr ||
        !world.Expect(holes.Ask(bo, Placement::Use::kAlways), "a unit")) {
      return;
    }
    all.push_back(bo);
  }
  // Every eighth or ninth stays, but for up to 6: at most 14 are free between.
  std::vector<uint64_t> used;
  for (uint64_t i = 0; i < kUsed; ++i) {
    used.push_back(i * kArea / kUsed + random() % 7);
  }
  const uint64_t first = world.machine().cma().end_frame() - kArea * unit_pages;
  const auto unit_of = [&](const KnownBo& known) {
    return (known.bo->binding().storage.start - first) / unit_pages;
  };
  std::shuffle(all.begin(), all.end(), random);
  KnownBoList kept;
  for (KnownBo* bo : all) {
    if (std::binary_search(used.begin(), used.end(), unit_of(*bo))) {
      kept.push_back(bo);
      continue;
    }
    holes.Forget(bo);
    world.Drop(bo);
  }
  world.Require(world.machine().cma().used_frames() == kUsed * unit_pages,
                "not as much is used as should be");
  // So many of them are pinned that one is in each run.
  std::sort(kept.begin(), kept.end(),
            [&](KnownBo* a, KnownBo* b) { return unit_of(*a) < unit_of(*b); });
  uint64_t free_from = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    const uint64_t next = i + 1 < kept.size() ? unit_of(*kept[i + 1]) : kArea;
    if (next - free_from < kRun) continue;
    holes.Pin(kept[i]);
    free_from = unit_of(*kept[i]) + 1;
  }
  KnownBo* large = world.Make(kRun * unit_bytes);
  if (large == nullptr) return;
  const absl::Status status = holes.Ask(large, Placement::Use::kAlways);
  world.Require(KindOf(status) == ErrorKind::kCannotFit &&
                    absl::StrContains(status.message(), "pinned") &&
                    absl::StrContains(status.message(), "fragmented"),
                absl::StrCat("between pinned ones: ", status.message()));
  std::shuffle(kept.begin(), kept.end(), random);
  for (KnownBo* bo : kept) {
    if (bo->bo->pinned()) holes.Unpin(bo);
  }
  world.Require(holes.AskByEvicting(large), "nobody was in the way");
}

void PlayCmaScatter(const StressOptions& options, Verdict* verdict) {
  PlayScatter(options, verdict);
  PlayHoles(Space::kCma, options, verdict);
}

}  // namespace

void AddHoles(std::vector<Scenario>* scenarios) {
  scenarios->push_back(
      {"twostep", "dma-iova-fragment",
       "mixed sizes, every second one pinned: the fewest make way for a hole",
       [](const StressOptions& options, Verdict* verdict) {
         PlayHoles(Space::kIova, options, verdict);
       }});
  scenarios->push_back({"twostep", "dma-cma-scatter",
                        "30 of 256 parts of a CMA area are used, everywhere: a "
                        "run of 16 is made",
                        PlayCmaScatter});
  scenarios->push_back({"twostep", "dma-swiotlb-fragment",
                        "mixed sizes, of one segment each, in bounce buffers",
                        [](const StressOptions& options, Verdict* verdict) {
                          PlayHoles(Space::kBounce, options, verdict);
                        }});
  scenarios->push_back({"twostep", "aperture-fragment",
                        "mixed sizes in an aperture, every second one pinned",
                        [](const StressOptions& options, Verdict* verdict) {
                          PlayHoles(Space::kAperture, options, verdict);
                        }});
}

}  // namespace twostep
