#include "tests/trace/trace_writer.h"

#include <zstd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"

namespace twostep {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 16;

class Writer {
 public:
  Writer(const TraceWriterOptions& options,
         absl::FunctionRef<void(absl::string_view)> sink)
      : options_(options), sink_(sink), state_(options.seed) {}

  void Run() {
    absl::StrAppend(&text_, "#botrace 1\n# program: trace_writer\n# scene: ",
                    options_.records, " records, seed ", options_.seed, "\n");
    while (written_ < options_.records) {
      Step();
      if (text_.size() >= kPieceBytes) Flush();
    }
    Flush();
  }

 private:
  struct Bo {
    uint64_t id;
    uint64_t bytes;
  };

  // splitmix64.
  uint64_t Random() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return Random() % bound; }

  void Step() {
    if (live_.size() < std::max<uint64_t>(options_.live_bos, 1)) {
      return Create();
    }
    uint64_t dice = Below(100);
    if (dice < options_.submissions_percent) return Submit();
    dice -= options_.submissions_percent;
    if (dice < options_.destroys_percent) return Destroy();
    dice -= options_.destroys_percent;
    Transfer(dice < options_.reads_percent ? "r " : "w ");
  }

  void Create() {
    uint64_t bytes = options_.min_bo_bytes;
    uint64_t doublings = 0;
    while (bytes << (doublings + 1) <= options_.max_bo_bytes) ++doublings;
    bytes <<= Below(doublings + 1);
    bytes = std::max<uint64_t>(bytes - Below(bytes / 4 + 1), 1);
    const char* const usages[] = {"v", "i", "u", "t", "r", "s", "vi"};
    Line("c ", next_id_, " ", bytes, " ", usages[Below(7)]);
    live_.push_back(Bo{next_id_++, bytes});
  }

  void Destroy() {
    const size_t victim = Below(live_.size());
    Line("d ", live_[victim].id);
    live_[victim] = live_.back();
    live_.pop_back();
  }

  void Transfer(const char* kind) {
    const Bo& bo = live_[Below(live_.size())];
    const uint64_t offset = Below(bo.bytes);
    Line(kind, bo.id, " ", offset, " ", 1 + Below(bo.bytes - offset));
  }

  void Submit() {
    // Neighbours, as scenes use them: each is in the submission once.
    const uint64_t uses =
        std::min<uint64_t>(options_.uses_per_submission, live_.size());
    const size_t first = Below(live_.size());
    std::string bos;
    for (uint64_t i = 0; i < uses; ++i) {
      absl::StrAppend(&bos, " ", live_[(first + i) % live_.size()].id,
                      Below(4) == 0 ? "*" : "");
    }
    Line("g ", Below(std::max<uint64_t>(options_.contexts, 1)), bos);
    if (++submissions_ % options_.submissions_per_frame == 0 &&
        written_ < options_.records) {
      Line("f");
    }
  }

  template <typename... Parts>
  void Line(const Parts&... parts) {
    absl::StrAppend(&text_, parts..., "\n");
    ++written_;
  }

  void Flush() {
    sink_(text_);
    text_.clear();
  }

  const TraceWriterOptions& options_;
  const absl::FunctionRef<void(absl::string_view)> sink_;
  uint64_t state_;
  std::string text_;
  std::vector<Bo> live_;
  uint64_t next_id_ = 1;
  uint64_t written_ = 0;
  uint64_t submissions_ = 0;
};

}  // namespace

void WriteTrace(const TraceWriterOptions& options,
                absl::FunctionRef<void(absl::string_view)> sink) {
  Writer(options, sink).Run();
}

std::string WriteTraceToString(const TraceWriterOptions& options) {
  std::string all;
  WriteTrace(options,
             [&all](absl::string_view piece) { absl::StrAppend(&all, piece); });
  return all;
}

std::string WriteTempFile(const std::string& name, absl::string_view bytes) {
  const char* const folder = std::getenv("TEST_TMPDIR");
  const std::string path =
      absl::StrCat(folder == nullptr ? "/tmp" : folder, "/", name);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  TWOSTEP_CHECK(file.good());
  return path;
}

std::string Compress(absl::string_view bytes, int level) {
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(frame.data(), frame.size(), bytes.data(),
                                    bytes.size(), level);
  TWOSTEP_CHECK(!ZSTD_isError(size));
  frame.resize(size);
  return frame;
}

}  // namespace twostep
