#include "twostep/trace/trace_reader.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/trace/trace_writer.h"
#include "twostep/trace/trace_summary.h"

namespace twostep {
namespace {

using Kind = TraceRecord::Kind;

absl::StatusOr<std::vector<TraceRecord>> ReadFile(const std::string& path) {
  auto reader = TraceReader::Open(path);
  if (!reader.ok()) return reader.status();
  std::vector<TraceRecord> records;
  TraceRecord record;
  while (true) {
    const absl::StatusOr<bool> more = (*reader)->Next(&record);
    if (!more.ok()) {
      // It stays at its error.
      EXPECT_EQ((*reader)->Next(&record).status(), more.status());
      return more.status();
    }
    if (!*more) break;
    records.push_back(record);
  }
  EXPECT_FALSE(*(*reader)->Next(&record));
  return records;
}

absl::StatusOr<std::vector<TraceRecord>> ReadText(const std::string& text) {
  return ReadFile(WriteTempFile("text.botrace", text));
}

TEST(TraceReader, GivesEveryKindOfRecord) {
  const auto records = ReadText(
      "#botrace 1\n"
      "c 7 100 vr\n"
      "c 18446744073709551615 1099511627776 o\n"
      "w 7 0 100\n"
      "r 18446744073709551615 1099511627775 1\n"
      "g 3 18446744073709551615 7*\n"
      "f\n"
      "d 7\n");
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 7u);
  const TraceRecord* r = records->data();
  EXPECT_EQ(r[0].kind, Kind::kCreate);
  EXPECT_EQ(r[0].line, 2u);
  EXPECT_EQ(r[0].bo, 7u);
  EXPECT_EQ(r[0].bytes, 100u);
  EXPECT_EQ(r[0].usage, kUsageVertex | kUsageRenderTarget);
  EXPECT_EQ(r[1].bo, ~uint64_t{0});
  EXPECT_EQ(r[1].bytes, TraceReader::kMaxBoBytes);
  EXPECT_EQ(r[1].usage, kUsageOther);
  EXPECT_NE(r[1].slot, r[0].slot);
  EXPECT_EQ(r[2].kind, Kind::kWrite);
  EXPECT_EQ(r[2].slot, r[0].slot);
  EXPECT_EQ(r[2].offset, 0u);
  EXPECT_EQ(r[2].bytes, 100u);
  EXPECT_EQ(r[3].kind, Kind::kRead);
  EXPECT_EQ(r[3].offset, TraceReader::kMaxBoBytes - 1);
  EXPECT_EQ(r[4].kind, Kind::kSubmit);
  EXPECT_EQ(r[4].context, 3u);
  ASSERT_EQ(r[4].uses.size(), 2u);
  EXPECT_EQ(r[4].uses[0].bo, ~uint64_t{0});
  EXPECT_FALSE(r[4].uses[0].written);
  EXPECT_EQ(r[4].uses[1].bo, 7u);
  EXPECT_EQ(r[4].uses[1].slot, r[0].slot);
  EXPECT_TRUE(r[4].uses[1].written);
  EXPECT_EQ(r[5].kind, Kind::kFrameEnd);
  EXPECT_TRUE(r[5].uses.empty());
  EXPECT_EQ(r[6].kind, Kind::kDestroy);
  EXPECT_EQ(r[6].bytes, 100u);
  EXPECT_EQ(r[6].line, 8u);
}

TEST(TraceReader, EveryUsageLetterHasItsBit) {
  const auto records = ReadText("#botrace 1\nc 1 1 viutrso\nc 2 1 s\n");
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ((*records)[0].usage, 0x7f);
  EXPECT_EQ((*records)[1].usage, kUsageStorage);
}

TEST(TraceReader, KeepsProgramAndSceneOfTheHead) {
  const std::string path = WriteTempFile(
      "head.botrace",
      "#botrace 1\n# program: a game: the sequel\n# note:\n# scene:none\n"
      "f\n# program: later\nf");
  auto reader = TraceReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->program(), "a game: the sequel");
  EXPECT_EQ((*reader)->scene(), "none");
  TraceRecord record;
  EXPECT_TRUE(*(*reader)->Next(&record));
  EXPECT_EQ(record.line, 5u);
  EXPECT_TRUE(*(*reader)->Next(&record));  // without a final newline
  EXPECT_EQ(record.line, 7u);
  EXPECT_FALSE(*(*reader)->Next(&record));
  EXPECT_EQ((*reader)->program(), "a game: the sequel");
}

