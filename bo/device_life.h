#ifndef BO_DEVICE_LIFE_H_
#define BO_DEVICE_LIFE_H_

// How a device leaves, for good or for a while. Plain values.
//
//   running --Suspend()--> suspended --Resume()--> running
//      '--------- Unplug() ---------'--> lost

#include <cstddef>
#include <cstdint>

#include "twostep/bo/buffer_object.h"

namespace twostep {

enum class DeviceState : uint8_t { kRunning, kSuspended, kLost };

// What Device::Unplug is to do.
struct Unplugging {
  enum class Contents : uint8_t {
    kBringHome,  // to (NONE, SYSTEM), as far as they can be had
    kDrop,
  };
  enum class CopyEngine : uint8_t {
    kGone,   // the device was pulled out: what is in its memory is lost
    kWorks,  // it is about to be: its memory can still be read
  };
  Contents contents = Contents::kBringHome;
  CopyEngine engine = CopyEngine::kGone;
};

// Bos that had something on the device: with their contents, or without.
struct Unplugged {
  size_t brought_home = 0;
  size_t lost = 0;
};

// A pinned bo in memory that loses its bytes, and a bo in SYSTEM that has them
// meanwhile.
struct SavedContents {
  BoRef bo;
  BoRef copy;
  // It had kernel mappings when it was saved: they show the copy.
  bool mapped = false;
  // The memory has its bytes again, and what kernel mappings wrote since.
  bool restored = false;
};

}  // namespace twostep

#endif  // BO_DEVICE_LIFE_H_
