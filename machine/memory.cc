#include "twostep/machine/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"

namespace twostep {
namespace {

absl::Status HostRefused(const char* what, uint64_t bytes) {
  return absl::ResourceExhaustedError(
      absl::StrCat("the host refused ", what, " of ", bytes,
                   " bytes: ", std::strerror(errno)));
}

std::byte* MapShared(int fd, uint64_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_NORESERVE, fd, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

}  // namespace

absl::Status PhysicalMemory::CheckSizes(const MachineConfig& config) {
  for (const auto& [field, bytes] :
       {std::pair<const char*, uint64_t>{"dma32_bytes", config.dma32_bytes},
        {"normal_bytes", config.normal_bytes},
        {"reserve_bytes", config.reserve_bytes},
        {"low_watermark_bytes", config.low_watermark_bytes},
        {"high_watermark_bytes", config.high_watermark_bytes},
        {"page_limit_bytes", config.page_limit_bytes}}) {
    if (bytes % kPageSize != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          field, ": ", bytes, " is no multiple of ", kPageSize, " bytes"));
    }
  }
  if (config.dma32_bytes == 0 || config.dma32_bytes > 4 * kGiB) {
    return absl::InvalidArgumentError(
        absl::StrCat("dma32_bytes: ", config.dma32_bytes,
                     " is not between one page and 4 GiB"));
  }
  // Frame numbers are 32 bits, the last one means none.
  if (config.normal_bytes > 12 * 1024 * kGiB) {
    return absl::InvalidArgumentError(absl::StrCat(
        "normal_bytes: ", config.normal_bytes, " is above 12 TiB"));
  }
  const uint64_t bytes = config.dma32_bytes + config.normal_bytes;
  if (config.high_watermark_bytes < config.low_watermark_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "high_watermark_bytes: ", config.high_watermark_bytes,
        " is below low_watermark_bytes, ", config.low_watermark_bytes));
  }
  if (config.reserve_bytes > bytes ||
      config.high_watermark_bytes > bytes - config.reserve_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.reserve_bytes > bytes
                         ? "reserve_bytes: "
                         : "high_watermark_bytes: with the reserve, ",
                     config.reserve_bytes + config.high_watermark_bytes,
                     " is more than the memory, ", bytes));
  }
  return absl::OkStatus();
}

void PhysicalMemory::SetUpZones(const MachineConfig& config) {
  bytes_ = config.dma32_bytes + config.normal_bytes;
  zones_[0].frames = config.dma32_bytes >> kPageShift;
  zones_[1].first = kNormalZoneFirstFrame;
  zones_[1].frames = config.normal_bytes >> kPageShift;
  zones_[1].untouched = kNormalZoneFirstFrame;
  // Frames of both are below 2^32, as is the reserve: no overflow.
  const uint64_t reserve = config.reserve_bytes >> kPageShift;
  zones_[0].reserve =
      (reserve * zones_[0].frames + (bytes_ >> kPageShift) - 1) /
      (bytes_ >> kPageShift);
  zones_[1].reserve = reserve - zones_[0].reserve;
  low_watermark_ = config.low_watermark_bytes >> kPageShift;
  high_watermark_ = config.high_watermark_bytes >> kPageShift;
  SetPageLimit(config.page_limit_bytes >> kPageShift);
}

absl::StatusOr<std::unique_ptr<PhysicalMemory>> PhysicalMemory::Create(
    const MachineConfig& config, Backing backing, Faults* faults) {
  absl::Status sizes = CheckSizes(config);
  if (!sizes.ok()) return sizes;
  auto memory = std::unique_ptr<PhysicalMemory>(new PhysicalMemory(faults));
  memory->SetUpZones(config);
  if (backing == Backing::kUnbacked) return memory;

  memory->fd_ = memfd_create("twostep-memory", MFD_CLOEXEC);
  if (memory->fd_ < 0 ||
      ftruncate(memory->fd_, static_cast<off_t>(memory->bytes_)) != 0) {
    return HostRefused("a memory file", memory->bytes_);
  }
  memory->cpu_view_ = MapShared(memory->fd_, memory->bytes_);
  if (memory->cpu_view_ == nullptr) {
    return HostRefused("a mapping", memory->bytes_);
  }
  return memory;
}

PhysicalMemory::~PhysicalMemory() {
  if (device_view_ != nullptr) munmap(device_view_, bytes_);
  if (cpu_view_ != nullptr) munmap(cpu_view_, bytes_);
  if (fd_ >= 0) close(fd_);
}

absl::Status PhysicalMemory::SeparateDeviceView() {
  if (!backed() || device_view_ != nullptr) return absl::OkStatus();
  void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return HostRefused("a device view", bytes_);
  device_view_ = static_cast<std::byte*>(at);
  return absl::OkStatus();
}