TEST(TraceReader, ABoNamedTwiceInASubmissionComesOnceWrittenIfAnyIs) {
  const auto records =
      ReadText("#botrace 1\nc 1 9 v\nc 2 9 v\ng 0 1 2* 1* 2\ng 0 2 1\n");
  ASSERT_TRUE(records.ok()) << records.status();
  const auto& uses = (*records)[2].uses;
  ASSERT_EQ(uses.size(), 2u);
  EXPECT_TRUE(uses[0].bo == 1 && uses[0].written);
  EXPECT_TRUE(uses[1].bo == 2 && uses[1].written);
  const auto& next = (*records)[3].uses;
  ASSERT_EQ(next.size(), 2u);
  EXPECT_FALSE(next[0].written || next[1].written);
}

TEST(TraceReader, SlotsAndContextsAreNumberedDensely) {
  const auto records = ReadText(
      "#botrace 1\nc 50 1 v\nc 40 1 v\nd 50\nc 60 1 v\n"
      "g 900 60\ng 7 60\ng 900 40\n");
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ((*records)[0].slot, 0u);
  EXPECT_EQ((*records)[1].slot, 1u);
  EXPECT_EQ((*records)[3].slot, 0u);
  EXPECT_EQ((*records)[4].context_index, 0u);
  EXPECT_EQ((*records)[5].context_index, 1u);
  EXPECT_EQ((*records)[6].context_index, 0u);
  EXPECT_EQ((*records)[6].context, 900u);
}

struct BadCase {
  std::string line;    // the third, behind the first and `c 1 100 v`
  std::string reason;  // that the error must contain
};

