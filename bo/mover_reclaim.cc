// The part of Mover that gives page frames back because the host wants them,
// not because a bo does: it takes what is idle, and waits for nobody.

#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"

namespace twostep {

uint64_t Mover::GiveUpFrames(uint64_t pages, uint32_t max_bos) {
  TWOSTEP_CHECK(wait_.mode == WaitLimit::Mode::kNoWait);
  const VictimSearch::Orders orders = VictimSearch::OrdersWithFrames(host_);
  uint64_t given = 0;
  for (uint32_t examined = 0; given < pages && examined < max_bos; ++examined) {
    VictimSearch search(orders, VictimSearch::Order::kMemory,
                        AskerFor(Resource::kHost), Resource::kHost, awaited_);
    const VictimSearch::Victims victims =
        search.First([](const BufferObject& bo) {
          return bo.pages_.home() == Pages::Home::kMemory;
        });
    if (victims.empty()) break;
    Telling::Searched(host_, search, EventLimit::kReclaim, nullptr,
                      unmovable_.size(), 0);
    BufferObject& victim = *victims[0];
    Telling::Victim(victim);
    // What is busy would leave its frames behind until its fences signal.
    Result result = WaitIdle(victim);
    if (result == Result::kDone) {
      ++depth_;
      result = victim.worthless() ? EvictGpu(victim) : SwapOut(victim);
      --depth_;
    }
    if (result == Result::kDone) given += victim.page_count();
    // Those that cannot go stay reserved: the next search passes them over.
    Settle(victim, result);
    if (result == Result::kLost) break;
  }
  return given;
}

}  // namespace twostep
