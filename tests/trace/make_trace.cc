// make_trace RECORDS [LIVE_BOS [SEED]]: a trace on the standard output.

#include <cstdint>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "tests/trace/trace_writer.h"

int main(int argc, char** argv) {
  twostep::TraceWriterOptions options;
  uint64_t* const parameters[] = {&options.records, &options.live_bos,
                                  &options.seed};
  bool ok = argc >= 2 && argc <= 4;
  for (int i = 1; ok && i < argc; ++i) {
    ok = absl::SimpleAtoi(argv[i], parameters[i - 1]);
  }
  if (!ok) {
    std::fprintf(stderr, "usage: make_trace RECORDS [LIVE_BOS [SEED]]\n");
    return 2;
  }
  bool written = true;
  twostep::WriteTrace(options, [&written](absl::string_view piece) {
    written =
        std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size() &&
        written;
  });
  return std::fflush(stdout) == 0 && written ? 0 : 1;
}
