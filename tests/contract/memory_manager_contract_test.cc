// The built-in memory types join the contract.

#include "tests/contract/memory_manager_contract.h"

#include "twostep/eviction/policy_registry.h"
#include "twostep/mem_types/managers.h"

namespace twostep {
namespace {

std::unique_ptr<EvictionPolicy> Lru() { return *MakeEvictionPolicy("lru"); }

// Four threads may hold 16 pages each at once, and fragment what is left.
constexpr PageCount kPages = 256;

std::unique_ptr<MemoryManager> MakeVram(SpaceAllocator allocator,
                                        PageCount pages) {
  return *MakeVramManager(VramSizes{PagesToBytes(pages), PagesToBytes(8)},
                          allocator, Backing::kBacked, Lru());
}

const MemoryManagerCase kCases[] = {
    {.name = "System",
     .make = [] { return MakeSystemManager(Lru()); },
     .kind = MemoryManager::Kind::kNowhere,
     .pages = 0},
    {.name = "Tt",
     .make = [] { return *MakeTtManager(PagesToBytes(kPages), Lru()); },
     .kind = MemoryManager::Kind::kAperture,
     .pages = kPages},
    {.name = "VramRange",
     .make = [] { return MakeVram(SpaceAllocator::kRange, kPages); },
     .pages = kPages},
    {.name = "VramBuddy",
     .make = [] { return MakeVram(SpaceAllocator::kBuddy, kPages); },
     .pages = kPages,
     .splits = true},
    {.name = "VramBuddyOfNoPowerOfTwo",
     .make = [] { return MakeVram(SpaceAllocator::kBuddy, 200); },
     .pages = 200,
     .splits = true},
};

INSTANTIATE_TEST_SUITE_P(
    All, MemoryManagerContract, testing::ValuesIn(kCases),
    [](const testing::TestParamInfo<MemoryManagerCase>& info) {
      return info.param.name;
    });

}  // namespace
}  // namespace twostep
