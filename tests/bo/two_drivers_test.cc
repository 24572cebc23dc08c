// S16, S19 and the scenario two-drivers-one-iommu: 32 MiB of IOVAs, two drivers
// with working sets of 24 MiB each behind them. Each driver is a client whose
// protected share of the space is half of it, so that whoever is furthest above
// its share gives way. Progress is measured in virtual time, against what the
// driver gets done alone.

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bo/rig.h"
#include "twostep/machine/page_pattern.h"

namespace twostep {
namespace {

constexpr uint64_t kIovaBytes = 32 * kMiB;
constexpr uint64_t kSetBytes = 24 * kMiB;

struct Behaviour {
  uint64_t bo_bytes;
  uint64_t job_ns;   // on its own device, between two validations
  PageCount stride;  // which bo is next, of its set
};

RigOptions Options() {
  RigOptions options = RigOptions::Small();
  options.machine.dma32_bytes = 80 * kMiB;
  options.machine.normal_bytes = 0;
  options.machine.iommu.iova_bytes = kIovaBytes;
  options.gpu.aperture_bytes = 64 * kMiB;
  return options;
}

// A driver, its client and its own clock: what it has used of the CPU and of
// its device.
class Driver {
 public:
  Driver(Rig& rig, const std::string& name, const Behaviour& behaviour,
         uint64_t protected_bytes)
      : rig_(rig), behaviour_(behaviour) {
    GpuConfig config = Options().gpu;
    config.name = name;
    config.vram_bytes = 0;
    device_ = *Device::Create(rig.host(), config);
    ClientOptions options{.name = name};
    options.dma.low_pages = protected_bytes >> kPageShift;
    client_ = *rig.host().CreateClient(options);
    for (uint64_t at = 0; at < kSetBytes; at += behaviour.bo_bytes) {
      bos_.push_back(*rig.host().CreateBo(behaviour.bo_bytes, client_));
      auto mapping = *CpuMapping::Create(bos_.back());
      for (PageCount page = 0; page < bos_.back()->page_count(); ++page) {
        FillPattern(bos_.size(), page, mapping->data() + PagesToBytes(page));
      }
    }
  }

  // One job: its bo in place, and its device at work on it.
  void Step() {
    const uint64_t start = rig_.machine().clock().now_ns();
    const size_t i = next_;
    next_ = (next_ + behaviour_.stride) % bos_.size();
    BufferObject& bo = *bos_[i];
    const Placement placement = Tt(DmaType::kDynamic);
    ValidateContext context;
    bo.Reserve();
    const absl::Status status =
        device_->Validate(bo, {&placement, 1}, &context);
    EXPECT_TRUE(status.ok()) << status;
    // The bytes are its own, through its own device.
    const PageCount page = static_cast<PageCount>(jobs_ % bo.page_count());
    const std::byte* at = device_->port().Resolve(
        bo.binding().Address(bo.pages(), page), Access::kRead);
    EXPECT_TRUE(at != nullptr &&
                PageChecksum(at) == PatternChecksum(i + 1, page));
    bo.Unreserve();
    hits_ += context.hit;
    ++jobs_;
    used_ns_ += rig_.machine().clock().now_ns() - start + behaviour_.job_ns;
  }

  uint64_t WrongPages() {
    uint64_t wrong = 0;
    for (size_t i = 0; i < bos_.size(); ++i) {
      auto mapping = *CpuMapping::Create(bos_[i]);
      for (PageCount page = 0; page < bos_[i]->page_count(); ++page) {
        wrong += PageChecksum(mapping->data() + PagesToBytes(page)) !=
                 PatternChecksum(i + 1, page);
      }
    }
    return wrong;
  }

  uint64_t jobs() const { return jobs_; }
  uint64_t hits() const { return hits_; }
  uint64_t used_ns() const { return used_ns_; }
  const EvictionAccount& account() const {
    return client_->account(Resource::kDma);
  }

