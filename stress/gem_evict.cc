// i915's suites of the aperture: gem_evict_everything, 16 + 12 rows, and
// gem_evict_alignment, 6 rows. There is no VRAM: bos are seen through an
// aperture that is smaller than all of them.

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/stress/disturber.h"
#include "twostep/stress/families.h"
#include "twostep/stress/threads.h"

namespace twostep {
namespace {

// The aperture in bos of the suite's size.
constexpr uint64_t kBosInAperture = 64;
constexpr int kForkedThreads = 4;
constexpr int kRounds = 24;

enum class Kind { kForked, kMlocked, kSwapping, kMinor, kMajor, kAlignment };

struct Row {
  std::string name;
  Kind kind;
  Mode mode;
  bool swapping = false;
  bool multifd = false;
  bool mempressure = false;
  bool large = false;  // of kAlignment
};

class GemEvict {
 public:
  GemEvict(const Row& row, const StressOptions& options, Verdict* verdict)
      : row_(row),
        aperture_bytes_(options.gpu.vram_bytes),
        bo_bytes_(
            std::max(aperture_bytes_ / kBosInAperture / kPageSize * kPageSize,
                     kPageSize)),
        seed_(options.seed),
        threads_(row.kind == Kind::kForked ? options.ThreadsOr(kForkedThreads)
                                           : 1),
        place_(
            InTt(options.seed % 2 == 0 ? DmaType::kDynamic : DmaType::kNone)),
        world_(OptionsOf(options), verdict),
        disturber_(world_, row.mode, threads_) {}

  void Play() {
    if (!world_.ok()) return;
    switch (row_.kind) {
      case Kind::kForked:
        PlayForked();
        break;
      case Kind::kMlocked:
      case Kind::kSwapping:
        UseAtRandom(MakeSet(2 * kBosInAperture), 0, 6 * kRounds);
        break;
      case Kind::kMinor:
        PlayMinor();
        break;
      case Kind::kMajor:
        PlayMajor();
        break;
      case Kind::kAlignment:
        PlayAlignment();
        break;
    }
    world_.ExpectEvictions();
  }

 private:
  WorldOptions OptionsOf(const StressOptions& options) const {
    WorldOptions world = WorldOptions::Of(options);
    world.alone = row_.kind != Kind::kForked && row_.mode == Mode::kNormal;
    world.gpu.vram_bytes = 0;
    world.gpu.vram_visible_bytes = GpuConfig::kAllOfIt;
    world.gpu.aperture_bytes = aperture_bytes_;
    MachineConfig& machine = world.machine;
    machine.normal_bytes = std::max(machine.normal_bytes, 4 * aperture_bytes_);
    machine.swap_bytes = std::max(machine.swap_bytes, 4 * aperture_bytes_);
    // Half of all bos; for mlocked somebody takes the memory itself.
    if (row_.swapping || row_.kind == Kind::kSwapping) {
      machine.page_limit_bytes = aperture_bytes_;
    }
    if (row_.kind == Kind::kMlocked) {
      machine.normal_bytes = 2 * aperture_bytes_;
      machine.dma32_bytes = machine.coherent_bytes + machine.cma_bytes +
                            machine.swiotlb.bytes + kMiB;
    }
    return world;
  }

  std::vector<KnownBo*> MakeSet(uint64_t count, ClientRef client = nullptr) {
    std::vector<KnownBo*> set;
    for (uint64_t i = 0; i < count; ++i) {
      KnownBo* bo = world_.Make(bo_bytes_, client);
      if (bo == nullptr) return {};
      set.push_back(bo);
    }
    return set;
  }
  // Runs of the set, checked and written.
  void UseAtRandom(const std::vector<KnownBo*>& set, int thread, int rounds) {
    std::mt19937_64 random(seed_ * 64 + static_cast<uint64_t>(thread));
    const std::vector<FrameNumber> locked = LockMemory();
    for (int round = 0; round < rounds && !set.empty(); ++round) {
      Submission submission{
          .queue = thread, .uses = {}, .places = {&place_, 1}};
      const size_t first = random() % set.size();
      const size_t count = 1 + random() % 8;
      for (size_t i = 0; i < count; ++i) {
        submission.uses.push_back({set[(first + i) % set.size()]});
      }
      if (!disturber_.Submit(std::move(submission), thread, &random)) break;
    }
    world_.machine().memory().FreeFromHost(locked);
  }
  // What a process has locked is out of reach for the bos: of memory for all of
  // them, half.
  std::vector<FrameNumber> LockMemory() {
    std::vector<FrameNumber> frames;
    if (row_.kind != Kind::kMlocked) return frames;
    frames.resize(BytesToPages(aperture_bytes_));
    if (world_.machine().memory().AllocateForHost(frames, kNoFrame - 1) !=
        Shortage::Kind::kNone) {
      world_.Fail("no memory to lock");
      frames.clear();
    }
    return frames;
  }

