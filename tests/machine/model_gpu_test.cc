// The model GPU over bare hardware: no bo, no binder.

#include "twostep/machine/model_gpu.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace twostep {
namespace {

constexpr PageCount kVramPages = 16;
constexpr PageCount kAperturePages = 64;

struct HardwareOptions {
  // Its faults are what is looked at.
  MachineOptions machine{.backing = Backing::kBacked,
                         .clock = Clock::Kind::kReal,
                         .check_dma = CheckDma::kOff};
  IommuMode iommu = IommuMode::kTranslated;
  int mask_bits = 48;
  int queues = 2;
};

class Hardware {
 public:
  explicit Hardware(const HardwareOptions& options = {}) {
    MachineConfig config;
    config.dma32_bytes = 4 * kMiB;
    config.normal_bytes = 0;
    config.coherent_bytes = config.cma_bytes = config.swiotlb.bytes = 0;
    config.swap_bytes = 0;
    config.iommu.mode = options.iommu;
    machine_ = *Machine::Create(config, options.machine);
    port_ = std::make_unique<DmaPort>(machine_->domain(), machine_->memory(),
                                      options.mask_bits, /*coherent=*/true);
    aperture_ = std::make_unique<ApertureTable>(kAperturePages);
    vram_ = *Vram::Create(PagesToBytes(kVramPages), 0, options.machine.backing);
    gpu_ = std::make_unique<ModelGpu>(
        *machine_, ModelGpu::Options{.name = "gpu", .queues = options.queues},
        *port_, aperture_.get(), vram_.get());
  }

  Machine& machine() { return *machine_; }
  DmaPort& port() { return *port_; }
  ApertureTable& aperture() { return *aperture_; }
  Vram& vram() { return *vram_; }
  ModelGpu& gpu() { return *gpu_; }

  // `pages` frames behind the IOMMU, shown from aperture page `at` on.
  struct Bound {
    std::vector<FrameNumber> frames;
    SpaceBlock iova;
  };
  Bound Bind(uint64_t at, PageCount pages) {
    Bound bound{std::vector<FrameNumber>(pages), {}};
    EXPECT_EQ(machine_->memory().Allocate(bound.frames, kNoFrame - 1,
                                          PhysicalMemory::Zero::kYes),
              Shortage::Kind::kNone);
    EXPECT_EQ(machine_->domain().Map(bound.frames, port_->IovasFor(pages),
                                     &bound.iova),
              Shortage::Kind::kNone);
    for (PageCount i = 0; i < pages; ++i) {
      aperture_->Set(at + i, (bound.iova.start + i) << kPageShift);
    }
    return bound;
  }
  std::byte* Cpu(FrameNumber frame) {
    return machine_->memory().CpuBytes(frame);
  }
  // Submits and waits.
  void Do(std::vector<GpuStep> steps, uint64_t tag = 0) {
    const Fence fence = gpu_->Submit(0, GpuJob{std::move(steps), tag}, {}, 0);
    ASSERT_TRUE(WaitFor(fence, WaitLimit{}).ok());
  }
  GpuFault OnlyFault() {
    EXPECT_EQ(gpu_->faults(), 1);
    const std::vector<GpuFault> records = gpu_->fault_records();
    EXPECT_EQ(records.size(), 1);
    return records.empty() ? GpuFault{} : records.front();
  }

