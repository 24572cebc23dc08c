#ifndef BO_SHARING_H_
#define BO_SHARING_H_

// What an exported bo knows of the devices that it is shared with: who they
// are, what they asked for, whose addresses are good. All use the one DMA
// binding of the bo, made through the exporter's domain as long as there is an
// exporter, within the reach of all; devices of other domains get aliases of
// it, one a domain.
//
// Private to the library. Guarded by the reservation of the bo.

#include <vector>

#include "absl/status/status.h"
#include "twostep/bo/contention.h"
#include "twostep/bo/share_constraints.h"

namespace twostep {

class Device;
class SharedAttachment;
struct ValidateContext;
enum class CpuUse : uint8_t;

class Sharing {
 public:
  Sharing(BufferObject& bo, Device& exporter, const ShareConstraints& wants)
      : bo_(bo), exporter_(&exporter), exporter_wants_(wants) {}
  Sharing(const Sharing&) = delete;
  Sharing& operator=(const Sharing&) = delete;

  // Null once it is gone.
  Device* exporter() const { return exporter_; }
  // Takes the place of one that is gone.
  void Adopt(Device& exporter, const ShareConstraints& wants);
  const std::vector<SharedAttachment*>& attachments() const {
    return attachments_;
  }
  DmaPort& PortFor(Device& device) const;

  void Attach(SharedAttachment& attachment);
  // Leaves what nobody else needs bound to UnbindUnused.
  void Detach(SharedAttachment& attachment);
  // Undoes, after all work on the bo, what was bound for attachments that are
  // no more. Where that finds no page frames it stays bound: it can still be
  // evicted. kAborted (kContended): see `contention`, call again.
  absl::Status UnbindUnused(Contention* contention);
  absl::StatusOr<SuitableDmaTypes> Suitable() const;
  absl::Status Map(SharedAttachment& attachment, ValidateContext* context);
  static void Unmap(SharedAttachment& attachment);

  // SharedBuffer's, of the reserved bo.
  absl::Status BeginCpuAccess(PageRange range, CpuUse use,
                              const WaitLimit& limit);
  absl::Status EndCpuAccess(PageRange range);

  // The binding is gone: no address is good any more.
  void AddressesGone();
  // `device` goes: its attachments are detached, after all work on the bo. How
  // many these are.
  int LoseDevice(Device& device);
  // Pins that somebody else has taken back. And how many there are.
  void ForgetPins();
  uint32_t pins() const;

 private:
  std::vector<SharingParty> Parties() const;
  // A port that suits all of them, in the domain of `like`.
  DmaPort& PortLike(const DmaPort& like) const;
  // What all of them reach.
  DmaAddress Highest() const;
  // Through whom the bo is bound for `importer`.
  Device& OwnerFor(Device& importer) const;
  bool AddressesWithin(const DmaDomain& domain, DmaAddress highest) const;
  bool BoundFor(const SharedAttachment& attachment,
                const SuitableDmaTypes& types) const;

  BufferObject& bo_;
  Device* exporter_;
  ShareConstraints exporter_wants_;
  std::vector<SharedAttachment*> attachments_;
  // The binding is there for those who share, not for the device that the bo
  // was validated for.
  bool bound_here_ = false;
};

}  // namespace twostep

#endif  // BO_SHARING_H_
