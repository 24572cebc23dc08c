#ifndef EVICTION_EVICTION_POLICY_H_
#define EVICTION_EVICTION_POLICY_H_

// In which order bos are given up when room is short. A policy orders entries
// and nothing else: it holds no lock, owns no memory, reads no clock. One
// instance serves one memory type or one DMA binder. Thread-compatible: its
// EvictionOrder locks.

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "boost/intrusive/list_hook.hpp"

namespace twostep {

// An entry's place in one order; lives inside the bo.
struct EvictionHook
    : boost::intrusive::list_base_hook<
          boost::intrusive::link_mode<boost::intrusive::safe_link>> {};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // `entry` stands in no order and was just used.
  virtual void Insert(EvictionHook& entry) = 0;
  // `entry` was inserted and is used again.
  virtual void Touch(EvictionHook& entry) = 0;
  virtual void Remove(EvictionHook& entry) = 0;
  // The entry to give up first, and the one to give up after `entry`; null at
  // the end. Asking changes nothing.
  virtual EvictionHook* First() = 0;
  virtual EvictionHook* After(EvictionHook& entry) = 0;
};

// What `--eviction` and configurations name.
struct EvictionPolicyInfo {
  const char* name;
  const char* summary;
  std::unique_ptr<EvictionPolicy> (*make)();
};

// Every policy built in; the first is the default.
std::span<const EvictionPolicyInfo> EvictionPolicies();

// kNotFound listing the names there are.
absl::StatusOr<std::unique_ptr<EvictionPolicy>> MakeEvictionPolicy(
    absl::string_view name);

}  // namespace twostep

#endif  // EVICTION_EVICTION_POLICY_H_
