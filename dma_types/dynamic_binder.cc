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
    // Bouncing all of it is what makes the fewest segments.
    const bool all = runs.empty() || runs[0].count == pages.count();
    BindOutcome outcome = all ? TakeSlotsForAll(pages, port, binding)
                              : TakeSlotsForSome(pages, runs, port, binding);
    if (!all && outcome.ok() && !fits()) {
      GiveBackSlots(binding);
      outcome = TakeSlotsForAll(pages, port, binding);
    }
    if (!outcome.ok()) return outcome;
    // Untranslated: cannot fail.
    MapFrames(binding->Frames(pages), port, binding);
    binding->addressing = DmaBinding::Addressing::kBounced;
    return outcome;
  }

  // What mappings of bounce buffers for that device keep to.
  static SegmentLimits LimitsFor(const DmaPort& port) {
    const SegmentLimits limits = Swiotlb::LimitsOf(port.limits());
    return limits.And(
        {.max_bytes = Swiotlb::LongestFor(limits.min_align_mask)});
  }
  static bool KeepsOffsets(const SegmentLimits& limits) {
    return limits.min_align_mask >= kPageSize;
  }
  // Neighbours that are cut make several segments, and still an aligned block.
  static PageCount LongestMapping(const SegmentLimits& limits) {
    const PageCount block = limits.alignment_pages();
    const auto longest =
        static_cast<PageCount>(limits.longest_bytes() >> kPageShift);
    return std::max(longest - longest % block, block);
  }
  // In mappings of that many pages a bo is no more segments than the device
  // takes.
  static PageCount ShortestMapping(PageCount pages,
                                   const SegmentLimits& limits) {
    const PageCount block = limits.alignment_pages();
    if (pages <= limits.max_segments) return block;
    const auto segments = static_cast<PageCount>(limits.max_segments);
    const PageCount even = (pages + segments - 1) / segments;
    return std::min(LongestMapping(limits), (even + block - 1) / block * block);
  }
  static Swiotlb::Request RequestFor(PageCount count,
                                     const SegmentLimits& limits) {
    return {.bytes = PagesToBytes(count),
            .alignment = count >= limits.alignment_pages() ? limits.alignment
                                                           : kPageSize,
            .boundary = std::max(limits.boundary, limits.alignment)};
  }
  // How many pages, `count` at most, one mapping can have that keeps the
  // offsets of all of them.
  static PageCount InARow(const Pages& pages, PageCount first, PageCount count,
                          const SegmentLimits& limits) {
    const uint64_t mask = limits.min_align_mask >> kPageShift;
    PageCount in_a_row = 1;
    while (in_a_row < count && ((pages.frames()[first + in_a_row] -
                                 pages.frames()[first] - in_a_row) &
                                mask) == 0) {
      ++in_a_row;
    }
    return in_a_row;
  }

  BindOutcome TakeSlotsForAll(const Pages& pages, const DmaPort& port,
                              DmaBinding* binding) {
    const SegmentLimits limits = LimitsFor(port);
    const PageCount longest = LongestMapping(limits);
    uint64_t fewest = limits.FewestFor(pages.count());
    if (KeepsOffsets(limits)) {
      fewest = 0;
      for (PageCount page = 0; page < pages.count(); ++fewest) {
        page += InARow(pages, page, std::min(longest, pages.count() - page),
                       limits);
      }
    }
    if (fewest > limits.max_segments) {
      return port.limits().FewestFor(pages.count()) > limits.max_segments
                 ? BindOutcome::TooManySegments()
             : limits.min_align_mask != 0
                 ? BindOutcome{Scarce::kRefused, Shortage::Kind::kTooLong,
                               "segment limit 256 KiB of bounce buffers, less "
                               "min_align_mask, and the device takes too few "
                               "segments"}
                 : BindOutcome{Scarce::kRefused, Shortage::Kind::kTooLong,
                               "segment limit 256 KiB of bounce buffers, and "
                               "the device takes too few segments"};
    }
    // Where what is as long as may be comes to too many segments, for the rest
    // is short: all of them as short as will do.
    const PageCount shortest = ShortestMapping(pages.count(), limits);
    const bool anywhere = shortest == 1 || KeepsOffsets(limits);
    for (const PageCount length : {longest, shortest}) {
      BindOutcome outcome = TakeSlots(pages, {PageRange{0, pages.count()}},
                                      limits, length, binding);
      outcome.anywhere = anywhere;
      if (!outcome.ok() ||
          binding->KeepsTo(port.domain(), pages, port.limits())) {
        return outcome;
      }
      GiveBackSlots(binding);
    }
    return {Scarce::kUnit, Shortage::Kind::kFragmented, "", anywhere};
  }

  BindOutcome TakeSlotsForSome(const Pages& pages,
                               const std::vector<PageRange>& runs,
                               const DmaPort& port, DmaBinding* binding) {
    const SegmentLimits limits = LimitsFor(port);
    const PageCount block = limits.alignment_pages();
    BindOutcome outcome =
        TakeSlots(pages, runs, limits, LongestMapping(limits), binding);
    outcome.anywhere = block == 1 || std::all_of(runs.begin(), runs.end(),
                                                 [&](const PageRange& run) {
                                                   return run.count < block;
                                                 });
    return outcome;
  }

  // Bounce buffers for the runs, in mappings of `longest` pages at most; where
  // the pool is fragmented, in shorter ones, as drivers do that build their
  // table anew with smaller segments (i915_gem_object_get_pages_gtt). After an
  // error the binding has none.
  BindOutcome TakeSlots(const Pages& pages, const std::vector<PageRange>& runs,
                        const SegmentLimits& limits, PageCount longest,
                        DmaBinding* binding) {
    PageCount total = 0;
    for (const PageRange& run : runs) total += run.count;
    if (total > pool().frames()) {
      return {Scarce::kUnit, Shortage::Kind::kNeverFits};
    }
    if (KeepsOffsets(limits) && limits.alignment_pages() > 1) {
      return {Scarce::kRefused, Shortage::Kind::kNeverFits,
              "one device keeps offsets (min_align_mask), another wants "
              "aligned blocks"};
    }
    if (total > pool().free_frames()) {
      return {Scarce::kUnit, Shortage::Kind::kFull};
    }
    binding->addressing = DmaBinding::Addressing::kBounced;
    binding->bounce = std::make_unique<BouncePages>(pages.count());
    std::fill_n(binding->bounce->frames.get(), pages.count(), kNoFrame);
    for (const PageRange& run : runs) {
      const Shortage::Kind kind =
          TakeSlotsFor(pages, run, limits, longest, binding);
      if (kind == Shortage::Kind::kNone) continue;
      GiveBackSlots(binding);
      return {Scarce::kUnit, kind};
    }
    return {};
  }

  Shortage::Kind TakeSlotsFor(const Pages& pages, const PageRange& run,
                              const SegmentLimits& limits, PageCount longest,
                              DmaBinding* binding) {
    const PageCount block = limits.alignment_pages();
    const PageCount end = run.first + run.count;
    for (PageCount page = run.first; page < end;) {
      PageCount count = std::min(longest, end - page);
      if (KeepsOffsets(limits)) count = InARow(pages, page, count, limits);
      Swiotlb::Request request = RequestFor(count, limits);
      request.min_align_mask = limits.min_align_mask;
      request.address = PagesToBytes(pages.frames()[page]);
      SpaceBlock slots;
      const Shortage::Kind kind = pool().Allocate(request, &slots);
      if (kind == Shortage::Kind::kFragmented && count > 1 && count != block) {
        // Never again that long, in this binding.
        longest = count > block ? std::max(block, count / 2 / block * block)
                                : count / 2;
        continue;
      }
      if (kind != Shortage::Kind::kNone) return kind;
      binding->bounce->slots.push_back(slots);
      const auto first = static_cast<FrameNumber>(
          Swiotlb::AddressOf(slots, request) >> kPageShift);
      for (PageCount i = 0; i < count; ++i) {
        (*binding->bounce)[page + i] = first + i;
      }
      page += count;
    }
    return Shortage::Kind::kNone;
  }

  // A bo in mappings as short as will do: those that there is room for are
  // taken meanwhile, for the holes that are there are no answer, and the first
  // that there is none for is what a hole is made for.
  bool DoWithSpace(BindOutcome::Scarce scarce, PageCount pages, DmaPort& port,
                   absl::FunctionRef<void(RangeAllocator&, const SpaceRequest&)>
                       use) override {
    if (scarce != Scarce::kUnit) {
      return DmaBinder::DoWithSpace(scarce, pages, port, use);
    }
    const Faults::Quiet quiet;
    const SegmentLimits limits = LimitsFor(port);
    const PageCount length = ShortestMapping(pages, limits);
    std::vector<SpaceBlock> taken;
    bool used = false;
    for (PageCount page = 0; page < pages && !used; page += length) {
      const PageCount count = std::min(length, pages - page);
      // What is left behind the last block can be in pieces.
      if (count < length && pages <= limits.max_segments) break;
      const Swiotlb::Request request = RequestFor(count, limits);
      SpaceBlock slots;
      if (pool().Allocate(request, &slots) == Shortage::Kind::kNone) {
        taken.push_back(slots);
        continue;
      }
      pool().ForEachArea(
          [&](RangeAllocator& area) { use(area, Swiotlb::SpaceFor(request)); });
      used = true;
    }
    for (const SpaceBlock& slots : taken) pool().Free(slots);
    return used;
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
