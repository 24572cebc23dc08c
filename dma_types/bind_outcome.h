#ifndef DMA_TYPES_BIND_OUTCOME_H_
#define DMA_TYPES_BIND_OUTCOME_H_

#include <cstdint>

#include "twostep/machine/space.h"
#include "twostep/machine/types.h"

namespace twostep {

// What becomes of the other bos when what a binder binds with has run out.
enum class DmaExhaustion : uint8_t {
  kEvict,  // as few as will do give way, of whatever device
  // All that is bound through the same port, and can be, gives way before it is
  // tried again, as i915 does (i915_gem_gtt_prepare_pages); none of others.
  kPurge,
  kFail,  // none gives way, as with TTM (ttm_tt_populate)
};

// Why a bind or an unbind did not happen.
struct BindOutcome {
  enum class Scarce : uint8_t {
    kNothing,     // it happened
    kUnit,        // the binder's own memory, window or bounce pages
    kIova,        // the IOVA space of the device's domain
    kHostFrames,  // ordinary frames within the device's reach, or any for
                  // page tables
    kRefused,     // this device can never be served; `reason` says why
  };
  Scarce scarce = Scarce::kNothing;
  Shortage::Kind kind = Shortage::Kind::kNone;
  const char* reason = "";
  // kUnit: as good as any other, wherever it is, so that it does not matter
  // where those are who give way.
  bool anywhere = false;
  // Pages whose bytes were copied to other ordinary frames on the way.
  PageCount replaced_pages = 0;

  bool ok() const { return scarce == Scarce::kNothing; }

  // What DmaDomain::Map, which did not, lacked.
  static BindOutcome OfMapping(Shortage::Kind kind) {
    return kind == Shortage::Kind::kNoTables
               ? BindOutcome{Scarce::kHostFrames, Shortage::Kind::kFull}
               : BindOutcome{Scarce::kIova, kind};
  }

  // The device takes fewer segments than the bo would be.
  static BindOutcome TooManySegments() {
    return {Scarce::kRefused, Shortage::Kind::kNeverFits,
            "in more segments than the device takes"};
  }
};

}  // namespace twostep

#endif  // DMA_TYPES_BIND_OUTCOME_H_
