#include "twostep/bo/copy_sides.h"

namespace twostep {

CopySide FixedSide(MemoryManager& manager, const SpaceBlock& block,
                   PageCount pages, const CopyEngine& engine) {
  CopySide side{CopySide::Kind::kVram, manager.vram(), {}};
  if (!engine.executes()) return side;
  side.pages.reserve(pages);
  manager.ForEachSegment(block, pages, [&](uint64_t start, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) side.pages.push_back(start + i);
  });
  return side;
}

CopySide PagesSide(const BufferObject& bo, const CopyEngine& engine) {
  if (!bo.pages().present()) return CopySide{};
  const bool bound = bo.binder() != nullptr && bo.binding().has_addresses();
  CopySide side{bound ? CopySide::Kind::kDma : CopySide::Kind::kFrames, {}, {}};
  if (!engine.executes()) return side;
  side.pages.reserve(bo.page_count());
  for (PageCount i = 0; i < bo.page_count(); ++i) {
    side.pages.push_back(bound
                             ? bo.binding().Address(bo.pages(), i) >> kPageShift
                             : bo.pages().frames()[i]);
  }
  return side;
}

}  // namespace twostep
