#include "twostep/lab/foresight.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;

// Bos 0 to 3 by keys 10 to 13: used in submissions
//   0: 0 1 2 3   1: 0   2: 1   3: 0 2
// Bo 3 is destroyed before submission 2, the others never.
class ForesightTest : public testing::Test {
 protected:
  ForesightTest() {
    history_.uses.bytes = {1, 1, 1, 1};
    history_.uses.objects = {0, 1, 2, 3, 0, 1, 0, 2};
    history_.uses.step_begin = {0, 4, 5, 6, 8};
    history_.contents_first.resize(4);
    history_.destroyed_before = {4, 4, 4, 2};
  }
  std::vector<uint64_t> NextUses(Foresight& foresight) {
    std::vector<uint64_t> next;
    for (uint64_t key = 10; key < 14; ++key) {
      next.push_back(foresight.NextUse(key));
    }
    return next;
  }

  TraceHistory history_;
};

TEST_F(ForesightTest, TellsTheSubmissionAfterThePresentOne) {
  Foresight foresight(history_);
  for (uint64_t key = 10; key < 14; ++key) foresight.NoteCreated(key);
  EXPECT_THAT(NextUses(foresight), ElementsAre(0, 0, 0, 0));
  foresight.NoteSubmission();
  const uint64_t never = 5;
  EXPECT_THAT(NextUses(foresight), ElementsAre(1, 2, 3, never + 2));
  foresight.NoteSubmission();
  EXPECT_THAT(NextUses(foresight), ElementsAre(3, 2, 3, never + 2));
}

TEST_F(ForesightTest, WhatIsDestroyedLaterCountsAsUsedLater) {
  Foresight foresight(history_);
  for (uint64_t key = 10; key < 14; ++key) foresight.NoteCreated(key);
  for (int i = 0; i < 4; ++i) foresight.NoteSubmission();
  EXPECT_GT(foresight.NextUse(10), foresight.NextUse(13));
  EXPECT_EQ(foresight.NextUse(10), foresight.NextUse(11));
}

}  // namespace
}  // namespace twostep
