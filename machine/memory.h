#ifndef MACHINE_MEMORY_H_
#define MACHINE_MEMORY_H_

// The page frames of a machine, in two zones: DMA32 below 4 GiB and NORMAL
// above. Backed, every frame is a page of one memfd, so that it can be mapped;
// unbacked, only the accounts exist. Knows who may have frames, not what for.
//
// A non-coherent device has a view of ordinary frames of its own: bytes travel
// between the CPU's view and the device's only by CleanForDevice and
// InvalidateForCpu, so a forgotten sync shows as wrong bytes. Frames carved out
// for pools are mapped uncached there: one view.
//
// Bos never get the frames of the reserve, which are for the host's own work
// (AllocateForHost), nor more than the page limit. When they leave less than
// the low watermark free, somebody should make room up to the high one:
//
//   free frames of a zone:  | reserve | low watermark | high watermark | ...
//                             host's    swap out ------> until here
//
// The reserve is divided among the zones by their sizes; the watermarks and the
// limit count the frames of both.
//
// Thread-safe, but for the bytes themselves.

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "twostep/machine/faults.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/reservation_lock.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/types.h"

namespace twostep {

enum class Backing : uint8_t { kUnbacked, kBacked };
enum class Zone : uint8_t { kDma32, kNormal };
inline constexpr FrameNumber kNormalZoneFirstFrame = FrameNumber{1} << 20;

class PhysicalMemory {
 public:
  enum class Zero : uint8_t { kNo, kYes };

  // kInvalidArgument naming the field; kResourceExhausted when the host has no
  // address space for it.
  // `faults` may be null, else outlives the memory.
  static absl::StatusOr<std::unique_ptr<PhysicalMemory>> Create(
      const MachineConfig& config, Backing backing, Faults* faults = nullptr);
  ~PhysicalMemory();
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;

  // Takes `frames` contiguous frames of DMA32 away for a pool, for good, while
  // the machine is set up. kResourceExhausted when the zone is too small.
  absl::StatusOr<FrameNumber> Carve(uint64_t frames);

  // For bos: fills all of `out` with frames at most `highest`, from NORMAL as
  // long as there are any, or none: on shortage nothing is taken. kNeverFits
  // when the machine does not have that many, reserve and page limit
  // considered; kFull also when another has the gate.
  Shortage::Kind Allocate(std::span<FrameNumber> out, FrameNumber highest,
                          Zero zero);
  void Free(std::span<const FrameNumber> frames);
  // For the host's own work: the same, without zeroing, and down to the last
  // frame of the reserve, whoever has the gate.
  Shortage::Kind AllocateForHost(std::span<FrameNumber> out,
                                 FrameNumber highest);
  void FreeFromHost(std::span<const FrameNumber> frames);
  // For pages of the host's that make way for a bo: host frames, but none of
  // the reserve, and none while another has the gate.
  Shortage::Kind AllocateForMigration(std::span<FrameNumber> out);

  // How many frames bos should give up to reach the high watermark; 0 unless
  // less than the low one is free.
  uint64_t frames_wanted() const;
  // Whether that is not 0: one relaxed load.
  bool below_low_watermark() const {
    return below_low_.load(std::memory_order_relaxed);
  }
  // Frames that bos may have together; 0: no limit. They keep what they have.
  void SetPageLimit(uint64_t frames);

  // Held by who makes room: nobody else is given frames meanwhile.
  ReservationLock& gate() { return gate_; }
  // Bos' frames, and the host's own.
  uint64_t used_frames(Zone zone) const;
  uint64_t host_frames(Zone zone) const;
  // What bos could get, and what is free in all, reserve and all.
  uint64_t free_frames(FrameNumber highest) const;
  uint64_t unused_frames(Zone zone) const;
  uint64_t reserve_frames(Zone zone) const;
  uint64_t frames(Zone zone) const;
  static Zone ZoneOf(FrameNumber frame) {
    return frame < kNormalZoneFirstFrame ? Zone::kDma32 : Zone::kNormal;
  }

  bool backed() const { return cpu_view_ != nullptr; }
  // Of all that is made of it; null: nothing is made to fail.
  Faults* faults() const { return faults_; }
  // The 4 KiB of a frame as the CPU sees them; null when unbacked.
  std::byte* CpuBytes(FrameNumber frame) const {
    return cpu_view_ == nullptr ? nullptr : cpu_view_ + FileOffset(frame);
  }
  // As a non-coherent device sees them.
  std::byte* DeviceBytes(FrameNumber frame) const {
    if (cpu_view_ == nullptr) return nullptr;
    if (device_view_ == nullptr || InPool(frame)) return CpuBytes(frame);
    return device_view_ + FileOffset(frame);
  }
  // For mappings: the frame is FileOffset(frame) bytes into fd().
  int fd() const { return fd_; }
  uint64_t FileOffset(FrameNumber frame) const {
    return PagesToBytes(frame < kNormalZoneFirstFrame
                            ? frame
                            : frame - kNormalZoneFirstFrame + zones_[0].frames);
  }

  // Gives non-coherent devices their view. Before the first allocation.
  absl::Status SeparateDeviceView();
  // Cache maintenance of bytes of a frame, in whole cache lines: the device
  // sees what the CPU wrote, and the reverse. The rest of a line goes with it,
  // as it does in hardware.
  static constexpr ByteRange kWholeFrame{0, kPageSize};
  void CleanForDevice(FrameNumber frame, ByteRange bytes = kWholeFrame);
  void InvalidateForCpu(FrameNumber frame, ByteRange bytes = kWholeFrame);

 private:
  struct ZoneState {
    FrameNumber first = 0;
    uint64_t frames = 0;
    uint64_t carved = 0;
    // Frames at and above this one were never given out.
    uint64_t untouched = 0;
    uint64_t used = 0;     // by bos
    uint64_t host = 0;     // by the host's own work
    uint64_t reserve = 0;  // not for bos
    std::vector<FrameNumber> returned;

    uint64_t free() const { return frames - carved - used - host; }
  };

  explicit PhysicalMemory(Faults* faults) : faults_(faults) {}
  static absl::Status CheckSizes(const MachineConfig& config);
  void SetUpZones(const MachineConfig& config);
  bool InPool(FrameNumber frame) const { return frame < zones_[0].carved; }
  // kNoFrame when the zone has none at most `highest`.
  static FrameNumber Take(ZoneState& zone, FrameNumber highest);
  static uint64_t FreeUpTo(const ZoneState& zone, FrameNumber highest);
  // The same without the reserve: what bos may have.
  static uint64_t ForBosUpTo(const ZoneState& zone, FrameNumber highest);
  // Free or not, but not a pool's.
  static uint64_t AllUpTo(const ZoneState& zone, FrameNumber highest);
  Shortage::Kind TakeForBos(std::span<FrameNumber> out, FrameNumber highest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void TakeForHost(std::span<FrameNumber> out, FrameNumber highest,
                   uint64_t from_normal) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint64_t LeftOfLimit() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint64_t FreeForBos(FrameNumber highest) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  uint64_t FramesWanted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteLevel() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  Faults* const faults_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  std::byte* cpu_view_ = nullptr;
  std::byte* device_view_ = nullptr;
  ReservationLock gate_;
  mutable SpinLock lock_;
  ZoneState zones_[2];
  uint64_t low_watermark_ = 0;
  uint64_t high_watermark_ = 0;
  uint64_t page_limit_ ABSL_GUARDED_BY(lock_) = ~uint64_t{0};
  alignas(64) Atomic<bool> below_low_{false};
};

}  // namespace twostep

#endif  // MACHINE_MEMORY_H_
