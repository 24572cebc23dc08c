#include "twostep/lab/replay.h"

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/trace/trace_writer.h"
#include "twostep/cli/machine_file.h"
#include "twostep/cli/replay_report.h"
#include "twostep/placement/placement_registry.h"
#include "twostep/trace/trace_summary.h"

namespace twostep {
namespace {

constexpr char kTrace[] = "examples/traces/glmark2.botrace";

void UseMachine(const std::string& path, ReplayOptions* options) {
  const MachineFile file = *ReadMachineFile(path);
  options->machine = file.machine;
  options->gpu = file.gpu;
}

ReplayOptions OptionsFor(const std::string& machine, const std::string& trace) {
  ReplayOptions options;
  UseMachine("examples/machines/" + machine + ".toml", &options);
  options.gpu.vram_bytes = Summarize(trace)->default_vram_bytes;
  options.gpu.vram_visible_bytes =
      std::min(options.gpu.vram_visible_bytes, options.gpu.vram_bytes);
  return options;
}

// Every machine with pools, IOVA space and VRAM too small for the trace: both
// steps evict all the time.
ReplayOptions TightOptionsFor(const std::string& machine) {
  ReplayOptions options;
  UseMachine("examples/machines/" + machine + ".toml", &options);
  MachineConfig& config = options.machine;
  config.coherent_bytes = 3 * kMiB;
  config.cma_bytes = 4 * kMiB;
  config.swiotlb.bytes = 3 * kMiB;
  config.iommu.iova_bytes = 3 * kMiB;
  options.gpu.vram_bytes = 2 * kMiB;
  options.gpu.vram_visible_bytes = kMiB;
  return options;
}

std::string SmallTrace() {
  TraceWriterOptions options;
  options.records = 1500;
  options.live_bos = 50;
  options.max_bo_bytes = 256 * kKiB;
  options.reads_percent = 10;
  return WriteTempFile("small.botrace", WriteTraceToString(options));
}

class ReplayMatrix : public testing::TestWithParam<
                         std::tuple<std::string, DmaType, std::string>> {
 protected:
  ReplayOptions options() const {
    const auto& [machine, dma, placement] = GetParam();
    ReplayOptions options = TightOptionsFor(machine);
    options.dma_type = dma;
    options.placement = placement;
    return options;
  }
  const std::string trace_ = SmallTrace();
};

// R1 to R3, R6 to R8, R13
TEST_P(ReplayMatrix, NoByteIsWrongAndNoRuleIsBroken) {
  ReplayOptions options = this->options();
  options.audit_every = 50;
  const auto result = Replay(trace_, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->bytes_wrong, 0);
  EXPECT_GT(result->bytes_checked, 50 * kMiB);
  EXPECT_EQ(result->rule_violations, 0) << ReplayTable(*result);
  EXPECT_EQ(result->records, 1500);
}

// What a policy decides does not depend on whether bytes are behind it.
TEST_P(ReplayMatrix, BackedAndUnbackedCountTheSame) {
  ReplayOptions options = this->options();
  auto backed = ReplayJson(*Replay(trace_, options));
  options.backing = Backing::kUnbacked;
  auto unbacked = ReplayJson(*Replay(trace_, options));
  for (const char* key :
       {"mode", "bytes_checked", "wall_seconds", "peak_rss_bytes"}) {
    backed.erase(key);
    unbacked.erase(key);
  }
  EXPECT_EQ(backed, unbacked);
}

INSTANTIATE_TEST_SUITE_P(
    All, ReplayMatrix,
    testing::Combine(testing::Values("bare-metal", "iommu", "xen-swiotlb",
                                     "arm-cma"),
                     testing::Values(DmaType::kNone, DmaType::kDynamic,
                                     DmaType::kCoherent, DmaType::kCma),
                     testing::Values("vram-tt", "tt")));

class ReplayOfGlmark2 : public testing::TestWithParam<std::string> {};

TEST_P(ReplayOfGlmark2, NoByteIsWrongAndNoRuleIsBroken) {
  const auto result = Replay(kTrace, OptionsFor(GetParam(), kTrace));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->clean()) << ReplayTable(*result);
  EXPECT_GT(result->bytes_checked, kGiB);
  EXPECT_EQ(result->records, 6430);
}

INSTANTIATE_TEST_SUITE_P(All, ReplayOfGlmark2,
                         testing::Values("bare-metal", "iommu", "xen-swiotlb",
                                         "arm-cma", "confidential-guest",
                                         "xen-pv", "gart", "iommu-lazy",
                                         "smp-guest", "passthrough",
                                         "low-memory", "huge-aperture"));

TEST(Replay, TightMachinesEvictInBothSteps) {
  ReplayOptions options = TightOptionsFor("iommu");
  options.machine.iommu.iova_bytes = 512 * kKiB;
  const auto result = Replay(SmallTrace(), options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->gpu_evictions.at("vram"), 0);
  EXPECT_GT(result->dma_evictions.at("dynamic"), 0);
  EXPECT_GT(result->cpu_faults, 0);
  EXPECT_GT(result->stall_ns, 0);
  EXPECT_GT(result->pages_synced_for_cpu, 0);
}

TEST(Replay, AHitIsWhatWasInPlace) {
  ReplayOptions options = TightOptionsFor("bare-metal");
  options.placement = "vram";
  const auto result =
      Replay(WriteTempFile("hits.botrace",
                           "#botrace 1\nc 1 4096 v\nc 2 4096 v\n"
                           "g 0 1 2\ng 0 1\n"),
             options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->validates, 3);
  EXPECT_EQ(result->validate_hits, 1);
}

TEST(Replay, ProgressIsOfWhatWasReplayedNotOfWhatWasReadAhead) {
  ReplayOptions options = OptionsFor("bare-metal", kTrace);
  options.backing = Backing::kUnbacked;
  std::vector<double> parts;
  options.progress = [&](double part) { parts.push_back(part); };
  ASSERT_TRUE(Replay(kTrace, options).ok());
  ASSERT_EQ(parts.size(), 6430u / 256);
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_GT(parts[i], i == 0 ? 0 : parts[i - 1]);
    EXPECT_LT(parts[i], 1);
  }
  EXPECT_LT(parts[0], 0.1);
}

