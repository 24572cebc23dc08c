// The 21 rows of i915's gem_lmem_swapping: bos of half of VRAM and more than
// all of it, used at random, so that what is used has mostly to come back
// first. L is VRAM; the suite's sizes are for 4 GiB of it.

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "twostep/stress/families.h"
#include "twostep/stress/threads.h"
#include "twostep/stress/world.h"

namespace twostep {
namespace {

struct Row {
  std::string name;
  enum class Sizes { kMib, kHalf, kRandom } sizes;
  int sum_percent;  // of L
  bool multi = false;
  bool verify = false;
  bool side_tables = false;
  bool engines = false;
  bool parallel = false;
  bool short_host = false;
  // Used one after the other if not at random.
  bool in_turn = false;
};

std::vector<Row> Rows() {
  using Sizes = Row::Sizes;
  std::vector<Row> rows = {
      {"basic", Sizes::kMib, 150},
      {"verify", Sizes::kMib, 150, false, true},
      {"verify-ccs", Sizes::kMib, 150, false, true, true},
      {"massive", Sizes::kHalf, 150},
      {"massive-random", Sizes::kHalf, 150},
      {"random", Sizes::kRandom, 75},
      {"random-engines", Sizes::kRandom, 75},
      {"verify-random", Sizes::kRandom, 75, false, true},
      {"verify-random-ccs", Sizes::kRandom, 75, false, true, true},
      {"heavy-random", Sizes::kRandom, 150},
      {"heavy-multi", Sizes::kRandom, 150, true},
      {"heavy-verify-random", Sizes::kRandom, 150, false, true},
      {"heavy-verify-multi", Sizes::kRandom, 150, true, true},
      {"heavy-verify-random-ccs", Sizes::kRandom, 150, false, true, true},
      {"heavy-verify-multi-ccs", Sizes::kRandom, 150, true, true, true},
      {"parallel-random", Sizes::kRandom, 150},
      {"parallel-random-engines", Sizes::kRandom, 150},
      {"parallel-random-verify", Sizes::kRandom, 150, false, true},
      {"parallel-random-verify-ccs", Sizes::kRandom, 150, false, true, true},
      {"parallel-multi", Sizes::kRandom, 150, true},
      {"smem-oom", Sizes::kMib, 150},
  };
  for (Row& row : rows) {
    row.engines = absl::EndsWith(row.name, "engines");
    row.parallel = absl::StartsWith(row.name, "parallel");
    row.short_host = row.name == "smem-oom";
    row.in_turn = row.name == "massive";
  }
  return rows;
}

constexpr int kEngines = 4;
// As the suite: one for each core, and one more; of two cores.
constexpr int kClients = 3;
// What compresses needs a table of this part of its size.
constexpr uint64_t kSideTablePart = 256;

struct Object {
  KnownBo* bo = nullptr;
  KnownBo* side_table = nullptr;  // null: none
};

class LmemSwapping {
 public:
  LmemSwapping(const Row& row, const StressOptions& options, Verdict* verdict)
      : row_(row),
        vram_bytes_(options.gpu.vram_bytes),
        seed_(options.seed),
        clients_(row.parallel ? options.ThreadsOr(kClients) : 1),
        world_(OptionsOf(options), verdict) {}

  void Play() {
    if (!world_.ok()) return;
    Atomic<bool> done{false};
    std::vector<Thread> hogs;
    if (row_.short_host) {
      hogs.emplace_back([this, &done] { TakeFrames(&done); });
      hogs.emplace_back([this, &done] { MakePurgeable(&done); });
    }
    OnThreads(clients_, [this](int client) { PlayClient(client); });
    done.store(true);
    hogs.clear();
    if (row_.sum_percent > 100) world_.ExpectEvictions();
  }

 private:
  WorldOptions OptionsOf(const StressOptions& options) const {
    WorldOptions world = WorldOptions::Of(options);
    world.queues = kEngines;
    world.alone = clients_ == 1 && !row_.short_host;
    if (row_.short_host) {
      // Less than the bos and the hog want: some are swapped out.
      MachineConfig& machine = world.machine;
      machine.normal_bytes = vram_bytes_;
      machine.dma32_bytes = machine.coherent_bytes + machine.cma_bytes +
                            machine.swiotlb.bytes + kMiB;
      machine.swap_bytes = std::max(machine.swap_bytes, 4 * vram_bytes_);
    }
    return world;
  }
  // `mib` MiB of a VRAM of 4 GiB.
  uint64_t Scaled(uint64_t mib) const {
    return std::max(vram_bytes_ / 4096 * mib / kPageSize * kPageSize,
                    kPageSize);
  }
  uint64_t SizeOf(std::mt19937_64* random) const {
    switch (row_.sizes) {
      case Row::Sizes::kMib:
        return Scaled(1);
      case Row::Sizes::kHalf:
        return vram_bytes_ / 2;
      case Row::Sizes::kRandom:
        break;
    }
    return kPageSize * (1 + (*random)() % BytesToPages(Scaled(17)));
  }

