#ifndef MACHINE_MACHINE_CONFIG_H_
#define MACHINE_MACHINE_CONFIG_H_

// What a machine is made of: plain values, filled in by hand or read from a
// machine file. Machine::Create checks them.

#include <cstdint>
#include <string>

#include "twostep/machine/dma_segments.h"
#include "twostep/machine/types.h"

namespace twostep {

// What each operation costs in virtual time. Where a default comes from is said
// beside it; "measured" is a 2-CPU Xeon virtual machine.
struct CostModel {
  // The CPU's own copies (COHERENT and CMA moves): memcpy of 64 MiB, measured.
  uint64_t cpu_copy_mib_per_s = 6100;
  // Copies between a CPU copy and a bounce buffer: the same memcpy.
  uint64_t bounce_mib_per_s = 6100;
  // Copy engine between VRAM and host memory: PCIe 3.0 x16 in practice.
  uint64_t engine_mib_per_s = 12000;
  uint64_t engine_latency_ns = 5000;
  // What a job reads and writes from VRAM and over the bus.
  uint64_t vram_mib_per_s = 200000;
  uint64_t bus_mib_per_s = 12000;
  uint64_t job_latency_ns = 10000;
  // A translating IOMMU: a fixed part a call (lock, space, flush) and a part a
  // page.
  uint64_t map_ns = 200;
  uint64_t map_page_ns = 15;
  uint64_t unmap_ns = 500;
  uint64_t unmap_page_ns = 15;
  // A page from the frame allocator (measured: first touch 2.7 us in a
  // fresh memfd, 0.3 us for the zeroing alone).
  uint64_t page_alloc_ns = 300;
  // A CPU page fault served by the library; killing user mappings: a system
  // call and a part a page (measured: 3.9 us; 15 us for 16 pages, 655 for
  // 4096).
  uint64_t fault_ns = 3900;
  uint64_t zap_ns = 12000;
  uint64_t zap_page_ns = 160;
  // Cache maintenance on a non-coherent machine, a page.
  uint64_t cache_sync_page_ns = 100;
  // Setting and resetting how the CPU caches a block of pages: a shootdown of
  // its TLB entries, and flushing a page from the caches. Estimated: as zap_ns
  // without its system call, and as cache_sync_page_ns.
  uint64_t set_caching_ns = 4000;
  uint64_t set_caching_page_ns = 100;
  // Moving a page of the host's out of a CMA area: a page_alloc_ns, a
  // zap_page_ns, a copy at cpu_copy_mib_per_s, and as much as a zap_page_ns to
  // map it again. Estimated.
  uint64_t cma_migrate_page_ns = 1300;
  // Swap store: a fast SSD.
  uint64_t swap_mib_per_s = 1000;
  uint64_t swap_latency_ns = 50000;
};

enum class IommuMode : uint8_t {
  kAbsent,      // devices put physical addresses on the bus
  kTranslated,  // devices put IOVAs on the bus; the domain translates
  kIdentity,    // passthrough: there is one, and IOVAs are physical addresses
  kGart,        // physical addresses, and an aperture for what lies beyond the
                // device's reach, or not as it wants it
};

struct IommuConfig {
  IommuMode mode = IommuMode::kAbsent;
  // The IOVA space, or the GART's aperture: [iova_base, iova_base +
  // iova_bytes).
  uint64_t iova_base = uint64_t{1} << 40;
  uint64_t iova_bytes = kGiB;
  // How many domains, each with such a space; see GpuConfig::domain.
  uint32_t domains = 1;
  // How many unmapped ranges may wait for one flush of the IOTLB; 0: each is
  // flushed as it is unmapped. Linux has 256 a CPU (IOVA_FQ_SIZE).
  uint32_t flush_queue = 0;
};

struct SwiotlbConfig {
  uint64_t bytes = 64 * kMiB;  // IO_TLB_DEFAULT_SIZE; 0: no pool
  // Into how many areas, each with a lock of its own, the pool is divided: from
  // 1 to kMaxAreas, rounded up to a power of two, but no more than the pool has
  // slot sets. Linux has one for each CPU. One keeps a run the same whatever
  // threads it has: with several it depends on the thread where a mapping lies.
  uint32_t areas = 1;
  static constexpr uint32_t kMaxAreas = 1024;
  // Bounce all that is bound as DYNAMIC, as a Xen PV or a confidential guest
  // must. A translating IOMMU never bounces.
  bool forced = false;
};

// A guest under Xen's paravirtualization: neighbouring frames are not
// neighbours on the bus, but for those that the hypervisor has exchanged (see
// FrameMap): all of the bounce pool, and blocks of coherent memory.
struct XenConfig {
  bool pv = false;
  // What the hypervisor can exchange for this guest, where it has no
  // ExchangePool that others share. A multiple of 2 MiB.
  uint64_t exchange_bytes = 256 * kMiB;
};

// What a CMA area lends to the host while no bo is there: pages that make way
// for a bo, to ordinary frames, and come back when it goes.
struct CmaLoan {
  uint64_t bytes = 0;  // of the area; 0: nothing is lent
  // Of them, in pages that are busy for good: no bo gets these frames.
  uint64_t busy_bytes = 0;
  uint64_t seed = 1;  // of which pages those are
};

// Where the swap store of a backed machine keeps its bytes.
enum class SwapMedium : uint8_t {
  kMemory,  // in this process's memory, as they are
  kFile,    // compressed, in an unlinked file in $TMPDIR, or /tmp
};

struct MachineConfig {
  std::string name = "default";
  // Zone DMA32 starts at physical address 0, zone NORMAL at 4 GiB. The pools
  // below are carved out of DMA32.
  uint64_t dma32_bytes = 512 * kMiB;
  uint64_t normal_bytes = 512 * kMiB;
  uint64_t coherent_bytes = 64 * kMiB;
  uint64_t cma_bytes = 64 * kMiB;
  uint64_t swap_bytes = kGiB;
  SwapMedium swap_medium = SwapMedium::kMemory;
  // Frames that bos never get, for the host's own work; and how many of those
  // that bos may have should stay free (PhysicalMemory has the picture). All 0:
  // bos can use up the machine.
  uint64_t reserve_bytes = 0;
  uint64_t low_watermark_bytes = 0;
  uint64_t high_watermark_bytes = 0;
  // What bos may have of host memory together; 0: no limit.
  uint64_t page_limit_bytes = 0;
  IommuConfig iommu;
  SwiotlbConfig swiotlb;
  CmaLoan cma_loan;
  XenConfig xen;
  CostModel cost;
};

enum class SpaceAllocator : uint8_t { kRange, kBuddy };

// The GPU of a machine file.
struct GpuConfig {
  static constexpr uint64_t kAllOfIt = ~uint64_t{0};

  std::string name = "gpu0";
  int dma_mask_bits = 64;  // 24 to 64
  // What it asks of runs of bus addresses.
  SegmentLimits segments;
  // Which domain it is in, below IommuConfig::domains: devices in one use each
  // other's addresses.
  uint32_t domain = 0;
  // False: the CPU's caches and the device see memory apart until synced.
  bool coherent = true;
  uint64_t vram_bytes = 256 * kMiB;
  // The part of VRAM that the CPU can map, from its start.
  uint64_t vram_visible_bytes = kAllOfIt;
  SpaceAllocator vram_allocator = SpaceAllocator::kRange;
  // The range that TT bos are seen through.
  uint64_t aperture_bytes = 256 * kMiB;
};

}  // namespace twostep

#endif  // MACHINE_MACHINE_CONFIG_H_
