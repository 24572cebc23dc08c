#ifndef PLACEMENT_COSTED_PLACEMENT_H_
#define PLACEMENT_COSTED_PLACEMENT_H_

// Weighs what a bo in TT costs at every use (the slower bus, pages that the CPU
// and the device take from one another) against the moves that would end it.
//
// Two questions, both in nanoseconds of the machine's cost model:
//  - Has it paid off? A bo is moved to VRAM only once its uses over the bus
//    have cost as much as moving it in, and, where somebody has to leave, as
//    moving out as many bytes. This is the rent-or-buy rule: at worst twice
//    what knowing the future would cost (Karlin et al., "Competitive snoopy
//    caching", 1988).
//  - For whom? Somebody has to leave only if VRAM holds enough bytes that are
//    worth half as much or less, or is free. The worth of a bo is what a
//    submission saves by its being in VRAM, a byte: what a use costs over the
//    bus times the uses a submission, of late. In a cycle of equal bos none is
//    worth more than another, so that those in VRAM stay and the others are
//    used over the bus, instead of all of them moving all the time.
//
// Whom VRAM evicts is not this policy's choice, so it watches what comes of its
// moves: a bo that is evicted before its uses in VRAM have saved what moving it
// in and out cost was moved too early, and from then on moves must have paid
// off several times over, until that is long ago.
//
// A bo without contents goes to VRAM if it has room. It keeps 90 bytes a bo.

#include <array>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "twostep/placement/placement_policy.h"
#include "twostep/placement/vram_lists.h"

namespace twostep {

class CostedPlacement final : public PlacementPolicy {
 public:
  struct Options {
    // How many times over the bus must have cost the moves.
    double patience = 1;
  };

  CostedPlacement(const PlacementSite& site, const Options& options);

  void Begin(const PlacementMoment& moment) override;
  PlacementList Choose(const PlacementFacts& bo,
                       const PlacementMoment& moment) override;
  PlacementList EvictTo(const PlacementFacts& bo) override;
  void Forget(uint64_t key) override;

 private:
  // Worths in steps of half an octave; 0 is for those not known yet.
  static constexpr int kWorths = 128;
  // Worth half or less: two steps, and one for where in a step both are.
  static constexpr int kHalf = 3;

  struct Bo {
    uint64_t key = 0;
    uint64_t bytes = 0;
    uint64_t first_use = 0;  // the number of the submission
    uint64_t last_use = 0;
    double uses = 0;           // each counts less the longer it is ago
    double saved_ns = 0;       // a use, were it in VRAM
    double bus_spent_ns = 0;   // since it is not in VRAM
    double vram_saved_ns = 0;  // since it is
    int worth = 0;
    bool in_vram = false;
  };

  Bo& Find(const PlacementFacts& facts);
  void NoteUse(Bo& bo, const PlacementFacts& facts);
  // Uses a submission, of late.
  double UseRate(const Bo& bo) const;
  void SetWorth(Bo& bo);
  void SetInVram(Bo& bo, bool in_vram);
  // The bo is evicted: were the moves worth it?
  void NoteOutcome(const Bo& bo);
  // Whether VRAM has as many bytes that are free or of much less worth.
  bool Displaces(const Bo& bo) const;

  const VramLists lists_;
  const PlacementSite site_;
  const double patience_;
  // By how much moves must have paid off, beyond patience_: 1 and more.
  double caution_ = 1;
  uint64_t submission_ = 0;
  std::vector<Bo> bos_;
  absl::flat_hash_map<uint64_t, uint32_t> index_of_;  // in bos_, by key
  // Whose worth is looked at next, for those that are used no more.
  size_t hand_ = 0;
  std::array<uint64_t, kWorths> vram_bytes_of_worth_{};
};

}  // namespace twostep

#endif  // PLACEMENT_COSTED_PLACEMENT_H_
