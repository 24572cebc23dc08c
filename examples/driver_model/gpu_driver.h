#ifndef EXAMPLES_DRIVER_MODEL_GPU_DRIVER_H_
#define EXAMPLES_DRIVER_MODEL_GPU_DRIVER_H_

// A GPU driver over the library: sessions of clients, with handles and budgets,
// that create, map, submit, wait, share and destroy. Thread-safe, a session as
// its client's threads use it.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/device.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/gpu_runs.h"
#include "twostep/bo/handle_table.h"
#include "twostep/bo/host.h"
#include "twostep/bo/shared_buffer.h"

namespace twostep::example {

// Video memory first, also where others have to leave it; else what the
// aperture shows of system pages, mapped for streaming DMA.
inline constexpr Placement kPlaces[] = {{.memory = MemoryType::kVram},
                                        {.dma = DmaType::kDynamic,
                                         .memory = MemoryType::kTt,
                                         .use = Placement::Use::kLastResort}};
// What other devices see as well stays where they do.
inline constexpr Placement kSharedPlaces[] = {
    {.dma = DmaType::kDynamic, .memory = MemoryType::kTt}};
// What leaves video memory stays in the GPU's sight where there is room.
inline constexpr Placement kEvictTo[] = {
    {.dma = DmaType::kDynamic, .memory = MemoryType::kTt},
    {.dma = DmaType::kNone, .memory = MemoryType::kSystem}};

class GpuDriver : public DeviceHooks {
 public:
  static absl::StatusOr<std::unique_ptr<GpuDriver>> Open(
      Host& host, const GpuConfig& config) {
    auto driver = std::unique_ptr<GpuDriver>(new GpuDriver(host));
    auto device = Device::Create(host, config, driver.get());
    if (!device.ok()) return device.status();
    driver->device_ = *std::move(device);
    driver->gpu_ = MakeModelGpu(*driver->device_, /*queues=*/2);
    return driver;
  }

  Device& device() { return *device_; }
  uint64_t evictions() {
    return device_->manager(MemoryType::kVram)->evictions().load();
  }
  uint64_t moves() const { return moves_.load(); }
  uint64_t faults() const { return gpu_->faults(); }

 private:
  friend class Session;

  explicit GpuDriver(Host& host) : host_(host) {}

  // The two hooks that this driver cares for; the others have defaults.
  PlacementList EvictTo(const BufferObject&) override { return kEvictTo; }
  void Notify(const BufferObject&, BoEvent event) override {
    if (event == BoEvent::kMoved) ++moves_;
  }

  Host& host_;
  Atomic<uint64_t> moves_{0};
  std::unique_ptr<Device> device_;
  std::unique_ptr<ModelGpu> gpu_;  // uses the device
};

struct BufferUse {
  BoHandle handle = BoHandle::kNone;
  FenceUse use = FenceUse::kRead;
  PlacementList places = kPlaces;
};

// What a client has opened.
class Session {
 public:
  static absl::StatusOr<std::unique_ptr<Session>> Open(
      GpuDriver& driver, const ClientOptions& options) {
    auto client = driver.host_.CreateClient(options);
    if (!client.ok()) return client.status();
    return std::unique_ptr<Session>(new Session(driver, *std::move(client)));
  }

  absl::StatusOr<BoHandle> Create(uint64_t bytes) {
    auto bo = driver_.host_.CreateBo(bytes, client_);
    if (!bo.ok()) return bo.status();
    return handles_.Add(*std::move(bo));
  }
  // The GPU may still use it: its storage goes when the last fence signals.
  absl::Status Destroy(BoHandle handle) { return handles_.Close(handle); }

  // Lets the CPU reach the bytes, wherever they are and will be.
  absl::StatusOr<std::unique_ptr<CpuMapping>> Map(BoHandle handle) {
    auto bo = handles_.Find(handle);
    if (!bo.ok()) return bo.status();
    return CpuMapping::Create(*std::move(bo));
  }

  // Until the CPU may read (write) the buffer.
  absl::Status Wait(BoHandle handle, Access access) {
    auto bo = handles_.Find(handle);
    return bo.ok() ? WaitForCpu(**bo, access) : bo.status();
  }

  // For another driver to attach to.
  absl::StatusOr<SharedBuffer> Share(BoHandle handle) {
    auto bo = handles_.Find(handle);
    if (!bo.ok()) return bo.status();
    return SharedBuffer::Export(*std::move(bo), driver_.device());
  }

  // Brings all buffers to where the GPU sees them and queues the job that
  // `make` returns, which is called with their pages, in the order of `uses`.
  template <typename Make>
  absl::StatusOr<Fence> Submit(int queue, const std::vector<BufferUse>& uses,
                               Make make) {
    std::vector<BoRef> bos;  // an exec holds none
    Exec exec(driver_.device());
    for (const BufferUse& use : uses) {
      auto bo = handles_.Find(use.handle);
      if (!bo.ok()) return bo.status();
      bos.push_back(*std::move(bo));
      exec.Add(*bos.back(), use.places, use.use);
    }
    ValidateContext context;
    absl::Status status = exec.Run(&context);
    if (!status.ok()) return status;
    // Reserved until Finish: nobody moves them meanwhile.
    std::vector<GpuRuns> runs;
    for (const BoRef& bo : bos) runs.push_back(RunsOf(*bo));
    GpuJob job{{make(runs)}};
    const uint64_t cost_ns = JobCostNs(driver_.host_.machine().cost(), job);
    const Fence fence = driver_.gpu_->Submit(queue, std::move(job),
                                             exec.dependencies(), cost_ns);
    // From here on whoever moves a buffer waits for the job.
    exec.Finish(fence);
    return fence;
  }

 private:
  Session(GpuDriver& driver, ClientRef client)
      : driver_(driver), client_(std::move(client)), handles_(client_) {}

  GpuDriver& driver_;
  const ClientRef client_;
  HandleTable handles_;
};

}  // namespace twostep::example

#endif  // EXAMPLES_DRIVER_MODEL_GPU_DRIVER_H_
