#include <algorithm>
#include <utility>
#include <vector>

#include "twostep/dma_types/binders.h"

namespace twostep {
namespace {

using Scarce = BindOutcome::Scarce;

class DynamicBinder final : public DmaBinder {
 public:
  DynamicBinder(Machine& machine, std::unique_ptr<EvictionPolicy> policy)
      : DmaBinder("dynamic", machine, Sharing::kHandedOver, CanRunOut::kYes,
                  std::move(policy)) {}

 private:
  Swiotlb& pool() const { return machine().bounce_pool(); }
  bool forced() const { return machine().config().swiotlb.forced; }
  bool PoolWithin(const DmaPort& port) const {
    return pool().frames() == 0 ||
           pool().highest_on_bus() <= port.highest_frame();
  }

  // Whether any frame might, for that device.
  bool MayBounce(const DmaPort& port) const {
    const uint64_t normal = machine().memory().frames(Zone::kNormal);
    return !port.domain().translated() &&
           (forced() || !(port.limits() == SegmentLimits{}) ||
            port.domain().frame_map() != nullptr ||
            kNormalZoneFirstFrame + normal > port.highest_frame());
  }

  BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                     DmaBinding* binding) override {
    const bool absent = !pages.present();
    const Shortage::Kind kind =
        TakeOrdinaryFrames(pages, kNoFrame - 1, contents);
    if (kind != Shortage::Kind::kNone) return {Scarce::kHostFrames, kind};
    const BindOutcome outcome = port.domain().translated()
                                    ? MapFrames(pages.frames(), port, binding)
                                    : MapOrBounce(pages, port, binding);
    if (!outcome.ok() && absent) {
      pages.Release(machine().memory(), machine().swap());
    }
    return outcome;
  }

  // Pages that the device cannot use where they are, in runs: all of them where
  // bouncing is forced, else those beyond its mask, entries that a Xen PV guest
  // takes for neighbours and that are none, and all of a block that it wants
  // aligned and that is not, or of which some bounces.
  std::vector<PageRange> MustBounce(const Pages& pages,
                                    const DmaPort& port) const {
    if (!MayBounce(port)) return {};
    if (forced()) return {PageRange{0, pages.count()}};
    std::vector<bool> must(pages.count());
    for (PageCount page = 0; page < pages.count(); ++page) {
      must[page] = pages.frames()[page] > port.highest_frame();
    }
    MarkTornEntries(pages, port, &must);
    MarkCrookedBlocks(pages, port, &must);
    std::vector<PageRange> runs;
    for (PageCount page = 0; page < pages.count(); ++page) {
      if (!must[page]) continue;
      if (runs.empty() || runs.back().first + runs.back().count != page) {
        runs.push_back(PageRange{page, 0});
      }
      ++runs.back().count;
    }
    return runs;
  }

  // As swiotlb-xen: a guest coalesces what is in a row for it into one entry of
  // its table, and one of several pages whose frames are not in a row on the
  // bus (range_straddles_page_boundary) bounces as a whole.
  static void MarkTornEntries(const Pages& pages, const DmaPort& port,
                              std::vector<bool>* must) {
    if (port.domain().frame_map() == nullptr) return;
    const std::vector<DmaSegment> entries = CoalesceSegments(
        pages.count(), Swiotlb::LimitsOf(port.limits()),
        [&](PageCount page) { return PagesToBytes(pages.frames()[page]); });
    PageCount first = 0;
    for (const DmaSegment& entry : entries) {
      const auto count = static_cast<PageCount>(entry.bytes >> kPageShift);
      const auto address = [&](PageCount i) {
        return port.domain().DirectAddress(pages.frames()[first + i]);
      };
      bool torn = false;
      for (PageCount i = 1; i < count; ++i) {
        torn |= address(i) != address(0) + PagesToBytes(i);
      }
      if (torn) std::fill_n(must->begin() + first, count, true);
      first += count;
    }
  }