  bool Use(const std::vector<Object*>& objects, BoUse::Does does, int engine) {
    Submission submission{.queue = engine, .uses = {}, .places = {&kInVram, 1}};
    for (const Object* object : objects) {
      submission.uses.push_back({object->bo, does});
      if (object->side_table != nullptr) {
        submission.uses.push_back({object->side_table, does});
      }
    }
    return world_.Expect(world_.Submit(submission), "a submission");
  }

  bool MakeObjects(std::mt19937_64* random, std::vector<Object>* objects) {
    uint64_t left = vram_bytes_ * static_cast<uint64_t>(row_.sum_percent) /
                    100 / static_cast<uint64_t>(clients_);
    while (left != 0) {
      const uint64_t bytes = std::min(SizeOf(random), left);
      left -= bytes;
      Object object{world_.Make(bytes)};
      if (row_.side_tables) {
        object.side_table =
            world_.Make(std::max<uint64_t>(bytes / kSideTablePart, kPageSize));
      }
      if (object.bo == nullptr) return false;
      objects->push_back(object);
      if (!Use({&object}, BoUse::Does::kWrite, 0)) return false;
    }
    return true;
  }

  void PlayClient(int client) {
    std::mt19937_64 random(seed_ * 64 + static_cast<uint64_t>(client));
    std::vector<Object> objects;
    if (!MakeObjects(&random, &objects)) return;
    for (size_t i = 0; i < objects.size(); ++i) {
      std::vector<Object*> used;
      const size_t count =
          row_.multi ? 1 + random() % (objects.size() / 100 + 1) : 1;
      const size_t first = row_.in_turn ? i : random();
      for (size_t j = 0; j < count; ++j) {
        used.push_back(&objects[(first + j) % objects.size()]);
      }
      const int engine =
          row_.engines ? static_cast<int>(random() % kEngines) : 0;
      if (!Use(used, row_.verify ? BoUse::Does::kRead : BoUse::Does::kHold,
               engine)) {
        return;
      }
      if (row_.verify && !Use({&objects[random() % objects.size()]},
                              BoUse::Does::kWrite, engine)) {
        return;
      }
    }
  }

  // The host's own work, which takes half of what there is and gives it back.
  void TakeFrames(const Atomic<bool>* done) {
    PhysicalMemory& memory = world_.machine().memory();
    std::vector<FrameNumber> frames(memory.frames(Zone::kNormal) / 64);
    for (uint64_t round = 0; !done->load(); ++round) {
      std::vector<std::vector<FrameNumber>> taken;
      for (int i = 0; i < 32 && !done->load(); ++i) {
        world_.host().Shrink(frames.size());
        if (memory.AllocateForHost(frames, kNoFrame - 1) ==
            Shortage::Kind::kNone) {
          taken.push_back(frames);
        }
        YieldFor(round % 64);
      }
      for (const auto& some : taken) memory.FreeFromHost(some);
    }
  }
  // Somebody whose bos may be dropped at any time.
  void MakePurgeable(const Atomic<bool>* done) {
    for (uint64_t round = 0; !done->load(); ++round) {
      std::vector<KnownBo*> mine;
      for (int i = 0; i < 16; ++i) {
        KnownBo* bo = world_.Make(Scaled(1));
        if (bo == nullptr) return;
        mine.push_back(bo);
        Object object{bo};
        if (!Use({&object}, BoUse::Does::kWrite, 0)) break;
        bo->bo->Reserve();
        bo->bo->SetWorthless(true);
        bo->bo->Unreserve();
      }
      for (KnownBo* bo : mine) world_.Drop(bo);
      YieldFor(round % 64);
    }
  }

  const Row row_;
  const uint64_t vram_bytes_;
  const uint64_t seed_;
  const int clients_;
  World world_;
};

std::string Describe(const Row& row) {
  static constexpr const char* kSizes[] = {"1/4096 of VRAM", "half of VRAM",
                                           "random sizes"};
  return absl::StrCat("bos of ", kSizes[static_cast<int>(row.sizes)], ", ",
                      row.sum_percent, " % of VRAM",
                      row.multi ? ", several at a time" : "",
                      row.verify ? ", each read back" : "",
                      row.side_tables ? ", with side tables" : "",
                      row.engines ? ", on all engines" : "",
                      row.parallel ? ", from several clients" : "",
                      row.short_host ? ", while host memory is short" : "");
}

}  // namespace

void AddLmemSwapping(std::vector<Scenario>* scenarios) {
  for (const Row& row : Rows()) {
    scenarios->push_back(
        {"gem_lmem_swapping", row.name, Describe(row),
         [row](const StressOptions& options, Verdict* verdict) {
           LmemSwapping(row, options, verdict).Play();
         },
         kAllFaults});
  }
}

}  // namespace twostep
