// Whatever happens in whatever order, every byte is as last written, every rule
// that the audit knows holds after every step, and nothing is left at the end.
// A walk is a script of printable steps made from a seed; one that fails is cut
// down to the steps that matter and printed.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "tests/bo/platforms.h"
#include "twostep/machine/device_queue.h"

namespace twostep {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr int kSteps = 1500;
constexpr int kSeeds = 1;
#elif defined(__SANITIZE_ADDRESS__) || !defined(NDEBUG)
constexpr int kSteps = 1500;
constexpr int kSeeds = 2;
#else
constexpr int kSteps = 3000;
constexpr int kSeeds = 8;
#endif
constexpr int kBos = 12;
constexpr PageCount kMostPages = 40;

enum class Verb : uint8_t {
  kCreate,
  kDestroy,
  kCpuWrite,
  kCpuRead,
  kCpuUnmap,
  kKernelWrite,
  kDeviceWrite,
  kDeviceRead,
  kValidate,
  kUnbindFromGpu,
  kPin,
  kUnpin,
  kDrop,
  kWorthless,
  kWorthKeeping,
  kFailNextCopy,
  kWaitForAll,
};
constexpr const char* kVerbNames[] = {
    "Create",       "Destroy",     "CpuWrite",   "CpuRead",   "CpuUnmap",
    "KernelWrite",  "DeviceWrite", "DeviceRead", "Validate",  "UnbindFromGpu",
    "Pin",          "Unpin",       "Drop",       "Worthless", "WorthKeeping",
    "FailNextCopy", "WaitForAll"};
// How often each comes, in the order above.
constexpr int kWeights[] = {8, 4, 16, 16, 3, 4, 16, 16, 24,
                            4, 2, 6,  2,  2, 3, 2,  1};

struct Step {
  Verb verb;
  uint32_t bo;     // one of kBos
  uint32_t a;      // a page, a size or a placement
  uint32_t value;  // what is written
};

std::ostream& operator<<(std::ostream& out, const Step& step) {
  return out << "{Verb::k" << kVerbNames[static_cast<int>(step.verb)] << ", "
             << step.bo << ", " << step.a << ", " << step.value << "}";
}

using Script = std::vector<Step>;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  uint32_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<uint32_t>((state_ * 0x2545f4914f6cdd1du) >> 32);
  }

 private:
  uint64_t state_;
};

Script MakeScript(uint64_t seed, int steps) {
  Random random(seed + 1);
  int total = 0;
  for (const int weight : kWeights) total += weight;
  Script script;
  for (int i = 0; i < steps; ++i) {
    int at = static_cast<int>(random.Next() % total);
    int verb = 0;
    while (at >= kWeights[verb]) at -= kWeights[verb++];
    script.push_back(Step{static_cast<Verb>(verb), random.Next() % kBos,
                          random.Next(), random.Next() | 1});
  }
  return script;
}

struct World {
  MachineKind machine;
  DmaType dma;
  bool mixed;  // other DMA types, too
};

// Where in a page a value is written and looked for: both ends and the middle.
constexpr size_t kMarks[] = {0, kPageSize / 2, kPageSize - sizeof(uint32_t)};

void WritePage(std::byte* page, uint32_t value) {
  for (const size_t mark : kMarks) std::memcpy(page + mark, &value, 4);
}
bool ReadPage(const std::byte* page, uint32_t want) {
  bool right = true;
  for (const size_t mark : kMarks) {
    uint32_t value;
    std::memcpy(&value, page + mark, 4);
    right &= value == want;
  }
  return right;
}

