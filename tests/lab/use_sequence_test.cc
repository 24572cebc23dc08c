#include "twostep/lab/use_sequence.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/trace/trace_writer.h"

namespace twostep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTrace[] =
    "#botrace 1\n"
    "c 7 5000 v\n"
    "c 9 4096 t\n"
    "w 7 0 100\n"
    "g 0 7 9*\n"
    "w 9 0 4096\n"
    "f\n"
    "d 7\n"
    "c 3 10000 o\n"
    "g 1 3 9\n"
    "f\n";

TEST(TraceHistory, TakesSubmissionsAsStepsAndBosAsPages) {
  const auto history = ReadTraceHistory(WriteTempFile("h.botrace", kTrace));
  ASSERT_TRUE(history.ok()) << history.status();
  EXPECT_THAT(history->uses.bytes, ElementsAre(8192, 4096, 12288));
  EXPECT_THAT(history->uses.objects, ElementsAre(0, 1, 2, 1));
  EXPECT_THAT(history->uses.step_begin, ElementsAre(0, 2, 4));
  // A write after the first use makes no contents before it.
  EXPECT_THAT(history->contents_first, ElementsAre(true, false, false));
  EXPECT_THAT(history->destroyed_before, ElementsAre(1, 2, 2));
  EXPECT_EQ(history->records, 10);
  EXPECT_EQ(history->peak_live_bytes, 4096 + 10000);
  EXPECT_EQ(history->largest_submission_bytes, 4096 + 12288);
}

TEST(CacheRequests, OfABotraceAreItsUsesOneByOne) {
  const auto uses = ReadCacheRequests(WriteTempFile("r.botrace", kTrace));
  ASSERT_TRUE(uses.ok()) << uses.status();
  EXPECT_THAT(uses->bytes, ElementsAre(5000, 4096, 10000));
  EXPECT_THAT(uses->objects, ElementsAre(0, 1, 2, 1));
  EXPECT_EQ(uses->steps(), 4);
  const auto packed =
      ReadCacheRequests(WriteTempFile("r.botrace.zst", Compress(kTrace)));
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_EQ(packed->objects, uses->objects);
}

std::string OracleRecord(uint64_t object, uint32_t bytes) {
  std::string record(4, '\1');
  for (int i = 0; i < 8; ++i) record += static_cast<char>(object >> 8 * i);
  for (int i = 0; i < 4; ++i) record += static_cast<char>(bytes >> 8 * i);
  return record + std::string(8, '\377');
}

TEST(CacheRequests, OfOracleGeneralKeepTheFirstSize) {
  std::string trace;
  trace += OracleRecord(0x1122334455667788, 300);
  trace += OracleRecord(5, 70000);
  trace += OracleRecord(0x1122334455667788, 999);
  for (const std::string& bytes : {trace, Compress(trace)}) {
    const auto uses = ReadCacheRequests(WriteTempFile("o.bin", bytes));
    ASSERT_TRUE(uses.ok()) << uses.status();
    EXPECT_THAT(uses->bytes, ElementsAre(300, 70000));
    EXPECT_THAT(uses->objects, ElementsAre(0, 1, 0));
  }
}

TEST(CacheRequests, OfNoBytesArePassedOver) {
  const auto uses = ReadCacheRequests(WriteTempFile(
      "z.bin", OracleRecord(8, 0) + OracleRecord(1, 7) + OracleRecord(1, 0)));
  ASSERT_TRUE(uses.ok()) << uses.status();
  EXPECT_THAT(uses->bytes, ElementsAre(7));
  EXPECT_THAT(uses->objects, ElementsAre(0));
}

TEST(CacheRequests, MoreOfOracleGeneralThanOneBufferful) {
  std::string trace;
  for (uint64_t i = 0; i < 10'000; ++i) {
    trace += OracleRecord(i % 977, static_cast<uint32_t>(i % 977 + 1));
  }
  for (const std::string& bytes : {trace, Compress(trace)}) {
    const auto uses = ReadCacheRequests(WriteTempFile("m.bin", bytes));
    ASSERT_TRUE(uses.ok()) << uses.status();
    ASSERT_EQ(uses->objects.size(), 10'000);
    for (size_t i = 0; i < uses->objects.size(); ++i) {
      ASSERT_EQ(uses->bytes[uses->objects[i]], i % 977 + 1);
    }
  }
}

TEST(CacheRequests, BadFilesAreNamedWithThePlace) {
  const auto message = [](const std::string& path) {
    return std::string(ReadCacheRequests(path).status().message());
  };
  EXPECT_THAT(message("/nowhere.bin"), HasSubstr("/nowhere.bin"));
  EXPECT_THAT(message(WriteTempFile("e.bin", "")), HasSubstr("e.bin: neither"));
  EXPECT_THAT(message(WriteTempFile("s.bin", OracleRecord(1, 1) + "x")),
              HasSubstr("s.bin: neither"));
  EXPECT_THAT(message(WriteTempFile("b.botrace", "#botrace 1\ng 0 1\n")),
              HasSubstr("b.botrace:2:"));
  const std::string packed = Compress(OracleRecord(1, 1));
  EXPECT_THAT(message(WriteTempFile("t.bin", packed.substr(0, 20))),
              HasSubstr("t.bin: at byte"));
}

}  // namespace
}  // namespace twostep