 private:
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<DmaPort> port_;
  std::unique_ptr<ApertureTable> aperture_;
  std::unique_ptr<Vram> vram_;
  std::unique_ptr<ModelGpu> gpu_;
};

GpuRuns Aperture(uint64_t first, PageCount pages) {
  return {GpuRange{GpuSpace::kAperture, pages, first}};
}
GpuRuns InVram(uint64_t first, PageCount pages) {
  return {GpuRange{GpuSpace::kVram, pages, first}};
}
bool IsPattern(const std::byte* page, uint64_t seed, PageCount number) {
  std::byte expected[kPageSize];
  FillPattern(seed, number, expected);
  return std::memcmp(page, expected, kPageSize) == 0;
}
bool IsFilled(const std::byte* page, std::byte value) {
  return std::all_of(page, page + kPageSize,
                     [=](std::byte byte) { return byte == value; });
}

TEST(PagePattern, IsReproducibleAndDiffersBySeedPageAndPlace) {
  std::byte page[kPageSize];
  FillPattern(7, 3, page);
  EXPECT_TRUE(IsPattern(page, 7, 3));
  EXPECT_FALSE(IsPattern(page, 7, 4));
  EXPECT_FALSE(IsPattern(page, 8, 3));
  uint64_t words[kPageSize / 8];
  std::memcpy(words, page, kPageSize);
  for (uint64_t i = 0; i < kPageSize / 8; ++i) {
    ASSERT_EQ(words[i], PatternWord(7, 3) + i * kPatternStride);
  }
  EXPECT_EQ(PageChecksum(page), PatternChecksum(7, 3));
}

// The numbers stand in traces and reports of others: they must not drift.
TEST(PagePattern, HasTheseValues) {
  const std::vector<std::byte> zeros(kPageSize);
  EXPECT_EQ(PageChecksum(zeros.data()), 2301897087589301930u);
  EXPECT_EQ(PatternWord(1, 2), 17235469408947973867u);
  EXPECT_EQ(PatternChecksum(1, 2), 13544206703083788856u);
}

TEST(PageChecksum, SeesEveryBitAndEveryPlace) {
  std::vector<std::byte> page(kPageSize);
  const uint64_t zeros = PageChecksum(page.data());
  for (uint64_t i = 0; i < kPageSize; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      page[i] = std::byte{1} << bit;
      ASSERT_NE(PageChecksum(page.data()), zeros) << i << " " << bit;
    }
    page[i] = std::byte{0};
  }
  FillPattern(1, 1, page.data());
  const uint64_t before = PageChecksum(page.data());
  for (uint64_t i = 8; i < kPageSize; i += 8) {
    std::swap_ranges(&page[0], &page[0] + 8, &page[i]);
    ASSERT_NE(PageChecksum(page.data()), before) << i;
    std::swap_ranges(&page[0], &page[0] + 8, &page[i]);
  }
}

// A sum that only carries upwards loses what differs in two top bits alone.
TEST(PageChecksum, SeesTwoTopBitsOfOneLane) {
  std::vector<std::byte> page(kPageSize);
  const uint64_t zeros = PageChecksum(page.data());
  page[7] = page[32 + 7] = std::byte{0x80};
  EXPECT_NE(PageChecksum(page.data()), zeros);
}

// R7
TEST(ModelGpu, ReachesFramesThroughApertureAndDomain) {
  Hardware hw;
  const Hardware::Bound bound = hw.Bind(10, 3);
  hw.Do({GpuPattern{.to = Aperture(10, 3), .seed = 5}});
  for (PageCount i = 0; i < 3; ++i) {
    EXPECT_TRUE(IsPattern(hw.Cpu(bound.frames[i]), 5, i)) << i;
  }
  EXPECT_EQ(hw.gpu().faults(), 0);
}

TEST(ModelGpu, TheApertureMayShowPagesInAnyOrder) {
  Hardware hw;
  const Hardware::Bound bound = hw.Bind(0, 2);
  const DmaAddress first = hw.aperture().Get(0);
  hw.aperture().Set(0, hw.aperture().Get(1));
  hw.aperture().Set(1, first);
  hw.Do({GpuPattern{.to = Aperture(0, 2), .seed = 5, .first_page = 100}});
  EXPECT_TRUE(IsPattern(hw.Cpu(bound.frames[1]), 5, 100));
  EXPECT_TRUE(IsPattern(hw.Cpu(bound.frames[0]), 5, 101));
}