TEST(TraceReader, SaysFileLineAndReason) {
  const BadCase cases[] = {
      {"", "empty"},
      {" ", "unknown record \"\""},
      {"x 1", "unknown record \"x\""},
      {"cc 2 1 v", "unexpected \"c 2 1 v\" (expected: c BO BYTES USAGE)"},
      {"c", "the bo id is missing"},
      {"c ", "the bo id is missing after a space"},
      {"c 2", "the size of the bo is missing"},
      {"c 2 1", "the usage is missing"},
      {"c 2 1 ", "the usage is missing"},
      {"c 2 1 v ", "unexpected \" \""},
      {"c 2 1 v v", "unexpected \" v\""},
      {"c 2 1 vv", "a letter comes twice"},
      {"c 2 1 x", "usage \"x\": expected any of"},
      {"c  2 1 v", "separated by exactly one"},
      {"c 2\t1 v", "bo id \"2\\t1\""},
      {"c -1 1 v", "bo id \"-1\": not a decimal number"},
      {"c +2 1 v", "bo id \"+2\""},
      {"c 02 1 v", "bo id \"02\""},
      {"c 0x2 1 v", "bo id \"0x2\""},
      {"c 18446744073709551616 1 v", "bo id \"18446744073709551616\""},
      {"c 18446744073709551617 1 v", "bo id \"18446744073709551617\""},
      {"c 19999999999999999999 1 v", "bo id \"19999999999999999999\""},
      {"c 28446744073709551615 1 v", "bo id \"28446744073709551615\""},
      {"c 99999999999999999999 1 v", "bo id \"99999999999999999999\""},
      {"c 100000000000000000000 1 v", "bo id \"100000000000000000000\""},
      {"c 2 9223372036854775808 v", "9223372036854775808 bytes: a bo has 1"},
      {"c 2 1099511627777 v", "a bo has 1 to 1099511627776"},
      {"c 2 0 v", "a bo has 1"},
      {"c 2 -1 v", "size of the bo \"-1\""},
      {"c 1 1 v", "bo 1 is alive already"},
      {"c 2 1 v\r", "usage \"v\\r\""},
      {absl::StrCat("c 2 1 ", std::string(100, 'y')),
       absl::StrCat("usage \"", std::string(40, 'y'), "\"...")},
      {"w 1 0", "the number of bytes is missing"},
      {"w 1 0 0", "0 bytes of bo 1"},
      {"w 1 0 101", "reach past the end of bo 1, which has 100"},
      {"w 1 100 1", "reach past the end"},
      {"w 1 18446744073709551615 1", "reach past the end"},
      {"w 1 1 18446744073709551615", "reach past the end"},
      {"r 1 50 51", "reach past the end"},
      {"r 2 0 1", "bo 2 is used before it was created"},
      {"w 1* 0 1", "bo id \"1*\""},
      {"w 1 0 1 1", "unexpected \" 1\""},
      {"g", "the context is missing"},
      {"g 0", "the submission names no bo"},
      {"g 0 ", "is missing after a space"},
      {"g x 1", "context \"x\""},
      {"g 0 1 ", "is missing after a space"},
      {"g 0 1  1", "is missing after a space"},
      {"g 0 *", "bo id (with a * if the GPU writes the bo) \"*\""},
      {"g 0 1**", "\"1**\""},
      {"g 0 1*1", "\"1*1\""},
      {"g 0 1 2", "bo 2 is used before it was created"},
      {"f ", "unexpected \" \" (expected: f)"},
      {"f 1", "unexpected \" 1\""},
      {"f\r", "unexpected \"\\r\""},
      {"d", "the bo id is missing"},
      {"d 2", "bo 2 is used before"},
      {"d 1 1", "unexpected \" 1\""},
      {"d 1\nd 1", ":4: bo 1 is used after it was destroyed"},
      {"d 1\ng 0 1", ":4: bo 1 is used after it was destroyed"},
      {"d 1\nc 1 1 v", ":4: bo 1 was destroyed before"},
      {"#", "is no comment (expected: # key: value)"},
      {"#botrace 1", "is no comment"},
      {"# no colon", "is no comment"},
      {"# : no key", "is no comment"},
      {"#  two: spaces", "is no comment"},
      {"# key: \x1b[2J", "control characters"},
      {"# key: \xff", "no UTF-8"},
      {"# key: \xc2\x9b", "control characters"},
      {"# key: \xed\xa0\x80", "no UTF-8"},
      {"# key: \xe0\x80\x80", "no UTF-8"},
      {"# key: \xe4\xbd", "no UTF-8"},
      {std::string("f\0", 2), "unexpected \"\\x00\""},
      {std::string("\0", 1), "unknown record \"\\x00\""},
  };
  for (const BadCase& bad : cases) {
    SCOPED_TRACE(bad.line);
    const std::string path = WriteTempFile(
        "bad.botrace", absl::StrCat("#botrace 1\nc 1 100 v\n", bad.line, "\n"));
    const auto records = ReadFile(path);
    ASSERT_FALSE(records.ok());
    EXPECT_EQ(records.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string text(records.status().message());
    const char* const line = absl::StrContains(bad.reason, ":4:") ? ":" : ":3:";
    EXPECT_TRUE(absl::StartsWith(text, absl::StrCat(path, line))) << text;
    EXPECT_TRUE(absl::StrContains(text, bad.reason)) << text;
    EXPECT_LT(text.size(), path.size() + 250);
  }
}

TEST(TraceReader, TakesCommentsInUtf8) {
  EXPECT_TRUE(ReadText("#botrace 1\n# k\xc3\xa9y: \xe4\xbd\xa0 "
                       "\xf0\x9f\x8e\xae\n# k: \n# k:\n")
                  .ok());
}

TEST(TraceReader, TheFirstLineMustBeItsOwn) {
  for (const char* text :
       {"", "\n", "#botrace 2\n", "#botrace 1 \n", "#botrace 1\r\n", "# a: b\n",
        "c 1 1 v\n", " #botrace 1\n", "\xef\xbb\xbf#botrace 1\n"}) {
    const auto records = ReadText(text);
    EXPECT_EQ(records.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(
        absl::StrContains(records.status().message(), ":1: the first line is"))
        << records.status();
  }
  EXPECT_TRUE(ReadText("#botrace 1").ok());
}

TEST(TraceReader, WhatCannotBeOpenedIsNotFound) {
  for (const std::string& path :
       {WriteTempFile("x", "") + ".missing", std::string("/"), std::string(),
        std::string("/dev/zero")}) {
    const auto opened = TraceReader::Open(path);
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kNotFound) << path;
    EXPECT_TRUE(absl::StrContains(opened.status().message(),
                                  absl::StrCat(path, ": cannot be opened: ")))
        << opened.status();
  }
}

TEST(TraceReader, LinesAreBounded) {
  const std::string head = "#botrace 1\nf\n# k: ";
  std::string text = head + std::string(LineSource::kMaxLineBytes - 5, 'x');
  EXPECT_TRUE(ReadText(text + "\nf\n").ok());
  EXPECT_TRUE(ReadText(text).ok());
  text += 'x';
  for (const char* tail : {"", "\n", "\nf\n"}) {
    const auto records = ReadText(text + tail);
    EXPECT_TRUE(absl::StrContains(records.status().message(),
                                  ":3: the line is longer than 1048576 bytes"))
        << records.status();
  }
}

TEST(TraceReader, ContextsAreBounded) {
  std::string text = "#botrace 1\nc 1 1 v\n";
  for (uint32_t i = 0; i < TraceReader::kMaxContexts; ++i) {
    absl::StrAppend(&text, "g ", i, " 1\n");
  }
  EXPECT_TRUE(ReadText(text).ok());
  const auto records = ReadText(text + "g 65536 1\n");
  EXPECT_TRUE(absl::StrContains(records.status().message(),
                                "one more than 65536 contexts"))
      << records.status();
}

TEST(TraceReader, LiveBosAreBounded) {
  std::string text = "#botrace 1\n";
  for (uint32_t i = 0; i < TraceReader::kMaxLiveBos; ++i) {
    absl::StrAppend(&text, "c ", i, " 1 v\n");
  }
  EXPECT_TRUE(
      Summarize(WriteTempFile("many", text + "d 5\nc 2000000 1 v\n")).ok());
  const auto summary =
      Summarize(WriteTempFile("many", text + "c 2000000 1 v\n"));
  EXPECT_TRUE(absl::StrContains(summary.status().message(),
                                ":1048578: bo 2000000 would be one more than "
                                "1048576 live bos"))
      << summary.status();
}

// Smaller than what is read at once, and larger; the second half of the last
// compresses to next to nothing.
TEST(TraceReader, SaysHowMuchOfTheFileItHasGivenOut) {
  TraceWriterOptions options;
  options.records = 2000;
  const std::string small = WriteTraceToString(options);
  options.records = 60'000;
  const std::string large = WriteTraceToString(options);
  ASSERT_GT(large.size(), size_t{1} << 20);
  std::string lopsided = large;
  while (lopsided.size() < 2 * large.size()) lopsided += "f\n";
  for (const std::string& text :
       {small, large, Compress(small), Compress(large), Compress(lopsided)}) {
    SCOPED_TRACE(text.size());
    auto reader = TraceReader::Open(WriteTempFile("part.botrace", text));
    ASSERT_TRUE(reader.ok());
    double before = 0;
    int tenths = 0;  // that were passed on the way
    TraceRecord record;
    while (*(*reader)->Next(&record)) {
      const double part = (*reader)->part();
      ASSERT_GE(part, before);
      ASSERT_LE(part, 1);
      tenths += static_cast<int>(part * 10) > static_cast<int>(before * 10);
      before = part;
    }
    EXPECT_GT((*reader)->part(), 0.99);
    EXPECT_GE(tenths, 9);
  }
}

TEST(TraceReader, SaysHowMuchOfAPlainFileToTheByte) {
  auto reader = TraceReader::Open(
      WriteTempFile("bytes.botrace", "#botrace 1\nc 1 4096 v\nf\nd 1\n"));
  ASSERT_TRUE(reader.ok());
  TraceRecord record;
  for (const double bytes : {22.0, 24.0, 28.0}) {
    ASSERT_TRUE(*(*reader)->Next(&record));
    EXPECT_DOUBLE_EQ((*reader)->part(), bytes / 28);
  }
}

TEST(TraceSummary, CountsTheBundledTrace) {
  const auto summary = Summarize("examples/traces/glmark2.botrace");
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->records, 6430u);
  EXPECT_EQ(summary->bos, 270u);
  EXPECT_EQ(summary->frames, 1080u);
  EXPECT_NEAR(summary->peak_live_bytes / 1048576.0, 24.8, 0.05);
  EXPECT_NEAR(summary->largest_frame_bytes / 1048576.0, 24.5, 0.05);
  EXPECT_EQ(summary->program, "glmark2 2023.01+dfsg-1");
}

