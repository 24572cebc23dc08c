#include "twostep/machine/page_pattern.h"

#include <bit>
#include <cstring>

namespace twostep {
namespace {

constexpr uint64_t kWords = kPageSize / sizeof(uint64_t);
// The multipliers of xxHash64; odd, so that each step is a bijection.
constexpr uint64_t kMultiplier = 0x9e3779b185ebca87u;
constexpr uint64_t kFinalMultiplier = 0xc2b2ae3d27d4eb4fu;

uint64_t Step(uint64_t lane, uint64_t word) {
  // The rotation brings high bits down: multiplying only carries bits up.
  return std::rotl((lane + word) * kMultiplier, 31);
}

uint64_t Mix(uint64_t x) {
  // The finalizer of SplitMix64.
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t PageChecksum(const std::byte* page) {
  // Four lanes, since each step waits for the one before in its lane.
  uint64_t lanes[4] = {1, 2, 3, 4};
  for (uint64_t i = 0; i < kWords; i += 4) {
    uint64_t words[4];
    std::memcpy(words, page + i * sizeof(uint64_t), sizeof(words));
    lanes[0] = Step(lanes[0], words[0]);
    lanes[1] = Step(lanes[1], words[1]);
    lanes[2] = Step(lanes[2], words[2]);
    lanes[3] = Step(lanes[3], words[3]);
  }
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) {
    sum = std::rotl((sum ^ Mix(lane)) * kFinalMultiplier, 27);
  }
  return sum;
}

uint64_t PatternWord(uint64_t seed, PageCount page) {
  return Mix(Mix(seed) + page);
}

void FillPattern(uint64_t seed, PageCount page, std::byte* out) {
  uint64_t word = PatternWord(seed, page);
  for (uint64_t i = 0; i < kWords; ++i) {
    std::memcpy(out + i * sizeof(uint64_t), &word, sizeof(word));
    word += kPatternStride;
  }
}

uint64_t PatternChecksum(uint64_t seed, PageCount page) {
  alignas(64) std::byte bytes[kPageSize];
  FillPattern(seed, page, bytes);
  return PageChecksum(bytes);
}

}  // namespace twostep
