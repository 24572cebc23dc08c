// Step 1 by itself: binding 1 MiB and unbinding it, and what bouncing costs
// beside a copy.

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/benchmark/rig.h"
#include "tests/benchmark/rows.h"
#include "twostep/machine/pages.h"

namespace twostep {
namespace {

void DmaBindUnbind(benchmark::State& state, DmaType type, bool bounced,
                   Backing backing = Backing::kUnbacked,
                   CheckDma check_dma = CheckDma::kOff) {
  Rig rig({.vram_pages = 1,
           .bounced = bounced,
           .backing = backing,
           .check_dma = check_dma});
  Pages pages(kMiB >> kPageShift);
  DmaBinding binding;
  DmaBinder& binder = rig.host().binder(type);
  pages.Populate(rig.machine().memory(), kNoFrame - 1,
                 PhysicalMemory::Zero::kYes);
  MeasureRow(
      state,
      [&] {
        binder.Bind(pages, rig.device().port(), DmaBinder::Contents::kKeep,
                    &binding);
        binder.Unbind(pages, binding, DmaBinder::Contents::kKeep);
      },
      pages.count());
  pages.Release(rig.machine().memory(), rig.machine().swap());
}

// Handing 1 MiB of bounced pages over, one way, beside memcpy of as much.
void BounceBesideMemcpy(benchmark::State& state, bool to_device) {
  Rig rig({.vram_pages = 1, .bounced = true, .backing = Backing::kBacked});
  Pages pages(kMiB >> kPageShift);
  DmaBinding binding;
  DmaBinder& binder = rig.host().binder(DmaType::kDynamic);
  pages.Populate(rig.machine().memory(), kNoFrame - 1,
                 PhysicalMemory::Zero::kYes);
  binder.Bind(pages, rig.device().port(), DmaBinder::Contents::kKeep, &binding);
  const PageRange all{0, pages.count()};
  std::vector<std::byte> from(kMiB), to(kMiB);
  double handing_ns = 0, copying_ns = 0;
  for (auto _ : state) {
    const double start_ns = CpuNs();
    binder.SyncForCpu(pages, binding, all);
    const double middle_ns = CpuNs();
    binder.SyncForDevice(pages, binding, all);
    const double end_ns = CpuNs();
    handing_ns += to_device ? end_ns - middle_ns : middle_ns - start_ns;
    const double copy_ns = CpuNs();
    std::memcpy(to.data(), from.data(), kMiB);
    benchmark::ClobberMemory();
    copying_ns += CpuNs() - copy_ns;
  }
  SetValue(state, handing_ns / copying_ns);
  binder.Unbind(pages, binding, DmaBinder::Contents::kKeep);
  pages.Release(rig.machine().memory(), rig.machine().swap());
}

}  // namespace

std::vector<Row> DmaRows() {
  std::vector<Row> rows;
  for (const auto& [name, type, bounced] :
       {std::tuple<const char*, DmaType, bool>{"none", DmaType::kNone, false},
        {"dynamic", DmaType::kDynamic, false},
        {"dynamic_bounced", DmaType::kDynamic, true},
        {"coherent", DmaType::kCoherent, false},
        {"cma", DmaType::kCma, false}}) {
    rows.push_back({absl::StrCat("dma_bind_unbind_1mib/", name),
                    [type = type, bounced = bounced](auto& state) {
                      DmaBindUnbind(state, type, bounced);
                    }});
    // With the bytes, which are a part of what is checked.
    for (const auto& [on, check_dma] : {std::pair{"_unchecked", CheckDma::kOff},
                                        std::pair{"_checked", CheckDma::kOn}}) {
      rows.push_back({absl::StrCat("dma_bind_unbind_1mib_backed/", name, on),
                      [type = type, bounced = bounced,
                       check_dma = check_dma](auto& state) {
                        DmaBindUnbind(state, type, bounced, Backing::kBacked,
                                      check_dma);
                      }});
    }
  }
  rows.push_back({"bounce_beside_memcpy/to_device",
                  [](auto& state) { BounceBesideMemcpy(state, true); }});
  rows.push_back({"bounce_beside_memcpy/to_cpu",
                  [](auto& state) { BounceBesideMemcpy(state, false); }});
  return rows;
}

}  // namespace twostep
