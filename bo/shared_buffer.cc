#include "twostep/bo/shared_buffer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/contention.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"

namespace twostep {
namespace {

absl::Status Check(const ShareConstraints& constraints) {
  const auto wrong = [](absl::string_view what) {
    return absl::InvalidArgumentError(what);
  };
  if (constraints.mask_bits < 24 || constraints.mask_bits > 64) {
    return wrong("constraints.mask_bits: not between 24 and 64");
  }
  if (constraints.max_segments == 0) {
    return wrong("constraints.max_segments: no segment holds nothing");
  }
  if (constraints.max_segment_bytes < kPageSize) {
    return wrong("constraints.max_segment_bytes: a segment is a page at least");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SharedBuffer> SharedBuffer::Export(
    BoRef bo, Device& exporter, const ShareConstraints& constraints,
    const WaitLimit& limit) {
  absl::Status status = Check(constraints);
  if (status.ok()) status = bo->ReserveAgain(limit);
  if (!status.ok()) return status;
  std::unique_ptr<Sharing>& sharing = BoViews::Of(*bo).sharing;
  std::string exported_by;
  if (sharing == nullptr) {
    sharing = std::make_unique<Sharing>(*bo, exporter, constraints);
  } else if (sharing->exporter() == nullptr) {
    sharing->Adopt(exporter, constraints);
  } else if (sharing->exporter() != &exporter) {
    exported_by = sharing->exporter()->name();
  }
  bo->UnreserveUnused();
  if (!exported_by.empty()) {
    return MakeError(
        ErrorKind::kMisuse,
        absl::StrCat(bo->DebugName(), " is exported by ", exported_by,
                     " already, so not by ", exporter.name()));
  }
  return SharedBuffer(std::move(bo));
}

absl::StatusOr<std::unique_ptr<SharedAttachment>> SharedBuffer::Attach(
    Device& importer, AttachOptions options, const WaitLimit& limit) const {
  absl::Status status = Check(options.constraints);
  if (status.ok()) status = bo_->ReserveAgain(limit);
  if (!status.ok()) return status;
  auto attachment = std::unique_ptr<SharedAttachment>(
      new SharedAttachment(bo_, importer, std::move(options)));
  BoViews::SharingOf(*bo_)->Attach(*attachment);
  bo_->UnreserveUnused();
  return attachment;
}

absl::StatusOr<SuitableDmaTypes> SharedBuffer::Suitable(
    const WaitLimit& limit) const {
  absl::Status status = bo_->ReserveAgain(limit);
  if (!status.ok()) return status;
  auto types = BoViews::SharingOf(*bo_)->Suitable();
  bo_->UnreserveUnused();
  return types;
}

absl::Status SharedBuffer::BeginCpuAccess(PageRange range, CpuUse use,
                                          const WaitLimit& limit) const {
  TWOSTEP_CHECK(range.first <= bo_->page_count() &&
                range.count <= bo_->page_count() - range.first);
  absl::Status status = bo_->ReserveAgain(limit);
  if (!status.ok()) return status;
  status = BoViews::SharingOf(*bo_)->BeginCpuAccess(range, use, limit);
  bo_->UnreserveUnused();
  return status;
}

absl::Status SharedBuffer::EndCpuAccess(PageRange range,
                                        const WaitLimit& limit) const {
  TWOSTEP_CHECK(range.first <= bo_->page_count() &&
                range.count <= bo_->page_count() - range.first);
  absl::Status status = bo_->ReserveAgain(limit);
  if (!status.ok()) return status;
  status = BoViews::SharingOf(*bo_)->EndCpuAccess(range);
  bo_->UnreserveUnused();
  return status;
}

SharedAttachment::~SharedAttachment() {
  const absl::Status undone =
      WithReserved(*bo_, WaitLimit{}, [&](Contention* contention) {
        Sharing& sharing = *BoViews::SharingOf(*bo_);
        if (device_ != nullptr) sharing.Detach(*this);
        device_ = nullptr;
        return sharing.UnbindUnused(contention);
      });
  TWOSTEP_CHECK(undone.ok());
}

absl::Status SharedAttachment::Map(ValidateContext* context) {
  bo_->AssertHeld();
  return BoViews::SharingOf(*bo_)->Map(*this, context);
}

void SharedAttachment::Unmap() {
  bo_->AssertHeld();
  Sharing::Unmap(*this);
}

DmaAddress SharedAttachment::Address(PageCount page) const {
  TWOSTEP_DCHECK(mapped_);
  return bo_->binding().AddressIn(device_->port().domain(), bo_->pages(), page);
}

std::vector<DmaSegment> SharedAttachment::Segments() const {
  TWOSTEP_DCHECK(mapped_);
  const DmaPort& port = device_->port();
  return bo_->binding().SegmentsIn(
      port.domain(), bo_->pages(),
      SharingParty{"", &port, options_.constraints}.limits());
}

}  // namespace twostep