TEST(TraceSummary, DefaultVramIsHalfAFrameButNoLessThanASubmission) {
  const std::string bos =
      "#botrace 1\nc 1 40960 v\nc 2 40960 v\nc 3 40960 v\nc 4 40960 v\n";
  const auto of = [&](const std::string& rest) {
    return *Summarize(WriteTempFile("vram", bos + rest));
  };
  // Two bos a submission, four a frame.
  TraceSummary summary = of("g 0 1 2\ng 0 3 4 3\nf\n");
  EXPECT_EQ(summary.largest_frame_bytes, 4 * 40960u);
  EXPECT_EQ(summary.largest_submission_bytes, 2 * 40960u);
  EXPECT_EQ(summary.default_vram_bytes, 2 * 40960u);
  // One submission is all of the frame.
  EXPECT_EQ(of("g 0 1 2 3\nf\n").default_vram_bytes, 3 * 40960u);
  // The largest frame counts, and each bo once in it.
  summary = of("g 0 1\nf\ng 0 1\ng 0 2\ng 0 3\ng 0 1*\nf\ng 0 4\nf\n");
  EXPECT_EQ(summary.largest_frame_bytes, 3 * 40960u);
  EXPECT_EQ(summary.default_vram_bytes, 15 * 4096u);
  // What follows the last frame counts as a submission only.
  summary = of("g 0 1\nf\ng 0 1\ng 0 2\ng 0 3 4\n");
  EXPECT_EQ(summary.largest_frame_bytes, 40960u);
  EXPECT_EQ(summary.default_vram_bytes, 2 * 40960u);
  // Without frames, half of the peak.
  EXPECT_EQ(of("d 4\ng 0 1\n").default_vram_bytes, 2 * 40960u);
  EXPECT_EQ(of("d 4\ng 0 1 2 3\n").default_vram_bytes, 3 * 40960u);
  EXPECT_EQ(of("").peak_live_bytes, 4 * 40960u);
}

TEST(TraceSummary, DefaultVramIsOfWholePages) {
  const auto of = [](const char* rest) {
    return Summarize(WriteTempFile("vram", absl::StrCat("#botrace 1\n", rest)))
        ->default_vram_bytes;
  };
  EXPECT_EQ(of(""), 4096u);
  EXPECT_EQ(of("c 1 1 v\nf\n"), 4096u);
  EXPECT_EQ(of("c 1 1 v\nc 2 4097 v\ng 0 1 2\n"), 3 * 4096u);
  EXPECT_EQ(of("c 1 8193 v\ng 0 1\nf\n"), 3 * 4096u);
}

}  // namespace
}  // namespace twostep
