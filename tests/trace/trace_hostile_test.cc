// What a damaged or hostile trace may do: nothing but a clean error, in little
// memory.

#include <sys/resource.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tests/trace/hostile.h"
#include "tests/trace/trace_model.h"
#include "tests/trace/trace_writer.h"
#include "twostep/trace/trace_reader.h"
#include "twostep/trace/trace_summary.h"

namespace twostep {
namespace {

constexpr char kSmall[] =
    "#botrace 1\n# program: p\nc 1 4096 v\nc 2 100 ti\nw 1 0 4096\nr 2 9 1\n"
    "g 0 1 2*\nf\nd 1\nc 3 18 o\ng 1 3\n";

uint64_t PeakRssBytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) << 10;
}

// Sanitizers keep freed memory and shadow it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kRssFactor = 4;
#else
constexpr uint64_t kRssFactor = 1;
#endif

TEST(HostileTrace, CutAtEveryByte) {
  const std::string text = kSmall;
  ASSERT_TRUE(ModelAccepts(text));
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    SCOPED_TRACE(cut);
    const std::string bytes = text.substr(0, cut);
    const absl::Status status = ReadStatus(bytes);
    ExpectCleanResult(bytes, status);
    EXPECT_EQ(status.ok(), ModelAccepts(bytes)) << status;
  }
}

TEST(HostileTrace, ZstdCutAtEveryByteIsAnError) {
  TraceWriterOptions options;
  options.records = 3000;
  const std::string zst = Compress(WriteTraceToString(options));
  ASSERT_TRUE(ReadStatus(zst).ok());
  const size_t step = std::max<size_t>(zst.size() / 1500, 1);
  for (size_t cut = 0; cut < zst.size(); cut += step) {
    const absl::Status status = ReadStatus(zst.substr(0, cut));
    ASSERT_FALSE(status.ok()) << cut;
    ExpectCleanResult("", status);
    if (cut >= 4) {
      ASSERT_TRUE(absl::StrContains(status.message(), "truncated")) << status;
    }
  }
  const std::string small = Compress(kSmall);
  for (size_t cut = 0; cut < small.size(); ++cut) {
    ASSERT_FALSE(ReadStatus(small.substr(0, cut)).ok()) << cut;
  }
}

TEST(HostileTrace, EveryChangeOfOneByte) {
  const std::string text = kSmall;
  for (size_t at = 0; at < text.size(); ++at) {
    std::string bytes = text;
    for (int value = 0; value < 128; ++value) {
      bytes[at] = static_cast<char>(value);
      const absl::Status status = ReadStatus(bytes);
      ExpectCleanResult(bytes, status);
      ASSERT_EQ(status.ok(), ModelAccepts(bytes))
          << "byte " << at << " = " << value << ": " << status;
    }
    bytes[at] = '\xe4';
    ASSERT_FALSE(ReadStatus(bytes).ok()) << at;
  }
}

TEST(HostileTrace, EveryByteTakenOutOrPutIn) {
  const std::string text = kSmall;
  for (size_t at = 0; at < text.size(); ++at) {
    std::vector<std::string> variants = {std::string(text).erase(at, 1)};
    for (char c : {' ', '\n', '0', '9', '*', 'v', '#', '-', '\0'}) {
      variants.push_back(std::string(text).insert(at, 1, c));
    }
    for (const std::string& bytes : variants) {
      const absl::Status status = ReadStatus(bytes);
      ExpectCleanResult(bytes, status);
      ASSERT_EQ(status.ok(), ModelAccepts(bytes)) << bytes << status;
    }
  }
}

TEST(HostileTrace, EveryBitOfZstdFlipped) {
  const std::string zst = Compress(kSmall);
  for (size_t at = 0; at < zst.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = zst;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      ExpectCleanResult(bytes, ReadStatus(bytes));
    }
  }
}

TEST(HostileTrace, LinesShuffled) {
  TraceWriterOptions options;
  options.records = 12;
  options.live_bos = 3;
  options.max_bo_bytes = 4096;
  options.destroys_percent = 20;
  options.uses_per_submission = 2;
  int accepted = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    options.seed = seed;
    const std::string text = WriteTraceToString(options);
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    lines.pop_back();
    std::mt19937_64 random(seed);
    // A few swaps leave some of them good.
    for (uint64_t i = 0; i < 1 + seed % 4; ++i) {
      std::swap(lines[1 + random() % (lines.size() - 1)],
                lines[1 + random() % (lines.size() - 1)]);
    }
    const std::string bytes = absl::StrJoin(lines, "\n") + "\n";
    const absl::Status status = ReadStatus(bytes);
    ExpectCleanResult(bytes, status);
    ASSERT_EQ(status.ok(), ModelAccepts(bytes)) << bytes << status;
    accepted += status.ok() ? 1 : 0;
  }
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 2900);
}

TEST(HostileTrace, RandomBytes) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(random() % 5000, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const absl::Status status = ReadStatus(bytes);
    EXPECT_FALSE(status.ok());
    ExpectCleanResult(bytes, status);
    // The same behind a good first line, and behind a zstd magic.
    for (const char* head : {"#botrace 1\n", "\x28\xb5\x2f\xfd"}) {
      const absl::Status behind = ReadStatus(absl::StrCat(head, bytes));
      ExpectCleanResult(bytes, behind);
      EXPECT_FALSE(behind.ok() && bytes.size() > 1);
    }
  }
}

