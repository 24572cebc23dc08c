#ifndef MACHINE_BIT_TREE_H_
#define MACHINE_BIT_TREE_H_

// A set of numbers below a fixed limit: a bitmap under bitmaps, each of whose
// bits says whether a word of the one below has any. The nearest member on
// either side of a number is found in a few words. Thread-compatible.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace twostep::internal {

class BitTree {
 public:
  static constexpr uint64_t kNone = ~uint64_t{0};
  static constexpr int kMaxLevels = 7;  // 64^7 = 2^42 numbers

  BitTree() = default;

  // How many words a tree over [0, limit) needs. 0 < limit <= 2^42.
  static size_t WordsFor(uint64_t limit) {
    size_t words = 0;
    do {
      limit = (limit + 63) / 64;
      words += limit;
    } while (limit > 1);
    return words;
  }
  // An empty set in `words`, which hold WordsFor(limit) zeros and outlive it.
  void Init(uint64_t* words, uint64_t limit) {
    do {
      limit = (limit + 63) / 64;
      words_[levels_] = words;
      counts_[levels_++] = limit;
      words += limit;
    } while (limit > 1);
  }

  bool Has(uint64_t number) const {
    return ((words_[0][number / 64] >> (number % 64)) & 1) != 0;
  }
  void Insert(uint64_t number) { InsertFrom(0, number); }
  // Returns whether the set is empty now.
  bool Erase(uint64_t number) { return EraseFrom(0, number); }
  void Toggle(uint64_t number) {
    uint64_t& word = words_[0][number / 64];
    const uint64_t bit = uint64_t{1} << (number % 64);
    word ^= bit;
    if (word == 0) {
      EraseFrom(1, number / 64);
    } else if (word == bit) {
      InsertFrom(1, number / 64);
    }
  }

  // REQUIRES for both: not empty.
  uint64_t First() const { return DescendFirst(levels_, 0); }
  uint64_t Last() const { return DescendLast(levels_, 0); }

  // The smallest member >= number, or kNone. Any number will do.
  uint64_t AtOrAfter(uint64_t number) const {
    for (int level = 0; level < levels_; ++level) {
      const uint64_t word = number / 64;
      if (word >= counts_[level]) return kNone;
      const uint64_t bits =
          words_[level][word] & (~uint64_t{0} << (number % 64));
      if (bits != 0) {
        return DescendFirst(level, word * 64 + std::countr_zero(bits));
      }
      number = word + 1;
    }
    return kNone;
  }
  // The largest member <= number, or kNone.
  uint64_t AtOrBefore(uint64_t number) const {
    for (int level = 0; level < levels_; ++level) {
      uint64_t word = number / 64;
      uint64_t mask = ~uint64_t{0} >> (63 - number % 64);
      if (word >= counts_[level]) {
        word = counts_[level] - 1;
        mask = ~uint64_t{0};
      }
      const uint64_t bits = words_[level][word] & mask;
      if (bits != 0) {
        return DescendLast(level, word * 64 + std::bit_width(bits) - 1);
      }
      if (word == 0) return kNone;
      number = word - 1;
    }
    return kNone;
  }

 private:
  void InsertFrom(int level, uint64_t number) {
    for (; level < levels_; ++level) {
      uint64_t& word = words_[level][number / 64];
      const bool was_empty = word == 0;
      word |= uint64_t{1} << (number % 64);
      if (!was_empty) return;
      number /= 64;
    }
  }
  bool EraseFrom(int level, uint64_t number) {
    for (; level < levels_; ++level) {
      uint64_t& word = words_[level][number / 64];
      word &= ~(uint64_t{1} << (number % 64));
      if (word != 0) return false;
      number /= 64;
    }
    return true;
  }
  // From member `number` of `level` down to the first (last) number below it.
  uint64_t DescendFirst(int level, uint64_t number) const {
    while (level-- > 0) {
      number = number * 64 + std::countr_zero(words_[level][number]);
    }
    return number;
  }
  uint64_t DescendLast(int level, uint64_t number) const {
    while (level-- > 0) {
      number = number * 64 + std::bit_width(words_[level][number]) - 1;
    }
    return number;
  }

  std::array<uint64_t*, kMaxLevels> words_{};
  std::array<uint64_t, kMaxLevels> counts_{};
  int levels_ = 0;
};

}  // namespace twostep::internal

#endif  // MACHINE_BIT_TREE_H_
