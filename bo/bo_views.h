#ifndef BO_BO_VIEWS_H_
#define BO_BO_VIEWS_H_

// Who looks at the contents of a bo besides the device it is validated for:
// CPU mappings, kernel mappings, devices that it is shared with. Made when the
// first of them comes, since most bos have none; goes with the bo.
//
// Private to the library; guarded by the reservation of the bo.

#include <cstdint>
#include <memory>

#include "twostep/bo/buffer_object.h"
#include "twostep/bo/sharing.h"

namespace twostep {

class CpuMapping;

struct BoViews {
  // Made if it must be.
  static BoViews& Of(BufferObject& bo);
  // Null unless it was exported.
  static Sharing* SharingOf(const BufferObject& bo);
  // The port to bind it through for `device`: one within the reach of all that
  // it is shared with.
  static DmaPort& PortFor(const BufferObject& bo, Device& device);
  // Step 1 is being undone: every way to the pages by their DMA addresses ends
  // here, and who shares them is told.
  static std::unique_ptr<DmaBinding> LoseBinding(BufferObject& bo);

  CpuMapping* mappings = nullptr;  // a list
  uint32_t kernel_maps = 0;
  // Null unless it was exported.
  std::unique_ptr<Sharing> sharing;
};

}  // namespace twostep

#endif  // BO_BO_VIEWS_H_