  void PlayForked() {
    const uint64_t count = 2 * kBosInAperture;
    std::vector<std::vector<KnownBo*>> sets;
    for (int t = 0; t < threads_; ++t) {
      if (!row_.multifd) {
        sets.push_back(t == 0 ? MakeSet(count) : sets[0]);
        continue;
      }
      auto client =
          world_.host().CreateClient({.name = absl::StrCat("fd ", t)});
      if (!world_.Expect(client.status(), "a client")) return;
      sets.push_back(
          MakeSet(count / static_cast<uint64_t>(threads_) + 1, *client));
    }
    Atomic<bool> done{false};
    std::optional<Thread> pressure;
    if (row_.mempressure) pressure.emplace([this, &done] { Press(&done); });
    OnThreads(threads_, [&](int t) {
      UseAtRandom(sets[static_cast<size_t>(t)], t, 2 * kRounds);
    });
    done.store(true);
    pressure.reset();
  }
  // A host that wants memory back again and again.
  void Press(const Atomic<bool>* done) {
    for (uint64_t round = 0; !done->load(); ++round) {
      world_.host().Shrink(BytesToPages(bo_bytes_) * 4);
      YieldFor(round % 256);
    }
  }

  // Three quarters of the aperture at a time fit; all of it and one bo more do
  // not, and nobody else comes to harm.
  void PlayMinor() {
    std::mt19937_64 random(seed_);
    const std::vector<KnownBo*> set = MakeSet(2 * kBosInAperture);
    if (set.empty()) return;
    // By what there is: a small aperture has fewer bos than the suite's.
    const uint64_t fit = aperture_bytes_ / bo_bytes_;
    for (int round = 0; round < kRounds; ++round) {
      const size_t first = random() % set.size();
      if (!disturber_.Submit(Run(set, first, fit * 3 / 4), 0, &random)) return;
      if (round % 4 != 0) continue;
      const absl::Status status =
          disturber_.TrySubmit(Run(set, first, fit + 1), 0, &random);
      if (KindOf(status) != ErrorKind::kCannotFit) {
        world_.Fail(absl::StrCat("more than the aperture: ",
                                 std::string(status.message())));
      }
    }
  }
  Submission Run(const std::vector<KnownBo*>& set, size_t first,
                 uint64_t count) const {
    Submission submission{.uses = {}, .places = {&place_, 1}};
    for (uint64_t i = 0; i < count; ++i) {
      submission.uses.push_back({set[(first + i) % set.size()]});
    }
    return submission;
  }

  // Each takes most of the aperture.
  void PlayMajor() {
    std::mt19937_64 random(seed_);
    std::vector<KnownBo*> set;
    for (int i = 0; i < 3; ++i) {
      set.push_back(
          world_.Make(aperture_bytes_ * 3 / 4 / kPageSize * kPageSize));
      if (set.back() == nullptr) return;
    }
    for (int round = 0; round < kRounds; ++round) {
      Submission submission{.uses = {{set[random() % 3]}},
                            .places = {&place_, 1}};
      if (!disturber_.Submit(std::move(submission), 0, &random)) return;
    }
  }