RigOptions Tight(MachineKind kind) {
  RigOptions options = OptionsOf(kind);
  // Each a third of what the bos need, host frames two thirds.
  options.machine.coherent_bytes = 100 * kPageSize;
  options.machine.cma_bytes = 128 * kPageSize;
  options.machine.swiotlb.bytes = 100 * kPageSize;
  options.machine.iommu.iova_bytes = 100 * kPageSize;
  options.machine.dma32_bytes = (100 + 128 + 100 + 60) * kPageSize;
  options.machine.normal_bytes = 120 * kPageSize;
  options.machine.swap_bytes = 300 * kPageSize;
  // Where no IOMMU translates, some frames bounce and some do not.
  if (kind == MachineKind::kNonCoherent) options.gpu.dma_mask_bits = 32;
  options.gpu.vram_bytes = 56 * kPageSize;
  options.gpu.vram_visible_bytes = 44 * kPageSize;
  options.gpu.aperture_bytes = 90 * kPageSize;
  return options;
}

// One run of a script: the bos, and what each of their pages must hold.
class Walk {
 public:
  explicit Walk(const World& world) : world_(world) {
    RigOptions options = Tight(world.machine);
    options.hooks = &hooks_;
    rig_ = std::make_unique<Rig>(options);
    queue_ = std::make_unique<DeviceQueue>(rig_->machine().NewTimeline("walk"),
                                           rig_->machine().clock(),
                                           DeviceQueue::Execution::kThread);
  }

  // What went wrong, if anything; the walk is over then.
  std::string Run(const Script& script) {
    for (size_t i = 0; i < script.size(); ++i) {
      std::string wrong = Do(script[i]);
      NotePurges();
      if (wrong.empty()) wrong = Rules();
      if (!wrong.empty()) {
        return absl::StrCat("step ", i, ": ", wrong);
      }
    }
    return End();
  }

 private:
  struct Bo {
    BoRef ref;
    std::unique_ptr<CpuMapping> mapping;
    std::vector<uint32_t> pages;
    int pins = 0;
  };

  std::string Rules() {
    if (device_wrong_.load() != 0) return "a device read stale bytes";
    std::string broken = rig_->Broken();
    if (broken.empty() && !rig_->misuses().empty() && !misuse_expected_) {
      broken = "misuse: " + rig_->misuses().front().message;
    }
    rig_->misuses().clear();
    misuse_expected_ = false;
    return broken;
  }

  std::string End() {
    for (int i = 0; i < kBos; ++i) {
      Bo& bo = bos_[i];
      if (bo.ref == nullptr) continue;
      for (PageCount page = 0; page < bo.pages.size(); ++page) {
        NotePurges();
        std::string wrong = CpuRead(bo, page);
        if (!wrong.empty()) return "at the end: " + wrong;
      }
      Destroy(bo);
    }
    queue_.reset();
    while (rig_->host().ReapGhosts(WaitLimit{})) {
    }
    std::string broken = Rules();
    if (!broken.empty()) return "at the end: " + broken;
    for (const auto& [name, value] : AccountsOf(*rig_)) {
      if (value != 0) return absl::StrCat("left: ", value, " ", name);
    }
    return "";
  }

  // What was purged reads as zero. Asking for it anew makes the next purge show
  // as well.
  void NotePurges() {
    for (Bo& bo : bos_) {
      if (bo.ref == nullptr || !bo.ref->purged()) continue;
      bo.pages.assign(bo.pages.size(), 0);
      bo.ref->Reserve();
      bo.ref->SetWorthless(false);
      bo.ref->SetWorthless(true);
      bo.ref->Unreserve();
    }
  }

  void Destroy(Bo& bo) {
    while (bo.pins > 0) Unpin(bo);
    bo.mapping.reset();
    bo.ref.reset();
    bo.pages.clear();
  }

  void Unpin(Bo& bo) {
    bo.ref->Reserve();
    bo.ref->Unpin();
    bo.ref->Unreserve();
    --bo.pins;
  }

