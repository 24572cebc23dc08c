#include "twostep/machine/swap_store.h"

#include <sys/mman.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "twostep/machine/swap_file.h"

namespace twostep {
namespace {

class MemorySwapStore final : public SwapStore {
 public:
  MemorySwapStore(uint64_t pages, PhysicalMemory& memory, std::byte* bytes)
      : SwapStore(pages, memory), bytes_(bytes) {}
  ~MemorySwapStore() override { munmap(bytes_, PagesToBytes(pages())); }

 private:
  absl::Status Write(std::span<const FrameNumber> frames,
                     std::span<const uint32_t> slots) override {
    for (size_t i = 0; i < frames.size(); ++i) {
      std::memcpy(bytes_ + PagesToBytes(slots[i]), memory().CpuBytes(frames[i]),
                  kPageSize);
    }
    return absl::OkStatus();
  }
  absl::Status Read(std::span<const uint32_t> slots,
                    std::span<const FrameNumber> frames) override {
    for (size_t i = 0; i < slots.size(); ++i) {
      std::memcpy(memory().CpuBytes(frames[i]), bytes_ + PagesToBytes(slots[i]),
                  kPageSize);
    }
    return absl::OkStatus();
  }

  std::byte* const bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SwapStore>> SwapStore::Create(
    SwapMedium medium, uint64_t bytes, PhysicalMemory& memory) {
  if (bytes % kPageSize != 0 || bytes > 8 * 1024 * kGiB) {
    return absl::InvalidArgumentError(
        absl::StrCat("swap_bytes: ", bytes, " is no multiple of ", kPageSize,
                     " bytes of at most 8 TiB"));
  }
  const uint64_t pages = bytes >> kPageShift;
  if (bytes == 0 || !memory.backed()) {
    return std::unique_ptr<SwapStore>(new SwapStore(pages, memory));
  }
  if (medium == SwapMedium::kFile) return MakeSwapFile(pages, memory);
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the host refused a swap store of ", bytes, " bytes"));
  }
  return std::make_unique<MemorySwapStore>(pages, memory,
                                           static_cast<std::byte*>(at));
}

Shortage::Kind SwapStore::Store(std::span<const FrameNumber> frames,
                                std::span<uint32_t> slots) {
  if (FaultAt(memory_.faults(), FaultKind::kSwap)) {
    return Shortage::Kind::kFull;
  }
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
  const absl::Status written = Write(frames, slots);
  if (written.ok()) return Shortage::Kind::kNone;
  NoteError(written);
  ReturnSlots(slots);
  return Shortage::Kind::kFull;
}

absl::Status SwapStore::Load(std::span<const uint32_t> slots,
                             std::span<const FrameNumber> frames) {
  absl::Status read = Read(slots, frames);
  if (read.ok()) {
    Drop(slots);
  } else {
    NoteError(read);
  }
  return read;
}

void SwapStore::Drop(std::span<const uint32_t> slots) {
  Forget(slots);
  ReturnSlots(slots);
}

void SwapStore::ReturnSlots(std::span<const uint32_t> slots) {
  SpinLockHolder hold(lock_);
  returned_.insert(returned_.end(), slots.begin(), slots.end());
}

void SwapStore::NoteError(const absl::Status& error) {
  SpinLockHolder hold(lock_);
  last_error_ = std::string(error.message());
}

uint64_t SwapStore::used_pages() const {
  SpinLockHolder hold(lock_);
  return untouched_ - returned_.size();
}

std::string SwapStore::Describe() const {
  SpinLockHolder hold(lock_);
  const uint64_t used = untouched_ - returned_.size();
  return absl::StrCat("the swap store has ", PagesToBytes(pages_ - used) / kKiB,
                      " KiB free of ", PagesToBytes(pages_) / kKiB, " KiB",
                      last_error_.empty() ? "" : ", ", last_error_);
}

}  // namespace twostep