  static void MarkCrookedBlocks(const Pages& pages, const DmaPort& port,
                                std::vector<bool>* must) {
    const PageCount block = port.limits().alignment_pages();
    if (block == 1) return;
    for (PageCount first = 0; pages.count() - first >= block; first += block) {
      const auto begin = must->begin() + first;
      const bool bounces =
          std::find(begin, begin + block, true) != begin + block;
      if (bounces || !BlockIsAligned(first, port.limits(), [&](PageCount page) {
            return port.domain().DirectAddress(pages.frames()[page]);
          })) {
        std::fill_n(begin, block, true);
      }
    }
  }

  BindOutcome MapOrBounce(Pages& pages, DmaPort& port, DmaBinding* binding) {
    const std::vector<PageRange> runs = MustBounce(pages, port);
    const auto fits = [&] {
      return binding->KeepsTo(port.domain(), pages, port.limits());
    };
    binding->port = &port;
    if (runs.empty() && fits()) return MapFrames(pages.frames(), port, binding);
    if (!PoolWithin(port)) {
      return {Scarce::kRefused, Shortage::Kind::kNeverFits,
              "the bounce pool is beyond the device's DMA mask"};
    }
    BindOutcome outcome = TakeSlots(pages, runs, port, binding);
    if (outcome.ok() && !fits()) {
      // Bouncing all of it is what makes the fewest segments.
      GiveBackSlots(binding);
      outcome = TakeSlotsForAll(pages, port, binding);
    }
    if (!outcome.ok()) return outcome;
    // Untranslated: cannot fail.
    MapFrames(binding->Frames(pages), port, binding);
    binding->addressing = DmaBinding::Addressing::kBounced;
    return outcome;
  }

  BindOutcome TakeSlotsForAll(const Pages& pages, const DmaPort& port,
                              DmaBinding* binding) {
    const SegmentLimits limits = Swiotlb::LimitsOf(port.limits());
    if (limits.FewestFor(pages.count()) > limits.max_segments) {
      return port.limits().FewestFor(pages.count()) > limits.max_segments
                 ? BindOutcome::TooManySegments()
                 : BindOutcome{Scarce::kRefused, Shortage::Kind::kTooLong,
                               "segment limit 256 KiB of bounce buffers, and "
                               "the device takes too few segments"};
    }
    const BindOutcome outcome =
        TakeSlots(pages, {PageRange{0, pages.count()}}, port, binding);
    if (!outcome.ok() ||
        binding->KeepsTo(port.domain(), pages, port.limits())) {
      return outcome;
    }
    GiveBackSlots(binding);
    return {Scarce::kUnit, Shortage::Kind::kFragmented};
  }

  // Bounce buffers for the runs, in mappings as long as may be; where the pool
  // is fragmented, in shorter ones, as drivers do that build their table anew
  // with smaller segments (i915_gem_object_get_pages_gtt). After an error the
  // binding has none.
  BindOutcome TakeSlots(const Pages& pages, const std::vector<PageRange>& runs,
                        const DmaPort& port, DmaBinding* binding) {
    PageCount total = 0;
    for (const PageRange& run : runs) total += run.count;
    if (total > pool().frames()) {
      return {Scarce::kUnit, Shortage::Kind::kNeverFits};
    }
    if (total > pool().free_frames()) {
      return {Scarce::kUnit, Shortage::Kind::kFull};
    }
    binding->addressing = DmaBinding::Addressing::kBounced;
    binding->bounce = std::make_unique<BouncePages>(pages.count());
    std::fill_n(binding->bounce->frames.get(), pages.count(), kNoFrame);
    for (const PageRange& run : runs) {
      const Shortage::Kind kind = TakeSlotsFor(run, port.limits(), binding);
      if (kind == Shortage::Kind::kNone) continue;
      GiveBackSlots(binding);
      return {Scarce::kUnit, kind};
    }
    return {};
  }

