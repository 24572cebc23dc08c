#include "twostep/machine/device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"
#include "twostep/machine/page_table_leaf.h"

namespace twostep {

absl::StatusOr<std::unique_ptr<Vram>> Vram::Create(uint64_t bytes,
                                                   uint64_t visible_bytes,
                                                   Backing backing) {
  if (bytes == 0 || bytes % kPageSize != 0 ||
      bytes >> kPageShift >= ~PageCount{0}) {
    return absl::InvalidArgumentError(
        absl::StrCat("vram_bytes: ", bytes, " is no positive multiple of ",
                     kPageSize, " below 16 TiB"));
  }
  if (visible_bytes == GpuConfig::kAllOfIt) visible_bytes = bytes;
  if (visible_bytes > bytes || visible_bytes % kPageSize != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("vram_visible_bytes: ", visible_bytes,
                     " is no multiple of ", kPageSize, " up to ", bytes));
  }
  auto vram = std::unique_ptr<Vram>(new Vram(bytes, visible_bytes));
  if (backing == Backing::kUnbacked) return vram;
  vram->fd_ = memfd_create("twostep-vram", MFD_CLOEXEC);
  if (vram->fd_ >= 0 && ftruncate(vram->fd_, static_cast<off_t>(bytes)) == 0) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_NORESERVE, vram->fd_, 0);
    if (at != MAP_FAILED) vram->data_ = static_cast<std::byte*>(at);
  }
  if (vram->data_ == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the host refused a VRAM of ", bytes, " bytes"));
  }
  return vram;
}

Vram::~Vram() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (fd_ >= 0) close(fd_);
}

void Vram::Scribble() {
  if (data_ != nullptr) std::memset(data_, 0xdb, bytes_);
}

ApertureTable::ApertureTable(uint64_t pages)
    : pages_(pages), leaves_((pages + kLeafEntries - 1) / kLeafEntries) {}

ApertureTable::~ApertureTable() {
  for (auto& leaf : leaves_) delete leaf.load(std::memory_order_relaxed);
}

void ApertureTable::Set(uint64_t page, DmaAddress address) {
  TWOSTEP_DCHECK(page < pages_);
  LeafAt(leaves_[page / kLeafEntries])
      .entries[page % kLeafEntries]
      .store(address + 1, std::memory_order_release);
}

DmaAddress ApertureTable::Get(uint64_t page) const {
  if (page >= pages_) return kNoDmaAddress;
  const Leaf* leaf =
      leaves_[page / kLeafEntries].load(std::memory_order_acquire);
  if (leaf == nullptr) return kNoDmaAddress;
  return leaf->entries[page % kLeafEntries].load(std::memory_order_acquire) - 1;
}

}  // namespace twostep
