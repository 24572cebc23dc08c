#ifndef TESTS_CONTRACT_MEMORY_MANAGER_CONTRACT_H_
#define TESTS_CONTRACT_MEMORY_MANAGER_CONTRACT_H_

// What every memory manager promises, ours or a user's. To join, in a test that
// links :memory_manager_contract:
//
//   INSTANTIATE_TEST_SUITE_P(Mine, MemoryManagerContract,
//                            testing::Values(MemoryManagerCase{...}));

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/mem_types/memory_manager.h"

namespace twostep {

struct MemoryManagerCase {
  std::string name;
  std::function<std::unique_ptr<MemoryManager>()> make;
  MemoryManager::Kind kind = MemoryManager::Kind::kFixed;
  // Capacity, a multiple of 8 from 64 on; 0: grants without limit.
  PageCount pages = 64;
  // Whether it can grant several runs where one is not asked for.
  bool splits = false;
};

class MemoryManagerContract : public testing::TestWithParam<MemoryManagerCase> {
 protected:
  struct Grant {
    SpaceBlock block;
    PageCount pages = 0;
  };
  struct Run {
    uint64_t start = 0;
    uint64_t end = 0;
  };

  MemoryManagerContract() : manager_(GetParam().make()) {}
  // Frees what is left, and expects that nothing is missing.
  void TearDown() override;

  MemoryManager& manager() { return *manager_; }
  PageCount capacity() const { return GetParam().pages; }
  bool finite() const { return capacity() != 0; }

  // What `request` is answered, and the grant kept.
  Shortage::Kind Allocate(const SpaceRequest& request);
  // `pages` single pages.
  void AllocatePages(PageCount pages);
  // REQUIRES: that many grants are held.
  void Free(size_t grant);
  std::vector<Grant>& grants() { return grants_; }
  std::vector<Run> RunsOf(const Grant& grant) const;
  // That all grants lie in the space, apart from one another, and are as long
  // as asked for.
  void ExpectSound() const;

 private:
  std::unique_ptr<MemoryManager> manager_;
  std::vector<Grant> grants_;
};

inline void PrintTo(const MemoryManagerCase& param, std::ostream* out) {
  *out << param.name;
}

}  // namespace twostep

#endif  // TESTS_CONTRACT_MEMORY_MANAGER_CONTRACT_H_
