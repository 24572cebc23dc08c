// The part of Mover that gives page frames back because the host wants them,
// not because a bo does: it takes what is idle, and waits for nobody.

#include "twostep/bo/mover.h"
#include "twostep/bo/telling.h"

namespace twostep {

uint64_t Mover::GiveUpFrames(uint64_t pages, uint32_t max_bos) {
  TWOSTEP_CHECK(wait_.mode == WaitLimit::Mode::kNoWait);
  const VictimSearch::Orders orders = VictimSearch::OrdersWithFrames(host_);
  using Asides = EvictionOrder::Asides;
  uint64_t given = 0;
  uint32_t examined = 0;
  // What is aside was once the first to go, and may be free by now: it has half
  // of the looks, so that when all of it is busy others are looked at as well.
  Asides asides = Asides::kOnly;
  while (given < pages && examined < max_bos) {
    if (asides == Asides::kOnly && examined >= max_bos / 2) {
      asides = Asides::kLeaveOut;
    }
    VictimSearch search(orders, VictimSearch::Order::kMemory,
                        AskerFor(Resource::kHost), Resource::kHost, awaited_);
    const VictimSearch::Victims victims = search.First(
        [](const BufferObject& bo) {
          return bo.pages_.home() == Pages::Home::kMemory;
        },
        asides);
    if (victims.empty()) {
      if (asides == Asides::kShow) break;
      asides = asides == Asides::kOnly ? Asides::kLeaveOut : Asides::kShow;
      continue;
    }
    ++examined;
    Telling::Searched(host_, search, EventLimit::kReclaim, nullptr,
                      unmovable_.size(), 0);
    BufferObject& victim = *victims[0];
    Telling::Victim(victim);
    const EvictionAccount::Taking taking(search.TakesFrom(victim),
                                         victim.page_count());
    // What is busy would leave its frames behind until its fences signal.
    Result result = taking.held() ? WaitIdle(victim) : Result::kShort;
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
  if (given >= pages || examined < max_bos) return given;
  for (BufferObject* bo : unmovable_) {
    if ((bo->flags_ & BufferObject::kInMemoryOrder) == 0) continue;
    bo->memory_order().SetAside(bo->memory_hook_, bo->MemoryPlace());
  }
  return given;
}

}  // namespace twostep
