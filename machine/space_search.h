#ifndef MACHINE_SPACE_SEARCH_H_
#define MACHINE_SPACE_SEARCH_H_

// What every allocator of a space shares: the answer to a served request, where
// in one hole a request fits, and a memory of requests that were refused.

#include <array>
#include <cstdint>

#include "twostep/machine/space.h"

namespace twostep {

namespace internal {

constexpr uint64_t AlignDown(uint64_t value, uint64_t alignment) {
  return value & ~(alignment - 1);
}
// Wraps round to 0 above the highest multiple of `alignment`.
constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + (alignment - 1)) & ~(alignment - 1);
}

// std::has_single_bit counts bits, for which baseline x86-64 calls a function.
constexpr bool IsPowerOfTwo(uint64_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

inline bool IsWellFormed(const SpaceRequest& request) {
  return request.size > 0 && IsPowerOfTwo(request.alignment) &&
         (request.boundary & (request.boundary - 1)) == 0;
}

// Finds the place for one contiguous run nearest to the end of [start, end)
// that the request's direction names. False when there is none, which does not
// depend on the direction.
inline bool PlaceInHole(uint64_t start, uint64_t end,
                        const SpaceRequest& request, uint64_t* place) {
  const uint64_t size = request.size;
  const uint64_t low = start > request.first ? start : request.first;
  const uint64_t high = end < request.end ? end : request.end;
  if (high <= low || high - low < size) return false;
  const uint64_t boundary = request.boundary;
  if (boundary != 0 && size > boundary) return false;
  uint64_t at;
  if (request.direction == Direction::kBottomUp) {
    at = AlignUp(low, request.alignment);
    if (at < low || at > high - size) return false;
    if (boundary != 0 && ((at ^ (at + size - 1)) & ~(boundary - 1)) != 0) {
      // Crossing implies alignment < boundary: its multiples are aligned.
      at = AlignUp(at, boundary);
      if (at < low || at > high - size) return false;
    }
  } else {
    at = AlignDown(high - size, request.alignment);
    if (at < low) return false;
    if (boundary != 0 && ((at ^ (at + size - 1)) & ~(boundary - 1)) != 0) {
      const uint64_t multiple = AlignDown(at + size - 1, boundary);
      if (multiple < size) return false;
      at = AlignDown(multiple - size, request.alignment);
      if (at < low) return false;
    }
  }
  *place = at;
  return true;
}

// Requests for a contiguous run that were refused, and still would be:
// allocating makes no hole larger, so only a hole that grew can serve one.
// Thus eviction, which asks again after each victim, is refused without a
// search until a hole fits.
class RefusedRequests {
 public:
  // Whether a request at least as hard as one that is still refused.
  bool Covers(const SpaceRequest& request) const {
    return request.size >= smallest_ && Search(request);
  }
  bool empty() const { return smallest_ == ~uint64_t{0}; }

  [[gnu::noinline]] void Add(const SpaceRequest& request) {
    // What the newcomer covers it replaces; else the oldest makes room.
    int slot = oldest_;
    for (int i = 0; i < kCount; ++i) {
      if (refused_[i].size == 0 || IsHarder(refused_[i], request)) slot = i;
    }
    if (slot == oldest_) oldest_ = (oldest_ + 1) % kCount;
    refused_[slot] = request;
    FindSmallest();
  }

  // [start, end) is a hole, larger than its parts were.
  void HoleGrew(uint64_t start, uint64_t end) {
    if (end - start >= smallest_) Recheck(start, end);
  }

 private:
  static constexpr int kCount = 4;

  static bool IsHarder(const SpaceRequest& request, const SpaceRequest& than) {
    return request.size >= than.size && request.alignment >= than.alignment &&
           request.first >= than.first && request.end <= than.end &&
           (than.boundary == 0 ||
            (request.boundary != 0 && request.boundary <= than.boundary));
  }
  [[gnu::noinline]] bool Search(const SpaceRequest& request) const {
    for (const SpaceRequest& refused : refused_) {
      if (refused.size != 0 && IsHarder(request, refused)) return true;
    }
    return false;
  }
  [[gnu::noinline]] void Recheck(uint64_t start, uint64_t end) {
    uint64_t place;
    for (SpaceRequest& refused : refused_) {
      if (refused.size != 0 && PlaceInHole(start, end, refused, &place)) {
        refused.size = 0;
      }
    }
    FindSmallest();
  }
  void FindSmallest() {
    smallest_ = ~uint64_t{0};
    for (const SpaceRequest& refused : refused_) {
      if (refused.size != 0 && refused.size < smallest_) {
        smallest_ = refused.size;
      }
    }
  }

  std::array<SpaceRequest, kCount> refused_{};  // size 0: no request
  uint64_t smallest_ = ~uint64_t{0};
  int oldest_ = 0;
};

}  // namespace internal
}  // namespace twostep

#endif  // MACHINE_SPACE_SEARCH_H_
