#include "twostep/machine/mapping_table.h"

#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

// The table never looks inside, so any address will do.
UserMapping& Owner(uintptr_t id) {
  return *reinterpret_cast<UserMapping*>(id * 64);
}

// Tables live as long as the process (their nodes are never freed), so the
// tests share one, and each leaves it empty.
MappingTable table;

TEST(MappingTable, NeighboursInOneGranuleAreToldApart) {
  table.Insert(1000, 5, Owner(1));
  table.Insert(1005, 1, Owner(2));
  EXPECT_EQ(table.Find(999), nullptr);
  EXPECT_EQ(table.Find(1000), &Owner(1));
  EXPECT_EQ(table.Find(1004), &Owner(1));
  EXPECT_EQ(table.Find(1005), &Owner(2));
  EXPECT_EQ(table.Find(1006), nullptr);
  table.Erase(1000, 5);
  EXPECT_EQ(table.Find(1004), nullptr);
  EXPECT_EQ(table.Find(1005), &Owner(2));
  table.Erase(1005, 1);
}

TEST(MappingTable, RangeAcrossGranulesAndMiddlesIsFoundWhole) {
  const uint64_t first = (uint64_t{7} << 20) - 700;  // 4 GiB line inside
  table.Insert(first, 3000, Owner(1));
  EXPECT_EQ(table.Find(first - 1), nullptr);
  for (uint64_t page = first; page < first + 3000; ++page) {
    ASSERT_EQ(table.Find(page), &Owner(1)) << page - first;
  }
  EXPECT_EQ(table.Find(first + 3000), nullptr);
  table.Erase(first, 3000);
  for (uint64_t page = first; page < first + 3000; ++page) {
    ASSERT_EQ(table.Find(page), nullptr) << page - first;
  }
}

TEST(MappingTable, GranuleChangesBetweenOneOwnerAndMany) {
  table.Insert(512, 512, Owner(1));
  table.Erase(512, 512);
  table.Insert(600, 1, Owner(2));
  EXPECT_EQ(table.Find(599), nullptr);
  EXPECT_EQ(table.Find(600), &Owner(2));
  table.Erase(600, 1);
  table.Insert(512, 512, Owner(3));
  EXPECT_EQ(table.Find(600), &Owner(3));
  table.Erase(512, 512);
}

TEST(MappingTable, AddressOutsideOf48BitsHasNoOwner) {
  EXPECT_EQ(table.Find(uint64_t{1} << 36), nullptr);
  EXPECT_EQ(table.Find(~uint64_t{0}), nullptr);
}

TEST(MappingTable, ThreadsInsertAndEraseSideBySide) {
  std::vector<Thread> threads;
  for (uintptr_t t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const uint64_t first = 5000 + t * 100;  // one granule for all
      for (int i = 0; i < 1000; ++i) {
        table.Insert(first, 100, Owner(t + 1));
        EXPECT_EQ(table.Find(first + i % 100), &Owner(t + 1));
        table.Erase(first, 100);
        EXPECT_EQ(table.Find(first + i % 100), nullptr);
      }
    });
  }
}

}  // namespace
}  // namespace twostep
