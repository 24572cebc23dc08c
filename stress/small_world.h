#ifndef STRESS_SMALL_WORLD_H_
#define STRESS_SMALL_WORLD_H_

// A world of a few MiB that the seed chooses, whatever the machine file says:
// for scenarios in which everybody wants what there is not enough of.

#include <random>
#include <vector>

#include "twostep/stress/world.h"

namespace twostep {

using KnownBoList = std::vector<KnownBo*>;

// VRAM where there is room for it, or can be made, else TT; what VRAM evicts
// goes to TT, or to SYSTEM.
class TwoTierDriver : public DeviceHooks {
 public:
  explicit TwoTierDriver(DmaType dma)
      : places_{kInVram, InTt(dma, Placement::Use::kFallback)},
        evict_to_{InTt(dma), kInSystem} {}
  PlacementList places() const { return places_; }
  PlacementList EvictTo(const BufferObject&) override { return evict_to_; }

 private:
  const std::vector<Placement> places_;
  const std::vector<Placement> evict_to_;
};

// A size that a scenario is named for: as it is where there are no bytes, and a
// part of it where each is to be checked.
struct FullSize {
  uint64_t bytes;
  uint64_t backed;
  uint64_t In(const StressOptions& options) const {
    return options.backing == Backing::kBacked ? backed : bytes;
  }
};

// 16 MiB of frames, 1 MiB of VRAM, IOVAs, coherent memory and bounce pages, 2
// MiB of aperture, so that everything can run out; and a reserve of frames that
// no bo may touch.
WorldOptions SmallWorldOptions(const StressOptions& options);
// Leaves `bytes` of frames for bos beside the reserve, with a watermark above:
// bos are swapped out.
void MakeHostShort(uint64_t bytes, WorldOptions* world);
// One of three, by the seed.
DmaType SmallWorldDmaType(uint64_t seed);

// Such a world, with a driver of either sort of memory.
template <typename Driver = TwoTierDriver>
class SmallWorld {
 public:
  // `frame_bytes`: for bos; 0: plenty.
  SmallWorld(const StressOptions& options, Verdict* verdict,
             uint64_t frame_bytes = 0)
      : seed(options.seed),
        driver(SmallWorldDmaType(options.seed)),
        random(options.seed),
        world(OptionsOf(options, &driver, frame_bytes), verdict) {}

  // Bos that a job has written. Empty after a failure.
  KnownBoList Make(int count, uint64_t bytes, ClientRef client = nullptr) {
    KnownBoList bos;
    for (int i = 0; i < count && world.ok(); ++i) {
      KnownBo* bo = world.Make(bytes, client);
      if (bo == nullptr || !Submit({bo}, driver.places())) return {};
      bos.push_back(bo);
    }
    return bos;
  }
  static Submission Of(const KnownBoList& bos, PlacementList places) {
    Submission submission{.places = places};
    for (KnownBo* bo : bos) submission.uses.push_back({bo});
    return submission;
  }
  bool Submit(const KnownBoList& bos, PlacementList places) {
    return world.Expect(world.Submit(Of(bos, places)), "a submission");
  }

  const uint64_t seed;
  Driver driver;
  std::mt19937_64 random;
  World world;

 private:
  static WorldOptions OptionsOf(const StressOptions& options,
                                DeviceHooks* hooks, uint64_t frame_bytes) {
    WorldOptions world = SmallWorldOptions(options);
    world.hooks = hooks;
    if (frame_bytes != 0) MakeHostShort(frame_bytes, &world);
    return world;
  }
};

}  // namespace twostep

#endif  // STRESS_SMALL_WORLD_H_
