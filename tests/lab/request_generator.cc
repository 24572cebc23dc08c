#include "tests/lab/request_generator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

namespace twostep {

uint64_t GeneratedRequests::total_bytes() const {
  return std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
}

GeneratedRequests RequestGenerator::Generate() const {
  std::mt19937_64 random(seed);
  const auto chance = [&] {
    return static_cast<double>(random() >> 11) / 9007199254740992.;
  };
  const auto below = [&](uint64_t end) { return random() % end; };

  GeneratedRequests out;
  for (uint32_t i = 0; i < objects; ++i) {
    const double size =
        largest < 512 ? 1 : 512 * std::pow(largest / 512., chance());
    out.bytes.push_back(static_cast<uint64_t>(size));
  }

  std::vector<double> sum(objects);
  double total = 0;
  for (uint32_t r = 0; r < objects; ++r) {
    sum[r] = total += std::pow(r + 1., -skew);
  }
  std::vector<uint32_t> of_rank(objects);
  std::iota(of_rank.begin(), of_rank.end(), 0u);
  std::shuffle(of_rank.begin(), of_rank.end(), random);

  uint32_t scan_at = 0;
  const uint32_t loop_length = std::max(1u, objects / 10);
  uint32_t loop_at = 0;
  uint32_t run = 0;  // requests that the scan or loop under way still makes
  bool scanning = false;
  for (size_t i = 0; i < requests; ++i) {
    if (drifts != 0 && i % (requests / (drifts + 1) + 1) == 0) {
      for (uint32_t swaps = objects / 4; swaps > 0; --swaps) {
        std::swap(of_rank[below(objects)], of_rank[below(objects)]);
      }
    }
    // Scans and loops come in runs of 64 on the average of the whole.
    if (run == 0) {
      const double kind = chance() * 64;
      if (kind < scans + loops) {
        run = 64;
        scanning = kind < scans;
      }
    }
    if (run > 0) {
      --run;
      uint32_t& at = scanning ? scan_at : loop_at;
      out.objects.push_back(at);
      at = (at + 1) % (scanning ? objects : loop_length);
    } else {
      const size_t rank =
          std::lower_bound(sum.begin(), sum.end(), chance() * total) -
          sum.begin();
      out.objects.push_back(of_rank[std::min<size_t>(rank, objects - 1)]);
    }
  }
  return out;
}

}  // namespace twostep
