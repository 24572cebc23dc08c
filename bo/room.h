#ifndef BO_ROOM_H_
#define BO_ROOM_H_

// Room that an operation makes, for itself: others stay outside its gate from
// Mover::Close() until this is gone. Private to the library.

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
  bool settled = false;     // nobody was in the middle of a move any more
};

}  // namespace twostep

#endif  // BO_ROOM_H_
