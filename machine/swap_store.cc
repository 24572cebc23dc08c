#include "twostep/machine/swap_store.h"

#include <sys/mman.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace twostep {

absl::StatusOr<std::unique_ptr<SwapStore>> SwapStore::Create(
    uint64_t bytes, PhysicalMemory& memory) {
  if (bytes % kPageSize != 0 || bytes > 8 * 1024 * kGiB) {
    return absl::InvalidArgumentError(
        absl::StrCat("swap_bytes: ", bytes, " is no multiple of ", kPageSize,
                     " bytes of at most 8 TiB"));
  }
  auto swap =
      std::unique_ptr<SwapStore>(new SwapStore(bytes >> kPageShift, memory));
  if (bytes == 0 || !memory.backed()) return swap;
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the host refused a swap store of ", bytes, " bytes"));
  }
  swap->bytes_ = static_cast<std::byte*>(at);
  return swap;
}

SwapStore::SwapStore(uint64_t pages, PhysicalMemory& memory)
    : memory_(memory), pages_(pages) {}

SwapStore::~SwapStore() {
  if (bytes_ != nullptr) munmap(bytes_, PagesToBytes(pages_));
}

Shortage::Kind SwapStore::Store(std::span<const FrameNumber> frames,
                                std::span<uint32_t> slots) {
  {
    SpinLockHolder hold(lock_);
    if (pages_ - untouched_ + returned_.size() < frames.size()) {
      return Shortage::Kind::kFull;
    }
    for (uint32_t& slot : slots) {
      if (returned_.empty()) {
        slot = static_cast<uint32_t>(untouched_++);
      } else {
        slot = returned_.back();
        returned_.pop_back();
      }
    }
  }
  if (bytes_ == nullptr) return Shortage::Kind::kNone;
  for (size_t i = 0; i < frames.size(); ++i) {
    std::memcpy(bytes_ + PagesToBytes(slots[i]), memory_.CpuBytes(frames[i]),
                kPageSize);
  }
  return Shortage::Kind::kNone;
}

void SwapStore::Load(std::span<const uint32_t> slots,
                     std::span<const FrameNumber> frames) {
  if (bytes_ != nullptr) {
    for (size_t i = 0; i < slots.size(); ++i) {
      std::memcpy(memory_.CpuBytes(frames[i]), bytes_ + PagesToBytes(slots[i]),
                  kPageSize);
    }
  }
  Drop(slots);
}

void SwapStore::Drop(std::span<const uint32_t> slots) {
  SpinLockHolder hold(lock_);
  returned_.insert(returned_.end(), slots.begin(), slots.end());
}

uint64_t SwapStore::used_pages() const {
  SpinLockHolder hold(lock_);
  return untouched_ - returned_.size();
}

}  // namespace twostep
