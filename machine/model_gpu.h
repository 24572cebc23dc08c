#ifndef MACHINE_MODEL_GPU_H_
#define MACHINE_MODEL_GPU_H_

// A GPU that really does what it is told: queues of jobs on threads of their
// own, and an MMU that takes every page access through the aperture's page
// table, the device's port and the IOMMU domain to a frame, or into video
// memory within its bounds. What cannot be translated is a GPU fault, never a
// silent wrong access. Hardware: knows pages of its address spaces, not bos.
//
//   job: step, step, ... --all done-------> fence signals
//            '--an access faults: recorded, rest dropped--> fence signals
//   FaultKind::kFence: nothing is done ----------> fence signals, with an error
//
// Where the machine is not backed only time passes. Thread-safe.

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "twostep/machine/device_memory.h"
#include "twostep/machine/device_queue.h"
#include "twostep/machine/dma_port.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/page_pattern.h"

namespace twostep {

enum class GpuSpace : uint8_t { kVram, kAperture };

struct GpuAddress {
  GpuSpace space = GpuSpace::kVram;
  uint64_t offset_bytes = 0;
  friend bool operator==(const GpuAddress&, const GpuAddress&) = default;
};

// Neighbouring pages of one space. What a job works on is a list of them: a bo
// in video memory may lie in several pieces. Page i of the list is the i-th
// page of its runs in order.
struct GpuRange {
  GpuSpace space = GpuSpace::kVram;
  PageCount pages = 0;
  uint64_t first_page = 0;
};
using GpuRuns = std::vector<GpuRange>;
uint64_t PagesIn(const GpuRuns& runs);

// --- What a job can do, page by page in order ---
// Buffers and counters that a step points to stay valid until the fence.
struct GpuFill {
  GpuRuns to{};
  std::byte value{};
};
// Page i becomes FillPattern(seed, first_page + i).
struct GpuPattern {
  GpuRuns to{};
  uint64_t seed = 0;
  PageCount first_page = 0;
};
// Both sides of one length. Overlaps copy as from the first page on.
struct GpuCopy {
  GpuRuns from{};
  GpuRuns to{};
};
// out[i] becomes the PageChecksum of page i; one entry a page.
struct GpuChecksum {
  GpuRuns from{};
  absl::Span<uint64_t> out{};
};
// Compares the PageChecksum of page i with expected[i]; one entry a page.
// Counts as it goes: pages after a fault are in neither count.
struct GpuVerify {
  GpuRuns from{};
  std::vector<uint64_t> expected{};
  Atomic<uint64_t>* checked_pages = nullptr;
  Atomic<uint64_t>* wrong_pages = nullptr;
};
using GpuStep =
    std::variant<GpuFill, GpuPattern, GpuCopy, GpuChecksum, GpuVerify>;

struct GpuJob {
  std::vector<GpuStep> steps{};
  uint64_t tag = 0;  // the submitter's name for it, seen in fault records
};

// An access that could not be translated.
struct GpuFault {
  enum class Why : uint8_t {
    kBeyondVram,      // or there is none
    kBeyondAperture,  // or there is none
    kNotShown,        // the aperture page shows nothing
    kBus,             // the port refused the address that it shows
  };
  int queue = 0;
  uint64_t tag = 0;  // the job's
  size_t step = 0;   // of the job
  GpuAddress address{};
  Access access = Access::kRead;
  Why why = Why::kBus;
  DmaAddress dma_address = kNoDmaAddress;  // kBus only

  std::string ToString() const;
};

// What a job takes, for Submit: its latency, then the bytes at the rate of
// where they are, one after the other. A Copy counts on both sides.
uint64_t JobCostNs(const CostModel& cost, uint64_t vram_bytes,
                   uint64_t bus_bytes);
uint64_t JobCostNs(const CostModel& cost, const GpuJob& job);

class ModelGpu {
 public:
  struct Options {
    std::string name = "gpu0";
    int queues = 1;  // > 0
  };

  // `aperture` and `vram` may be null: accesses there then fault. Everything
  // must outlive the GPU.
  ModelGpu(Machine& machine, const Options& options, DmaPort& port,
           ApertureTable* aperture, Vram* vram);
  // Finishes all jobs.
  ~ModelGpu();
  ModelGpu(const ModelGpu&) = delete;
  ModelGpu& operator=(const ModelGpu&) = delete;

  // Whether jobs touch real bytes; if not, their steps may stay empty.
  bool executes() const {
    return queues_.front()->execution() == DeviceQueue::Execution::kThread;
  }
  int queues() const { return static_cast<int>(queues_.size()); }
  // REQUIRES: 0 <= index < queues().
  const DeviceQueue& queue(int index) const { return *queues_[index]; }

  // Does `job` after `dependencies`, in the order of its queue; it takes
  // `cost_ns` of virtual time. The fence signals when it is done or has
  // faulted; with kAborted when the job was given up. REQUIRES: 0 <= queue <
  // queues(); lengths as the steps say.
  Fence Submit(int queue, GpuJob job, absl::Span<const Fence> dependencies,
               uint64_t cost_ns);

  // The GPU is gone: jobs that were not begun are dropped, and their fences, as
  // those of later ones, signal with `error`.
  void Fail(const absl::Status& error);

  // Jobs that faulted, and the first kMaxRecords of the faults.
  static constexpr size_t kMaxRecords = 64;
  uint64_t faults() const { return faults_.load(std::memory_order_acquire); }
  std::vector<GpuFault> fault_records() const;

 private:
  // Null after filling in `fault` from its address on.
  std::byte* Translate(GpuSpace space, uint64_t page, Access access,
                       GpuFault* fault);
  // Shows every page of `runs` as bytes, with its number; false at a fault.
  template <typename Visit>
  bool ForEachPage(const GpuRuns& runs, Access access, GpuFault* fault,
                   Visit visit);
  bool Run(const GpuFill& step, GpuFault* fault);
  bool Run(const GpuPattern& step, GpuFault* fault);
  bool Run(const GpuCopy& step, GpuFault* fault);
  bool Run(const GpuChecksum& step, GpuFault* fault);
  bool Run(const GpuVerify& step, GpuFault* fault);
  void Execute(int queue, const GpuJob& job);

  Faults* const to_order_;
  DmaPort& port_;
  ApertureTable* const aperture_;
  Vram* const vram_;
  Atomic<uint64_t> faults_{0};
  mutable SpinLock lock_;
  std::vector<GpuFault> records_ ABSL_GUARDED_BY(lock_);
  // Last: their threads use all of the above.
  std::vector<std::unique_ptr<DeviceQueue>> queues_;
};

}  // namespace twostep

#endif  // MACHINE_MODEL_GPU_H_
