#include "twostep/bo/bo_views.h"

#include <utility>

#include "twostep/bo/device.h"

namespace twostep {

BoViews& BoViews::Of(BufferObject& bo) {
  if (bo.views_ == nullptr) bo.views_ = std::make_unique<BoViews>();
  return *bo.views_;
}

Sharing* BoViews::SharingOf(const BufferObject& bo) {
  return bo.views_ == nullptr ? nullptr : bo.views_->sharing.get();
}

DmaPort& BoViews::PortFor(const BufferObject& bo, Device& device) {
  const Sharing* shared = SharingOf(bo);
  return shared == nullptr ? device.port() : shared->PortFor(device);
}

std::unique_ptr<DmaBinding> BoViews::LoseBinding(BufferObject& bo) {
  bo.binder_ = nullptr;
  std::unique_ptr<DmaBinding> binding = std::move(bo.binding_);
  Sharing* const shared = SharingOf(bo);
  if (shared != nullptr && binding != nullptr) shared->AddressesGone();
  return binding;
}

}  // namespace twostep
