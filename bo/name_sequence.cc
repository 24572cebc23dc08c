#include "twostep/bo/name_sequence.h"

#include <bit>

namespace twostep {
namespace {

void Round(uint32_t key, uint32_t* x, uint32_t* y) {
  *x = (std::rotr(*x, 8) + *y) ^ key;
  *y = std::rotl(*y, 3) ^ *x;
}

// splitmix64: seeds that differ in one bit give keys that differ in half.
uint64_t Spread(uint64_t* state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

NameSequence::Key KeyOf(uint64_t seed) {
  const uint64_t low = Spread(&seed);
  const uint64_t high = Spread(&seed);
  return {static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32),
          static_cast<uint32_t>(high), static_cast<uint32_t>(high >> 32)};
}

}  // namespace

NameSequence::NameSequence(uint64_t seed) : NameSequence(KeyOf(seed)) {}

NameSequence::NameSequence(const Key& key) {
  uint32_t k = key[0];
  uint32_t l[3] = {key[1], key[2], key[3]};
  for (int i = 0; i < kRounds; ++i) {
    round_keys_[i] = k;
    Round(static_cast<uint32_t>(i), &l[i % 3], &k);
  }
}

uint64_t NameSequence::At(uint64_t index) const {
  auto x = static_cast<uint32_t>(index >> 32);
  auto y = static_cast<uint32_t>(index);
  for (const uint32_t key : round_keys_) Round(key, &x, &y);
  return uint64_t{x} << 32 | y;
}

}  // namespace twostep