  Placement PlacementOf(uint32_t choice) const {
    DmaType dma = world_.dma;
    if (world_.mixed) dma = static_cast<DmaType>(choice / 16 % 4);
    switch (choice % 8) {
      case 0:
      case 1:
        return kVram;
      case 2:
        return kSystem;
      case 3:
        return Placement{.dma = dma};  // bound, and nowhere on the GPU
      case 4:
        return Tt(DmaType::kNone);
      case 5: {
        Placement upper = Tt(dma);
        upper.first_page = 40;
        upper.direction = Direction::kTopDown;
        return upper;
      }
      default:
        return Tt(dma);
    }
  }

  // An error is one that the rules allow, and left the bo where it was.
  std::string Validate(Bo& bo, std::vector<Placement> placements, bool* done) {
    const std::string before = WhereIs(bo.ref);
    const bool swapped = bo.ref->pages().home() == Pages::Home::kSwapped;
    const absl::Status status = rig_->Validate(bo.ref, placements);
    *done = status.ok();
    hooks_.copies_until_failure = 0;
    if (status.ok()) return "";
    if (status.code() != absl::StatusCode::kResourceExhausted &&
        status.code() != absl::StatusCode::kOutOfRange &&
        status.code() != absl::StatusCode::kFailedPrecondition &&
        status.code() != absl::StatusCode::kInternal) {
      return "unexpected: " + status.ToString();
    }
    if (!swapped && WhereIs(bo.ref) != before) {
      return absl::StrCat("a failed validation moved bo ", bo.ref->id(),
                          " from ", before, " to ", WhereIs(bo.ref), ": ",
                          status.ToString());
    }
    return "";
  }

  std::string CpuRead(Bo& bo, PageCount page) {
    std::byte* at = CpuPage(bo, page);
    if (at == nullptr) return "";
    if (ReadPage(at, bo.pages[page])) return "";
    uint32_t found;
    std::memcpy(&found, at, 4);
    return absl::StrCat("CPU read of bo ", bo.ref->id(), " page ", page, " (",
                        WhereIs(bo.ref), "): ", found, " instead of ",
                        bo.pages[page]);
  }

  // Null where no frame could be had.
  std::byte* CpuPage(Bo& bo, PageCount page) {
    if (bo.mapping == nullptr) bo.mapping = *CpuMapping::Create(bo.ref);
    if (!WaitForCpu(*bo.ref, Access::kWrite).ok()) return nullptr;
    // The fault itself is for most accesses; where memory is out, Touch says so
    // without a signal.
    if (bo.ref->pages().present() || bo.ref->manager().fixed()) {
      const bool beyond_window =
          bo.ref->manager().fixed() &&
          bo.mapping->Touch(PageRange{page, 1}, Access::kWrite).ok() == false;
      return beyond_window ? nullptr : bo.mapping->data() + PagesToBytes(page);
    }
    if (!bo.mapping->Touch(PageRange{page, 1}, Access::kWrite).ok()) {
      return nullptr;
    }
    return bo.mapping->data() + PagesToBytes(page);
  }

  // Queues a device access of one page of a bo that is where a device sees it.
  std::string DeviceAccess(Bo& bo, PageCount page, uint32_t value,
                           Access access) {
    // What every submission does: a hit, which takes the CPU's pages back.
    Placement here = kVram;
    if (!InMemoryType(*rig_, bo.ref, MemoryType::kVram)) {
      here = Tt(world_.dma);
      if (InMemoryType(*rig_, bo.ref, MemoryType::kTt)) {
        for (const DmaType type : kBuiltInDmaTypes) {
          if (BoundThrough(*rig_, bo.ref, type)) here = Tt(type);
        }
      }
    }
    bool done = false;
    std::string wrong = Validate(bo, {here}, &done);
    if (!wrong.empty() || !done) return wrong;
    bo.ref->Reserve();
    absl::InlinedVector<Fence, 4> dependencies;
    const FenceUse use =
        access == Access::kWrite ? FenceUse::kWrite : FenceUse::kRead;
    bo.ref->fences().AppendDependencies(use, &dependencies);
    // The device walks its page table when it gets there, not now.
    std::byte* vram = here.memory == MemoryType::kVram
                          ? rig_->DevicePage(bo.ref, page, access)
                          : nullptr;
    const ApertureTable* table =
        rig_->device().manager(MemoryType::kTt)->aperture();
    const uint64_t entry = uint64_t{bo.ref->start_page()} + page;
    const uint32_t want = bo.pages[page];
    const Fence fence = queue_->Submit(dependencies, 20000, [=, this] {
      std::byte* at = vram != nullptr ? vram
                                      : rig_->device().port().Resolve(
                                            table->Get(entry), access);
      if (at == nullptr) return;  // a fault, which the audit reports
      if (access == Access::kWrite) {
        WritePage(at, value);
      } else if (!ReadPage(at, want)) {
        device_wrong_ += 1;
      }
    });
    bo.ref->fences().Add(fence, use);
    bo.ref->Unreserve();
    if (access == Access::kWrite) bo.pages[page] = value;
    return "";
  }

