#ifndef BO_ROOM_H_
#define BO_ROOM_H_

// Room that an operation makes, for itself: others stay outside its gate from
// Mover::Close() until this is gone; and what stands in its way. Private to the
// library.

#include <cstdint>
#include <optional>

#include "twostep/bo/client.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/machine/fence_set.h"
#include "twostep/machine/reservation_lock.h"
#include "twostep/mem_types/memory_manager.h"

namespace twostep {

struct Room {
  explicit Room(ReservationLock& gate, DmaBinder* binder = nullptr)
      : gate(gate), binder(binder) {}
  ~Room() {
    if (closed) gate.Unlock();
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  ReservationLock& gate;
  DmaBinder* const binder;  // whose unit it is
  bool closed = false;      // by this one
  // How often all others were waited for to come out of their moves; and how
  // many had left before the last time, see Mover::left_.
  int settles = 0;
  std::optional<uint64_t> left;
};

// The limit of a client that stands in the way.
struct AtLimit {
  const Client* client;
  Resource resource;
};

// Space of a memory type that nobody stands in yet; who gets it waits for the
// fences.
struct TakenSpace {
  MemoryManager* manager;
  SpaceBlock block;
  FenceSet fences;
};

}  // namespace twostep

#endif  // BO_ROOM_H_
