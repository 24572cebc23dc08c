// Makes scripts out of scripts: operations come, go and change, so that nearly
// all that the fuzzer tries can be played.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tests/script/generate.h"
#include "tests/script/script.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace twostep {
namespace {

void Edit(const Recipe& recipe, Script* script, Random* random) {
  std::vector<Step>& steps = script->steps;
  const auto any = [&] {
    return steps.begin() + random->Below(static_cast<uint32_t>(steps.size()));
  };
  if (steps.empty() || random->Below(3) == 0) {
    const auto before =
        steps.begin() + random->Below(static_cast<uint32_t>(steps.size() + 1));
    steps.insert(before, MakeStep(recipe, random));
    return;
  }
  const auto one = any();
  switch (random->Below(5)) {
    case 0:
      steps.erase(one);
      break;
    case 1:
      std::iter_swap(one, any());
      break;
    case 2: {
      const Step copy = *one;
      steps.insert(any(), copy);
      break;
    }
    default: {
      // One field of it as another of its kind would have it.
      Step other = MakeStep(recipe, random);
      while (other.verb != one->verb) other = MakeStep(recipe, random);
      const auto fields = FieldsOf(one->verb);
      if (fields.empty()) break;
      const StepField& field =
          fields[random->Below(static_cast<uint32_t>(fields.size()))];
      *one.*(field.value) = other.*(field.value);
      break;
    }
  }
}

}  // namespace
}  // namespace twostep

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size,
                                          size_t max_size, unsigned int seed) {
  twostep::Random random(seed);
  // The reader is to be tried as well.
  if (random.Below(16) == 0) return LLVMFuzzerMutate(data, size, max_size);
  const auto read = twostep::ParseScript(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  twostep::Script script;
  if (read.ok()) script = *read;
  if (random.Below(32) == 0) {
    script.machine = twostep::kAllMachines[random.Below(4)];
  }
  const twostep::Recipe recipe{
      .dma = static_cast<twostep::DmaType>(random.Below(4)), .mixed = true};
  for (uint32_t edits = 1 + random.Below(6); edits > 0; --edits) {
    twostep::Edit(recipe, &script, &random);
  }
  std::string text = twostep::Print(script);
  while (text.size() > max_size && !script.steps.empty()) {
    script.steps.pop_back();
    text = twostep::Print(script);
  }
  text.resize(std::min(text.size(), max_size));
  std::memcpy(data, text.data(), text.size());
  return text.size();
}