TEST(Replay, CountsRepeatFromRunToRun) {
  const ReplayOptions options = TightOptionsFor("xen-swiotlb");
  const std::string trace = SmallTrace();
  auto first = ReplayJson(*Replay(trace, options));
  auto second = ReplayJson(*Replay(trace, options));
  for (const char* key : {"wall_seconds", "peak_rss_bytes"}) {
    first.erase(key);
    second.erase(key);
  }
  EXPECT_EQ(first, second);
}

TEST(Replay, AllPoliciesEvictWithoutAWrongByte) {
  const std::string trace = SmallTrace();
  for (const char* eviction : {"lru", "fifo", "mru"}) {
    ReplayOptions options = TightOptionsFor("iommu");
    options.eviction = eviction;
    const auto result = Replay(trace, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->clean()) << ReplayTable(*result);
    EXPECT_GT(result->gpu_evictions.at("vram"), 0) << eviction;
  }
}

// S9
TEST(Replay, TheMachinePolicyUsesNoneOnBareMetalAndCoherentUnderXen) {
  const std::string trace = SmallTrace();
  ReplayOptions options = TightOptionsFor("bare-metal");
  options.placement = "machine";
  const auto bare_metal = Replay(trace, options);
  ASSERT_TRUE(bare_metal.ok()) << bare_metal.status();
  EXPECT_TRUE(bare_metal->clean()) << ReplayTable(*bare_metal);
  EXPECT_GT(bare_metal->dma_binds.at("none"), 0);
  EXPECT_EQ(bare_metal->dma_binds.at("coherent"), 0);
  EXPECT_EQ(bare_metal->dma_binds.at("dynamic"), 0);

  options = TightOptionsFor("xen-swiotlb");
  options.placement = "machine";
  // Room for all of them: nobody has to fall back on bouncing.
  options.machine.coherent_bytes = 24 * kMiB;
  const auto xen = Replay(trace, options);
  ASSERT_TRUE(xen.ok()) << xen.status();
  EXPECT_TRUE(xen->clean()) << ReplayTable(*xen);
  EXPECT_GT(xen->dma_binds.at("coherent"), 0);
  EXPECT_EQ(xen->dma_binds.at("none"), 0);
  EXPECT_EQ(xen->dma_binds.at("dynamic"), 0);
}

// Moves that policies choose are as right as those that are forced.
TEST(Replay, AllPlacementPoliciesKeepEveryByteOnTightMachines) {
  const std::string trace = SmallTrace();
  for (const PlacementPolicyInfo& placement : PlacementPolicies()) {
    for (const char* machine : {"iommu", "xen-swiotlb", "arm-cma"}) {
      ReplayOptions options = TightOptionsFor(machine);
      options.placement = placement.name;
      options.eviction = kBelady;
      options.audit_every = 100;
      const auto result = Replay(trace, options);
      ASSERT_TRUE(result.ok()) << placement.name << ": " << result.status();
      EXPECT_TRUE(result->clean()) << placement.name << ", " << machine << "\n"
                                   << ReplayTable(*result);
    }
  }
}

TEST(Replay, AMachineTooSmallForASubmissionIsAnErrorWithFileAndLine) {
  ReplayOptions options = OptionsFor("bare-metal", kTrace);
  options.gpu.vram_bytes = kMiB;
  options.gpu.vram_visible_bytes = kMiB;
  options.placement = "vram";
  const auto result = Replay(kTrace, options);
  ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(result.status().message());
  EXPECT_EQ(message.find(std::string(kTrace) + ":"), 0) << message;
  EXPECT_NE(message.find("vram"), std::string::npos) << message;
}

TEST(Replay, UnknownPlacementsAndPoliciesAreNamedWithWhatThereIs) {
  ReplayOptions options = OptionsFor("bare-metal", kTrace);
  options.placement = "nowhere";
  EXPECT_NE(Replay(kTrace, options).status().message().find("vram-tt"),
            std::string::npos);
  options.placement = "vram-tt";
  options.eviction = "best";
  EXPECT_NE(Replay(kTrace, options).status().message().find("lru"),
            std::string::npos);
}

}  // namespace
}  // namespace twostep