  std::string KernelWrite(Bo& bo, PageCount page, uint32_t value) {
    const bool dynamic = BoundThrough(*rig_, bo.ref, DmaType::kDynamic);
    misuse_expected_ = dynamic;
    auto mapping = KernelMapping::Create(bo.ref);
    if (!mapping.ok()) {
      return dynamic && rig_->misuses().empty() ? "no misuse was reported" : "";
    }
    if (dynamic) return "a kernel mapping of a bo bound to DYNAMIC";
    std::byte* at = (*mapping)->data() + PagesToBytes(page);
    if (!ReadPage(at, bo.pages[page])) {
      return absl::StrCat("kernel mapping of bo ", bo.ref->id(), " page ", page,
                          " is stale");
    }
    WritePage(at, value);
    bo.pages[page] = value;
    return "";
  }

  std::string Do(const Step& step) {
    Bo& bo = bos_[step.bo];
    if (step.verb == Verb::kCreate) {
      if (bo.ref != nullptr) return "";
      bo.pages.assign(1 + step.a % kMostPages, 0);
      bo.ref = rig_->Make(PagesToBytes(bo.pages.size()));
      return "";
    }
    if (step.verb == Verb::kWaitForAll) {
      for (Bo& each : bos_) {
        if (each.ref != nullptr) {
          (void)WaitForCpu(*each.ref, Access::kWrite);
        }
      }
      return "";
    }
    if (bo.ref == nullptr) return "";
    const auto page = static_cast<PageCount>(step.a % bo.pages.size());
    bool done = false;
    switch (step.verb) {
      case Verb::kCreate:
      case Verb::kWaitForAll:
        break;
      case Verb::kDestroy:
        Destroy(bo);
        break;
      case Verb::kCpuWrite:
        if (std::byte* at = CpuPage(bo, page)) {
          WritePage(at, step.value);
          bo.pages[page] = step.value;
        }
        break;
      case Verb::kCpuRead:
        return CpuRead(bo, page);
      case Verb::kCpuUnmap:
        bo.mapping.reset();
        break;
      case Verb::kKernelWrite:
        return KernelWrite(bo, page, step.value);
      case Verb::kDeviceWrite:
        return DeviceAccess(bo, page, step.value, Access::kWrite);
      case Verb::kDeviceRead:
        return DeviceAccess(bo, page, 0, Access::kRead);
      case Verb::kValidate: {
        std::vector<Placement> placements{PlacementOf(step.a)};
        if (step.value % 4 == 0) {
          placements.front().use = Placement::Use::kDesired;
          placements.push_back(PlacementOf(step.value >> 8));
        }
        return Validate(bo, placements, &done);
      }
      case Verb::kUnbindFromGpu:
        return Validate(bo, {kSystem}, &done);
      case Verb::kPin:
        if (bo.pins == 2) break;
        bo.ref->Reserve();
        bo.ref->Pin();
        bo.ref->Unreserve();
        ++bo.pins;
        break;
      case Verb::kUnpin:
        if (bo.pins > 0) Unpin(bo);
        break;
      case Verb::kDrop:
        if (bo.pins > 0) break;
        bo.pages.assign(bo.pages.size(), 0);
        return Validate(bo, {}, &done);
      case Verb::kWorthless:
      case Verb::kWorthKeeping:
        bo.ref->Reserve();
        bo.ref->SetWorthless(step.verb == Verb::kWorthless);
        bo.ref->Unreserve();
        break;
      case Verb::kFailNextCopy:
        hooks_.copies_until_failure = 1 + static_cast<int>(step.a % 2);
        break;
    }
    return "";
  }