TEST(ModelGpu, FillsCopiesAndSumsUpAcrossSpaces) {
  Hardware hw;
  const Hardware::Bound bound = hw.Bind(0, 4);
  // Two pieces of video memory and one of the aperture: page by page in order.
  const GpuRuns pieces{
      GpuRange{GpuSpace::kVram, 1, 9}, GpuRange{GpuSpace::kVram, 0, 0},
      GpuRange{GpuSpace::kAperture, 1, 3}, GpuRange{GpuSpace::kVram, 2, 2}};
  std::vector<uint64_t> sums(4);
  hw.Do({GpuPattern{.to = pieces, .seed = 8},
         GpuCopy{.from = pieces, .to = Aperture(0, 4)},
         GpuChecksum{.from = Aperture(0, 4), .out = absl::MakeSpan(sums)},
         GpuFill{.to = InVram(9, 1), .value = std::byte{0xab}}});
  for (PageCount i = 0; i < 4; ++i) {
    EXPECT_EQ(sums[i], PatternChecksum(8, i)) << i;
    EXPECT_TRUE(IsPattern(hw.Cpu(bound.frames[i]), 8, i)) << i;
  }
  EXPECT_TRUE(IsFilled(hw.vram().data() + PagesToBytes(9), std::byte{0xab}));
  EXPECT_TRUE(IsFilled(hw.vram().data() + PagesToBytes(8), std::byte{0}));
  EXPECT_TRUE(IsPattern(hw.vram().data() + PagesToBytes(3), 8, 3));
}

// R7
TEST(ModelGpu, FaultsWhereTheDomainNoLongerTranslates) {
  Hardware hw;
  const Hardware::Bound bound = hw.Bind(0, 4);
  hw.machine().domain().Unmap(bound.iova, 4);
  hw.Do({GpuFill{.to = Aperture(1, 2), .value = std::byte{1}}}, 77);
  const GpuFault fault = hw.OnlyFault();
  EXPECT_EQ(fault.tag, 77);
  EXPECT_EQ(fault.queue, 0);
  EXPECT_EQ(fault.step, 0);
  EXPECT_EQ(fault.why, GpuFault::Why::kBus);
  EXPECT_EQ(fault.address, (GpuAddress{GpuSpace::kAperture, kPageSize}));
  EXPECT_EQ(fault.access, Access::kWrite);
  EXPECT_EQ(fault.dma_address, (bound.iova.start + 1) << kPageShift);
  EXPECT_EQ(hw.port().faults(), 1);
  for (const FrameNumber frame : bound.frames) {
    EXPECT_TRUE(IsFilled(hw.Cpu(frame), std::byte{0}));
  }
}

TEST(ModelGpu, FaultsWhereTheApertureShowsNothing) {
  Hardware hw;
  hw.Bind(0, 1);
  hw.aperture().Set(0, kNoDmaAddress);
  hw.Do({GpuFill{.to = Aperture(0, 1)}});
  const GpuFault fault = hw.OnlyFault();
  EXPECT_EQ(fault.why, GpuFault::Why::kNotShown);
  EXPECT_EQ(fault.dma_address, kNoDmaAddress);
  EXPECT_EQ(hw.port().faults(), 0);  // it never got as far as the bus
}

// R8
TEST(ModelGpu, FaultsBeyondTheDmaMask) {
  Hardware hw(HardwareOptions{.mask_bits = 30});
  FrameNumber frame;
  ASSERT_EQ(hw.machine().memory().Allocate({&frame, 1}, kNoFrame - 1,
                                           PhysicalMemory::Zero::kYes),
            Shortage::Kind::kNone);
  SpaceBlock iova;  // above 1 TiB: another device of the domain mapped it
  ASSERT_EQ(hw.machine().domain().Map({&frame, 1}, IovaLimits{}, &iova),
            Shortage::Kind::kNone);
  hw.aperture().Set(0, iova.start << kPageShift);
  hw.Do({GpuFill{.to = Aperture(0, 1), .value = std::byte{1}}});
  EXPECT_EQ(hw.OnlyFault().why, GpuFault::Why::kBus);
  EXPECT_TRUE(IsFilled(hw.Cpu(frame), std::byte{0}));
}