  // Alignments grow, then shrink.
  void PlayAlignment() {
    std::mt19937_64 random(seed_);
    const auto aperture = static_cast<PageCount>(BytesToPages(aperture_bytes_));
    const auto pages = row_.large
                           ? aperture / 2
                           : static_cast<PageCount>(BytesToPages(bo_bytes_));
    std::vector<KnownBo*> set;
    for (uint64_t i = 0; i < (row_.large ? 3 : 2 * kBosInAperture); ++i) {
      set.push_back(world_.Make(PagesToBytes(pages)));
      if (set.back() == nullptr) return;
    }
    std::vector<PageCount> alignments;
    for (PageCount a = 1; a <= aperture / 2; a *= 2) alignments.push_back(a);
    const std::vector<PageCount> shrinking(alignments.rbegin(),
                                           alignments.rend());
    alignments.insert(alignments.end(), shrinking.begin(), shrinking.end());
    for (const PageCount alignment : alignments) {
      for (int i = 0; i < 8; ++i) {
        const PageCount spots = (aperture - pages) / alignment + 1;
        Placement place = place_;
        place.first_page = static_cast<PageCount>(random() % spots) * alignment;
        place.end_page = place.first_page + pages;
        if (!UseAt(set[random() % set.size()], place, &random)) return;
      }
    }
  }
  // A placement has no alignment, so the bo is asked to one place that has it.
  // As in the suite's driver it leaves where it is first: the place that it is
  // to have may overlap its own.
  bool UseAt(KnownBo* bo, const Placement& place, std::mt19937_64* random) {
    Submission leave{.uses = {{bo, BoUse::Does::kHold}},
                     .places = {&kInSystem, 1}};
    Submission use{.uses = {{bo}}, .places = {&place, 1}};
    return disturber_.Submit(std::move(leave), 0, random) &&
           disturber_.Submit(std::move(use), 0, random);
  }

  const Row row_;
  const uint64_t aperture_bytes_;
  const uint64_t bo_bytes_;
  const uint64_t seed_;
  const int threads_;
  const Placement place_;
  World world_;
  Disturber disturber_;
};

void Add(const char* family, const Row& row, std::string what,
         std::vector<Scenario>* scenarios) {
  scenarios->push_back(
      {family, row.name, std::move(what),
       [row](const StressOptions& options, Verdict* verdict) {
         GemEvict(row, options, verdict).Play();
       },
       // Rings that hang outlive the device.
       row.mode == Mode::kNormal ? kAllFaults : kAllFaultsButLost});
}

}  // namespace

void AddGemEvictEverything(std::vector<Scenario>* scenarios) {
  for (int bits = 0; bits < 8; ++bits) {
    for (const Mode mode : {Mode::kNormal, Mode::kInterruptible}) {
      Row row{"forked", Kind::kForked, mode};
      row.swapping = (bits & 1) != 0;
      row.multifd = (bits & 2) != 0;
      row.mempressure = (bits & 4) != 0;
      absl::StrAppend(&row.name, row.swapping ? "-swapping" : "",
                      row.multifd ? "-multifd" : "",
                      row.mempressure ? "-mempressure" : "", "-", NameOf(mode));
      Add("gem_evict_everything", row,
          absl::StrCat("threads use twice the aperture at random",
                       row.swapping ? ", half of it swapped" : "",
                       row.multifd ? ", each its own bos" : "",
                       row.mempressure ? ", under memory pressure" : ""),
          scenarios);
    }
  }
  const std::pair<Kind, std::pair<const char*, const char*>> kinds[] = {
      {Kind::kMlocked,
       {"mlocked", "twice the aperture, while half of memory is locked"}},
      {Kind::kSwapping, {"swapping", "twice the aperture, half of it swapped"}},
      {Kind::kMinor,
       {"minor",
        "3/4 of the aperture at once fit, all and one bo more do not"}},
      {Kind::kMajor,
       {"major", "one bo of 3/4 of the aperture after the other"}},
  };
  for (const auto& [kind, words] : kinds) {
    for (const Mode mode : kModes) {
      const Row row{absl::StrCat(words.first, "-", NameOf(mode)), kind, mode};
      Add("gem_evict_everything", row, words.second, scenarios);
    }
  }
}

void AddGemEvictAlignment(std::vector<Scenario>* scenarios) {
  for (const bool large : {false, true}) {
    for (const Mode mode : kModes) {
      Row row{absl::StrCat(large ? "major-" : "minor-", NameOf(mode)),
              Kind::kAlignment, mode};
      row.large = large;
      Add("gem_evict_alignment", row,
          absl::StrCat("bos of ", large ? "half" : "1/64",
                       " of the aperture at aligned places, the alignment "
                       "growing and shrinking"),
          scenarios);
    }
  }
}

}  // namespace twostep
