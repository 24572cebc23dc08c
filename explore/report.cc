#include "twostep/explore/report.h"

#include <algorithm>
#include <cstring>

namespace twostep::explore {

void Report::Clear() {
  end = End::kNone;
  steps = trace = lost_decisions = 0;
  text_size_ = decisions_size_ = 0;
}

void Report::Append(absl::string_view text) {
  const size_t size = std::min(text.size(), kMaxText - text_size_);
  std::memcpy(text_ + text_size_, text.data(), size);
  text_size_ += size;
}

void Report::Add(const Decision& decision) {
  if (decisions_size_ == kMaxDecisions) {
    ++lost_decisions;
  } else {
    decisions_[decisions_size_++] = decision;
  }
}

}  // namespace twostep::explore