TEST(ModelGpu, FaultsBeyondEitherSpace) {
  struct Case {
    GpuRange range;
    GpuFault::Why why;
  };
  const uint64_t last = ~uint64_t{0};
  for (const Case& c :
       {Case{{GpuSpace::kVram, 1, kVramPages}, GpuFault::Why::kBeyondVram},
        Case{{GpuSpace::kVram, 2, last}, GpuFault::Why::kBeyondVram},
        Case{{GpuSpace::kVram, 1, uint64_t{1} << 52},
             GpuFault::Why::kBeyondVram},
        Case{{GpuSpace::kAperture, 1, kAperturePages},
             GpuFault::Why::kBeyondAperture},
        Case{{GpuSpace::kAperture, 2, last}, GpuFault::Why::kBeyondAperture}}) {
    Hardware hw;
    hw.Do({GpuFill{.to = {c.range}, .value = std::byte{1}}});
    EXPECT_EQ(hw.OnlyFault().why, c.why);
    EXPECT_TRUE(IsFilled(hw.vram().data(), std::byte{0}));
  }
}

TEST(ModelGpu, FaultsOnSpacesThatItDoesNotHave) {
  Hardware hw;
  ModelGpu bare(hw.machine(), {}, hw.port(), nullptr, nullptr);
  Fence last;
  for (const GpuRuns& runs : {Aperture(0, 1), InVram(0, 1)}) {
    last = bare.Submit(0, GpuJob{{GpuFill{.to = runs}}}, {}, 0);
  }
  ASSERT_TRUE(WaitFor(last, WaitLimit{}).ok());
  EXPECT_EQ(bare.faults(), 2);
}

TEST(ModelGpu, AFaultStopsItsJobAndNoOther) {
  Hardware hw;
  const Hardware::Bound bound = hw.Bind(0, 2);
  const std::byte one{1};
  hw.Do({GpuFill{.to = Aperture(0, 3), .value = one},  // page 2 shows nothing
         GpuFill{.to = InVram(0, 1), .value = one}});
  EXPECT_TRUE(IsFilled(hw.Cpu(bound.frames[1]), one));  // done before
  EXPECT_TRUE(IsFilled(hw.vram().data(), std::byte{0}));
  EXPECT_EQ(hw.OnlyFault().ToString(),
            "GPU fault in job 0 of queue 0, step 0: write of aperture 0x2000: "
            "the aperture shows nothing there");
  hw.Do({GpuFill{.to = InVram(0, 1), .value = one}});
  EXPECT_TRUE(IsFilled(hw.vram().data(), one));
  EXPECT_EQ(hw.gpu().faults(), 1);
}

TEST(ModelGpu, ACopyFaultsOnTheSideThatIsMissing) {
  Hardware hw;
  hw.Bind(0, 1);
  hw.Do({GpuCopy{.from = Aperture(5, 1), .to = Aperture(0, 1)}});
  hw.Do({GpuFill{},
         GpuCopy{.from = Aperture(0, 1), .to = InVram(kVramPages, 1)}});
  const std::vector<GpuFault> records = hw.gpu().fault_records();
  ASSERT_EQ(records.size(), 2);
  EXPECT_EQ(records[0].access, Access::kRead);
  EXPECT_EQ(records[1].access, Access::kWrite);
  EXPECT_EQ(records[1].why, GpuFault::Why::kBeyondVram);
  EXPECT_EQ(records[1].step, 1);
  EXPECT_EQ(records[1].dma_address, kNoDmaAddress);
}

TEST(ModelGpu, CountsAllFaultsAndRecordsTheFirst) {
  Hardware hw;
  const uint64_t jobs = ModelGpu::kMaxRecords + 5;
  for (uint64_t i = 0; i < jobs; ++i) {
    hw.Do({GpuFill{.to = Aperture(0, 1)}}, i);
  }
  EXPECT_EQ(hw.gpu().faults(), jobs);
  const std::vector<GpuFault> records = hw.gpu().fault_records();
  ASSERT_EQ(records.size(), ModelGpu::kMaxRecords);
  EXPECT_EQ(records.back().tag, ModelGpu::kMaxRecords - 1);
}