  Shortage::Kind TakeSlotsFor(const PageRange& run,
                              const SegmentLimits& port_limits,
                              DmaBinding* binding) {
    const SegmentLimits limits = Swiotlb::LimitsOf(port_limits);
    const PageCount block = limits.alignment_pages();
    PageCount longest =
        static_cast<PageCount>(limits.longest_bytes() >> kPageShift);
    // Neighbours that are cut make several segments, and still an aligned
    // block.
    longest = std::max(longest - longest % block, block);
    const PageCount end = run.first + run.count;
    for (PageCount page = run.first; page < end;) {
      PageCount count = std::min(longest, end - page);
      SpaceBlock slots;
      const Shortage::Kind kind = pool().Allocate(
          {.bytes = PagesToBytes(count),
           .alignment = count >= block ? limits.alignment : kPageSize,
           .boundary = std::max(limits.boundary, limits.alignment)},
          &slots);
      if (kind == Shortage::Kind::kFragmented && count > 1 && count != block) {
        // Never again that long, in this binding.
        longest = count > block ? std::max(block, count / 2 / block * block)
                                : count / 2;
        continue;
      }
      if (kind != Shortage::Kind::kNone) return kind;
      binding->bounce->slots.push_back(slots);
      for (PageCount i = 0; i < count; ++i) {
        (*binding->bounce)[page + i] = Swiotlb::FirstFrame(slots) + i;
      }
      page += count;
    }
    return Shortage::Kind::kNone;
  }

  void GiveBackSlots(DmaBinding* binding) {
    for (const SpaceBlock& slots : binding->bounce->slots) pool().Free(slots);
    binding->bounce.reset();
    binding->addressing = DmaBinding::Addressing::kFrames;
  }

  BindOutcome DoUnbind(Pages& pages, DmaBinding& binding, Contents) override {
    if (binding.bounce == nullptr) {
      UnmapFrames(pages.frames(), binding);
    } else {
      UnmapFrames(binding.Frames(pages), binding);
      GiveBackSlots(&binding);
    }
    return {};
  }

  // Where only some frames are out of reach, it depends on the frames.
  bool Reaches(const DmaPort& port) const override {
    if (port.domain().translated()) return DmaBinder::Reaches(port);
    return !forced() || (pool().frames() != 0 && PoolWithin(port));
  }

  void DoSync(Pages& pages, DmaBinding& binding, ByteRange bytes,
              Sync direction) override {
    if (binding.bounce == nullptr) {
      DmaBinder::DoSync(pages, binding, bytes, direction);
      return;
    }
    ForEachPart(bytes, [&](PageCount page, ByteRange in_page) {
      const FrameNumber bounce = (*binding.bounce)[page];
      if (bounce == kNoFrame) {
        DmaBinder::DoSync(
            pages, binding,
            ByteRange{PagesToBytes(page) + in_page.first, in_page.count},
            direction);
        return;
      }
      const FrameNumber frame = pages.frames()[page];
      const bool for_device = direction == Sync::kForDevice;
      CopyPart(for_device ? frame : bounce, for_device ? bounce : frame,
               in_page, machine().cost().bounce_mib_per_s);
      stats().bounced_bytes.fetch_add(in_page.count, std::memory_order_relaxed);
    });
  }

  bool DoHolds(Scarce scarce, const DmaBinding& binding) const override {
    return scarce != Scarce::kUnit || binding.bounce != nullptr;
  }

  Shortage DoDescribe(PageCount pages, const DmaPort& port,
                      Scarce) const override {
    return MayBounce(port) ? pool().Describe(pages) : Shortage{};
  }
};

}  // namespace

std::unique_ptr<DmaBinder> MakeDynamicBinder(
    Machine& machine, std::unique_ptr<EvictionPolicy> policy) {
  return std::make_unique<DynamicBinder>(machine, std::move(policy));
}

}  // namespace twostep
