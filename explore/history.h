#ifndef EXPLORE_HISTORY_H_
#define EXPLORE_HISTORY_H_

// What fibers did to something, and whether it could have been done one by one:
// in some order that keeps what was over before something else began, a simple
// sequential model gives every call the answer that it got (Wing and Gong,
// "Testing and Verifying Concurrent Objects", 1993). For small histories: all
// orders are tried.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace twostep::explore {

template <typename Model>
class History {
 public:
  // Whether the model, as it is, could have given the answer; if so it is
  // changed as the call changes it.
  using Apply = std::function<bool(Model&)>;

  // Runs `call`, which returns its answer, and notes it; `apply(model, answer)`
  // is what an Apply is.
  template <typename Call, typename Answer>
  auto Do(std::string what, Call call, Answer apply) {
    const uint64_t began = ++time_;
    auto answer = call();
    calls_.push_back(
        Record{std::move(what), began, ++time_,
               [apply, answer](Model& model) { return apply(model, answer); }});
    return answer;
  }

  bool Linearizable(const Model& start) const {
    return Completes(start, std::vector<bool>(calls_.size(), false), 0);
  }

  std::string Describe() const {
    std::string text;
    for (const Record& call : calls_) {
      text += "  [" + std::to_string(call.began) + ", " +
              std::to_string(call.ended) + "] " + call.what + "\n";
    }
    return text;
  }

 private:
  struct Record {
    std::string what;
    uint64_t began;
    uint64_t ended;
    Apply apply;
  };

  bool Completes(const Model& model, std::vector<bool> done,
                 size_t count) const {
    if (count == calls_.size()) return true;
    uint64_t first_end = ~uint64_t{0};
    for (size_t i = 0; i < calls_.size(); ++i) {
      if (!done[i]) first_end = std::min(first_end, calls_[i].ended);
    }
    for (size_t i = 0; i < calls_.size(); ++i) {
      // What began after another's end comes after that one.
      if (done[i] || calls_[i].began > first_end) continue;
      Model next = model;
      if (!calls_[i].apply(next)) continue;
      done[i] = true;
      if (Completes(next, done, count + 1)) return true;
      done[i] = false;
    }
    return false;
  }

  uint64_t time_ = 0;
  std::vector<Record> calls_;  // as they ended
};

}  // namespace twostep::explore

#endif  // EXPLORE_HISTORY_H_
