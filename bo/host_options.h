#ifndef BO_HOST_OPTIONS_H_
#define BO_HOST_OPTIONS_H_

// What a host is told when it is made, and what it tells. Plain values.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "twostep/bo/events.h"
#include "twostep/dma_types/bind_outcome.h"
#include "twostep/eviction/policy_registry.h"
#include "twostep/machine/counter.h"
#include "twostep/machine/dma_misuse.h"

namespace twostep {

// A bug of the caller's, found by the library.
struct Misuse {
  enum class Kind : uint8_t {
    kKernelMapOfDynamic,  // CPU access to pages that are the device's
    kDeviceUseOfKernelMapped,
    kLiveAtTeardown,
    kDma,  // `dma` says which
  };
  Kind kind;
  std::string message;
  std::optional<DmaMisuse::Kind> dma = std::nullopt;
};

struct HostOptions {
  // The order of every memory type and DMA binder: a name, perhaps with
  // parameters; see EvictionPolicies().
  std::string eviction_policy = "adaptive";
  // When set, makes the policies instead.
  EvictionPolicyFactory make_eviction_policy;
  // Of the built-in DMA types; those of one's own have SetExhaustion.
  DmaExhaustion dma_exhaustion = DmaExhaustion::kEvict;
  // Told of every misuse, also of DMA where the machine looks for that
  // (MachineOptions::check_dma), amid the call that is wrong: it must not call
  // back. Default: print it and stop the process.
  std::function<void(const Misuse&)> misuse_handler;
  // Of the global names: without one nobody can tell them beforehand.
  std::optional<uint64_t> name_seed;
  // Whether, and to whom, it tells what happens to its bos.
  EventOptions events;
};

// Counts since the host was made, in bytes or events.
struct MoveStats {
  Counter to_fixed_bytes;
  Counter from_fixed_bytes;
  Counter swap_out_bytes;
  Counter swap_in_bytes;
  Counter cpu_faults;
  Counter purges;
};

// What Host::Shrink gave back.
struct Shrunk {
  uint64_t pool_pages = 0;  // of coherent memory
  // Ordinary frames.
  uint64_t left_behind_pages = 0;
  uint64_t shrinker_pages = 0;
  uint64_t bo_pages = 0;
  uint64_t frames() const {
    return left_behind_pages + shrinker_pages + bo_pages;
  }
};

}  // namespace twostep

#endif  // BO_HOST_OPTIONS_H_
