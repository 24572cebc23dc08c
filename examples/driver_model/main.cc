// A small driver over the library: create, map, submit, wait, pin, destroy.
// main() is its user: twelve buffers of 1 MiB share 4 MiB of video memory, and
// every byte is checked, by the GPU and by the CPU.

#include <cstdlib>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "twostep/bo/audit.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/device.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/gpu_runs.h"
#include "twostep/bo/host.h"

namespace twostep::example {
namespace {

// Video memory first; where it is full, somebody has to leave.
constexpr Placement kInVram[] = {{.memory = MemoryType::kVram}};
// What leaves video memory stays in the GPU's sight where there is room: step 1
// maps its pages for streaming DMA, step 2 shows them in the aperture.
constexpr Placement kEvictTo[] = {
    {.dma = DmaType::kDynamic, .memory = MemoryType::kTt},
    {.dma = DmaType::kNone, .memory = MemoryType::kSystem}};

// Buffers are named by handles, as in an ioctl interface.
using Handle = uint32_t;

struct BufferUse {
  Handle handle = 0;
  FenceUse use = FenceUse::kRead;
};

class Driver : public DeviceHooks {
 public:
  static absl::StatusOr<std::unique_ptr<Driver>> Open(Host& host,
                                                      const GpuConfig& config) {
    auto driver = std::unique_ptr<Driver>(new Driver(host));
    auto device = Device::Create(host, config, driver.get());
    if (!device.ok()) return device.status();
    driver->device_ = *std::move(device);
    driver->gpu_ = MakeModelGpu(*driver->device_, /*queues=*/2);
    return driver;
  }

  absl::StatusOr<Handle> CreateBuffer(uint64_t bytes) {
    absl::StatusOr<BoRef> bo = host_.CreateBo(bytes);
    if (!bo.ok()) return bo.status();
    buffers_[++last_handle_] = *std::move(bo);
    return last_handle_;
  }

  // The GPU may still use it: its storage goes when the last fence signals.
  void Destroy(Handle handle) { buffers_.erase(handle); }

  // Lets the CPU reach the bytes, wherever they are and will be.
  absl::StatusOr<std::unique_ptr<CpuMapping>> Map(Handle handle) {
    return CpuMapping::Create(Find(handle));
  }

  // Brings all buffers to where the GPU sees them and queues the job that
  // `make` returns, which is called with their pages, in the order of `uses`.
  template <typename Make>
  absl::StatusOr<Fence> Submit(int queue, const std::vector<BufferUse>& uses,
                               Make make) {
    Exec exec(*device_);
    for (const BufferUse& use : uses) {
      exec.Add(*Find(use.handle), kInVram, use.use);
    }
    ValidateContext context;
    absl::Status status = exec.Run(&context);
    if (!status.ok()) return status;
    // Reserved until Finish: nobody moves them meanwhile.
    std::vector<GpuRuns> runs;
    for (const BufferUse& use : uses) runs.push_back(RunsOf(*Find(use.handle)));
    GpuJob job{{make(runs)}};
    const uint64_t cost_ns = JobCostNs(host_.machine().cost(), job);
    const Fence fence =
        gpu_->Submit(queue, std::move(job), exec.dependencies(), cost_ns);
    // From here on whoever moves a buffer waits for the job.
    exec.Finish(fence);
    return fence;
  }

  // Until the CPU may read (write) the buffer.
  absl::Status Wait(Handle handle, Access access) {
    return WaitForCpu(*Find(handle), access);
  }

  // Keeps a buffer in video memory (a display reads it, say).
  absl::Status Pin(Handle handle) {
    BufferObject& bo = *Find(handle);
    bo.Reserve();
    ValidateContext context;
    absl::Status status = device_->Validate(bo, kInVram, &context);
    if (status.ok()) bo.Pin();
    bo.Unreserve();
    return status;
  }
  void Unpin(Handle handle) {
    BufferObject& bo = *Find(handle);
    bo.Reserve();
    bo.Unpin();
    bo.Unreserve();
  }

  bool InVram(Handle handle) { return Find(handle)->manager().fixed(); }
  uint64_t evictions() {
    return device_->manager(MemoryType::kVram)->evictions().load();
  }
  uint64_t moves() const { return moves_.load(); }
  uint64_t gpu_faults() const { return gpu_->faults(); }

 private:
  explicit Driver(Host& host) : host_(host) {}

  BoRef Find(Handle handle) { return buffers_.at(handle); }

  // The two hooks that this driver cares for; the others have defaults.
  PlacementList EvictTo(const BufferObject&) override { return kEvictTo; }
  void Notify(const BufferObject&, BoEvent event) override {
    if (event == BoEvent::kMoved) ++moves_;
  }

