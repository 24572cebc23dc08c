#ifndef BO_CPU_MAPPING_H_
#define BO_CPU_MAPPING_H_

// How the CPU reaches the contents of a bo.
//
// CpuMapping is a user mapping: a range of addresses whose pages appear when
// they are touched and are taken away when the contents move or a device that
// does not share its pages uses them. KernelMapping is the driver's own view:
// all pages at once, in one place while it lasts.
//
// Neither waits for device work that is merely running, except when a page is
// taken or given: call WaitForCpu first, as with any mapping of a GPU buffer.

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/contention.h"
#include "twostep/dma_types/dma_binder.h"
#include "twostep/machine/timeline.h"
#include "twostep/machine/types.h"
#include "twostep/machine/user_mapping.h"

namespace twostep {

// Waits until the CPU may read, or write, the contents of `bo`: for the work
// that brings or writes them, and before a write also for that which reads
// them. kUnavailable, kDeadlineExceeded as `limit` says; why a write or a move
// failed, if one has lately: its bytes may not be there.
// REQUIRES: `bo` is not reserved by this thread.
absl::Status WaitForCpu(BufferObject& bo, Access access,
                        const WaitLimit& limit = {});

// Thread-safe.
class CpuMapping : public UserMapping::FaultHandler {
 public:
  // All pages absent. Holds a reference to the bo. On an unbacked machine there
  // is nothing to point at: data() is null, and Touch stands in for an access.
  // kResourceExhausted when the process has no room; kUnavailable,
  // kDeadlineExceeded, kCancelled where `limit` ends the wait for the bo's
  // reservation. Going waits for that as long as it takes.
  static absl::StatusOr<std::unique_ptr<CpuMapping>> Create(
      BoRef bo, const WaitLimit& limit = {});
  ~CpuMapping() override;

  // Reads and writes of a page that is absent wait until the device is done
  // with it and bring it here. Where that cannot be done (no frames, swap store
  // full), the process gets the SIGSEGV it would get from a kernel's SIGBUS.
  // REQUIRES: whoever touches it holds no reservation at all.
  std::byte* data() const {
    return mapping_ == nullptr ? nullptr : mapping_->data();
  }
  uint64_t size_bytes() const { return bo_->size_bytes(); }

  // What touching `range` does, with an error instead of a signal: makes the
  // pages present. kUnavailable, kDeadlineExceeded, kCancelled as `limit` says;
  // pages that were made present before that stay so. kUnavailable also when a
  // suspended device's memory has the contents.
  absl::Status Touch(PageRange range, Access access,
                     const WaitLimit& limit = {});

  // Partial syncs of pages that the CPU has, through whatever mapping, and
  // keeps, as dma_sync_single_range_for_*: what CPU and device both work on, a
  // ring of descriptors, say. Whole cache lines move where caches are in
  // between, just the bytes where they bounce, nothing where pages are shared.
  // kForCpu waits for device writes, within `limit`: errors as WaitForCpu.
  // kFailedPrecondition (kMisuse) naming a page that is the device's.
  // REQUIRES: the bytes are within the bo, which is not reserved by this
  // thread.
  static absl::Status SyncBytes(BufferObject& bo, ByteRange bytes,
                                DmaBinder::Sync direction,
                                const WaitLimit& limit = {});

 private:
  friend class Mover;

  explicit CpuMapping(BoRef bo);
  bool ServeFault(PageCount page, Access access) override;
  // Absent again, in one system call for the range. REQUIRES: bo reserved.
  void Kill(PageRange range);
  CpuMapping* next() const { return next_; }

  absl::Status TouchLocked(PageRange range, const WaitLimit& limit,
                           Contention* contention);
  absl::Status ServeFaultLocked(PageCount page, Contention* contention);
  absl::Status PrepareLocked(const WaitLimit& limit, Contention* contention);
  absl::Status ServeLocked(PageRange range);
  absl::Status PresentLocked(PageCount page);
  absl::Status BringIntoWindow(const WaitLimit& limit, Contention* contention);
  bool IsPresent(PageCount page) const {
    return present_[page / 64] >> (page % 64) & 1;
  }

  const BoRef bo_;
  std::unique_ptr<UserMapping> mapping_;
  // One bit a page; guarded by the bo's reservation.
  std::vector<uint64_t> present_;
  CpuMapping* next_ = nullptr;
  bool listed_ = false;  // among those of its bo
};

// While it lives the bo is pinned where it is. If the device that it is on goes
// all the same, the mapping shows the contents at home, at the same addresses;
// see Evacuation.
class KernelMapping {
 public:
  // Waits for the device, takes all pages into the CPU's hands and maps them.
  //   kFailedPrecondition  the pages are the device's alone (DYNAMIC): misuse,
  //                        reported; the machine is unbacked; or fixed memory
  //                        beyond the window that the CPU can map
  //   kResourceExhausted   no frames or no address space
  //   kUnavailable, kDeadlineExceeded, kCancelled  as `limit` says
  //   kUnavailable         also when a suspended device's memory has the
  //                        contents: resume it first
  // REQUIRES: `bo` is not reserved by this thread.
  static absl::StatusOr<std::unique_ptr<KernelMapping>> Create(
      BoRef bo, const WaitLimit& limit = {});
  ~KernelMapping();
  KernelMapping(const KernelMapping&) = delete;
  KernelMapping& operator=(const KernelMapping&) = delete;

  std::byte* data() const { return data_; }
  uint64_t size_bytes() const { return bo_->size_bytes(); }

 private:
  friend class Evacuation;

  static absl::Status PrepareLocked(BufferObject& bo, const WaitLimit& limit,
                                    Contention* contention);
  static absl::Status MapLocked(BufferObject& bo, std::byte** data);
  KernelMapping(BoRef bo, std::byte* data);
  // Those of `bo` show what `shown` holds: its own, or a copy of it. They let
  // go of that, so that it can be given up: reading works as before, writing is
  // lost. And show it again; where there are no frames for it, touching faults.
  // REQUIRES: both are reserved.
  static void LetGo(BufferObject& bo, const BufferObject& shown);
  static void Show(BufferObject& bo, BufferObject& shown);
  static std::vector<KernelMapping*> Of(BufferObject& bo);

  const BoRef bo_;
  std::byte* const data_;
};

}  // namespace twostep

#endif  // BO_CPU_MAPPING_H_
