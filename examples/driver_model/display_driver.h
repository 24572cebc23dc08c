#ifndef EXAMPLES_DRIVER_MODEL_DISPLAY_DRIVER_H_
#define EXAMPLES_DRIVER_MODEL_DISPLAY_DRIVER_H_

// A display controller: no memory of its own, 32 address bits. It reads frames
// that another device made, where they are, at addresses of its own. The
// "scan-out" is a checksum of what the controller reads through its DMA port.
// Thread-safe.

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/bo/device.h"
#include "twostep/bo/host.h"
#include "twostep/bo/shared_buffer.h"
#include "twostep/machine/device_queue.h"
#include "twostep/machine/page_pattern.h"

namespace twostep::example {

class DisplayDriver {
 public:
  static absl::StatusOr<std::unique_ptr<DisplayDriver>> Open(Host& host) {
    auto device = Device::Create(host, {.name = "display",
                                        .dma_mask_bits = 32,
                                        .vram_bytes = 0,
                                        .vram_visible_bytes = 0,
                                        .aperture_bytes = 0});
    if (!device.ok()) return device.status();
    return std::unique_ptr<DisplayDriver>(
        new DisplayDriver(host, *std::move(device)));
  }

  // A frame that can be shown any number of times. When it moves, it is mapped
  // anew the next time.
  absl::StatusOr<std::unique_ptr<SharedAttachment>> Attach(
      const SharedBuffer& frame) {
    return frame.Attach(
        *device_, {.constraints = {.mask_bits = 32},
                   .moved = [this](SharedAttachment&) { ++frames_moved_; }});
  }

  // Reads the frame, once who writes it has done, and compares it with the
  // pattern of `seed`.
  absl::Status Show(SharedAttachment& frame, uint64_t seed) {
    ValidateContext context;
    return WithReserved(frame.bo(), &context, [&] {
      absl::Status mapped = frame.Map(&context);
      if (mapped.ok()) Queue(frame, seed);
      return mapped;
    });
  }

  uint64_t pages_shown() const { return pages_shown_.load(); }
  uint64_t pages_wrong() const { return pages_wrong_.load(); }
  uint64_t frames_moved() const { return frames_moved_.load(); }
  uint64_t faults() { return device_->port().faults(); }

 private:
  DisplayDriver(Host& host, std::unique_ptr<Device> device)
      : device_(std::move(device)),
        queue_(host.machine().NewTimeline("display"), host.machine().clock(),
               DeviceQueue::Execution::kThread) {}

  // REQUIRES: mapped, and reserved.
  void Queue(SharedAttachment& frame, uint64_t seed) {
    BufferObject& bo = frame.bo();
    std::vector<DmaAddress> pages;
    for (PageCount i = 0; i < bo.page_count(); ++i) {
      pages.push_back(frame.Address(i));
    }
    absl::InlinedVector<Fence, 4> dependencies;
    bo.fences().AppendDependencies(FenceUse::kRead, &dependencies);
    const Fence shown =
        queue_.Submit(dependencies, /*cost_ns=*/100'000,
                      [this, seed, pages] { ScanOut(pages, seed); });
    // Whoever moves the frame, or writes it again, waits for this.
    bo.fences().Add(shown, FenceUse::kRead);
  }

  // On the queue's thread.
  void ScanOut(const std::vector<DmaAddress>& pages, uint64_t seed) {
    for (size_t i = 0; i < pages.size(); ++i) {
      const std::byte* page = device_->port().Resolve(pages[i], Access::kRead);
      const bool right = page != nullptr &&
                         PageChecksum(page) ==
                             PatternChecksum(seed, static_cast<PageCount>(i));
      ++pages_shown_;
      if (!right) ++pages_wrong_;
    }
  }

  const std::unique_ptr<Device> device_;
  Atomic<uint64_t> pages_shown_{0};
  Atomic<uint64_t> pages_wrong_{0};
  Atomic<uint64_t> frames_moved_{0};
  DeviceQueue queue_;  // its jobs use the rest
};

}  // namespace twostep::example

#endif  // EXAMPLES_DRIVER_MODEL_DISPLAY_DRIVER_H_
