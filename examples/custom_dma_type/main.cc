// Registers the DMA type of window_binder.h with a device, and shows it run
// out: first others make room, then nobody can.

#include <cstdlib>
#include <memory>
#include <vector>

#include "absl/strings/str_format.h"
#include "examples/custom_dma_type/window_binder.h"
#include "twostep/bo/audit.h"
#include "twostep/bo/cpu_mapping.h"
#include "twostep/bo/device.h"
#include "twostep/bo/error.h"
#include "twostep/bo/gpu_runs.h"
#include "twostep/bo/host.h"

namespace twostep::example {
namespace {

constexpr PageCount kWindowPages = 64;
constexpr PageCount kBoPages = 16;  // four fill the window

// Prints what happened, and remembers whether it was right.
class Report {
 public:
  void Line(const char* what, uint64_t is, uint64_t should_be) {
    absl::PrintF("%-42s %d\n", what, is);
    if (is == should_be) return;
    absl::PrintF("  WRONG: should be %d\n", should_be);
    ok_ = false;
  }
  int exit_code() const { return ok_ ? EXIT_SUCCESS : EXIT_FAILURE; }

 private:
  bool ok_ = true;
};

// Lets the GPU write the pattern of `seed`, wherever `placement` puts the bo.
absl::Status GpuWrite(Device& device, ModelGpu& gpu, BufferObject& bo,
                      const Placement& placement, uint64_t seed) {
  bo.Reserve();
  ValidateContext context;
  absl::Status status = device.Validate(bo, {&placement, 1}, &context);
  if (status.ok()) {
    absl::InlinedVector<Fence, 4> dependencies;
    bo.fences().AppendDependencies(FenceUse::kWrite, &dependencies);
    const Fence done = gpu.Submit(0, GpuJob{{GpuPattern{RunsOf(bo), seed}}},
                                  dependencies, /*cost_ns=*/0);
    bo.fences().Add(done, FenceUse::kWrite);
  }
  bo.Unreserve();
  return status;
}

uint64_t WrongPages(const BoRef& bo, uint64_t seed) {
  const auto mapping = CpuMapping::Create(bo);
  if (!mapping.ok() || !WaitForCpu(*bo, Access::kRead).ok()) {
    return bo->page_count();
  }
  uint64_t wrong = 0;
  for (PageCount page = 0; page < bo->page_count(); ++page) {
    wrong += PageChecksum((*mapping)->data() + PagesToBytes(page)) !=
             PatternChecksum(seed, page);
  }
  return wrong;
}

// Twice what the window holds: four make room for the others, the first that
// the GPU is done with.
std::vector<BoRef> Oversubscribe(Device& device, ModelGpu& gpu,
                                 WindowBinder& binder,
                                 const Placement& in_window, Report* report) {
  std::vector<BoRef> bos;
  for (uint64_t i = 0; i < 8; ++i) {
    bos.push_back(*device.host().CreateBo(PagesToBytes(kBoPages)));
    const absl::Status status =
        GpuWrite(device, gpu, *bos[i], in_window, /*seed=*/i);
    if (!status.ok()) absl::PrintF("%s\n", status.ToString());
  }
  report->Line("bos of 16 pages written by the GPU:", bos.size(), 8);
  report->Line("pages of the window in use, of 64:", binder.used_pages(), 64);
  report->Line("bos that had to leave it:", binder.stats().evictions.load(), 4);
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < bos.size(); ++i) wrong += WrongPages(bos[i], i);
  report->Line("wrong pages as the CPU sees them:", wrong, 0);
  return bos;
}

// Two errors that call for different actions.
void RunOut(Device& device, ModelGpu& gpu, WindowBinder& binder,
            const std::vector<BoRef>& bos, const Placement& in_window,
            Report* report) {
  // Nobody can leave: the error says what is in the way.
  std::vector<BoRef> pinned;
  BoRef outside;
  for (const BoRef& bo : bos) {
    bo->Reserve();
    if (bo->binder() == &binder) {
      bo->Pin();
      pinned.push_back(bo);
    } else {
      outside = bo;
    }
    bo->Unreserve();
  }
  absl::Status status = GpuWrite(device, gpu, *outside, in_window, 0);
  absl::PrintF("%s\n", status.ToString());
  report->Line("the window full of pinned bos is an error:",
               KindOf(status) == ErrorKind::kCannotFit, 1);
  for (const BoRef& bo : pinned) {
    bo->Reserve();
    bo->Unpin();
    bo->Unreserve();
  }
  // No eviction would help.
  BoRef large = *device.host().CreateBo(PagesToBytes(kWindowPages + 1));
  status = GpuWrite(device, gpu, *large, in_window, 0);
  absl::PrintF("%s\n", status.ToString());
  report->Line("a bo larger than the window is another:",
               KindOf(status) == ErrorKind::kNeverFits, 1);
}

int Run() {
  MachineConfig config;
  config.dma32_bytes = 64 * kMiB;
  config.normal_bytes = 64 * kMiB;  // above 4 GiB: beyond 30 bits
  config.coherent_bytes = config.cma_bytes = config.swiotlb.bytes = 0;
  const auto machine = *Machine::Create(config, MachineOptions{});
  const auto host = *Host::Create(*machine, HostOptions{});
  const auto device = *Device::Create(
      *host,
      GpuConfig{.dma_mask_bits = 30, .vram_bytes = 0, .vram_visible_bytes = 0});

  auto window =
      WindowBinder::Create(*machine, kWindowPages, host->MakePolicy());
  if (!window.ok()) {
    absl::PrintF("%s\n", window.status().ToString());
    return EXIT_FAILURE;
  }
  WindowBinder& binder = **window;
  const DmaType type = *device->RegisterDmaType(*std::move(window));
  const Placement in_window{.dma = type, .memory = MemoryType::kTt};
  const auto gpu = MakeModelGpu(*device, /*queues=*/1);

  Report report;
  std::vector<BoRef> bos =
      Oversubscribe(*device, *gpu, binder, in_window, &report);
  RunOut(*device, *gpu, binder, bos, in_window, &report);
  report.Line("GPU faults:", gpu->faults(), 0);
  report.Line("broken rules:", Audit::Run(*host).size(), 0);
  bos.clear();
  report.Line("pages of the window in use at the end:", binder.used_pages(), 0);
  return report.exit_code();
}

}  // namespace
}  // namespace twostep::example

int main() { return twostep::example::Run(); }