absl::StatusOr<FrameNumber> PhysicalMemory::Carve(uint64_t frames) {
  SpinLockHolder hold(lock_);
  ZoneState& zone = zones_[0];
  TWOSTEP_CHECK(zone.untouched == zone.carved);  // only during set-up
  if (frames > zone.free()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "zone DMA32 has ", zone.free(), " frames left, a pool needs ", frames,
        ": make dma32_bytes larger or the pools smaller"));
  }
  const auto first = static_cast<FrameNumber>(zone.carved);
  zone.carved += frames;
  zone.untouched = zone.carved;
  return first;
}

FrameNumber PhysicalMemory::Take(ZoneState& zone, FrameNumber highest) {
  // Returned frames first, the last one out is the warmest in the cache.
  for (auto it = zone.returned.rbegin(); it != zone.returned.rend(); ++it) {
    if (*it > highest) continue;
    std::swap(*it, zone.returned.back());
    const FrameNumber frame = zone.returned.back();
    zone.returned.pop_back();
    return frame;
  }
  if (zone.untouched < zone.first + zone.frames && zone.untouched <= highest) {
    return static_cast<FrameNumber>(zone.untouched++);
  }
  return kNoFrame;
}

uint64_t PhysicalMemory::FreeUpTo(const ZoneState& zone, FrameNumber highest) {
  const uint64_t end = zone.first + zone.frames;
  if (highest + uint64_t{1} >= end) return zone.free();
  const uint64_t untouched = highest + uint64_t{1} > zone.untouched
                                 ? highest + uint64_t{1} - zone.untouched
                                 : 0;
  return untouched +
         std::count_if(zone.returned.begin(), zone.returned.end(),
                       [=](FrameNumber frame) { return frame <= highest; });
}

uint64_t PhysicalMemory::ForBosUpTo(const ZoneState& zone,
                                    FrameNumber highest) {
  if (zone.reserve == 0) return FreeUpTo(zone, highest);
  const uint64_t free = zone.free();
  return free <= zone.reserve
             ? 0
             : std::min(FreeUpTo(zone, highest), free - zone.reserve);
}

uint64_t PhysicalMemory::AllUpTo(const ZoneState& zone, FrameNumber highest) {
  const uint64_t first = uint64_t{zone.first} + zone.carved;
  const uint64_t end =
      std::min(zone.first + zone.frames, highest + uint64_t{1});
  return end > first ? end - first : 0;
}

uint64_t PhysicalMemory::LeftOfLimit() const {
  const uint64_t used = zones_[0].used + zones_[1].used;
  return page_limit_ - std::min(page_limit_, used);
}

uint64_t PhysicalMemory::FreeForBos(FrameNumber highest) const {
  return std::min(LeftOfLimit(), ForBosUpTo(zones_[0], highest) +
                                     ForBosUpTo(zones_[1], highest));
}

uint64_t PhysicalMemory::FramesWanted() const {
  // Both zones together: what the host took of the reserve counts as well.
  const uint64_t unused = zones_[0].free() + zones_[1].free();
  const uint64_t reserve = zones_[0].reserve + zones_[1].reserve;
  const uint64_t left = LeftOfLimit();
  uint64_t wanted = 0;
  if (unused < low_watermark_ + reserve) {
    wanted = high_watermark_ + reserve - unused;
  }
  if (left < low_watermark_) {
    wanted = std::max(wanted, high_watermark_ - left);
  }
  return wanted;
}

void PhysicalMemory::NoteLevel() {
  if (low_watermark_ == 0) return;
  const bool below = FramesWanted() != 0;
  // Every operation looks at it: it stays in the readers' caches.
  if (below != below_low_.load(std::memory_order_relaxed)) {
    below_low_.store(below, std::memory_order_relaxed);
  }
}

Shortage::Kind PhysicalMemory::TakeForBos(std::span<FrameNumber> out,
                                          FrameNumber highest) {
  uint64_t ever = 0;
  for (const ZoneState& zone : zones_) {
    const uint64_t all = zone.frames - zone.carved;
    ever += std::min(AllUpTo(zone, highest), all - std::min(all, zone.reserve));
  }
  ever = std::min(ever, page_limit_);
  if (ever < out.size()) return Shortage::Kind::kNeverFits;
  if (gate_.HeldByOther() || FreeForBos(highest) < out.size()) {
    return Shortage::Kind::kFull;
  }
  uint64_t normal =
      zones_[1].reserve == 0 ? out.size() : ForBosUpTo(zones_[1], highest);
  for (FrameNumber& frame : out) {
    frame = kNoFrame;
    if (normal != 0) {
      --normal;
      frame = Take(zones_[1], highest);
    }
    if (frame == kNoFrame) frame = Take(zones_[0], highest);
    ++zones_[static_cast<int>(ZoneOf(frame))].used;
  }
  NoteLevel();
  return Shortage::Kind::kNone;
}

