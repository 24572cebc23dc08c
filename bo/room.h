#ifndef BO_ROOM_H_
#define BO_ROOM_H_

// Room that an operation makes, for itself: others stay outside its gate from
// Mover::Close() until this is gone. Private to the library.

#include <cstdint>
#include <optional>

#include "twostep/dma_types/dma_binder.h"
#include "twostep/machine/reservation_lock.h"

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

}  // namespace twostep

#endif  // BO_ROOM_H_
