#ifndef EVICTION_EVICTION_POLICY_H_
#define EVICTION_EVICTION_POLICY_H_

// In which order bos are given up when room is short. A policy orders entries
// and nothing else: it holds no lock, reads no clock, and owns no memory but
// what its header states. One instance serves one memory type or one DMA
// binder. Thread-compatible: its EvictionOrder locks.

#include <cstdint>

#include "boost/intrusive/list_hook.hpp"
#include "twostep/machine/check.h"

namespace twostep {

// An entry's place in one order; lives inside the bo. All of it belongs to the
// lock of the order.
class EvictionHook
    : public boost::intrusive::list_base_hook<
          boost::intrusive::link_mode<boost::intrusive::safe_link>> {
 public:
  static constexpr int kStateBits = 61;

  // The policy's own word on the entry, below 2^61; 0 for one that is new.
  uint64_t state() const { return word_ & kState; }
  void set_state(uint64_t state) {
    TWOSTEP_DCHECK(state <= kState);
    word_ = (word_ & ~kState) | state;
  }
  // The EvictionOrder's own marks.
  bool aside() const { return (word_ & kAside) != 0; }
  void set_aside(bool aside) {
    word_ = (word_ & ~kAside) | (aside ? kAside : 0);
  }
  bool group() const { return (word_ & kGroup) != 0; }
  void set_group() { word_ |= kGroup; }
  bool arrived() const { return (word_ & kArrived) != 0; }
  void set_arrived(bool arrived) {
    word_ = (word_ & ~kArrived) | (arrived ? kArrived : 0);
  }
  // Of one that leaves for good.
  void Forget() { word_ &= kAside | kGroup; }
  // Neither aside nor new.
  bool settled() const { return (word_ & (kAside | kArrived)) == 0; }

 private:
  static constexpr uint64_t kState = (uint64_t{1} << kStateBits) - 1;
  static constexpr uint64_t kAside = uint64_t{1} << kStateBits;
  static constexpr uint64_t kGroup = kAside << 1;
  static constexpr uint64_t kArrived = kGroup << 1;

  uint64_t word_ = 0;
};
static_assert(sizeof(EvictionHook) == 24);

// What a policy may want to know of an entry.
struct EvictionFacts {
  uint64_t key = 0;      // the same for the same bo, also after an eviction
  uint64_t bytes = 1;    // never changes
  uint64_t cost_ns = 0;  // of bringing it back, about
  uint32_t client = 0;   // the number of whom it is charged to; 0: nobody
  uint8_t priority = 0;  // as its driver set it; higher ones go later
  bool dirty = false;    // giving it up means copying it
};

// Whom a policy orders entries for.
struct EvictionOwner {
  // By default all entries are alike but for their addresses.
  static EvictionFacts Alike(const void* context, const EvictionHook& entry);

  EvictionFacts (*facts_of)(const void* context,
                            const EvictionHook& entry) = &Alike;
  // Key and bytes, which never change: of any entry at any time.
  EvictionFacts (*identity_of)(const void* context,
                               const EvictionHook& entry) = &Alike;
  const void* context = nullptr;
  // 0: unknown. A policy then goes by what is there.
  uint64_t capacity_bytes = 0;
  // Whether TouchArrival is called, after Insert, for the use that an entry
  // came in for. Otherwise Insert stands for that use.
  bool touches_arrivals = false;
  // Of how many departed entries a policy may remember the keys.
  uint32_t most_ghosts = 16384;
};

// Why an entry leaves.
enum class Departure : uint8_t {
  kEvicted,  // to make room: it may be wanted back
  kGone,     // destroyed, purged, or moved elsewhere by choice
  kAside,    // for a while, by a pin: Insert will bring it back as it was
};

// What the driver has come to the end of.
enum class EvictionBoundary : uint8_t { kSubmission, kFrame };

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // At most once, before the first entry. Allocates what the policy needs.
  void Serve(const EvictionOwner& owner) {
    owner_ = owner;
    Prepare();
  }

  // `entry` stands in no order and was just used. Its state is 0 when it comes
  // in, and as the policy left it when it comes back from kAside.
  virtual void Insert(EvictionHook& entry) = 0;
  // `entry` was inserted and is used again.
  virtual void Touch(EvictionHook& entry) = 0;
  // The use that `entry` came in for, which is not one more: policies that
  // count uses have nothing to do. By default it puts the entry where a use
  // does.
  virtual void TouchArrival(EvictionHook& entry) { Touch(entry); }
  // After kAside the state is kept, otherwise the owner sets it to 0.
  virtual void Remove(EvictionHook& entry, Departure why) = 0;
  // The entry to give up first, and the one to give up after `entry`, which may
  // be any; null at the end. Every entry is reached, each once. Asking may
  // spend what is known of uses, as a clock's hand does, but asking again gives
  // the same answer.
  virtual EvictionHook* First() = 0;
  virtual EvictionHook* After(EvictionHook& entry) = 0;

  // Whether Touch asks for no facts, and Insert for none but key and bytes. A
  // use may then be told a little later, and not in one order with the uses of
  // other threads, but before any other verb: a use costs no lock.
  virtual bool TouchesBlindly() const;

  // --- Hints: a policy works without them, and need not listen ---
  // An entry that is not in is wanted, and will be inserted once there is room.
  // Said before others are evicted for it, once or more; it may fail to come.
  // Where it is not overridden it is not said again: an override does not call
  // this one.
  virtual void Expect(const EvictionFacts&) { expects_ = false; }
  bool expects() const { return expects_; }
  virtual void Note(EvictionBoundary boundary);
  // Whether to take in an entry of this size at all. Asked by those who can do
  // without it, like a cache; a memory type cannot.
  virtual bool Admits(uint64_t bytes) const;
  // Whether First() should go although nobody is short of room. Asked by the
  // same, after Expect.
  virtual bool Overfull() const;

 protected:
  // Only of the entry that a verb was called with, and not by First and After:
  // of others the facts may be changing.
  EvictionFacts FactsOf(const EvictionHook& entry) const {
    return owner_.facts_of(owner_.context, entry);
  }
  const EvictionOwner& owner() const { return owner_; }

 private:
  // Serve has set owner().
  virtual void Prepare();

  EvictionOwner owner_;
  bool expects_ = true;
};

}  // namespace twostep

#endif  // EVICTION_EVICTION_POLICY_H_
