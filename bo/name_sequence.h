#ifndef BO_NAME_SEQUENCE_H_
#define BO_NAME_SEQUENCE_H_

// 64-bit numbers that never repeat and cannot be told from chance without the
// key: a block cipher over 0, 1, 2 and so on. Being a permutation it needs no
// memory of what it gave out, and who has seen many cannot compute the next.
// (Speck64/128: Beaulieu et al., "The SIMON and SPECK Families of Lightweight
// Block Ciphers", IACR ePrint 2013/404.) Thread-compatible. Private to
// the library.

#include <array>
#include <cstdint>

namespace twostep {

class NameSequence {
 public:
  using Key = std::array<uint32_t, 4>;  // the word used first comes first

  explicit NameSequence(const Key& key);
  // The same sequence for the same seed.
  explicit NameSequence(uint64_t seed);

  uint64_t Next() { return At(next_++); }
  // Number `index` of the sequence.
  uint64_t At(uint64_t index) const;

 private:
  static constexpr int kRounds = 27;

  std::array<uint32_t, kRounds> round_keys_;
  uint64_t next_ = 0;
};

}  // namespace twostep

#endif  // BO_NAME_SEQUENCE_H_
