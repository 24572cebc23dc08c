#ifndef BO_SHARED_BUFFER_H_
#define BO_SHARED_BUFFER_H_

// A bo that several devices use (as Linux's dma-buf). One device exports it and
// goes on validating it as before; others attach, saying what they ask of its
// pages, and map it to get addresses of their own.
//
//   auto shared = SharedBuffer::Export(bo, gpu);
//   auto camera = shared->Attach(nic, {.constraints = ..., .moved = ...});
//   bo->Reserve();
//   absl::Status s = (*camera)->Map(&context);
//   ... work at (*camera)->Address(page), behind bo->fences() ...
//   bo->fences().Add(fence, FenceUse::kWrite);
//   bo->Unreserve();
//
//   attached --Map--> mapped --the bo moves, is evicted, Unmap--> attached
//
// Mapping moves the contents to system pages, binds them with a DMA type that
// suits all who are attached and the exporter, and hands pages that the CPU has
// back to the devices: call it before each use, as Device::Validate; while the
// addresses are good it costs next to nothing. An attachment without a `moved`
// hook cannot follow a move: while it is mapped the bo is pinned.
//
// Devices, clients, exporter and importers may go in any order. Who has a
// SharedBuffer or an attachment keeps the contents. Thread-safe, but for one
// attachment, which is guarded by the reservation of its bo.

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/device.h"
#include "twostep/bo/share_constraints.h"

namespace twostep {

// What the CPU is going to do with pages.
enum class CpuUse : uint8_t {
  kRead,
  kReadWrite,
  kOverwrite,  // all of them: nobody asks for what is there now
};

class SharedAttachment;

struct AttachOptions {
  ShareConstraints constraints;
  // Told that the addresses are no longer good: the bo is moving, is evicted,
  // lost its contents, or is bound anew. Work that has put its fence on the bo
  // may still use them; everybody else faults. Runs in whichever thread moves
  // the bo, with this and perhaps other bos reserved, amid the move: it must
  // take no reservation, and ask the bo nothing but who it is.
  std::function<void(SharedAttachment&)> moved;
};

// One importer's part in a bo.
class SharedAttachment {
 public:
  // Unmaps and detaches; what was bound for nobody else is undone, after the
  // work that is on the bo, however long that takes: an Unmap and a wait with a
  // limit may come first. REQUIRES: this thread has nothing reserved.
  ~SharedAttachment();
  SharedAttachment(const SharedAttachment&) = delete;
  SharedAttachment& operator=(const SharedAttachment&) = delete;

  BufferObject& bo() const { return *bo_; }

  // --- REQUIRES: the bo is reserved by this thread ---
  // Makes the addresses good. Errors are Device::Validate's, and
  //   kOutOfRange          what those who share it ask clashes: names two
  //                        constraints, and whose they are
  //   kFailedPrecondition  the bo is pinned where, or as, this device cannot
  //                        use it; or the device is gone
  //   kUnavailable         also while the device is suspended; what is mapped
  //                        stays so meanwhile
  // After an error the contents are kept, and no other attachment is mapped
  // that was not before.
  absl::Status Map(ValidateContext* context);
  // The addresses are not used any more. Does nothing when not mapped.
  void Unmap();
  bool mapped() const { return mapped_; }
  // REQUIRES: mapped.
  DmaAddress Address(PageCount page) const;
  // The same in runs within the constraints. REQUIRES: mapped.
  std::vector<DmaSegment> Segments() const;

 private:
  friend class Audit;
  friend class SharedBuffer;
  friend class Sharing;

  SharedAttachment(BoRef bo, Device& device, AttachOptions options)
      : bo_(std::move(bo)), device_(&device), options_(std::move(options)) {}

  const BoRef bo_;
  Device* device_;  // null once it is gone
  const AttachOptions options_;
  bool mapped_ = false;
  bool pins_ = false;
};

// The right to share a bo. A value; copies stand for the same bo.
class SharedBuffer {
 public:
  // A bo has one exporter: exporting again is for the same device, or after it
  // is gone. kFailedPrecondition otherwise, kInvalidArgument naming a field of
  // `constraints` that makes no sense, kUnavailable, kDeadlineExceeded,
  // kCancelled as `limit` says. REQUIRES: this thread has nothing reserved.
  static absl::StatusOr<SharedBuffer> Export(
      BoRef bo, Device& exporter, const ShareConstraints& constraints = {},
      const WaitLimit& limit = {});

  BufferObject& bo() const { return *bo_; }

  // --- REQUIRES: this thread has nothing reserved. Each waits for the bo:
  // kUnavailable, kDeadlineExceeded, kCancelled as `limit` says, having changed
  // nothing. ---
  // Always possible; whether it can be mapped depends on who else is attached.
  // kInvalidArgument as above.
  absl::StatusOr<std::unique_ptr<SharedAttachment>> Attach(
      Device& importer, AttachOptions options,
      const WaitLimit& limit = {}) const;
  // The DMA types that suit all who are attached, best first: what an exporter
  // validates with so that the others keep their addresses. kOutOfRange as
  // SharedAttachment::Map.
  absl::StatusOr<SuitableDmaTypes> Suitable(const WaitLimit& limit = {}) const;
  // The CPU is going to use pages: waits for the device work that matters, and
  // takes those of them into the CPU's hands that are not there yet. Without it
  // each page is taken as it is first touched.
  absl::Status BeginCpuAccess(PageRange range, CpuUse use,
                              const WaitLimit& limit = {}) const;
  // It has: gives those that the CPU has back to the devices, so that no Map or
  // Validate has to. kFailedPrecondition while a kernel mapping has them.
  absl::Status EndCpuAccess(PageRange range, const WaitLimit& limit = {}) const;

 private:
  explicit SharedBuffer(BoRef bo) : bo_(std::move(bo)) {}

  BoRef bo_;
};

}  // namespace twostep

#endif  // BO_SHARED_BUFFER_H_
