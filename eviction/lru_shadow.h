#ifndef EVICTION_LRU_SHADOW_H_
#define EVICTION_LRU_SHADOW_H_

// What LRU would have done in a policy's place. From that, whether a policy has
// lately moved more bytes than LRU would have. What a submission uses is
// counted together, where submissions are told apart: its bos are never each
// other's victims, their order means nothing, and those that find no room
// beside the others stay outside. Thread-compatible.

#include <cstdint>

#include "twostep/eviction/known_bos.h"
#include "twostep/eviction/use_log.h"

namespace twostep {

class LruShadow {
 public:
  using Position = UseLog::Position;

  LruShadow(const UseLog& log, KnownBos& bos) : log_(log), bos_(bos) {}

  // The policy is to go its own way: it did not move more, nor would it soon,
  // were LRU's bos to come back. Otherwise it must do as LRU does for a while.
  bool trusts() const { return trusts_; }

  // --- What happens to the policy ---
  // Somebody is asked to leave: what is there fills the room, about.
  void NoteFull();
  // `bytes` is the size from now on.
  void Insert(BoRecord& bo, uint64_t bytes);
  void Remove(BoRecord& bo, Departure why);
  // All uses from counted() to log.linked() were one submission's, or one.
  void Submit();
  Position counted() const { return counted_; }
  // Nothing is counted for a while; then LRU has what was used last.
  void Stop() { running_ = false; }
  void Start();
  // Its last use, which was the oldest in the log, is forgotten.
  void Forget(BoRecord& bo);

 private:
  static constexpr uint64_t kOne = 64;

  void Set(BoRecord& bo, bool here, bool lru_has);
  // All bos in the log: LRU has what is here.
  void Align();
  // LRU gives up what was used last before counted() until there is room.
  void MakeRoom(uint64_t bytes);
  void Count();
  void Judge();
  void Distrust(int64_t bytes);

  const UseLog& log_;
  KnownBos& bos_;
  bool running_ = false;
  // Of those that are there, in the policy or aside.
  uint64_t here_bytes_ = 0;
  // What is there when somebody is asked to leave, on average.
  uint64_t capacity_ = 0;
  // What was used last before it, LRU has given up.
  Position floor_ = 1;
  Position counted_ = 1;
  // Of those that LRU has, and of those among them that are not here.
  uint64_t bytes_ = 0;
  uint64_t lacking_bytes_ = 0;
  // Bytes moved by the policy and not by LRU, less those by LRU and not by it.
  int64_t debt_ = 0;
  bool trusts_ = true;
  // Bytes to be moved until it is trusted again; and those moved meanwhile, by
  // it and as told here. From these: what LRU moves really, of kOne.
  int64_t left_ = 0;
  uint64_t real_ = 0;
  uint64_t told_ = 0;
  uint64_t truth_ = kOne;
  // Some found no room since it is trusted; and bytes to be moved until it is
  // tried out what LRU moves.
  bool overfull_ = false;
  int64_t until_probe_ = 0;
  // In the submission that is not counted yet.
  uint64_t moved_ = 0;
  uint64_t lru_moved_ = 0;
};

}  // namespace twostep

#endif  // EVICTION_LRU_SHADOW_H_