  Host& host_;
  Atomic<uint64_t> moves_{0};
  std::unique_ptr<Device> device_;
  std::unique_ptr<ModelGpu> gpu_;  // uses the device
  std::map<Handle, BoRef> buffers_;
  Handle last_handle_ = 0;
};

uint64_t WrongBytes(const CpuMapping& mapping, uint64_t seed) {
  uint64_t wrong = 0;
  for (uint64_t at = 0; at < mapping.size_bytes(); at += kPageSize) {
    std::byte expected[kPageSize];
    FillPattern(seed, static_cast<PageCount>(at >> kPageShift), expected);
    for (uint64_t i = 0; i < kPageSize; ++i) {
      wrong += mapping.data()[at + i] != expected[i];
    }
  }
  return wrong;
}

// --- The user of the driver ---
constexpr uint64_t kBytes = kMiB;
constexpr uint64_t kBuffers = 12;

// Bytes and pages that were not what they should be.
struct Tally {
  Atomic<uint64_t> pages_checked_by_gpu{0};
  Atomic<uint64_t> pages_wrong_for_gpu{0};
  uint64_t bytes_wrong_for_cpu = 0;
};

// The CPU writes the first buffer and pins it; the GPU writes each of the
// others, three times as much as there is room for.
absl::Status WriteAll(Driver& driver, const std::vector<Handle>& buffers) {
  auto first = driver.Map(buffers[0]);
  if (!first.ok()) return first.status();
  for (uint64_t at = 0; at < kBytes; at += kPageSize) {
    FillPattern(/*seed=*/0, static_cast<PageCount>(at >> kPageShift),
                (*first)->data() + at);
  }
  absl::Status status = driver.Pin(buffers[0]);
  if (!status.ok()) return status;
  for (uint64_t i = 1; i < kBuffers; ++i) {
    auto fence = driver.Submit(
        0, {{buffers[i], FenceUse::kWrite}}, [&](std::vector<GpuRuns>& runs) {
          return GpuPattern{std::move(runs[0]), /*seed=*/i};
        });
    if (!fence.ok()) return fence.status();
  }
  return absl::OkStatus();
}

// Each buffer gets what its predecessor held, the last one first, on another
// queue: the fences of the buffers keep the queues in order.
absl::Status ShiftAll(Driver& driver, const std::vector<Handle>& buffers) {
  for (uint64_t i = kBuffers - 1; i > 0; --i) {
    auto fence = driver.Submit(
        1, {{buffers[i], FenceUse::kWrite}, {buffers[i - 1], FenceUse::kRead}},
        [](std::vector<GpuRuns>& runs) {
          return GpuCopy{.from = std::move(runs[1]), .to = std::move(runs[0])};
        });
    if (!fence.ok()) return fence.status();
  }
  return absl::OkStatus();
}

// The GPU checks what it sees of a buffer, then the CPU what it sees.
absl::Status Check(Driver& driver, Handle buffer, uint64_t seed, Tally* tally) {
  std::vector<uint64_t> expected;
  for (PageCount page = 0; page < kBytes / kPageSize; ++page) {
    expected.push_back(PatternChecksum(seed, page));
  }
  auto fence = driver.Submit(0, {{buffer, FenceUse::kRead}},
                             [&](std::vector<GpuRuns>& runs) {
                               return GpuVerify{std::move(runs[0]), expected,
                                                &tally->pages_checked_by_gpu,
                                                &tally->pages_wrong_for_gpu};
                             });
  if (!fence.ok()) return fence.status();
  absl::Status status = WaitFor(*fence, WaitLimit{});
  if (!status.ok()) return status;
  auto mapping = driver.Map(buffer);
  if (!mapping.ok()) return mapping.status();
  status = driver.Wait(buffer, Access::kRead);
  if (!status.ok()) return status;
  tally->bytes_wrong_for_cpu += WrongBytes(**mapping, seed);
  return absl::OkStatus();
}

// Returns false when a byte was wrong.
absl::StatusOr<bool> Use(Driver& driver) {
  std::vector<Handle> buffers;
  for (uint64_t i = 0; i < kBuffers; ++i) {
    auto handle = driver.CreateBuffer(kBytes);
    if (!handle.ok()) return handle.status();
    buffers.push_back(*handle);
  }
  absl::Status status = WriteAll(driver, buffers);
  if (status.ok()) status = ShiftAll(driver, buffers);
  if (!status.ok()) return status;
  absl::PrintF("pinned buffer in video memory:  %s\n",
               driver.InVram(buffers[0]) ? "yes" : "no");
  Tally tally;
  for (uint64_t i = 0; i < kBuffers; ++i) {
    status = Check(driver, buffers[i], /*seed=*/i == 0 ? 0 : i - 1, &tally);
    if (!status.ok()) return status;
  }
  absl::PrintF("pages wrong for the GPU:        %d of %d\n",
               tally.pages_wrong_for_gpu.load(),
               tally.pages_checked_by_gpu.load());
  absl::PrintF("bytes wrong for the CPU:        %d of %d\n",
               tally.bytes_wrong_for_cpu, kBuffers * kBytes);
  driver.Unpin(buffers[0]);
  for (const Handle handle : buffers) driver.Destroy(handle);
  return tally.pages_checked_by_gpu == kBuffers * kBytes / kPageSize &&
         tally.pages_wrong_for_gpu == 0 && tally.bytes_wrong_for_cpu == 0;
}

int Run() {
  MachineConfig config;
  config.iommu.mode = IommuMode::kTranslated;
  const auto machine = *Machine::Create(config, MachineOptions{});
  const auto host = *Host::Create(*machine, HostOptions{});
  const auto driver = *Driver::Open(
      *host, GpuConfig{.vram_bytes = 4 * kMiB, .vram_visible_bytes = kMiB});

  const absl::StatusOr<bool> right = Use(*driver);
  if (!right.ok()) {
    absl::PrintF("%s\n", right.status().ToString());
    return EXIT_FAILURE;
  }
  const std::vector<Violation> broken = Audit::Run(*host);
  for (const Violation& violation : broken) {
    absl::PrintF("%s: %s\n", violation.rule, violation.what);
  }
  absl::PrintF("evictions from video memory:    %d\n", driver->evictions());
  absl::PrintF("moves:                          %d\n", driver->moves());
  absl::PrintF("GPU faults:                     %d\n", driver->gpu_faults());
  absl::PrintF("broken rules:                   %d\n", broken.size());
  return *right && driver->evictions() > 0 && driver->gpu_faults() == 0 &&
                 broken.empty()
             ? EXIT_SUCCESS
             : EXIT_FAILURE;
}

}  // namespace
}  // namespace twostep::example

int main() { return twostep::example::Run(); }
