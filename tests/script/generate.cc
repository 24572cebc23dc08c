#include "tests/script/generate.h"

#include <iterator>

namespace twostep {
namespace {

// How often each verb comes, in their order.
constexpr uint32_t kWeights[] = {
    12, 4,  16, 16, 3, 4,        // create .. kernel-write
    28, 20, 3,  2,               // submit .. discard
    3,  6,  4,  5,               // pin .. reclaim
    5,  2,  8,  2,  6, 6, 2, 2,  // attach .. end-cpu
    2,                           // fail-copies
    2,  3,  2,  3,               // host-takes .. shrink
    1,  4,  2,  2,               // suspend .. reap
};
static_assert(std::size(kWeights) == kVerbs);

Verb DrawVerb(Random* random) {
  static constexpr uint32_t kTotal = [] {
    uint32_t total = 0;
    for (const uint32_t weight : kWeights) total += weight;
    return total;
  }();
  uint32_t at = random->Below(kTotal);
  int verb = 0;
  while (at >= kWeights[verb]) at -= kWeights[verb++];
  return static_cast<Verb>(verb);
}

uint32_t DrawPlace(const Recipe& recipe, Random* random) {
  uint32_t dma = static_cast<uint32_t>(recipe.dma);
  if (recipe.mixed && random->Below(2) == 0) dma = random->Below(4);
  const auto of_dma = [dma](Place first) {
    return static_cast<uint32_t>(first) + dma;
  };
  switch (random->Below(16)) {
    case 0:
    case 1:
      return static_cast<uint32_t>(Place::kSystem);
    case 2:
      return static_cast<uint32_t>(Place::kVramWhole);
    case 3:
      return of_dma(Place::kBoundNone);
    case 4:
    case 5:
      return of_dma(Place::kHighNone);
    case 6:
      return static_cast<uint32_t>(Place::kTtNone);
    case 7:
    case 8:
    case 9:
    case 10:
      return static_cast<uint32_t>(Place::kVram);
    default:
      return of_dma(Place::kTtNone);
  }
}

}  // namespace

Step MakeStep(const Recipe& recipe, Random* random) {
  Step step;
  step.verb = DrawVerb(random);
  for (const StepField& field : FieldsOf(step.verb)) {
    uint32_t value = 0;
    if (field.form == StepField::Form::kWord) {
      value = DrawPlace(recipe, random);
    } else if (field.max == ~uint32_t{0}) {
      value = random->Next();
    } else {
      value = random->Below(field.max + 1);
    }
    step.*(field.value) = value;
  }
  if (step.verb == Verb::kSubmit) {
    // Three bos at most, or none of the sets ever fits.
    step.bos = 0;
    for (uint32_t n = 1 + random->Below(3); n > 0; --n) {
      step.bos |= 1u << random->Below(kScriptBos);
    }
  }
  // Most work may wait and is done on the first device.
  if (random->Below(4) != 0) {
    step.hasty = 0;
    if (step.verb != Verb::kAttach) step.device = 0;
  }
  return step;
}

Script MakeScript(const Recipe& recipe, uint64_t seed) {
  Random random(seed + 1);
  Script script{.machine = recipe.machine};
  for (int i = 0; i < recipe.steps; ++i) {
    script.steps.push_back(MakeStep(recipe, &random));
  }
  return script;
}

}  // namespace twostep
