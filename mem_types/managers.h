#ifndef MEM_TYPES_MANAGERS_H_
#define MEM_TYPES_MANAGERS_H_

// The built-in memory types.

#include <memory>

#include "absl/status/statusor.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/memory.h"
#include "twostep/mem_types/memory_manager.h"

namespace twostep {

// SYSTEM: nowhere. Grants without limit.
std::unique_ptr<MemoryManager> MakeSystemManager(
    std::unique_ptr<EvictionPolicy> policy);

// TT: an aperture of `bytes` (a positive multiple of the page size) whose page
// table shows DMA addresses.
absl::StatusOr<std::unique_ptr<MemoryManager>> MakeTtManager(
    uint64_t bytes, std::unique_ptr<EvictionPolicy> policy);

struct VramSizes {
  uint64_t bytes = 0;
  uint64_t visible_bytes = 0;  // the CPU can map this much, from the start
};

// VRAM: storage on the device. kInvalidArgument naming the field that is wrong.
absl::StatusOr<std::unique_ptr<MemoryManager>> MakeVramManager(
    const VramSizes& sizes, SpaceAllocator allocator, Backing backing,
    std::unique_ptr<EvictionPolicy> policy);

}  // namespace twostep

#endif  // MEM_TYPES_MANAGERS_H_
