#ifndef DMA_TYPES_BIND_CHECK_H_
#define DMA_TYPES_BIND_CHECK_H_

// What a DMA type must have done by the time one of its calls returns, looked
// at from outside: whether what it bound is mapped as the device wants it,
// whether a sync moved the bytes that it should have moved and no others, and
// whether each side kept to its pages. For DmaBinder, which makes one for a
// call when its machine is checked (DmaDebug), and none otherwise. Guarded as
// the binding is.

#include <vector>

#include "absl/strings/string_view.h"
#include "twostep/dma_types/dma_binding.h"
#include "twostep/machine/dma_debug.h"
#include "twostep/machine/pages.h"

namespace twostep {

class BindCheck {
 public:
  // All must outlive the check. `name` is the DMA type's.
  BindCheck(DmaDebug& debug, absl::string_view name, const Pages& pages,
            const DmaBinding& binding)
      : debug_(debug), name_(name), pages_(pages), binding_(binding) {}

  // Of a bind that has worked.
  void Bound(const DmaDebug::Scope& scope);

  // Whether a sync can be carried out. `call` is how reports name it.
  bool MaySync(ByteRange bytes, absl::string_view call);
  // For who syncs by himself, and not because pages change hands.
  void SyncsParts(bool for_device, PageCount first);

  // Around the sync itself: of whole pages that change hands, or of parts of
  // pages that stay the CPU's.
  void BeforeSync(ByteRange bytes, bool for_device, bool parts);
  void AfterSync();

  // Pages are about to be taken from the device; they have another owner now.
  void LeaveDevice(PageRange range);
  void HaveOwner(PageRange range, DmaMapping::Owner owner);

  // Before an unbind of a type that shares its pages, and still has others for
  // the device.
  void KeepsBounced();

 private:
  // A page with bytes of its own for the device.
  bool Apart(PageCount page) const;
  const std::byte* CpuView(PageCount page) const;
  const std::byte* DeviceView(PageCount page) const;
  // Where a sync writes to.
  const std::byte* Target(PageCount page) const {
    return for_device_ ? DeviceView(page) : CpuView(page);
  }
  void Remember(PageCount page);
  bool Differs(PageCount page, ByteRange in_page) const;
  void Report(DmaMisuse::Kind kind, PageCount page, absl::string_view what);

  DmaDebug& debug_;
  const absl::string_view name_;
  const Pages& pages_;
  const DmaBinding& binding_;
  // Of the sync that is under way.
  ByteRange bytes_;
  bool for_device_ = false;
  bool parts_ = false;
  struct Neighbour {
    PageCount page;
    std::vector<std::byte> bytes;
  };
  std::vector<Neighbour> neighbours_;  // what it must not touch
};

}  // namespace twostep

#endif  // DMA_TYPES_BIND_CHECK_H_
