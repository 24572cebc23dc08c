#ifndef MACHINE_DMA_MISUSE_H_
#define MACHINE_DMA_MISUSE_H_

// A wrong use of DMA, as DmaDebug reports it. Plain values.

#include <cstdint>
#include <functional>
#include <string>

#include "twostep/machine/types.h"

namespace twostep {

// Who moves bytes through a mapping.
enum class DmaDirection : uint8_t {
  kBoth,
  kToDevice,    // the device reads, and writes nothing
  kFromDevice,  // the device writes; what the CPU wrote is not for it
};

struct DmaMisuse {
  // docs/machine.md says which check of the kernel each one is.
  enum class Kind : uint8_t {
    kUnmapOfNoAddress,
    kUnmapOfUnmapped,
    kUnmapOfOtherSize,
    kUnmapOfOtherKind,
    kUnmapOfOtherFrames,
    kUnmapOfOtherSegmentCount,
    kUnmapInOtherDirection,
    kMapErrorUnchecked,
    kSyncOfUnmapped,
    kSyncOutOfRange,
    kSyncInOtherDirection,
    kSyncForCpuOfReadOnly,
    kSyncForDeviceOfWriteOnly,
    kSyncOfOtherSegmentCount,
    kMapOfNoFrame,
    kMapOfTooLongSegment,
    kMapAcrossBoundary,
    kMapOfMisalignedBlock,
    kMapOverlaps,
    kMapOverlapsTooOften,
    kLeftAtTeardown,
    kLeftByUnbind,
    // What the bytes and accesses show.
    kCpuTouchedDevicesPage,
    kDeviceTouchedCpusPage,
    kDeviceWroteReadOnly,
    kStaleAfterSync,
    kSyncOfWrongPart,
    kBounceDataLost,
    kUseAfterUnmap,
    kBeyondMask,
  };
  Kind kind;
  uint64_t bo = 0;        // its id; 0: no bo's
  PageCount page = 0;     // of the mapping
  std::string device;     // empty: of no port
  std::string mapped_by;  // a DMA type or an owner; empty: not known
  std::string message;    // all of it in words
};

using DmaMisuseHandler = std::function<void(const DmaMisuse&)>;

// "unmap-of-other-size": lower case, as in docs/machine.md.
const char* NameOf(DmaMisuse::Kind kind);

}  // namespace twostep

#endif  // MACHINE_DMA_MISUSE_H_
