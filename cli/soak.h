#ifndef CLI_SOAK_H_
#define CLI_SOAK_H_

// Rounds of the same work for hours, and whether memory grows meanwhile.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace twostep {

class Soak {
 public:
  // What may be there for good once the first round is over: stacks, arenas and
  // fragments of the allocator's, by which rounds that leak nothing differ.
  static constexpr uint64_t kMostGrowthBytes = uint64_t{16} << 20;
  // From so many rounds on, by how much more the median of their last third may
  // be than that of the first: what one round differs by from the next is not
  // in it. The first round is in neither.
  static constexpr size_t kRoundsForMedians = 10;
  static constexpr uint64_t kMostMedianGrowthBytes = uint64_t{2} << 20;

  // 0: one round, of which nothing is noted.
  explicit Soak(double seconds);

  // Of the time, 0 to 1.
  double Part() const;
  // Ends a round and notes what memory of this process is resident. Whether
  // there is to be another one: until the time is over, and never fewer than
  // two, as all are compared with the first.
  bool GoesOn();

  const std::vector<uint64_t>& resident_bytes() const { return resident_; }
  bool grew() const { return Grew(resident_); }
  // Whether the last round ended with much more than the first, or the last
  // third of many with more than the first third.
  static bool Grew(absl::Span<const uint64_t> resident_bytes);
  // One line; nothing where nothing was noted.
  std::string Text() const;

 private:
  const double seconds_;
  const std::chrono::steady_clock::time_point started_ =
      std::chrono::steady_clock::now();
  std::vector<uint64_t> resident_;
};

}  // namespace twostep

#endif  // CLI_SOAK_H_
