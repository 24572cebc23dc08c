#ifndef BO_DMA_UNIT_H_
#define BO_DMA_UNIT_H_

// Memory that drivers allocate for themselves, beside bos: rings, descriptors,
// firmware. A unit is one IOMMU domain and the coherent memory behind it,
// shared by the bos and by all owners that are made here, of whatever device
// and driver. Who asks for what is short makes the one give way that is
// furthest above its fair share: bos by being evicted, owners by being asked.
//
//   DmaUnit unit(host);
//   auto nic = unit.AddOwner({.name = "nic", .share_pages = 64,
//                             .reclaim = [&](uint64_t pages, auto relief)
//                             {..}});
//   auto ring = unit.Allocate(*nic, {.bytes = 64 * kKiB, .mask_bits = 32});
//
//   absent --Allocate--> bound --Unbind--> unbound --Bind--> bound
//
// An allocation is coherent memory, contiguous for the device. Unbound, it
// keeps its frames and bytes and no address (R7: the old ones fault).
// Thread-safe, but for one allocation, which its owner guards.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/bo/dma_owners.h"
#include "twostep/bo/host.h"
#include "twostep/machine/dma_port.h"

namespace twostep {

class DmaAllocation {
 public:
  // Gives up addresses and memory. REQUIRES: the device is done with it.
  ~DmaAllocation();
  DmaAllocation(const DmaAllocation&) = delete;
  DmaAllocation& operator=(const DmaAllocation&) = delete;

  uint64_t bytes() const { return bytes_; }
  bool bound() const { return bound_; }
  // Where the device finds it, all in a row. REQUIRES: bound.
  DmaAddress address() const;
  // The bytes of one page, as CPU and device see them; null where the machine
  // is not backed.
  std::byte* page(PageCount page) const;

  // Gives up the addresses; does nothing when there are none. REQUIRES: as
  // above. May be called by the owner's reclaim.
  void Unbind();

 private:
  friend class DmaUnit;

  DmaAllocation(Machine& machine, DmaOwner& owner, DmaDomain& domain,
                int mask_bits, uint64_t bytes, uint64_t alignment);
  BindOutcome TakeFrames();
  BindOutcome TakeAddresses();
  DmaUser User() const;
  PageCount pages() const { return static_cast<PageCount>(frames_.size()); }

  Machine& machine_;
  DmaOwner& owner_;
  const uint64_t bytes_;
  // What the device reaches, and wants in one aligned piece.
  DmaPort port_;
  std::vector<FrameNumber> frames_;
  bool present_ = false;
  bool bound_ = false;
  bool direct_ = false;
  SpaceBlock iova_;
};

class DmaUnit {
 public:
  struct Request {
    uint64_t bytes = 0;  // > 0; rounds up to pages
    // A power of two, a page to 256 KiB; honoured from that size on.
    uint64_t alignment = kPageSize;
    int mask_bits = 64;  // of the device, 24 to 64
  };

  // REQUIRES: domain < machine.domains(). `host` must outlive the unit.
  explicit DmaUnit(Host& host, uint32_t domain = 0);
  DmaUnit(const DmaUnit&) = delete;
  DmaUnit& operator=(const DmaUnit&) = delete;

  // The owner must outlive its allocations, and go before the host.
  std::unique_ptr<DmaOwner> AddOwner(DmaOwner::Options options);

  // Memory and addresses; all zero. Waits for others as `limit` says.
  //   kResourceExhausted  nobody gives up any more of what is short; or the
  //                       owner's own limit (kOverLimit)
  //   kOutOfRange         it could never be had
  //   kInvalidArgument    names a field of the request
  //   kUnavailable, kDeadlineExceeded, kCancelled  as `limit` says
  // After an error nothing is held. REQUIRES: this thread has nothing reserved.
  absl::StatusOr<std::unique_ptr<DmaAllocation>> Allocate(
      DmaOwner& owner, const Request& request, const WaitLimit& limit = {});
  // Addresses for an allocation that has none. Errors as above; it stays
  // unbound then.
  absl::Status Bind(DmaAllocation& allocation, const WaitLimit& limit = {});

 private:
  absl::Status Acquire(DmaAllocation& allocation, const WaitLimit& limit);

  Host& host_;
  DmaDomain& domain_;
};

}  // namespace twostep

#endif  // BO_DMA_UNIT_H_
