#include "twostep/machine/mapping_table.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

// The table never looks inside, so any address will do.
UserMapping& Owner(uintptr_t id) {
  return *reinterpret_cast<UserMapping*>(id * 64);
}

class MappingTableTest : public testing::Test {
 protected:
  std::unique_ptr<MappingTable> table_ = std::make_unique<MappingTable>();
};

TEST_F(MappingTableTest, NeighboursInOneGranuleAreToldApart) {
  table_->Insert(1000, 5, Owner(1));
  table_->Insert(1005, 1, Owner(2));
  EXPECT_EQ(table_->Find(999), nullptr);
  EXPECT_EQ(table_->Find(1000), &Owner(1));
  EXPECT_EQ(table_->Find(1004), &Owner(1));
  EXPECT_EQ(table_->Find(1005), &Owner(2));
  EXPECT_EQ(table_->Find(1006), nullptr);
  table_->Erase(1000, 5);
  EXPECT_EQ(table_->Find(1004), nullptr);
  EXPECT_EQ(table_->Find(1005), &Owner(2));
}

TEST_F(MappingTableTest, RangeAcrossGranulesAndMiddlesIsFoundWhole) {
  const uint64_t first = (uint64_t{7} << 20) - 700;  // 4 GiB line inside
  table_->Insert(first, 3000, Owner(1));
  EXPECT_EQ(table_->Find(first - 1), nullptr);
  for (uint64_t page = first; page < first + 3000; ++page) {
    ASSERT_EQ(table_->Find(page), &Owner(1)) << page - first;
  }
  EXPECT_EQ(table_->Find(first + 3000), nullptr);
  table_->Erase(first, 3000);
  for (uint64_t page = first; page < first + 3000; ++page) {
    ASSERT_EQ(table_->Find(page), nullptr) << page - first;
  }
}

TEST_F(MappingTableTest, GranuleChangesBetweenOneOwnerAndMany) {
  table_->Insert(512, 512, Owner(1));
  table_->Erase(512, 512);
  table_->Insert(600, 1, Owner(2));
  EXPECT_EQ(table_->Find(599), nullptr);
  EXPECT_EQ(table_->Find(600), &Owner(2));
  table_->Erase(600, 1);
  table_->Insert(512, 512, Owner(3));
  EXPECT_EQ(table_->Find(600), &Owner(3));
}

TEST_F(MappingTableTest, AddressOutsideOf48BitsHasNoOwner) {
  EXPECT_EQ(table_->Find(uint64_t{1} << 36), nullptr);
  EXPECT_EQ(table_->Find(~uint64_t{0}), nullptr);
}

TEST_F(MappingTableTest, ThreadsInsertAndEraseSideBySide) {
  std::vector<Thread> threads;
  for (uintptr_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      const uint64_t first = 5000 + t * 100;  // one granule for all
      for (int i = 0; i < 1000; ++i) {
        table_->Insert(first, 100, Owner(t + 1));
        EXPECT_EQ(table_->Find(first + i % 100), &Owner(t + 1));
        table_->Erase(first, 100);
        EXPECT_EQ(table_->Find(first + i % 100), nullptr);
      }
    });
  }
}

}  // namespace
}  // namespace twostep
