#include "tests/script/shrink.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace twostep {
namespace {

class Shrinker {
 public:
  Shrinker(Script script, absl::FunctionRef<bool(const Script&)> fails,
           int runs)
      : script_(std::move(script)), fails_(fails), runs_(runs) {}

  Script Run() {
    bool smaller = true;
    while (smaller && runs_ > 0) {
      smaller = DropSteps();
      smaller |= ShrinkFields();
    }
    return std::move(script_);
  }

 private:
  // Keeps `candidate` if it still fails.
  bool Try(Script candidate) {
    if (runs_-- <= 0 || !fails_(candidate)) return false;
    script_ = std::move(candidate);
    return true;
  }

  bool DropSteps() {
    bool smaller = false;
    for (size_t chunk = std::max<size_t>(script_.steps.size() / 2, 1);
         chunk > 0; chunk /= 2) {
      // From the end: what stands behind a failure goes at once.
      for (size_t end = script_.steps.size(); end > 0;) {
        const size_t begin = end > chunk ? end - chunk : 0;
        Script shorter = script_;
        const auto first = shorter.steps.begin();
        shorter.steps.erase(first + static_cast<ptrdiff_t>(begin),
                            first + static_cast<ptrdiff_t>(end));
        smaller |= Try(std::move(shorter));
        end = begin;
      }
    }
    return smaller;
  }

  bool TryValue(size_t step, uint32_t Step::*field, uint32_t value) {
    if (script_.steps[step].*field <= value) return false;
    Script other = script_;
    other.steps[step].*field = value;
    return Try(std::move(other));
  }

  bool ShrinkField(size_t step, const StepField& field) {
    const auto value = [&] { return script_.steps[step].*(field.value); };
    bool smaller = TryValue(step, field.value, 0);
    if (field.form == StepField::Form::kSet) {
      for (uint32_t bit = kScriptBos; bit-- > 0;) {
        smaller |= TryValue(step, field.value, value() & ~(1u << bit));
      }
      return smaller;
    }
    while (TryValue(step, field.value, value() / 2)) smaller = true;
    while (value() != 0 && TryValue(step, field.value, value() - 1)) {
      smaller = true;
    }
    return smaller;
  }

  bool ShrinkFields() {
    bool smaller = false;
    for (size_t step = 0; step < script_.steps.size(); ++step) {
      for (const StepField& field : FieldsOf(script_.steps[step].verb)) {
        smaller |= ShrinkField(step, field);
      }
    }
    return smaller;
  }

  Script script_;
  const absl::FunctionRef<bool(const Script&)> fails_;
  int runs_;
};

}  // namespace

Script Shrink(Script script, absl::FunctionRef<bool(const Script&)> fails,
              int runs) {
  return Shrinker(std::move(script), fails, runs).Run();
}

}  // namespace twostep
