#include "twostep/machine/model_gpu.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "twostep/machine/check.h"

namespace twostep {
namespace {

// The pages of a list of runs, one after the other.
class PageCursor {
 public:
  explicit PageCursor(const GpuRuns& runs) : runs_(runs) { SkipEmpty(); }

  bool done() const { return run_ == runs_.size(); }
  GpuSpace space() const { return runs_[run_].space; }
  uint64_t page() const { return runs_[run_].first_page + in_run_; }
  void Next() {
    if (++in_run_ < runs_[run_].pages) return;
    in_run_ = 0;
    ++run_;
    SkipEmpty();
  }

 private:
  void SkipEmpty() {
    while (run_ < runs_.size() && runs_[run_].pages == 0) ++run_;
  }

  const GpuRuns& runs_;
  size_t run_ = 0;
  PageCount in_run_ = 0;
};

struct StepBytes {
  uint64_t vram = 0;
  uint64_t bus = 0;

  void Add(const GpuRuns& runs) {
    for (const GpuRange& run : runs) {
      (run.space == GpuSpace::kVram ? vram : bus) += PagesToBytes(run.pages);
    }
  }
  void operator()(const GpuFill& step) { Add(step.to); }
  void operator()(const GpuPattern& step) { Add(step.to); }
  void operator()(const GpuCopy& step) {
    Add(step.from);
    Add(step.to);
  }
  void operator()(const GpuChecksum& step) { Add(step.from); }
  void operator()(const GpuVerify& step) { Add(step.from); }
};

// Whether the parts of a step fit together; a job that does not is a bug.
struct StepLengthsAgree {
  bool operator()(const GpuFill&) const { return true; }
  bool operator()(const GpuPattern&) const { return true; }
  bool operator()(const GpuCopy& step) const {
    return PagesIn(step.from) == PagesIn(step.to);
  }
  bool operator()(const GpuChecksum& step) const {
    return PagesIn(step.from) == step.out.size();
  }
  bool operator()(const GpuVerify& step) const {
    return PagesIn(step.from) == step.expected.size() &&
           step.checked_pages != nullptr && step.wrong_pages != nullptr;
  }
};

const char* Words(GpuFault::Why why) {
  switch (why) {
    case GpuFault::Why::kBeyondVram:
      return "beyond video memory";
    case GpuFault::Why::kBeyondAperture:
      return "beyond the aperture";
    case GpuFault::Why::kNotShown:
      return "the aperture shows nothing there";
    case GpuFault::Why::kBus:
      return "the bus refused address";
  }
  return "";
}

}  // namespace

uint64_t PagesIn(const GpuRuns& runs) {
  uint64_t pages = 0;
  for (const GpuRange& run : runs) pages += run.pages;
  return pages;
}

uint64_t JobCostNs(const CostModel& cost, uint64_t vram_bytes,
                   uint64_t bus_bytes) {
  return cost.job_latency_ns + TransferNs(vram_bytes, cost.vram_mib_per_s) +
         TransferNs(bus_bytes, cost.bus_mib_per_s);
}

uint64_t JobCostNs(const CostModel& cost, const GpuJob& job) {
  StepBytes bytes;
  for (const GpuStep& step : job.steps) std::visit(bytes, step);
  return JobCostNs(cost, bytes.vram, bytes.bus);
}

std::string GpuFault::ToString() const {
  std::string text = absl::StrFormat(
      "GPU fault in job %d of queue %d, step %d: %s of %s %#x: %s", tag, queue,
      step, access == Access::kRead ? "read" : "write",
      address.space == GpuSpace::kVram ? "vram" : "aperture",
      address.offset_bytes, Words(why));
  if (why == Why::kBus) absl::StrAppendFormat(&text, " %#x", dma_address);
  return text;
}

ModelGpu::ModelGpu(Machine& machine, const Options& options, DmaPort& port,
                   ApertureTable* aperture, Vram* vram)
    : to_order_(machine.faults()),
      port_(port),
      aperture_(aperture),
      vram_(vram) {
  TWOSTEP_CHECK(options.queues > 0);
  for (int i = 0; i < options.queues; ++i) {
    queues_.push_back(std::make_unique<DeviceQueue>(
        machine.NewTimeline(absl::StrCat(options.name, ".queue", i)),
        machine.clock(),
        machine.memory().backed() ? DeviceQueue::Execution::kThread
                                  : DeviceQueue::Execution::kTimeOnly));
  }
}

ModelGpu::~ModelGpu() = default;

Fence ModelGpu::Submit(int queue, GpuJob job,
                       absl::Span<const Fence> dependencies, uint64_t cost_ns) {
  TWOSTEP_CHECK(queue >= 0 && queue < queues());
  for (const GpuStep& step : job.steps) {
    TWOSTEP_CHECK(std::visit(StepLengthsAgree{}, step));
  }
  DeviceQueue& on = *queues_[queue];
  if (FaultAt(to_order_, FaultKind::kFence)) {
    return on.Submit(dependencies, cost_ns, nullptr,
                     absl::AbortedError(absl::StrCat(
                         "a job was given up: queue ", queue, " was reset")));
  }
  if (!executes()) return on.Submit(dependencies, cost_ns, nullptr);
  return on.Submit(dependencies, cost_ns, [this, queue, job = std::move(job)] {
    Execute(queue, job);
  });
}

std::vector<GpuFault> ModelGpu::fault_records() const {
  SpinLockHolder hold(lock_);
  return records_;
}

std::byte* ModelGpu::Translate(GpuSpace space, uint64_t page, Access access,
                               GpuFault* fault) {
  fault->address = GpuAddress{space, page << kPageShift};
  fault->access = access;
  if (space == GpuSpace::kVram) {
    fault->why = GpuFault::Why::kBeyondVram;
    if (vram_ == nullptr || page >= vram_->bytes() >> kPageShift) {
      return nullptr;
    }
    return vram_->data() + PagesToBytes(page);
  }
  fault->why = GpuFault::Why::kBeyondAperture;
  if (aperture_ == nullptr || page >= aperture_->pages()) return nullptr;
  const DmaAddress address = aperture_->Get(page);
  fault->why = GpuFault::Why::kNotShown;
  if (address == kNoDmaAddress) return nullptr;
  fault->why = GpuFault::Why::kBus;
  fault->dma_address = address;
  return port_.Resolve(address, access);
}

template <typename Visit>
bool ModelGpu::ForEachPage(const GpuRuns& runs, Access access, GpuFault* fault,
                           Visit visit) {
  size_t number = 0;
  for (PageCursor at(runs); !at.done(); at.Next(), ++number) {
    std::byte* bytes = Translate(at.space(), at.page(), access, fault);
    if (bytes == nullptr) return false;
    visit(bytes, number);
  }
  return true;
}

bool ModelGpu::Run(const GpuFill& step, GpuFault* fault) {
  return ForEachPage(
      step.to, Access::kWrite, fault, [&](std::byte* bytes, size_t) {
        std::memset(bytes, static_cast<int>(step.value), kPageSize);
      });
}

bool ModelGpu::Run(const GpuPattern& step, GpuFault* fault) {
  return ForEachPage(
      step.to, Access::kWrite, fault, [&](std::byte* bytes, size_t i) {
        FillPattern(step.seed, step.first_page + static_cast<PageCount>(i),
                    bytes);
      });
}

bool ModelGpu::Run(const GpuCopy& step, GpuFault* fault) {
  PageCursor from(step.from);
  for (PageCursor to(step.to); !to.done(); to.Next(), from.Next()) {
    const std::byte* source =
        Translate(from.space(), from.page(), Access::kRead, fault);
    if (source == nullptr) return false;
    std::byte* target = Translate(to.space(), to.page(), Access::kWrite, fault);
    if (target == nullptr) return false;
    std::memmove(target, source, kPageSize);
  }
  return true;
}

bool ModelGpu::Run(const GpuChecksum& step, GpuFault* fault) {
  return ForEachPage(step.from, Access::kRead, fault,
                     [&](const std::byte* bytes, size_t i) {
                       step.out[i] = PageChecksum(bytes);
                     });
}

bool ModelGpu::Run(const GpuVerify& step, GpuFault* fault) {
  uint64_t checked = 0;
  uint64_t wrong = 0;
  const bool done = ForEachPage(
      step.from, Access::kRead, fault, [&](const std::byte* bytes, size_t i) {
        ++checked;
        wrong += PageChecksum(bytes) != step.expected[i];
      });
  step.checked_pages->fetch_add(checked, std::memory_order_relaxed);
  step.wrong_pages->fetch_add(wrong, std::memory_order_relaxed);
  return done;
}

void ModelGpu::Fail(const absl::Status& error) {
  for (const auto& queue : queues_) {
    queue->Stop(DeviceQueue::Unbegun::kDrop);
  }
  for (const auto& queue : queues_) queue->Fail(error);
}

void ModelGpu::Execute(int queue, const GpuJob& job) {
  for (size_t i = 0; i < job.steps.size(); ++i) {
    GpuFault fault{.queue = queue, .tag = job.tag, .step = i};
    const bool done = std::visit(
        [&](const auto& step) { return Run(step, &fault); }, job.steps[i]);
    if (done) continue;
    if (fault.why != GpuFault::Why::kBus) fault.dma_address = kNoDmaAddress;
    {
      SpinLockHolder hold(lock_);
      if (records_.size() < kMaxRecords) records_.push_back(fault);
    }
    faults_.fetch_add(1, std::memory_order_release);
    return;
  }
}

}  // namespace twostep
