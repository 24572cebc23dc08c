#include "tests/benchmark/figures.h"

#include <cstring>

namespace twostep {
namespace {

// The kernel's own code as KUnit benchmarks in a user-mode kernel with an SMP
// kernel's lock prefixes; bookkeeping without copies, one thread.
constexpr char kTtm[] = "TTM 6.12";
// VulkanMemoryAllocator 3, its default (TLSF).
constexpr char kVma[] = "VMA 3";
constexpr char kDrm[] = "drm_mm 6.12";
constexpr char kCacheSim[] = "libCacheSim";
// Of the same machine, in the same run.
constexpr char kFloor[] = "same run";

constexpr Better kLess = Better::kLess;
constexpr Better kMore = Better::kMore;

std::vector<FigureGroup> Table() {
  return {
      {"ttm",
       "A bo's bookkeeping, beside the kernel's TTM 6.12",
       {
           {"reserve_unreserve", "ns", kLess, kTtm, 21, 22, 12},
           {"reserve_unreserve_touch/vram", "ns", kLess, kTtm, 27, 28, 15},
           {"reserve_unreserve_touch/tt_two_orders", "ns", kLess, kTtm, 27, 28,
            15},
           {"validate_hit/vram/1024", "ns", kLess, kTtm, 32, 33, 15},
           {"validate_hit/vram/16384", "ns", kLess, kTtm, 38, 41, 20},
           {"validate_hit/tt_both_bindings/1024", "ns", kLess, kTtm, 32, 33,
            15},
           {"validate_hit/tt_both_bindings/16384", "ns", kLess, kTtm, 38, 41,
            20},
           {"lru_touch/1024", "ns", kLess, kTtm, 11, 11, 5},
           {"lru_touch/16384", "ns", kLess, kTtm, 20, 20, 10},
           {"move_between_range_managers/fixed/1024", "ns", kLess, kTtm, 229,
            243, 100},
           {"move_between_range_managers/vram_and_tt/1024", "ns", kLess, kTtm,
            229, 243, 100},
           {"validate_with_one_eviction/tt/64", "ns", kLess, kTtm, 556, 624,
            150},
           {"validate_with_one_eviction/tt/1024", "ns", kLess, kTtm, 613, 654,
            180},
           {"validate_with_one_eviction/tt/16384", "ns", kLess, kTtm, 773, 851,
            220},
           {"validate_with_one_eviction/vram_worthless/64", "ns", kLess, kTtm,
            556, 624, 150},
           {"validate_with_one_eviction/vram_worthless/1024", "ns", kLess, kTtm,
            613, 654, 180},
           {"validate_with_one_eviction/vram_worthless/16384", "ns", kLess,
            kTtm, 773, 851, 220},
           {"validate_with_one_eviction_system_pages/vram/1024", "ns", kLess,
            kTtm, 711, 832, 250},
           {"validate_with_one_eviction_buddy/vram_worthless/1024", "ns", kLess,
            kTtm, 852, 1236, 250},
           {"validate_with_one_eviction_buddy/vram_system_pages/1024", "ns",
            kLess, kTtm, 852, 1236, 250},
           {"create_destroy", "ns", kLess, kTtm, 424, 688, 150},
           {"populate_page_reused/1", "ns", kLess, kTtm, 41, 44, 20},
           {"populate_page_reused/64", "ns", kLess, kTtm, 41, 44, 20},
       }},
      {"range",
       "Range allocators: alloc + free, sizes log-uniform 4 KiB to 64 MiB",
       {
           {"range_allocator/10000_live_50_full", "ns", kLess, kVma, 145, 145},
           {"range_allocator/10000_live_50_full:failed", "%", kLess, kVma, 0, 0,
            0},
           {"range_allocator/10000_live_50_full:largest_hole", "of free", kMore,
            kVma, .87, .87},
           {"range_allocator/10000_live_90_full", "ns", kLess, kVma, 115, 115,
            130},
           {"range_allocator/10000_live_90_full:failed", "%", kLess, kVma, .11,
            .11, 0},
           {"range_allocator/10000_live_90_full:largest_hole", "of free", kMore,
            kVma, .013, .013, .15},
           {"range_allocator/100000_live_50_full", "ns", kLess, kVma, 257, 257},
           {"range_allocator/100000_live_50_full:failed", "%", kLess, kVma, 0,
            0, 0},
           {"range_allocator/100000_live_50_full:largest_hole", "of free",
            kMore, kVma, .93, .93},
           {"range_allocator/100000_live_90_full", "ns", kLess, kVma, 210, 210,
            230},
           {"range_allocator/100000_live_90_full:failed", "%", kLess, kVma, 0,
            0, 0},
           {"range_allocator/100000_live_90_full:largest_hole", "of free",
            kMore, kVma, .41, .41},
           // 188 to insert and 69 to remove; its sizes are mixed, too.
           {"range_allocator/1000_live_90_full", "ns", kLess, kDrm, 188, 257},
           // 114 to allocate and 156 to free.
           {"buddy_allocator/1000_live_90_full", "ns", kLess, kTtm, 384, 384,
            160},
           {"buddy_allocator/10000_live_90_full", "ns", kLess, kTtm, 384, 384,
            160},
       }},
      {"policies",
       "Eviction policies in the cache model, millions of requests a second",
       {
           {"cache/lru", "M/s", kMore, kCacheSim, 18, 18, 18},
           {"cache/fifo", "M/s", kMore, kCacheSim, 20, 20, 20},
           {"cache/sieve", "M/s", kMore, kCacheSim, 19, 19, 19},
           {"cache/clock", "M/s", kMore, kCacheSim, 17.5, 17.5, 17.5},
           {"cache/arc", "M/s", kMore, kCacheSim, 10, 10, 10},
           {"cache/2q", "M/s", kMore, kCacheSim, 8, 8, 8},
           {"cache/lirs", "M/s", kMore, kCacheSim, 5, 5, 5},
           {"cache/s3fifo", "M/s", kMore, kCacheSim, 4.4, 4.4, 4.4},
           {"cache/belady", "M/s", kMore, kCacheSim, 6, 6, 6},
           {"cache/mru", "M/s", kMore},
           {"cache/priority", "M/s", kMore},
           {"cache/gdsf", "M/s", kMore},
           {"cache/generations", "M/s", kMore},
           {"cache/random", "M/s", kMore},
           {"cache/adaptive", "M/s", kMore},
       }},
      {"floors",
       "What the machine can do",
       {
           {"floor/memcpy_64mib", "GB/s", kMore},
           {"floor/memcpy_64mib_two_threads", "GB/s", kMore},
           {"floor/non_temporal_64mib", "GB/s", kMore},
           {"floor/non_temporal_64mib_two_threads", "GB/s", kMore},
           {"floor/memcpy_64kib_cached", "GB/s", kMore},
           {"floor/non_temporal_64kib_cached", "GB/s", kMore},
           {"floor/atomic_add", "ns"},
           {"floor/spin_lock", "ns"},
           {"floor/mutex", "ns"},
           {"floor/list_touch/1000", "ns"},
           {"floor/list_touch/1000000", "ns"},
           {"floor/hash_map_find/1000000", "ns"},
           {"floor/fault_bare_handler", "us"},
       }},
      {"dma",
       "DMA binds of 1 MiB: nanoseconds a page to bind and unbind",
       {
           {"dma_bind_unbind_1mib/none", "ns"},
           {"dma_bind_unbind_1mib/dynamic", "ns", kLess, "", 0, 0, 15},
           {"dma_bind_unbind_1mib/dynamic_bounced", "ns"},
           {"dma_bind_unbind_1mib/coherent", "ns"},
           {"dma_bind_unbind_1mib/cma", "ns"},
           // Beside memcpy of the same bytes.
           {"bounce_beside_memcpy/to_device", "x", kLess, kFloor, 1, 1, 1.2},
           {"bounce_beside_memcpy/to_cpu", "x", kLess, kFloor, 1, 1, 1.2},
       }},
      {"faults",
       "CPU faults and user mappings",
       {
           // Beside a handler that maps the page and nothing else.
           {"fault_beside_floor/1", "x", kLess, kFloor, 1, 1, 1.3},
           {"fault_beside_floor/512", "x", kLess, kFloor, 1, 1, 1.3},
           {"fault_beside_floor_scattered/512", "x", kLess, kFloor, 1, 1, 1.3},
           {"kill_user_mapping/512", "ns"},
           {"kill_user_mapping/512:system_calls", "calls", kLess, "", 0, 0, 1},
       }},
      {"copies",
       "Copies of evictions, beside the best copy of the machine",
       {
           {"evict_copy/64_kib", "x", kMore, kFloor, 1, 1},
           {"evict_copy/2_mib", "x", kMore, kFloor, 1, 1, .9},
           {"evict_copy/64_mib", "x", kMore, kFloor, 1, 1, .9},
       }},
      {"threads",
       "Two threads on disjoint bos: times the work of one",
       {
           {"two_threads/hit_vram", "x", kMore, "", 0, 0, 1.8},
           {"two_threads/hit_tt", "x", kMore, "", 0, 0, 1.8},
           {"two_threads/hit_tt_own_device", "x", kMore, "", 0, 0, 1.8},
           {"two_threads/evict_from_tt", "x", kMore, "", 0, 0, 1.8},
           {"two_threads/evict_from_vram", "x", kMore, "", 0, 0, 1.8},
       }},
      {"crowds",
       "One eviction where 99 % of 100,000 bos cannot be had at once: times "
       "one of idle bos",
       {
           {"evict_among/vram_busy", "x", kLess, kFloor, 1, 1, 1.5},
           {"evict_among/vram_pinned", "x", kLess, kFloor, 1, 1, 1.5},
           {"evict_among/vram_reserved", "x", kLess, kFloor, 1, 1, 1.5},
           {"evict_among/tt_busy", "x", kLess, kFloor, 1, 1, 1.5},
           {"evict_among/tt_pinned", "x", kLess, kFloor, 1, 1, 1.5},
           {"evict_among/tt_reserved", "x", kLess, kFloor, 1, 1, 1.5},
           {"evict_among/iova_busy", "x", kLess, kFloor, 1, 1, 1.5},
           {"evict_among/iova_pinned", "x", kLess, kFloor, 1, 1, 1.5},
           {"evict_among/iova_reserved", "x", kLess, kFloor, 1, 1, 1.5},
       }},
      {"replays",
       "Traces: millions of records a second",
       {
           {"read_trace/plain", "M/s", kMore},
           {"read_trace/zstd", "M/s", kMore},
           {"summarize_trace", "M/s", kMore},
           {"replay_unbacked/lru", "M/s", kMore, "", 0, 0, 3},
           {"replay_unbacked/adaptive", "M/s", kMore, "", 0, 0, 3},
           {"replay_unbacked/lru:uses", "M/s", kMore, "", 0, 0, 1.67},
           {"replay_unbacked/10000000_bos", "s", kLess, "", 0, 0, 60},
       }},
      {"memory",
       "Bytes a bo, and what growth costs",
       {
           {"memory_of_a_bo/vram", "B", kLess, kTtm, 828, 828, 256},
           {"memory_of_a_bo/tt_both_bindings", "B", kLess, "", 0, 0, 328},
           // Beside 10,000 bos.
           {"growth_of_eviction/vram_1000000", "x"},
           {"growth_of_eviction/vram_10000000", "x", kLess, "", 0, 0, 3},
           {"growth_of_eviction/vram_10000000:memory", "x"},
       }},
  };
}

}  // namespace

const std::vector<FigureGroup>& FigureGroups() {
  static const auto* const groups = new std::vector<FigureGroup>(Table());
  return *groups;
}

const Figure* FigureOf(absl::string_view name) {
  for (const FigureGroup& group : FigureGroups()) {
    for (const Figure& figure : group.figures) {
      if (name == figure.row) return &figure;
    }
  }
  return nullptr;
}

}  // namespace twostep