TEST(HostileTrace, IdsAreNeverReusedInWhateverOrderTheyCome) {
  std::string text = "#botrace 1\n";
  std::vector<uint64_t> ids(2000);
  for (uint64_t i = 0; i < ids.size(); ++i) ids[i] = 7 * i * i;
  std::shuffle(ids.begin(), ids.end(), std::mt19937_64(1));
  for (uint64_t id : ids)
    absl::StrAppend(&text, "c ", id, " 1 v\nd ", id, "\n");
  EXPECT_TRUE(ReadStatus(text).ok());
  for (size_t i = 0; i < ids.size(); i += 100) {
    const absl::Status status =
        ReadStatus(absl::StrCat(text, "c ", ids[i], " 1 v\n"));
    EXPECT_TRUE(absl::StrContains(status.message(), "was destroyed before"))
        << status;
  }
  EXPECT_TRUE(ReadStatus(text + "c 8 1 v\n").ok());
}

TEST(HostileTrace, ZstdFramesInARowAndSkippableOnes) {
  const std::string text = kSmall;
  const std::string skippable("\x5a\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  const std::string frames = skippable + Compress(text.substr(0, 30)) +
                             skippable + Compress("") +
                             Compress(text.substr(30)) + skippable;
  EXPECT_TRUE(ReadStatus(frames).ok()) << ReadStatus(frames);
  for (const std::string& tail :
       {std::string("f\n"), std::string("\x28\xb5\x2f"), std::string(4, '\0'),
        std::string("\x27\xb5\x2f\xfd\x00\x00\x00", 7)}) {
    const absl::Status status = ReadStatus(frames + tail);
    EXPECT_FALSE(status.ok());
    ExpectCleanResult("", status);
  }
}

// A frame of `content` in one raw block that asks for a window of 2^log bytes.
std::string RawFrame(int window_log, const std::string& content) {
  const auto size = static_cast<uint32_t>(content.size());
  const uint32_t block = 1 | size << 3;
  std::string frame("\x28\xb5\x2f\xfd\x00", 5);
  frame += static_cast<char>((window_log - 10) << 3);
  for (int i = 0; i < 3; ++i) frame += static_cast<char>(block >> (8 * i));
  return frame + content;
}

TEST(HostileTrace, ZstdWindowsAreBounded) {
  EXPECT_TRUE(ReadStatus(RawFrame(ByteSource::kMaxWindowLog, kSmall)).ok());
  for (int log = ByteSource::kMaxWindowLog + 1; log <= 41; ++log) {
    const absl::Status status = ReadStatus(RawFrame(log, kSmall));
    EXPECT_TRUE(absl::StrContains(status.message(), ":1: ")) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "window")) << status;
  }
}

// `head`, then `count` times `piece`, as one zstd frame.
std::string Bomb(const std::string& head, const std::string& piece, int count) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  std::string frame;
  std::string out(1 << 17, '\0');
  const auto add = [&](const std::string& bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in = {bytes.data(), bytes.size(), 0};
    size_t left;
    do {
      ZSTD_outBuffer to = {out.data(), out.size(), 0};
      left = ZSTD_compressStream2(context, &to, &in, directive);
      frame.append(out.data(), to.pos);
    } while (directive == ZSTD_e_end ? left != 0 : in.pos < in.size);
  };
  add(head, ZSTD_e_continue);
  for (int i = 0; i < count; ++i) add(piece, ZSTD_e_continue);
  add("", ZSTD_e_end);
  ZSTD_freeCCtx(context);
  return frame;
}

TEST(HostileTrace, ABombOfOneLineEndsInLittleMemory) {
  const std::string zeros(1 << 20, '\0');
  const std::string digits(1 << 20, '0');
  for (const std::string& piece : {zeros, digits}) {
    const std::string bytes = Bomb("#botrace 1\nc 1", piece, 512);
    ASSERT_LT(bytes.size(), 1u << 20);
    const uint64_t before = PeakRssBytes();
    const absl::Status status = ReadStatus(bytes);
    EXPECT_TRUE(absl::StrContains(status.message(), ":2: the line is longer"))
        << status;
    EXPECT_LT(PeakRssBytes() - before, kRssFactor * (32u << 20));
  }
}

TEST(HostileTrace, MemoryGrowsWithLiveBosOnly) {
  const auto growth = [](uint64_t records) {
    TraceWriterOptions options;
    options.records = records;
    options.live_bos = 500;
    options.destroys_percent = 20;
    const std::string path = WriteTempFile("long", "");
    std::ofstream file(path, std::ios::binary);
    WriteTrace(options, [&file](absl::string_view piece) {
      file.write(piece.data(), static_cast<std::streamsize>(piece.size()));
    });
    file.close();
    const uint64_t before = PeakRssBytes();
    const auto summary = Summarize(path);
    EXPECT_TRUE(summary.ok()) << summary.status();
    EXPECT_EQ(summary->records, records);
    EXPECT_LE(summary->peak_live_bos, 500u);
    return PeakRssBytes() - before;
  };
  growth(1000);
  EXPECT_LT(growth(1'000'000), kRssFactor * (2u << 20));
}

}  // namespace
}  // namespace twostep
