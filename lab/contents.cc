#include "twostep/lab/contents.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "twostep/machine/page_pattern.h"

namespace twostep {

Contents::Contents(PageCount pages) : pages_(pages) {
  void* at = mmap(nullptr, PagesToBytes(pages), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at != MAP_FAILED) data_ = static_cast<std::byte*>(at);
}

Contents::~Contents() {
  if (data_ != nullptr) munmap(data_, PagesToBytes(pages_));
}

Contents::Contents(Contents&& other) noexcept { *this = std::move(other); }

Contents& Contents::operator=(Contents&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(pages_, other.pages_);
  checksums_.swap(other.checksums_);
  stale_.swap(other.stale_);
  return *this;
}

void Contents::Write(uint64_t offset, uint64_t bytes, uint64_t seed) {
  // A word of the seed and the place for every eight bytes: a byte that comes
  // from another write, or from another place, is very likely to differ.
  uint64_t at = offset;
  const uint64_t end = offset + bytes;
  while (at < end) {
    const uint64_t word = (seed + at / 8) * 0x9e3779b97f4a7c15u;
    const uint64_t skip = at % 8;
    const uint64_t count = std::min(8 - skip, end - at);
    std::memcpy(data_ + at, reinterpret_cast<const std::byte*>(&word) + skip,
                count);
    at += count;
  }
  if (stale_.empty() || bytes == 0) return;
  for (uint64_t page = offset >> kPageShift; page <= (end - 1) >> kPageShift;
       ++page) {
    stale_[page] = true;
  }
}

void Contents::WritePattern(uint64_t seed) {
  for (PageCount page = 0; page < pages_; ++page) {
    FillPattern(seed, page, data_ + PagesToBytes(page));
  }
  std::fill(stale_.begin(), stale_.end(), true);
}

const std::vector<uint64_t>& Contents::PageChecksums() {
  if (stale_.empty()) {
    stale_.assign(pages_, true);
    checksums_.resize(pages_);
  }
  for (PageCount page = 0; page < pages_; ++page) {
    if (!stale_[page]) continue;
    checksums_[page] = PageChecksum(data_ + PagesToBytes(page));
    stale_[page] = false;
  }
  return checksums_;
}

}  // namespace twostep
