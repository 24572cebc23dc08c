// Two drivers over the library, and their users: three clients, a thread each,
// that together need three times the GPU's video memory and twice the DMA
// addresses. Each has the GPU write its buffers, gathers one after the other in
// a frame, and hands the frame to a display behind the same IOMMU. Every byte
// is checked: by the GPU, by the display, by the CPU.

#include <array>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "examples/driver_model/display_driver.h"
#include "examples/driver_model/gpu_driver.h"
#include "twostep/bo/audit.h"

namespace twostep::example {
namespace {

constexpr int kClients = 3;
constexpr uint64_t kBuffers = 8;  // of each client, and a frame
constexpr uint64_t kBytes = 512 * kKiB;
constexpr int kRounds = 4;
constexpr PageCount kPages = kBytes / kPageSize;

// Pages and bytes that were not what they should be.
struct Tally {
  Atomic<uint64_t> pages_checked_by_gpu{0};
  Atomic<uint64_t> pages_wrong_for_gpu{0};
  Atomic<uint64_t> bytes_wrong_for_cpu{0};
};

class User {
 public:
  User(GpuDriver& gpu, DisplayDriver& display, uint64_t number, Tally* tally)
      : gpu_(gpu), display_(display), number_(number), tally_(*tally) {}

  absl::Status Run() {
    absl::Status status = Prepare();
    for (int round = 0; status.ok() && round < kRounds; ++round) {
      for (uint64_t i = 0; status.ok() && i < kBuffers; ++i) {
        const uint64_t seed = Seed(round, i);
        status = Draw(i, seed);
        if (status.ok()) status = display_.Show(*on_display_, seed);
      }
    }
    for (uint64_t i = 0; status.ok() && i < kBuffers; ++i) {
      status = Check(i, Seed(kRounds - 1, i));
    }
    return status;
  }

 private:
  uint64_t Seed(int round, uint64_t buffer) const {
    return (number_ * kRounds + round) * kBuffers + buffer;
  }

  absl::Status Prepare() {
    // At most a third of the video memory, and at least some of it.
    auto session = Session::Open(
        gpu_, {.name = absl::StrCat("client ", number_),
               .device = {.min_pages = 2 * kPages, .max_pages = 4 * kPages}});
    if (!session.ok()) return session.status();
    session_ = *std::move(session);
    for (BoHandle& buffer : buffers_) {
      auto handle = session_->Create(kBytes);
      if (!handle.ok()) return handle.status();
      buffer = *handle;
    }
    auto frame = session_->Create(kBytes);
    if (!frame.ok()) return frame.status();
    frame_ = *frame;
    auto shared = session_->Share(frame_);
    if (!shared.ok()) return shared.status();
    auto attached = display_.Attach(*shared);
    if (!attached.ok()) return attached.status();
    on_display_ = *std::move(attached);
    return absl::OkStatus();
  }

  // The GPU writes a buffer, and copies it to the frame on another queue: the
  // fences of the buffers keep the queues, and the display, in order.
  absl::Status Draw(uint64_t i, uint64_t seed) {
    auto drawn = session_->Submit(0, {{buffers_[i], FenceUse::kWrite}},
                                  [&](std::vector<GpuRuns>& runs) {
                                    return GpuPattern{std::move(runs[0]), seed};
                                  });
    if (!drawn.ok()) return drawn.status();
    auto copied = session_->Submit(1,
                                   {{buffers_[i], FenceUse::kRead},
                                    {frame_, FenceUse::kWrite, kSharedPlaces}},
                                   [](std::vector<GpuRuns>& runs) {
                                     return GpuCopy{.from = std::move(runs[0]),
                                                    .to = std::move(runs[1])};
                                   });
    return copied.status();
  }

