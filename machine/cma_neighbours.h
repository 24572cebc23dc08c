#ifndef MACHINE_CMA_NEIGHBOURS_H_
#define MACHINE_CMA_NEIGHBOURS_H_

// The host's pages in a CMA area: where each is, in the area or in an ordinary
// frame to which it has made way, and its bytes. They come back when who
// displaced them goes, so that an area without bos is always as it was at
// first. Knows ranges of frames, not who has them.
//
// Those of a range belong to whoever has that range: threads with different
// ranges may move theirs at the same time.

#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "twostep/machine/clock.h"
#include "twostep/machine/machine_config.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/sync.h"

namespace twostep {

class CmaNeighbours {
 public:
  // Which pages of [first, first + frames) the loan's are follows from its
  // seed. REQUIRES: loan.busy_bytes <= loan.bytes <= the area, whole pages.
  CmaNeighbours(const CmaLoan& loan, FrameNumber first, uint64_t frames,
                PhysicalMemory& memory, Clock& clock, uint64_t page_ns);
  CmaNeighbours(const CmaNeighbours&) = delete;
  CmaNeighbours& operator=(const CmaNeighbours&) = delete;

  // Takes ordinary frames for all that are in the range; false, and none is
  // taken, where there are not enough. REQUIRES: none there is busy.
  bool TakeFrames(FrameNumber first, uint64_t count);
  // Then moves them there.
  void MoveOut(FrameNumber first, uint64_t count);
  // Undoes both.
  void MoveBack(FrameNumber first, uint64_t count);

  // One of the host's pages: its frame in the area, and the one it is in.
  struct Page {
    FrameNumber home;
    FrameNumber now;
    bool busy;
  };
  // In the order of `home`. REQUIRES for both: no range is being moved.
  void ForEach(absl::FunctionRef<void(const Page&)> visit) const;
  // Whose bytes are not the page's; 0 where there are no bytes.
  uint64_t damaged_pages() const;

  // How many have made way, since the machine was made.
  uint64_t migrated_pages() const { return migrated_; }

 private:
  void Copy(FrameNumber from, FrameNumber to);

  const uint64_t seed_;
  const FrameNumber first_;
  PhysicalMemory& memory_;
  Clock& clock_;
  const uint64_t page_ns_;
  // For each frame of the area the one that its page is in: itself, another, or
  // kNoFrame where there is no page.
  std::vector<FrameNumber> now_;
  std::vector<bool> busy_;
  Atomic<uint64_t> migrated_{0};
};

}  // namespace twostep

#endif  // MACHINE_CMA_NEIGHBOURS_H_