  const World world_;
  bool misuse_expected_ = false;
  Atomic<uint64_t> device_wrong_{0};
  RecordingHooks hooks_;
  std::unique_ptr<Rig> rig_;
  std::array<Bo, kBos> bos_;
  std::unique_ptr<DeviceQueue> queue_;
};

// In a process of its own, so that a crash can be shrunk like any failure.
std::string Replay(const World& world, const Script& script) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    const std::string wrong = Walk(world).Run(script);
    const ssize_t written = write(ends[1], wrong.data(), wrong.size());
    _exit(written == static_cast<ssize_t>(wrong.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string wrong;
  char buffer[4096];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    wrong.append(buffer, static_cast<size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0 && wrong.empty()) {
    wrong = absl::StrCat("the process ended with status ", status);
  }
  return wrong;
}

// Leaves out whatever the failure does not need.
Script Shrink(const World& world, Script script) {
  for (size_t chunk = script.size() / 2; chunk > 0; chunk /= 2) {
    for (size_t at = 0; at < script.size();) {
      Script shorter = script;
      shorter.erase(shorter.begin() + static_cast<ptrdiff_t>(at),
                    shorter.begin() + static_cast<ptrdiff_t>(
                                          std::min(at + chunk, script.size())));
      if (Replay(world, shorter).empty()) {
        at += chunk;
      } else {
        script = std::move(shorter);
      }
    }
  }
  return script;
}

void ExpectWalk(const World& world, uint64_t seed) {
  const Script script = MakeScript(seed, kSteps);
  const std::string wrong = Replay(world, script);
  if (wrong.empty()) return;
  const Script shrunk = Shrink(world, script);
  std::ostringstream text;
  for (const Step& step : shrunk) text << "  " << step << ",\n";
  ADD_FAILURE() << NameOf(world.machine) << ", " << NameOf(world.dma)
                << (world.mixed ? " and others" : "") << ", seed " << seed
                << ": " << wrong << "\nshrunk to " << Replay(world, shrunk)
                << "\n"
                << text.str();
}

class RandomWalk
    : public testing::TestWithParam<std::tuple<MachineKind, DmaType>> {};

// R1, R3, R6, R7, R8, R12, R13, S4, S6
TEST_P(RandomWalk, NeverReadsAStaleByteNorBreaksARule) {
  const auto [machine, dma] = GetParam();
  for (int seed = 0; seed < kSeeds && !HasFailure(); ++seed) {
    ExpectWalk(World{machine, dma, false}, seed);
  }
}

// R1, R3, R6, R7, R8, R12, R13, S1
TEST_P(RandomWalk, NeverReadsAStaleByteWhereTypesAreMixed) {
  const auto [machine, dma] = GetParam();
  for (int seed = 100; seed < 100 + kSeeds && !HasFailure(); ++seed) {
    ExpectWalk(World{machine, dma, true}, seed);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RandomWalk,
                         testing::Combine(testing::ValuesIn(kAllMachines),
                                          testing::ValuesIn(kBuiltInDmaTypes)),
                         [](const auto& info) {
                           return std::string(NameOf(std::get<0>(info.param))) +
                                  NameOf(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace twostep
