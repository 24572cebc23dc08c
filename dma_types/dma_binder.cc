#include "twostep/dma_types/dma_binder.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/dma_types/bind_check.h"
#include "twostep/machine/check.h"

namespace twostep {
namespace {

void Add(Atomic<uint64_t>& counter, uint64_t amount) {
  counter.fetch_add(amount, std::memory_order_relaxed);
}

ByteRange BytesOf(PageRange range) {
  return ByteRange{PagesToBytes(range.first), PagesToBytes(range.count)};
}

ByteRange All(const Pages& pages) { return BytesOf({0, pages.count()}); }

DmaUser UserOf(const std::string& name, const DmaBinding& binding) {
  return DmaUser{.port = binding.port,
                 .name = name,
                 .binding = &binding,
                 .direction = binding.direction};
}

std::optional<BindCheck> CheckOf(const DmaBinder& binder, DmaDebug* debug,
                                 const Pages& pages,
                                 const DmaBinding& binding) {
  if (debug == nullptr) return std::nullopt;
  return std::make_optional<BindCheck>(*debug, binder.name(), pages, binding);
}

}  // namespace

DmaBinder::DmaBinder(std::string name, Machine& machine, Sharing sharing,
                     CanRunOut can_run_out,
                     std::unique_ptr<EvictionPolicy> policy)
    : name_(std::move(name)),
      machine_(machine),
      sharing_(sharing),
      can_run_out_(can_run_out),
      order_(std::move(policy)) {}

BindOutcome DmaBinder::Bind(Pages& pages, DmaPort& port, Contents contents,
                            DmaBinding* binding) {
  TWOSTEP_CHECK(binding->port == nullptr);
  TWOSTEP_CHECK(pages.home() == Pages::Home::kNone ||
                pages.home() == Pages::Home::kMemory);
  DmaDebug* const debug = machine_.dma_debug();
  DmaUser user = UserOf(name_, *binding);
  user.port = &port;
  const DmaDebug::Scope scope(debug, user);
  // Counted first, then the gate looked at: who closes it looks at the count.
  binds_under_way_.fetch_add(1, std::memory_order_acq_rel);
  BindOutcome outcome{BindOutcome::Scarce::kUnit, Shortage::Kind::kFull};
  if (!gate_.HeldByOther()) outcome = DoBind(pages, port, contents, binding);
  binds_under_way_.fetch_sub(1, std::memory_order_release);
  if (!outcome.ok()) {
    if (debug != nullptr) {
      debug->Undone(binding, absl::StrCat("a bind to ", name_, " that fails"));
    }
    *binding = DmaBinding{};
    return outcome;
  }
  binding->port = &port;
  auto check = CheckOf(*this, debug, pages, *binding);
  if (check.has_value()) check->Bound(scope);
  if (hands_over(port)) {
    if (contents == Contents::kKeep) {
      MoveBytes(pages, *binding, All(pages), Sync::kForDevice, false);
      Add(stats_.pages_synced_for_device, pages.count());
    }
    if (check.has_value()) {
      check->HaveOwner({0, pages.count()}, DmaMapping::Owner::kDevice);
    }
  }
  Add(stats_.binds, 1);
  Add(stats_.bound_pages, pages.count());
  return outcome;
}

void DmaBinder::AwaitBinds() {
  while (binds_under_way_.fetch_add(0, std::memory_order_acq_rel) != 0) {
    CpuRelax();
  }
}

BindOutcome DmaBinder::Unbind(Pages& pages, DmaBinding& binding,
                              Contents contents) {
  TWOSTEP_CHECK(binding.port != nullptr);
  DmaDebug* const debug = machine_.dma_debug();
  const DmaDebug::Scope scope(debug, UserOf(name_, binding));
  auto check = CheckOf(*this, debug, pages, binding);
  // Before anybody else may get the frames.
  RemoveAliases(pages, &binding);
  if (contents == Contents::kKeep && binding.cpu_owned_pages != 0) {
    SyncForCpu(pages, binding, PageRange{0, pages.count()});
  } else if (contents == Contents::kKeep && hands_over(*binding.port)) {
    // All at once: nobody will ask any more which pages are whose.
    if (check.has_value()) check->LeaveDevice({0, pages.count()});
    if (binding.direction != DmaDirection::kToDevice) {
      MoveBytes(pages, binding, All(pages), Sync::kForCpu, false);
      Add(stats_.pages_synced_for_cpu, pages.count());
    }
  } else if (contents == Contents::kKeep && check.has_value()) {
    check->KeepsBounced();
  }
  BindOutcome outcome = DoUnbind(pages, binding, contents);
  if (!outcome.ok()) return outcome;
  if (debug != nullptr) {
    debug->Undone(&binding, absl::StrCat("an unbind from ", name_));
  }
  binding = DmaBinding{};
  stats_.bound_pages.fetch_sub(pages.count(), std::memory_order_relaxed);
  return outcome;
}

BindOutcome DmaBinder::AddAlias(const Pages& pages, DmaPort& port,
                                DmaBinding* binding) {
  if (binding->ReachableIn(port.domain())) return {};
  DmaBinding there{.port = &port, .direction = binding->direction};
  DmaUser user = UserOf(name_, *binding);
  user.port = &port;
  user.alias = true;
  const DmaDebug::Scope scope(machine_.dma_debug(), user);
  if (binding->addressing == DmaBinding::Addressing::kIova) {
    const BindOutcome mapped = MapFrames(binding->Frames(pages), port, &there);
    if (!mapped.ok()) return mapped;
  } else {
    port.domain().MapDirect(binding->Frames(pages));
  }
  if (binding->aliases == nullptr) {
    binding->aliases = std::make_unique<std::vector<DmaAlias>>();
  }
  binding->aliases->push_back(DmaAlias{&port.domain(), there.iova});
  return {};
}

void DmaBinder::RemoveAlias(const Pages& pages, const DmaDomain& domain,
                            DmaBinding* binding) {
  const DmaAlias* alias = binding->AliasIn(domain);
  if (alias == nullptr) return;
  const DmaDebug::Scope scope(machine_.dma_debug(), UserOf(name_, *binding));
  UnmapFrames(binding->Frames(pages), *alias->domain, binding->addressing,
              alias->iova);
  std::vector<DmaAlias>& aliases = *binding->aliases;
  aliases.erase(aliases.begin() + (alias - aliases.data()));
  if (aliases.empty()) binding->aliases.reset();
}

void DmaBinder::GiveUpAddresses(const Pages& pages, DmaBinding* binding) {
  TWOSTEP_CHECK(pages.home() == Pages::Home::kBinder);
  RemoveAliases(pages, binding);
  UnmapFrames(pages.frames(), *binding);
  binding->addressing = DmaBinding::Addressing::kNone;
  binding->iova = SpaceBlock{};
}

BindOutcome DmaBinder::TakeAddresses(const Pages& pages, DmaBinding* binding) {
  TWOSTEP_CHECK(!binding->has_addresses());
  return MapFrames(pages.frames(), *binding->port, binding);
}

void DmaBinder::RemoveAliases(const Pages& pages, DmaBinding* binding) {
  while (binding->aliases != nullptr) {
    RemoveAlias(pages, *binding->aliases->back().domain, binding);
  }
}

bool DmaBinder::Reaches(const DmaPort& port) const {
  return !port.domain().translated() ||
         port.domain().Describe(1, port.IovasFor(1)).kind !=
             Shortage::Kind::kNeverFits;
}

Shortage DmaBinder::Describe(PageCount pages, const DmaPort& port,
                             BindOutcome::Scarce scarce) const {
  switch (scarce) {
    case BindOutcome::Scarce::kNothing:
      break;
    case BindOutcome::Scarce::kUnit:
      return DoDescribe(pages, port, scarce);
    case BindOutcome::Scarce::kIova:
      return port.domain().Describe(pages, port.IovasFor(pages));
    case BindOutcome::Scarce::kHostFrames: {
      const uint64_t free = machine_.memory().free_frames(HighestFrame(port));
      return Shortage{
          free < pages ? Shortage::Kind::kFull : Shortage::Kind::kNone, free,
          free};
    }
    case BindOutcome::Scarce::kRefused:
      return Shortage{Shortage::Kind::kNeverFits};
  }
  return Shortage{};
}

void DmaBinder::SyncForDevice(Pages& pages, DmaBinding& binding,
                              PageRange range) {
  HandOver(pages, binding, range, Sync::kForDevice, Contents::kKeep);
}

void DmaBinder::SyncForCpu(Pages& pages, DmaBinding& binding, PageRange range,
                           Contents contents) {
  HandOver(pages, binding, range, Sync::kForCpu, contents);
}

void DmaBinder::HandOver(Pages& pages, DmaBinding& binding, PageRange range,
                         Sync direction, Contents contents) {
  auto check = CheckOf(*this, machine_.dma_debug(), pages, binding);
  if (check.has_value() && binding.port == nullptr) {
    check->MaySync(BytesOf(range), "a hand-over");
    return;
  }
  if (!hands_over(*binding.port)) return;
  const bool to_cpu = direction == Sync::kForCpu;
  if (check.has_value() &&
      !check->MaySync(BytesOf(range), to_cpu ? "a hand-over to the CPU"
                                             : "a hand-over to the device")) {
    return;
  }
  if (!to_cpu && binding.cpu_owned_pages == 0) return;
  if (binding.cpu_owned == nullptr) {
    binding.cpu_owned = std::make_unique<uint64_t[]>((pages.count() + 63) / 64);
  }
  const PageCount end = range.first + range.count;
  for (PageCount page = range.first; page < end;) {
    if (binding.CpuOwns(page) == to_cpu) {
      ++page;
      continue;
    }
    const PageCount first = page;
    for (; page < end && binding.CpuOwns(page) != to_cpu; ++page) {
    }
    const PageRange run{first, page - first};
    if (check.has_value() && to_cpu) check->LeaveDevice(run);
    const bool synced =
        contents == Contents::kKeep &&
        binding.direction !=
            (to_cpu ? DmaDirection::kToDevice : DmaDirection::kFromDevice);
    if (synced) MoveBytes(pages, binding, BytesOf(run), direction, false);
    for (PageCount p = first; p < page; ++p) {
      binding.cpu_owned[p / 64] ^= uint64_t{1} << (p % 64);
    }
    if (to_cpu) {
      binding.cpu_owned_pages += page - first;
      if (synced) Add(stats_.pages_synced_for_cpu, page - first);
    } else {
      binding.cpu_owned_pages -= page - first;
      if (synced) Add(stats_.pages_synced_for_device, page - first);
    }
    if (check.has_value()) {
      check->HaveOwner(
          run, to_cpu ? DmaMapping::Owner::kCpu : DmaMapping::Owner::kDevice);
    }
  }
}

void DmaBinder::SyncBytes(Pages& pages, DmaBinding& binding, ByteRange bytes,
                          Sync direction) {
  if (bytes.count == 0) return;
  auto check = CheckOf(*this, machine_.dma_debug(), pages, binding);
  if (check.has_value() && binding.port == nullptr) {
    check->MaySync(bytes, "a sync of parts");
    return;
  }
  if (!hands_over(*binding.port)) return;
  if (check.has_value()) {
    if (!check->MaySync(bytes, "a sync of parts")) return;
    const auto first = static_cast<PageCount>(bytes.first >> kPageShift);
    check->SyncsParts(direction == Sync::kForDevice, first);
    check->HaveOwner({first, static_cast<PageCount>(
                                 BytesToPages(bytes.first + bytes.count)) -
                                 first},
                     DmaMapping::Owner::kBothByParts);
  }
  MoveBytes(pages, binding, bytes, direction, true);
}

void DmaBinder::MoveBytes(Pages& pages, DmaBinding& binding, ByteRange bytes,
                          Sync direction, bool parts) {
  auto check = CheckOf(*this, machine_.dma_debug(), pages, binding);
  if (check.has_value()) {
    check->BeforeSync(bytes, direction == Sync::kForDevice, parts);
  }
  DoSync(pages, binding, bytes, direction);
  if (check.has_value()) check->AfterSync();
}

void DmaBinder::DoSync(Pages& pages, DmaBinding& binding, ByteRange bytes,
                       Sync direction) {
  if (binding.port->coherent()) return;
  PhysicalMemory& memory = machine_.memory();
  ForEachPart(bytes, [&](PageCount page, ByteRange in_page) {
    const FrameNumber frame = pages.frames()[page];
    if (direction == Sync::kForDevice) {
      memory.CleanForDevice(frame, in_page);
    } else {
      memory.InvalidateForCpu(frame, in_page);
    }
  });
  constexpr uint64_t kLinesAPage = kPageSize / kCacheLineSize;
  const uint64_t lines = LinesOf(bytes).count / kCacheLineSize;
  machine_.clock().Charge(
      (lines * machine_.cost().cache_sync_page_ns + (kLinesAPage - 1)) /
      kLinesAPage);
}

void DmaBinder::ForEachPart(
    ByteRange bytes,
    absl::FunctionRef<void(PageCount page, ByteRange in_page)> visit) {
  const uint64_t end = bytes.first + bytes.count;
  for (uint64_t at = bytes.first; at < end;) {
    const uint64_t in_page = at % kPageSize;
    const uint64_t count = std::min(end - at, kPageSize - in_page);
    visit(static_cast<PageCount>(at >> kPageShift), ByteRange{in_page, count});
    at += count;
  }
}

Shortage::Kind DmaBinder::TakeOrdinaryFrames(Pages& pages, FrameNumber highest,
                                             Contents contents) {
  if (pages.present()) return Shortage::Kind::kNone;
  const Shortage::Kind kind =
      pages.Populate(machine_.memory(), highest,
                     contents == Contents::kKeep ? PhysicalMemory::Zero::kYes
                                                 : PhysicalMemory::Zero::kNo);
  if (kind == Shortage::Kind::kNone) {
    machine_.clock().Charge(pages.count() * machine_.cost().page_alloc_ns);
  }
  return kind;
}

BindOutcome DmaBinder::MapFrames(std::span<const FrameNumber> frames,
                                 DmaPort& port, DmaBinding* binding) {
  DmaDomain& domain = port.domain();
  DmaUser user = UserOf(name_, *binding);
  user.port = &port;
  const DmaDebug::Scope scope(machine_.dma_debug(), user);
  if (!domain.translated() ||
      (!domain.always_translates() && port.Reaches(frames))) {
    domain.MapDirect(frames);
    binding->addressing = DmaBinding::Addressing::kFrames;
    return {};
  }
  const auto pages = static_cast<PageCount>(frames.size());
  const IovaLimits iovas = port.IovasFor(pages);
  // However it lies there.
  if (!KeepsTo(pages, port.limits(), PagesToBytes)) {
    return BindOutcome::TooManySegments();
  }
  const CostModel& cost = machine_.cost();
  machine_.clock().Charge(cost.map_ns + frames.size() * cost.map_page_ns);
  const Shortage::Kind kind = domain.Map(frames, iovas, &binding->iova);
  if (kind != Shortage::Kind::kNone) {
    return BindOutcome::OfMapping(kind);
  }
  binding->addressing = DmaBinding::Addressing::kIova;
  return {};
}

void DmaBinder::UnmapFrames(std::span<const FrameNumber> frames,
                            DmaBinding& binding) {
  const DmaDebug::Scope scope(machine_.dma_debug(), UserOf(name_, binding));
  UnmapFrames(frames, binding.port->domain(), binding.addressing, binding.iova);
}

void DmaBinder::UnmapFrames(std::span<const FrameNumber> frames,
                            DmaDomain& domain,
                            DmaBinding::Addressing addressing,
                            const SpaceBlock& iova) {
  if (addressing == DmaBinding::Addressing::kNone) return;
  if (addressing != DmaBinding::Addressing::kIova) {
    domain.UnmapDirect(frames);
    return;
  }
  const CostModel& cost = machine_.cost();
  // The fixed part is the flush's.
  machine_.clock().Charge(frames.size() * cost.unmap_page_ns);
  domain.Unmap(iova, static_cast<PageCount>(frames.size()), frames);
}

void DmaBinder::CopyFrames(std::span<const FrameNumber> from,
                           std::span<const FrameNumber> to) {
  TWOSTEP_CHECK(from.size() == to.size());
  PhysicalMemory& memory = machine_.memory();
  machine_.clock().Charge(TransferNs(PagesToBytes(from.size()),
                                     machine_.cost().cpu_copy_mib_per_s));
  if (!memory.backed()) return;
  for (size_t i = 0; i < from.size(); ++i) {
    std::memcpy(memory.CpuBytes(to[i]), memory.CpuBytes(from[i]), kPageSize);
  }
}

void DmaBinder::CopyPart(FrameNumber from, FrameNumber to, ByteRange in_frame,
                         uint64_t mib_per_s) {
  PhysicalMemory& memory = machine_.memory();
  machine_.clock().Charge(TransferNs(in_frame.count, mib_per_s));
  if (!memory.backed()) return;
  std::memcpy(memory.CpuBytes(to) + in_frame.first,
              memory.CpuBytes(from) + in_frame.first, in_frame.count);
}

bool DmaBinder::DoWithSpace(
    BindOutcome::Scarce scarce, PageCount pages, DmaPort& port,
    absl::FunctionRef<void(RangeAllocator&, const SpaceRequest&)> use) {
  if (scarce != BindOutcome::Scarce::kIova) return false;
  DmaDomain& domain = port.domain();
  SpinLockHolder hold(domain.space_lock());
  use(domain.space(), DmaDomain::RequestFor(pages, port.IovasFor(pages)));
  return true;
}

}  // namespace twostep