  // The GPU checks what it sees of a buffer, then the CPU what it sees.
  absl::Status Check(uint64_t i, uint64_t seed) {
    std::vector<uint64_t> expected;
    for (PageCount page = 0; page < kPages; ++page) {
      expected.push_back(PatternChecksum(seed, page));
    }
    auto checked = session_->Submit(
        0, {{buffers_[i], FenceUse::kRead}}, [&](std::vector<GpuRuns>& runs) {
          return GpuVerify{std::move(runs[0]), expected,
                           &tally_.pages_checked_by_gpu,
                           &tally_.pages_wrong_for_gpu};
        });
    if (!checked.ok()) return checked.status();
    auto mapping = session_->Map(buffers_[i]);
    if (!mapping.ok()) return mapping.status();
    absl::Status status = session_->Wait(buffers_[i], Access::kRead);
    if (!status.ok()) return status;
    for (PageCount page = 0; page < kPages; ++page) {
      std::byte right[kPageSize];
      FillPattern(seed, page, right);
      const std::byte* seen = (*mapping)->data() + PagesToBytes(page);
      for (uint64_t at = 0; at < kPageSize; ++at) {
        if (seen[at] != right[at]) ++tally_.bytes_wrong_for_cpu;
      }
    }
    return WaitFor(*checked, WaitLimit{});
  }

  GpuDriver& gpu_;
  DisplayDriver& display_;
  const uint64_t number_;
  Tally& tally_;
  std::unique_ptr<Session> session_;
  std::array<BoHandle, kBuffers> buffers_{};
  BoHandle frame_ = BoHandle::kNone;
  std::unique_ptr<SharedAttachment> on_display_;
};

int Run() {
  MachineConfig config;
  config.iommu.mode = IommuMode::kTranslated;
  config.iommu.iova_base = kGiB;  // the display has 32 address bits
  config.iommu.iova_bytes = kClients * kBuffers * kBytes / 2;
  const auto machine = *Machine::Create(config, MachineOptions{});
  const auto host = *Host::Create(*machine, HostOptions{});
  const auto gpu =
      *GpuDriver::Open(*host, {.name = "gpu",
                               .vram_bytes = kClients * kBuffers * kBytes / 3,
                               .vram_visible_bytes = kMiB});
  const auto display = *DisplayDriver::Open(*host);

  Tally tally;
  std::array<absl::Status, kClients> ends;
  {
    std::vector<Thread> threads;
    for (int i = 0; i < kClients; ++i) {
      threads.emplace_back([&, i] {
        ends[i] = User(*gpu, *display, static_cast<uint64_t>(i), &tally).Run();
      });
    }
  }
  bool right = true;
  for (const absl::Status& end : ends) {
    if (!end.ok()) absl::PrintF("%s\n", end.ToString());
    right &= end.ok();
  }
  const std::vector<Violation> broken = Audit::Run(*host);
  for (const Violation& violation : broken) {
    absl::PrintF("%s: %s\n", violation.rule, violation.what);
  }
  const uint64_t dma_evictions =
      host->binder(DmaType::kDynamic).stats().evictions.load();
  absl::PrintF("pages wrong for the GPU:        %d of %d\n",
               tally.pages_wrong_for_gpu.load(),
               tally.pages_checked_by_gpu.load());
  absl::PrintF("pages wrong on the display:     %d of %d\n",
               display->pages_wrong(), display->pages_shown());
  absl::PrintF("bytes wrong for the CPU:        %d of %d\n",
               tally.bytes_wrong_for_cpu.load(), kClients * kBuffers * kBytes);
  absl::PrintF("evicted from video memory:      %d\n", gpu->evictions());
  absl::PrintF("evicted from the IOMMU:         %d\n", dma_evictions);
  absl::PrintF("moves:                          %d\n", gpu->moves());
  absl::PrintF("frames moved while attached:    %d\n", display->frames_moved());
  absl::PrintF("faults, GPU and display:        %d\n",
               gpu->faults() + display->faults());
  absl::PrintF("broken rules:                   %d\n", broken.size());
  right &= tally.pages_checked_by_gpu == kClients * kBuffers * kPages &&
           tally.pages_wrong_for_gpu == 0 && tally.bytes_wrong_for_cpu == 0;
  right &= display->pages_shown() ==
               uint64_t{kClients} * kBuffers * kRounds * kPages &&
           display->pages_wrong() == 0;
  right &= gpu->evictions() > 0 && gpu->faults() + display->faults() == 0;
  return right && broken.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace twostep::example

int main() { return twostep::example::Run(); }
