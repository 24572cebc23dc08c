#include "twostep/dma_types/own_memory_binder.h"

#include <cstring>
#include <utility>

namespace twostep {

OwnMemoryBinder::OwnMemoryBinder(std::string name, Machine& machine,
                                 std::unique_ptr<EvictionPolicy> policy)
    : DmaBinder(std::move(name), machine, Sharing::kShared, CanRunOut::kYes,
                std::move(policy)) {}

bool OwnMemoryBinder::Reaches(const DmaPort& port) const {
  const FrameNumber highest = highest_own_frame();
  return highest != kNoFrame && highest <= port.highest_frame() &&
         DmaBinder::Reaches(port);
}

BindOutcome OwnMemoryBinder::DoBind(Pages& pages, DmaPort& port,
                                    Contents contents, DmaBinding* binding) {
  const FrameNumber highest = highest_own_frame();
  if (highest != kNoFrame && highest > port.highest_frame()) {
    return {BindOutcome::Scarce::kRefused, Shortage::Kind::kNeverFits,
            "its memory is beyond the device's DMA mask"};
  }
  // Not even where all of it is in a row.
  if (!KeepsTo(pages.count(), port.limits(), PagesToBytes)) {
    return BindOutcome::TooManySegments();
  }
  FrameArray own = FrameArray::For(pages.count());
  const std::span<FrameNumber> own_frames = own.numbers();
  binding->port = &port;
  const Shortage::Kind kind = TakeFrames(own_frames, binding);
  if (kind == Shortage::Kind::kNoFrames) {
    return {BindOutcome::Scarce::kHostFrames, kind};
  }
  if (kind != Shortage::Kind::kNone) return {BindOutcome::Scarce::kUnit, kind};
  const BindOutcome mapped =
      port.domain().translated() || port.CanUse(own_frames)
          ? MapFrames(own_frames, port, binding)
          : BindOutcome{BindOutcome::Scarce::kUnit,
                        Shortage::Kind::kFragmented};
  if (!mapped.ok()) {
    ReturnFrames(own_frames, *binding);
    return mapped;
  }
  PhysicalMemory& memory = machine().memory();
  if (pages.present()) {
    if (contents == Contents::kKeep) CopyFrames(pages.frames(), own_frames);
    memory.Free(pages.frames());
  } else if (contents == Contents::kKeep && memory.backed()) {
    for (const FrameNumber frame : own_frames) {
      std::memset(memory.CpuBytes(frame), 0, kPageSize);
    }
  }
  pages.Adopt(std::move(own), Pages::Home::kBinder);
  return {};
}

BindOutcome OwnMemoryBinder::DoUnbind(Pages& pages, DmaBinding& binding,
                                      Contents contents) {
  const bool keep = contents == Contents::kKeep;
  FrameArray ordinary(pages.count());
  if (keep) {
    ordinary = FrameArray::For(pages.count());
    const std::span<FrameNumber> frames = ordinary.numbers();
    const Shortage::Kind kind = machine().memory().Allocate(
        frames, kNoFrame - 1, PhysicalMemory::Zero::kNo);
    if (kind != Shortage::Kind::kNone) {
      return {BindOutcome::Scarce::kHostFrames, kind};
    }
    CopyFrames(pages.frames(), frames);
    stats().copied_back_bytes.fetch_add(PagesToBytes(pages.count()),
                                        std::memory_order_relaxed);
  }
  UnmapFrames(pages.frames(), binding);
  ReturnFrames(pages.frames(), binding);
  pages.Adopt(std::move(ordinary),
              keep ? Pages::Home::kMemory : Pages::Home::kNone);
  return {};
}

}  // namespace twostep