TEST(ModelGpu, VerifyCountsCheckedAndWrongPages) {
  Hardware hw;
  hw.Bind(0, 4);
  hw.Do({GpuPattern{.to = Aperture(0, 4), .seed = 1}});
  std::vector<uint64_t> expected;
  for (PageCount i = 0; i < 4; ++i) expected.push_back(PatternChecksum(1, i));
  expected[2] = PatternChecksum(1, 3);  // right bytes, wrong page
  Atomic<uint64_t> checked{0};
  Atomic<uint64_t> wrong{0};
  hw.Do({GpuVerify{Aperture(0, 4), expected, &checked, &wrong}});
  EXPECT_EQ(checked, 4);
  EXPECT_EQ(wrong, 1);
  // Pages after a fault are in neither count.
  hw.aperture().Set(3, kNoDmaAddress);
  hw.Do({GpuVerify{Aperture(0, 4), expected, &checked, &wrong}});
  EXPECT_EQ(checked, 7);
  EXPECT_EQ(wrong, 2);
  EXPECT_EQ(hw.gpu().faults(), 1);
}

TEST(ModelGpu, FencesOrderJobsOfDifferentQueues) {
  constexpr int kQueues = 4;
  Hardware hw(HardwareOptions{.queues = kQueues});
  Atomic<uint64_t> checked{0};
  Atomic<uint64_t> wrong{0};
  Fence last;
  for (uint64_t round = 0; round < 200; ++round) {
    const int writer = static_cast<int>(round % kQueues);
    const int reader = (writer + 1) % kQueues;
    const Fence written = hw.gpu().Submit(
        writer, GpuJob{{GpuPattern{InVram(0, kVramPages), round}}, round},
        {&last, 1}, 0);
    std::vector<uint64_t> expected;
    for (PageCount i = 0; i < kVramPages; ++i) {
      expected.push_back(PatternChecksum(round, i));
    }
    last = hw.gpu().Submit(
        reader,
        GpuJob{{GpuVerify{InVram(0, kVramPages), expected, &checked, &wrong}},
               round},
        {&written, 1}, 0);
  }
  ASSERT_TRUE(WaitFor(last, WaitLimit{}).ok());
  EXPECT_EQ(checked, 200 * kVramPages);
  EXPECT_EQ(wrong, 0);
}

TEST(ModelGpu, AllQueuesStopBeforeOneFails) {
  constexpr int kQueues = 8;
  for (int round = 0; round < 50; ++round) {
    Hardware hw(HardwareOptions{.queues = kQueues});
    Timeline& never = hw.machine().NewTimeline("never");
    const Fence dependency[] = {never.Emit(0)};
    const Fence lost = hw.gpu().Submit(0, GpuJob{}, dependency, 0);
    std::vector<Fence> fences;
    for (int queue = 1; queue < kQueues; ++queue) {
      fences.push_back(hw.gpu().Submit(
          queue,
          GpuJob{{GpuFill{InVram(static_cast<uint64_t>(queue), 1),
                          std::byte{0x5a}}}},
          {&lost, 1}, 0));
    }
    hw.gpu().Fail(absl::DataLossError("pulled out"));
    never.Fail(absl::DataLossError("pulled out"));
    for (const Fence& fence : fences) {
      EXPECT_TRUE(fence.Signalled());
      EXPECT_FALSE(fence.Error().ok());
    }
    // What waited for the job that was lost has not been done either.
    EXPECT_TRUE(std::all_of(hw.vram().data(),
                            hw.vram().data() + hw.vram().bytes(),
                            [](std::byte b) { return b == std::byte{}; }));
  }
}

TEST(ModelGpu, ItsEndFinishesAllJobs) {
  Atomic<uint64_t> checked{0};
  Atomic<uint64_t> wrong{0};
  {
    Hardware hw;
    const std::vector<uint64_t> any(kVramPages);
    for (int i = 0; i < 50; ++i) {
      hw.gpu().Submit(
          i % 2,
          GpuJob{{GpuVerify{InVram(0, kVramPages), any, &checked, &wrong}}}, {},
          0);
    }
  }
  EXPECT_EQ(checked, 50 * kVramPages);
}