 private:
  Rig& rig_;
  const Behaviour behaviour_;
  std::unique_ptr<Device> device_;
  ClientRef client_;
  std::vector<BoRef> bos_;
  size_t next_ = 0;
  uint64_t jobs_ = 0;
  uint64_t hits_ = 0;
  uint64_t used_ns_ = 0;
};

constexpr uint64_t kRunNs = 20'000'000;

uint64_t JobsAlone(const Behaviour& behaviour) {
  Rig rig(Options());
  Driver driver(rig, "alone", behaviour, 0);
  while (driver.used_ns() < kRunNs) driver.Step();
  return driver.jobs();
}

struct Shared {
  std::array<double, 2> progress;  // of what each would get done alone
  double jain;
  uint64_t evictions;
  uint64_t jobs;
};

Shared RunTogether(const std::array<Behaviour, 2>& behaviours,
                   uint64_t protected_bytes) {
  Rig rig(Options());
  Driver a(rig, "a", behaviours[0], protected_bytes);
  Driver b(rig, "b", behaviours[1], protected_bytes);
  // Whoever is behind in its own time is next: they run side by side.
  while (std::min(a.used_ns(), b.used_ns()) < kRunNs) {
    (a.used_ns() <= b.used_ns() ? a : b).Step();
    EXPECT_LE(a.account().used_pages() + b.account().used_pages(),
              kIovaBytes >> kPageShift);
  }
  const DmaBinder::Stats& stats = rig.host().binder(DmaType::kDynamic).stats();
  Shared shared{};
  shared.progress = {double(a.jobs()) / double(JobsAlone(behaviours[0])),
                     double(b.jobs()) / double(JobsAlone(behaviours[1]))};
  const auto [x, y] = shared.progress;
  shared.jain = (x + y) * (x + y) / (2 * (x * x + y * y));
  shared.evictions = stats.evictions;
  shared.jobs = a.jobs() + b.jobs();
  EXPECT_EQ(a.WrongPages() + b.WrongPages(), 0);
  EXPECT_EQ(rig.Broken(), "");
  return shared;
}

const Behaviour kSteady{.bo_bytes = 256 * kKiB, .job_ns = 20000, .stride = 1};
// Ten times as many jobs, over smaller bos.
const Behaviour kHasty{.bo_bytes = 64 * kKiB, .job_ns = 2000, .stride = 1};
const Behaviour kLarge{.bo_bytes = 2 * kMiB, .job_ns = 50000, .stride = 5};

TEST(TwoDriversOneIommu, NeitherStarvesWhateverTheOtherDoes) {
  const std::array<Behaviour, 2> kPairs[] = {{kSteady, kSteady},
                                             {kSteady, kHasty},
                                             {kLarge, kHasty},
                                             {kLarge, kSteady}};
  for (const auto& pair : kPairs) {
    SCOPED_TRACE(testing::Message()
                 << pair[0].bo_bytes << " " << pair[1].bo_bytes);
    const Shared shared = RunTogether(pair, kIovaBytes / 2);
    EXPECT_GE(shared.jain, 0.9)
        << shared.progress[0] << " " << shared.progress[1];
    EXPECT_GT(shared.progress[0], 0.3);
    EXPECT_GT(shared.progress[1], 0.3);
    RecordProperty("jain", std::to_string(shared.jain));
  }
}

// Bounded ping-pong: between bos of one size a job evicts one at most.
TEST(TwoDriversOneIommu, NoJobEvictsMoreThanItNeeds) {
  const Shared shared = RunTogether({kSteady, kSteady}, kIovaBytes / 2);
  EXPECT_GT(shared.evictions, 0);
  EXPECT_LE(shared.evictions, shared.jobs);
}

// Reclaim asks the right one: the driver within its share keeps what it has.
TEST(TwoDriversOneIommu, WhoeverIsAboveItsShareGivesWay) {
  Rig rig(Options());
  Driver within(rig, "within", {.bo_bytes = kMiB, .job_ns = 1000, .stride = 1},
                kIovaBytes / 2);
  Driver above(rig, "above", kHasty, kIovaBytes / 2);
  for (int i = 0; i < 12; ++i) within.Step();  // 12 of its 16 MiB
  const uint64_t had = within.account().used_pages();
  for (int i = 0; i < 2000; ++i) above.Step();
  EXPECT_EQ(within.account().used_pages(), had);
  EXPECT_EQ(above.account().used_pages() + had, kIovaBytes >> kPageShift);
  EXPECT_GT(rig.host().binder(DmaType::kDynamic).stats().evictions, 0);
  EXPECT_EQ(rig.Broken(), "");
}

}  // namespace
}  // namespace twostep
