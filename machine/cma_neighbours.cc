#include "twostep/machine/cma_neighbours.h"

#include <cstring>
#include <random>
#include <utility>

#include "twostep/machine/page_pattern.h"

namespace twostep {
namespace {

// Each draw takes the next one with the chance that leaves every choice of
// `wanted` among `left` as likely.
class Sample {
 public:
  Sample(uint64_t wanted, uint64_t left, uint64_t seed)
      : wanted_(wanted), left_(left), random_(seed) {}
  bool Draw() {
    const bool taken = random_() % left_-- < wanted_;
    wanted_ -= taken ? 1 : 0;
    return taken;
  }

 private:
  uint64_t wanted_;
  uint64_t left_;
  std::mt19937_64 random_;
};

}  // namespace

CmaNeighbours::CmaNeighbours(const CmaLoan& loan, FrameNumber first,
                             uint64_t frames, PhysicalMemory& memory,
                             Clock& clock, uint64_t page_ns)
    : seed_(loan.seed),
      first_(first),
      memory_(memory),
      clock_(clock),
      page_ns_(page_ns),
      now_(frames, kNoFrame),
      busy_(frames) {
  const uint64_t pages = loan.bytes >> kPageShift;
  Sample lent(pages, frames, loan.seed);
  Sample busy(loan.busy_bytes >> kPageShift, pages, ~loan.seed);
  for (uint64_t i = 0; i < frames; ++i) {
    if (!lent.Draw()) continue;
    now_[i] = first + static_cast<FrameNumber>(i);
    busy_[i] = busy.Draw();
    if (memory.backed()) {
      FillPattern(seed_, static_cast<PageCount>(i), memory.CpuBytes(now_[i]));
    }
  }
}

bool CmaNeighbours::TakeFrames(FrameNumber first, uint64_t count) {
  std::vector<FrameNumber*> pages;
  for (uint64_t i = first - first_; i < first - first_ + count; ++i) {
    if (now_[i] != kNoFrame) pages.push_back(&now_[i]);
  }
  std::vector<FrameNumber> frames(pages.size());
  if (!frames.empty() &&
      memory_.AllocateForMigration(frames) != Shortage::Kind::kNone) {
    return false;
  }
  for (size_t i = 0; i < pages.size(); ++i) *pages[i] = frames[i];
  return true;
}

void CmaNeighbours::MoveOut(FrameNumber first, uint64_t count) {
  uint64_t moved = 0;
  for (FrameNumber home = first; home < first + count; ++home) {
    if (now_[home - first_] == kNoFrame) continue;
    Copy(home, now_[home - first_]);
    ++moved;
  }
  migrated_.fetch_add(moved, std::memory_order_relaxed);
  clock_.Charge(moved * page_ns_);
}

void CmaNeighbours::MoveBack(FrameNumber first, uint64_t count) {
  std::vector<FrameNumber> frames;
  for (FrameNumber home = first; home < first + count; ++home) {
    FrameNumber& now = now_[home - first_];
    if (now == kNoFrame) continue;
    Copy(now, home);
    frames.push_back(std::exchange(now, home));
  }
  memory_.FreeFromHost(frames);
}

void CmaNeighbours::ForEach(absl::FunctionRef<void(const Page&)> visit) const {
  for (uint64_t i = 0; i < now_.size(); ++i) {
    if (now_[i] == kNoFrame) continue;
    visit({first_ + static_cast<FrameNumber>(i), now_[i], busy_[i]});
  }
}

uint64_t CmaNeighbours::damaged_pages() const {
  if (!memory_.backed()) return 0;
  uint64_t damaged = 0;
  ForEach([&](const Page& page) {
    damaged += PageChecksum(memory_.CpuBytes(page.now)) !=
               PatternChecksum(seed_, page.home - first_);
  });
  return damaged;
}

void CmaNeighbours::Copy(FrameNumber from, FrameNumber to) {
  if (!memory_.backed()) return;
  std::memcpy(memory_.CpuBytes(to), memory_.CpuBytes(from), kPageSize);
}

}  // namespace twostep
