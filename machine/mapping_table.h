#ifndef MACHINE_MAPPING_TABLE_H_
#define MACHINE_MAPPING_TABLE_H_

// Which user mapping owns an address: a radix tree over the pages of the
// process's address space. Does not look at what it points to.
//
// Find() is wait-free, allocates nothing and takes no lock, so that a signal
// handler may call it wherever it interrupted the thread. Thread-safe, as long
// as ranges inserted at one time do not overlap. Private to the library.
//
//   root [16 bits] -> Middle [11 bits: granules of 2 MiB] -> Leaf [9 bits]
//
// A granule that one mapping fills needs no leaf: a large mapping costs 16
// bytes for 2 MiB, a small one at most 8 KiB. Nodes are kept once made: which
// addresses the kernel hands out again is its choice, and nothing tells when
// the last reader has left. So a table must last as long as the process.

#include <array>
#include <cstdint>

#include "twostep/machine/sync.h"

namespace twostep {

class UserMapping;

class MappingTable {
 public:
  constexpr MappingTable() = default;
  MappingTable(const MappingTable&) = delete;
  MappingTable& operator=(const MappingTable&) = delete;

  // Pages are addresses >> kPageShift. REQUIRES: the pages have no owner yet
  // (Insert), or exactly this one (Erase).
  void Insert(uint64_t first_page, uint64_t count, UserMapping& owner);
  void Erase(uint64_t first_page, uint64_t count);

  // nullptr for a page that no mapping owns.
  UserMapping* Find(uint64_t page) const;

 private:
  static constexpr uint64_t kLeafBits = 9;
  static constexpr uint64_t kMiddleBits = 11;
  static constexpr uint64_t kRootBits = 16;  // 48 bits of address in all
  static constexpr uint64_t kGranule = uint64_t{1} << kLeafBits;

  struct Leaf {
    std::array<Atomic<UserMapping*>, kGranule> owners{};
  };
  struct Granule {
    Atomic<UserMapping*> owner{nullptr};  // of every page, or
    Atomic<Leaf*> leaf{nullptr};          // of each one
  };
  struct Middle {
    std::array<Granule, uint64_t{1} << kMiddleBits> granules{};
  };

  // Makes the nodes on the way, or returns those that are there.
  Granule& GranuleOf(uint64_t page);
  Leaf& LeafOf(Granule& granule);
  void Set(uint64_t first_page, uint64_t count, UserMapping* owner);

  Mutex growing_;  // making nodes
  std::array<Atomic<Middle*>, uint64_t{1} << kRootBits> root_{};
};

}  // namespace twostep

#endif  // MACHINE_MAPPING_TABLE_H_
