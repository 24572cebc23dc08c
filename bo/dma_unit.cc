#include "twostep/bo/dma_unit.h"

#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/error.h"
#include "twostep/bo/mover.h"
#include "twostep/dma_types/coherent_memory.h"

namespace twostep {
namespace {

absl::Status Check(const DmaUnit::Request& request) {
  const auto wrong = [](absl::string_view what) {
    return absl::InvalidArgumentError(what);
  };
  if (request.bytes == 0 || BytesToPages(request.bytes) > kNoFrame - 1) {
    return wrong("bytes: none, or more than 16 TiB");
  }
  if (request.mask_bits < 24 || request.mask_bits > 64) {
    return wrong("mask_bits: not between 24 and 64");
  }
  if (request.alignment < kPageSize ||
      !std::has_single_bit(request.alignment) ||
      request.alignment > SegmentLimits::kMaxAlignment) {
    return wrong("alignment: not a power of two from 4 KiB to 256 KiB");
  }
  return absl::OkStatus();
}

}  // namespace

DmaAllocation::DmaAllocation(Machine& machine, DmaOwner& owner,
                             DmaDomain& domain, int mask_bits, uint64_t bytes,
                             uint64_t alignment)
    : machine_(machine),
      owner_(owner),
      bytes_(bytes),
      port_(domain, machine.memory(), mask_bits, /*coherent=*/true,
            SegmentLimits{.max_segments = 1, .alignment = alignment},
            owner.name()),
      frames_(BytesToPages(bytes)) {}

DmaAllocation::~DmaAllocation() {
  Unbind();
  if (present_) machine_.coherent_pool().Free(frames_);
  owner_.pages_.fetch_sub(pages(), std::memory_order_relaxed);
}

DmaAddress DmaAllocation::address() const {
  TWOSTEP_CHECK(bound_);
  return direct_ ? port_.domain().DirectAddress(frames_[0])
                 : iova_.start << kPageShift;
}

std::byte* DmaAllocation::page(PageCount page) const {
  return machine_.memory().CpuBytes(frames_[page]);
}

BindOutcome DmaAllocation::TakeFrames() {
  using Scarce = BindOutcome::Scarce;
  if (present_) return {};
  PagePool& pool = machine_.coherent_pool();
  // With IOVAs any frames are in one piece.
  const bool translated = port_.domain().always_translates();
  if (!translated && pool.frames() != 0 &&
      pool.highest_on_bus() > port_.highest_frame()) {
    return {Scarce::kRefused, Shortage::Kind::kNeverFits,
            "coherent memory is beyond the mask"};
  }
  const Shortage::Kind kind =
      TakeCoherentMemory(machine_, port_, &owner_, Caching::kCached, frames_);
  if (kind != Shortage::Kind::kNone) return {Scarce::kUnit, kind};
  for (const FrameNumber frame : frames_) {
    std::byte* const bytes = machine_.memory().CpuBytes(frame);
    if (bytes != nullptr) std::memset(bytes, 0, kPageSize);
  }
  present_ = true;
  return {};
}

DmaUser DmaAllocation::User() const {
  return DmaUser{.port = &port_, .name = owner_.name(), .binding = this};
}

BindOutcome DmaAllocation::TakeAddresses() {
  if (bound_) return {};
  DmaDomain& domain = port_.domain();
  const DmaDebug::Scope scope(machine_.dma_debug(), User());
  direct_ = !domain.translated() ||
            (!domain.always_translates() && port_.Reaches(frames_));
  if (direct_) {
    domain.MapDirect(frames_);
    owner_.direct_pages_.fetch_add(pages(), std::memory_order_relaxed);
  } else {
    const CostModel& cost = machine_.cost();
    machine_.clock().Charge(cost.map_ns + pages() * cost.map_page_ns);
    const Shortage::Kind kind =
        domain.Map(frames_, port_.IovasFor(pages()), &iova_);
    if (kind != Shortage::Kind::kNone) {
      return BindOutcome::OfMapping(kind);
    }
  }
  bound_ = true;
  owner_.bound_pages_.fetch_add(pages(), std::memory_order_relaxed);
  return {};
}

void DmaAllocation::Unbind() {
  if (!bound_) return;
  const DmaDebug::Scope scope(machine_.dma_debug(), User());
  if (direct_) {
    port_.domain().UnmapDirect(frames_);
    owner_.direct_pages_.fetch_sub(pages(), std::memory_order_relaxed);
  } else {
    machine_.clock().Charge(pages() * machine_.cost().unmap_page_ns);
    port_.domain().Unmap(iova_, pages(), frames_);
  }
  bound_ = false;
  owner_.bound_pages_.fetch_sub(pages(), std::memory_order_relaxed);
}

DmaUnit::DmaUnit(Host& host, uint32_t domain)
    : host_(host), domain_(host.machine().domain(domain)) {}

std::unique_ptr<DmaOwner> DmaUnit::AddOwner(DmaOwner::Options options) {
  return std::unique_ptr<DmaOwner>(
      new DmaOwner(host_.dma_owners(), domain_, std::move(options)));
}

absl::StatusOr<std::unique_ptr<DmaAllocation>> DmaUnit::Allocate(
    DmaOwner& owner, const Request& request, const WaitLimit& limit) {
  absl::Status sound = Check(request);
  if (!sound.ok()) return sound;
  const uint64_t pages = BytesToPages(request.bytes);
  // From here on it is charged; the allocation gives it back.
  if (!owner.TryCharge(pages)) {
    return MakeError(
        ErrorKind::kOverLimit,
        absl::StrCat(owner.name(), " has ", owner.pages() * (kPageSize / kKiB),
                     " KiB of DMA memory; its limit of ",
                     owner.options_.max_pages * (kPageSize / kKiB),
                     " KiB forbids ", pages * (kPageSize / kKiB), " more"));
  }
  auto allocation = std::unique_ptr<DmaAllocation>(
      new DmaAllocation(host_.machine(), owner, domain_, request.mask_bits,
                        request.bytes, request.alignment));
  absl::Status acquired = Acquire(*allocation, limit);
  if (!acquired.ok()) return acquired;
  return allocation;
}

absl::Status DmaUnit::Bind(DmaAllocation& allocation, const WaitLimit& limit) {
  return Acquire(allocation, limit);
}

absl::Status DmaUnit::Acquire(DmaAllocation& allocation,
                              const WaitLimit& limit) {
  // One age for all tries: nobody passes for ever.
  const Ticket ticket;
  for (;;) {
    Contention contention;
    absl::Status status;
    {
      Mover mover(host_, limit);
      status = mover.AcquireForUnit(
          allocation.port_, allocation.pages(), [&]() -> BindOutcome {
            const BindOutcome outcome = allocation.TakeFrames();
            return outcome.ok() ? allocation.TakeAddresses() : outcome;
          });
      contention = mover.TakeContention();
    }
    if (KindOf(status) == ErrorKind::kCannotFit) {
      return MakeError(
          ErrorKind::kCannotFit,
          absl::StrCat(
              allocation.owner_.name(), ": ", status.message(), "; ",
              host_.dma_owners().Describe(Relief::kFreePages, domain_)));
    }
    if (KindOf(status) != ErrorKind::kContended) return status;
    absl::Status waited = contention.Wait(limit);
    if (!waited.ok()) return waited;
  }
}

}  // namespace twostep
