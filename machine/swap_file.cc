#include "twostep/machine/swap_file.h"

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"
#include "twostep/machine/range_allocator.h"

namespace twostep {
namespace {

// A compressed page takes whole units of the file; one that would save none is
// stored as it is.
constexpr uint64_t kUnitBytes = 512;
constexpr uint64_t kUnitsAPage = kPageSize / kUnitBytes;
// The fastest of zstd's levels that compresses at all well.
constexpr int kLevel = 1;
// Addresses beyond the capacity, so that holes between blocks of one to eight
// units never refuse a page while slots are left: first fit needs at most
// log2(8) times what is in use, and one more (Robson 1977).
constexpr uint64_t kSlack = 4;
// As much is written at once as lies together, up to this.
constexpr size_t kWriteBytes = 64 * kKiB;

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

absl::Status FileError(const char* what, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  const std::string text =
      absl::StrCat("the swap file cannot be ", what, ": ",
                   full ? "the file system is full" : std::strerror(error));
  return full ? absl::ResourceExhaustedError(text) : absl::DataLossError(text);
}

// Neighbouring blocks of the file, gathered to be written at once.
class Writer {
 public:
  explicit Writer(int fd) : fd_(fd) {}

  absl::Status Add(uint64_t offset, const std::byte* bytes, size_t size) {
    const bool follows = offset == offset_ + size_;
    if (!follows || size_ + size > kWriteBytes) {
      absl::Status flushed = Flush();
      if (!flushed.ok()) return flushed;
      offset_ = offset;
    }
    std::memcpy(buffer_ + size_, bytes, size);
    // Up to the end of the unit: old bytes, which nobody reads.
    size_ += (size + kUnitBytes - 1) / kUnitBytes * kUnitBytes;
    return absl::OkStatus();
  }
  absl::Status Flush() {
    for (size_t done = 0; done < size_;) {
      const ssize_t wrote = pwrite(fd_, buffer_ + done, size_ - done,
                                   static_cast<off_t>(offset_ + done));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return FileError("written", errno);
      done += static_cast<size_t>(wrote);
    }
    size_ = 0;
    return absl::OkStatus();
  }

 private:
  const int fd_;
  uint64_t offset_ = 0;
  size_t size_ = 0;
  std::byte buffer_[kWriteBytes + kPageSize];
};

class FileSwapStore final : public SwapStore {
 public:
  FileSwapStore(uint64_t pages, PhysicalMemory& memory, int fd)
      : SwapStore(pages, memory),
        fd_(fd),
        space_(0, pages * kUnitsAPage * kSlack) {}
  ~FileSwapStore() override { close(fd_); }

 private:
  // Where a slot's page lies. All of its bytes: not compressed.
  struct Extent {
    uint64_t first_unit = 0;
    uint32_t node = 0;
    uint32_t bytes = 0;
  };

  Extent Take(uint32_t slot, size_t bytes) {
    SpinLockHolder hold(lock_);
    SpaceBlock block;
    const Shortage::Kind kind = space_.Allocate(
        SpaceRequest{.size = (bytes + kUnitBytes - 1) / kUnitBytes}, &block);
    TWOSTEP_CHECK(kind == Shortage::Kind::kNone);  // kSlack
    if (extents_.size() <= slot) extents_.resize(slot + 1);
    return extents_[slot] =
               Extent{block.start, block.node, static_cast<uint32_t>(bytes)};
  }
  Extent ExtentOf(uint32_t slot) const {
    SpinLockHolder hold(lock_);
    return extents_[slot];
  }

  absl::Status Write(std::span<const FrameNumber> frames,
                     std::span<const uint32_t> slots) override {
    const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
    TWOSTEP_CHECK(context != nullptr);
    auto writer = std::make_unique<Writer>(fd_);
    absl::Status status;
    std::byte packed[ZSTD_COMPRESSBOUND(kPageSize)];
    size_t taken = 0;
    for (; status.ok() && taken < frames.size(); ++taken) {
      const std::byte* bytes = memory().CpuBytes(frames[taken]);
      size_t size = ZSTD_compressCCtx(context.get(), packed, sizeof(packed),
                                      bytes, kPageSize, kLevel);
      if (ZSTD_isError(size) || size > kPageSize - kUnitBytes) {
        size = kPageSize;
      } else {
        bytes = packed;
      }
      const Extent extent = Take(slots[taken], size);
      status = writer->Add(extent.first_unit * kUnitBytes, bytes, size);
    }
    if (status.ok()) status = writer->Flush();
    if (!status.ok()) Forget(slots.first(taken));
    return status;
  }

  absl::Status Read(std::span<const uint32_t> slots,
                    std::span<const FrameNumber> frames) override {
    const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(
        ZSTD_createDCtx());
    TWOSTEP_CHECK(context != nullptr);
    std::byte packed[kPageSize];
    for (size_t i = 0; i < slots.size(); ++i) {
      const Extent extent = ExtentOf(slots[i]);
      std::byte* const to = memory().CpuBytes(frames[i]);
      const bool compressed = extent.bytes < kPageSize;
      absl::Status read = ReadBytes(extent, compressed ? packed : to);
      if (!read.ok()) return read;
      if (compressed &&
          ZSTD_decompressDCtx(context.get(), to, kPageSize, packed,
                              extent.bytes) != kPageSize) {
        return absl::DataLossError(
            "the swap file has other bytes than were written to it");
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadBytes(const Extent& extent, std::byte* to) const {
    for (size_t done = 0; done < extent.bytes;) {
      const ssize_t got =
          pread(fd_, to + done, extent.bytes - done,
                static_cast<off_t>(extent.first_unit * kUnitBytes + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return FileError("read", errno);
      if (got == 0) {
        return absl::DataLossError("the swap file is shorter than it was");
      }
      done += static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

  void Forget(std::span<const uint32_t> slots) override {
    SpinLockHolder hold(lock_);
    for (const uint32_t slot : slots) {
      space_.Free(std::exchange(extents_[slot], Extent{}).node);
    }
  }

  const int fd_;
  mutable SpinLock lock_;
  RangeAllocator space_ ABSL_GUARDED_BY(lock_);  // in units
  std::vector<Extent> extents_ ABSL_GUARDED_BY(lock_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<SwapStore>> MakeSwapFile(
    uint64_t pages, PhysicalMemory& memory) {
  const char* const chosen = std::getenv("TMPDIR");
  const std::string folder =
      chosen == nullptr || *chosen == '\0' ? "/tmp" : chosen;
  std::string path = absl::StrCat(folder, "/twostep-swap-XXXXXX");
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) {
    return absl::UnavailableError(
        absl::StrCat("swap_medium: no swap file in ", folder, ": ",
                     std::strerror(errno), "; set TMPDIR to another folder"));
  }
  unlink(path.c_str());
  return std::make_unique<FileSwapStore>(pages, memory, fd);
}

}  // namespace twostep
