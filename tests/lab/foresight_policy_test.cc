#include "twostep/lab/foresight_policy.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;

struct Entry : EvictionHook {
  uint64_t key = 0;
};

// Bos 0 to 3 by keys 10 to 13: used in submissions
//   0: 0 1 2 3   1: 0   2: 1   3: 0 2
// Bo 3 is never used again and destroyed before 2; bo 1 after the end.
class ForesightTest : public testing::Test {
 protected:
  ForesightTest() {
    history_.uses.bytes = {1, 1, 1, 1};
    history_.uses.objects = {0, 1, 2, 3, 0, 1, 0, 2};
    history_.uses.step_begin = {0, 4, 5, 6, 8};
    history_.contents_first.resize(4);
    history_.destroyed_before = {4, 4, 4, 2};
    foresight_ = std::make_unique<Foresight>(history_);
    policy_ = std::make_unique<ForesightPolicy>(foresight_.get());
    EvictionOwner owner;
    owner.facts_of = [](const void*, const EvictionHook& hook) {
      return EvictionFacts{.key = static_cast<const Entry&>(hook).key};
    };
    policy_->Serve(owner);
    for (uint64_t i = 0; i < 4; ++i) {
      entries_[i].key = 10 + i;
      foresight_->NoteCreated(10 + i);
    }
    foresight_->NoteSubmission();
    for (Entry& entry : entries_) policy_->Insert(entry);
  }
  ~ForesightTest() override {
    for (Entry& entry : entries_) {
      if (entry.is_linked()) policy_->Remove(entry, Departure::kGone);
    }
  }

  std::vector<uint64_t> Order() {
    std::vector<uint64_t> keys;
    for (EvictionHook* at = policy_->First(); at != nullptr;
         at = policy_->After(*at)) {
      keys.push_back(static_cast<Entry*>(at)->key);
    }
    return keys;
  }

  TraceHistory history_;
  std::unique_ptr<Foresight> foresight_;
  std::unique_ptr<ForesightPolicy> policy_;
  Entry entries_[4];
};

TEST_F(ForesightTest, WhatIsUsedLastGoesFirst) {
  EXPECT_THAT(Order(), ElementsAre(13, 12, 11, 10));
  foresight_->NoteSubmission();  // 1 uses bo 0, then next in 3
  policy_->Touch(entries_[0]);
  EXPECT_THAT(Order(), ElementsAre(13, 10, 12, 11));
}

TEST_F(ForesightTest, OfThoseNeverUsedAgainTheOneThatIsDestroyedLastGoesFirst) {
  for (int i = 0; i < 3; ++i) foresight_->NoteSubmission();
  for (Entry& entry : entries_) policy_->Touch(entry);
  EXPECT_THAT(Order(), ElementsAre(10, 11, 12, 13));
}

TEST_F(ForesightTest, ATouchBetweenSubmissionsChangesNothing) {
  policy_->Touch(entries_[0]);
  EXPECT_THAT(Order(), ElementsAre(13, 12, 11, 10));
}

TEST_F(ForesightTest, WhatLeavesAndComesBackStandsWhereItsNextUseIs) {
  policy_->Remove(entries_[1], Departure::kEvicted);
  EXPECT_THAT(Order(), ElementsAre(13, 12, 10));
  policy_->Insert(entries_[1]);
  EXPECT_THAT(Order(), ElementsAre(13, 12, 11, 10));
}

}  // namespace
}  // namespace twostep