Shortage::Kind PhysicalMemory::Allocate(std::span<FrameNumber> out,
                                        FrameNumber highest, Zero zero) {
  if (FaultAt(faults_, FaultKind::kFrame)) return Shortage::Kind::kFull;
  {
    SpinLockHolder hold(lock_);
    const Shortage::Kind kind = TakeForBos(out, highest);
    if (kind != Shortage::Kind::kNone) return kind;
  }
  if (zero == Zero::kYes && backed()) {
    for (const FrameNumber frame : out) {
      std::memset(CpuBytes(frame), 0, kPageSize);
    }
  }
  return Shortage::Kind::kNone;
}

void PhysicalMemory::Free(std::span<const FrameNumber> frames) {
  SpinLockHolder hold(lock_);
  for (const FrameNumber frame : frames) {
    ZoneState& zone = zones_[static_cast<int>(ZoneOf(frame))];
    TWOSTEP_DCHECK(frame < zone.untouched && zone.used > 0);
    --zone.used;
    zone.returned.push_back(frame);
  }
  NoteLevel();
}

Shortage::Kind PhysicalMemory::AllocateForHost(std::span<FrameNumber> out,
                                               FrameNumber highest) {
  SpinLockHolder hold(lock_);
  if (AllUpTo(zones_[0], highest) + AllUpTo(zones_[1], highest) < out.size()) {
    return Shortage::Kind::kNeverFits;
  }
  if (FreeUpTo(zones_[0], highest) + FreeUpTo(zones_[1], highest) <
      out.size()) {
    return Shortage::Kind::kFull;
  }
  TakeForHost(out, highest, out.size());
  return Shortage::Kind::kNone;
}

void PhysicalMemory::TakeForHost(std::span<FrameNumber> out,
                                 FrameNumber highest, uint64_t from_normal) {
  for (FrameNumber& frame : out) {
    frame = kNoFrame;
    if (from_normal != 0) {
      --from_normal;
      frame = Take(zones_[1], highest);
    }
    if (frame == kNoFrame) frame = Take(zones_[0], highest);
    ++zones_[static_cast<int>(ZoneOf(frame))].host;
  }
  NoteLevel();
}

Shortage::Kind PhysicalMemory::AllocateForMigration(
    std::span<FrameNumber> out) {
  if (FaultAt(faults_, FaultKind::kFrame)) return Shortage::Kind::kFull;
  constexpr FrameNumber kAnywhere = kNoFrame - 1;
  SpinLockHolder hold(lock_);
  const uint64_t normal = ForBosUpTo(zones_[1], kAnywhere);
  if (gate_.HeldByOther() ||
      normal + ForBosUpTo(zones_[0], kAnywhere) < out.size()) {
    return Shortage::Kind::kFull;
  }
  TakeForHost(out, kAnywhere, normal);
  return Shortage::Kind::kNone;
}

void PhysicalMemory::FreeFromHost(std::span<const FrameNumber> frames) {
  SpinLockHolder hold(lock_);
  for (const FrameNumber frame : frames) {
    ZoneState& zone = zones_[static_cast<int>(ZoneOf(frame))];
    TWOSTEP_CHECK(frame < zone.untouched && zone.host > 0);
    --zone.host;
    zone.returned.push_back(frame);
  }
  NoteLevel();
}

uint64_t PhysicalMemory::frames_wanted() const {
  SpinLockHolder hold(lock_);
  return FramesWanted();
}

void PhysicalMemory::SetPageLimit(uint64_t frames) {
  SpinLockHolder hold(lock_);
  page_limit_ = frames == 0 ? ~uint64_t{0} : frames;
  NoteLevel();
}

uint64_t PhysicalMemory::used_frames(Zone zone) const {
  SpinLockHolder hold(lock_);
  return zones_[static_cast<int>(zone)].used;
}

uint64_t PhysicalMemory::host_frames(Zone zone) const {
  SpinLockHolder hold(lock_);
  return zones_[static_cast<int>(zone)].host;
}

uint64_t PhysicalMemory::free_frames(FrameNumber highest) const {
  SpinLockHolder hold(lock_);
  return FreeForBos(highest);
}

uint64_t PhysicalMemory::unused_frames(Zone zone) const {
  SpinLockHolder hold(lock_);
  return zones_[static_cast<int>(zone)].free();
}

uint64_t PhysicalMemory::reserve_frames(Zone zone) const {
  return zones_[static_cast<int>(zone)].reserve;
}

uint64_t PhysicalMemory::frames(Zone zone) const {
  return zones_[static_cast<int>(zone)].frames;
}

void PhysicalMemory::CleanForDevice(FrameNumber frame, ByteRange bytes) {
  if (device_view_ == nullptr || InPool(frame)) return;
  const ByteRange lines = LinesOf(bytes);
  std::memcpy(DeviceBytes(frame) + lines.first, CpuBytes(frame) + lines.first,
              lines.count);
}

void PhysicalMemory::InvalidateForCpu(FrameNumber frame, ByteRange bytes) {
  if (device_view_ == nullptr || InPool(frame)) return;
  const ByteRange lines = LinesOf(bytes);
  std::memcpy(CpuBytes(frame) + lines.first, DeviceBytes(frame) + lines.first,
              lines.count);
}

}  // namespace twostep