TEST(ModelGpu, CostIsLatencyAndBytesByWhereTheyAre) {
  CostModel cost;
  cost.job_latency_ns = 1000;
  cost.vram_mib_per_s = 1'000'000;
  cost.bus_mib_per_s = 1'000;
  EXPECT_EQ(JobCostNs(cost, GpuJob{}), 1000);
  // 256 pages: 1 MiB over the bus takes 1 ms, in video memory 1 us.
  EXPECT_EQ(JobCostNs(cost, GpuJob{{GpuFill{Aperture(0, 256)}}}),
            1000 + 1'000'000);
  EXPECT_EQ(JobCostNs(cost, GpuJob{{GpuPattern{InVram(0, 256)}}}), 1000 + 1000);
  EXPECT_EQ(JobCostNs(cost, GpuJob{{GpuCopy{InVram(0, 256), Aperture(0, 256)},
                                    GpuChecksum{InVram(0, 256), {}},
                                    GpuVerify{.from = Aperture(0, 256)}}}),
            1000 + 2 * 1000 + 2 * 1'000'000);
  EXPECT_EQ(JobCostNs(cost, kMiB, kMiB), 1000 + 1000 + 1'000'000);
}

TEST(ModelGpu, UnbackedOnlyTimePasses) {
  Hardware hw(
      HardwareOptions{.machine = {Backing::kUnbacked, Clock::Kind::kVirtual}});
  EXPECT_FALSE(hw.gpu().executes());
  Atomic<uint64_t> checked{0};
  Atomic<uint64_t> wrong{0};
  const Fence a = hw.gpu().Submit(
      0, GpuJob{{GpuVerify{Aperture(0, 1), {0}, &checked, &wrong}}}, {}, 100);
  const Fence b = hw.gpu().Submit(1, GpuJob{}, {&a, 1}, 10);
  const Fence c = hw.gpu().Submit(1, GpuJob{}, {}, 5);
  EXPECT_FALSE(a.Signalled());
  ASSERT_TRUE(WaitFor(c, WaitLimit{}).ok());
  EXPECT_TRUE(a.Signalled());
  EXPECT_TRUE(b.Signalled());
  EXPECT_EQ(hw.machine().clock().now_ns(), 115);
  EXPECT_EQ(checked, 0);
  EXPECT_EQ(hw.gpu().faults(), 0);
}

TEST(ModelGpu, BackedOnAVirtualClockBothHappen) {
  Hardware hw(
      HardwareOptions{.machine = {Backing::kBacked, Clock::Kind::kVirtual}});
  const Fence fence = hw.gpu().Submit(
      0, GpuJob{{GpuFill{InVram(0, 1), std::byte{3}}}}, {}, 100);
  EXPECT_FALSE(fence.Signalled());
  ASSERT_TRUE(WaitFor(fence, WaitLimit{}).ok());
  EXPECT_EQ(hw.machine().clock().now_ns(), 100);
  EXPECT_TRUE(IsFilled(hw.vram().data(), std::byte{3}));
}

using ModelGpuDeathTest = testing::Test;

TEST(ModelGpuDeathTest, StepsWhoseLengthsDisagreeAreABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Hardware hw;
  uint64_t sum;
  Atomic<uint64_t> count{0};
  for (const GpuStep& step :
       {GpuStep{GpuCopy{InVram(0, 1), InVram(0, 2)}},
        GpuStep{GpuChecksum{InVram(0, 2), {&sum, 1}}},
        GpuStep{GpuVerify{InVram(0, 2), {0}, &count, &count}},
        GpuStep{GpuVerify{InVram(0, 1), {0}, &count, nullptr}}}) {
    EXPECT_DEATH(hw.gpu().Submit(0, GpuJob{{step}}, {}, 0), "StepLengthsAgree");
  }
  EXPECT_DEATH(hw.gpu().Submit(2, GpuJob{}, {}, 0), "queue");
  EXPECT_DEATH(hw.gpu().Submit(-1, GpuJob{}, {}, 0), "queue");
}

}  // namespace
}  // namespace twostep
