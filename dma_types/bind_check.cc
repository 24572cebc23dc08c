#include "twostep/dma_types/bind_check.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace twostep {
namespace {

using Kind = DmaMisuse::Kind;

// Never 0, which stands for none.
uint64_t SumOf(const std::byte* bytes) {
  uint64_t lanes[4] = {1, 2, 3, 4};
  for (uint64_t i = 0; i < kPageSize; i += sizeof(lanes)) {
    uint64_t words[4];
    std::memcpy(words, bytes + i, sizeof(words));
    for (int lane = 0; lane < 4; ++lane) {
      lanes[lane] = (lanes[lane] ^ words[lane]) * 0x9e3779b97f4a7c15u;
      lanes[lane] ^= lanes[lane] >> 32;
    }
  }
  return (lanes[0] ^ lanes[1] * 3 ^ lanes[2] * 5 ^ lanes[3] * 7) | 1;
}

}  // namespace

void BindCheck::Report(Kind kind, PageCount page, absl::string_view what) {
  const DmaPort* const port = binding_.port;
  const uint64_t bo = debug_.BoOf(&binding_);
  DmaMisuse misuse{kind, bo, page, port == nullptr ? "" : port->name(),
                   std::string(name_)};
  misuse.message = absl::StrCat(
      what, "; page ", page, " of ", pages_.count(), " of ",
      bo == 0 ? "no bo" : absl::StrCat("bo ", bo),
      misuse.device.empty() ? "" : absl::StrCat(" for ", misuse.device),
      ", mapped by ", name_);
  debug_.Report(std::move(misuse));
}

void BindCheck::Bound(const DmaDebug::Scope& scope) {
  if (scope.misused()) return;
  const DmaDomain& domain = binding_.port->domain();
  for (PageCount page = 0; page < pages_.count(); ++page) {
    const DmaAddress address = binding_.Address(pages_, page);
    if (!debug_.Find(domain, address).has_value()) {
      Report(Kind::kMapErrorUnchecked, page,
             scope.map_refused() ? "bound, though its mapping was refused"
                                 : "bound where nothing was mapped");
      return;
    }
    if (address > binding_.port->highest() - (kPageSize - 1)) {
      Report(Kind::kBeyondMask, page,
             absl::StrFormat("bound at %#x, and the mask ends at %#x", address,
                             binding_.port->highest()));
      return;
    }
  }
  const SegmentLimits limits = binding_.port->limits();
  if (binding_.KeepsTo(domain, pages_, limits)) return;
  const auto keeps_with = [&](auto relax) {
    SegmentLimits relaxed = limits;
    relax(relaxed);
    return binding_.KeepsTo(domain, pages_, relaxed);
  };
  // The first page of the first segment that is one too many.
  const auto too_many = [&](const SegmentLimits& to) -> PageCount {
    uint64_t pages = 0;
    uint64_t left = to.max_segments;
    for (const DmaSegment& segment : binding_.SegmentsIn(domain, pages_, to)) {
      if (left-- == 0) break;
      pages += segment.bytes >> kPageShift;
    }
    return static_cast<PageCount>(pages);
  };
  if (keeps_with([](SegmentLimits& to) { to.alignment = kPageSize; })) {
    PageCount block = 0;
    while (BlockIsAligned(block, limits, [&](PageCount page) {
      return binding_.Address(pages_, page);
    })) {
      block += limits.alignment_pages();
    }
    Report(Kind::kMapOfMisalignedBlock, block,
           absl::StrCat("bound with a block that is not in one piece at a "
                        "multiple of ",
                        limits.alignment, " bytes"));
  } else if (keeps_with([](SegmentLimits& to) { to.boundary = 0; })) {
    Report(Kind::kMapAcrossBoundary, too_many(limits),
           absl::StrCat("bound across multiples of ", limits.boundary,
                        " bytes, more often than in the ", limits.max_segments,
                        " segments of the device"));
  } else {
    Report(Kind::kMapOfTooLongSegment, too_many(limits),
           absl::StrCat("bound in ", binding_.Segments(pages_).size(),
                        " segments as long as the device takes them, which "
                        "takes ",
                        limits.max_segments));
  }
}

bool BindCheck::MaySync(ByteRange bytes, absl::string_view call) {
  const auto found =
      binding_.port == nullptr || !binding_.has_addresses()
          ? std::nullopt
          : debug_.Find(binding_.port->domain(), binding_.Address(pages_, 0));
  const auto first = static_cast<PageCount>(bytes.first >> kPageShift);
  if (!found.has_value()) {
    Report(Kind::kSyncOfUnmapped, first,
           absl::StrCat(call, " of what is not mapped"));
    return false;
  }
  const uint64_t mapped = debug_.PagesOf(&binding_);
  const uint64_t all = std::min<uint64_t>(mapped, pages_.count());
  if (bytes.first > PagesToBytes(all) ||
      bytes.count > PagesToBytes(all) - bytes.first) {
    Report(Kind::kSyncOutOfRange, first,
           absl::StrCat(call, " of bytes ", bytes.first, " to ",
                        bytes.first + bytes.count, ", of ", PagesToBytes(all)));
    return false;
  }
  if (mapped != pages_.count()) {
    Report(Kind::kSyncOfOtherSegmentCount, first,
           absl::StrCat(call, " of ", pages_.count(), " pages, of which ",
                        mapped, " are mapped"));
    return false;
  }
  if (found->direction != binding_.direction) {
    Report(Kind::kSyncInOtherDirection, first,
           absl::StrCat(call, " in another direction than it was mapped for"));
  }
  return true;
}

void BindCheck::SyncsParts(bool for_device, PageCount first) {
  if (!for_device && binding_.direction == DmaDirection::kToDevice) {
    Report(Kind::kSyncForCpuOfReadOnly, first,
           "sync for the CPU of what the device may only read");
  }
  if (for_device && binding_.direction == DmaDirection::kFromDevice) {
    Report(Kind::kSyncForDeviceOfWriteOnly, first,
           "sync for the device of what it may only write");
  }
}

// --- Bytes ---

const std::byte* BindCheck::CpuView(PageCount page) const {
  const FrameNumber frame = pages_.frames()[page];
  return debug_.IsMemory(frame) ? binding_.port->memory().CpuBytes(frame)
                                : nullptr;
}

const std::byte* BindCheck::DeviceView(PageCount page) const {
  const FrameNumber frame = binding_.Frame(pages_, page);
  if (!debug_.IsMemory(frame)) return nullptr;
  const PhysicalMemory& memory = binding_.port->memory();
  return binding_.port->coherent() ? memory.CpuBytes(frame)
                                   : memory.DeviceBytes(frame);
}

bool BindCheck::Apart(PageCount page) const {
  const std::byte* const cpu = CpuView(page);
  return cpu != nullptr && cpu != DeviceView(page);
}

// What belongs to the side that the sync is from is nobody's to write there: no
// other thread is at it.
void BindCheck::Remember(PageCount page) {
  if (page >= pages_.count() || !Apart(page) ||
      binding_.CpuOwns(page) != for_device_) {
    return;
  }
  const std::byte* const at = Target(page);
  neighbours_.push_back({page, {at, at + kPageSize}});
}

void BindCheck::BeforeSync(ByteRange bytes, bool for_device, bool parts) {
  bytes_ = bytes;
  for_device_ = for_device;
  parts_ = parts;
  neighbours_.clear();
  const uint64_t end = BytesToPages(bytes.first + bytes.count);
  if (bytes.first >= kPageSize) {
    Remember(static_cast<PageCount>((bytes.first >> kPageShift) - 1));
  }
  Remember(static_cast<PageCount>(end));
}

bool BindCheck::Differs(PageCount page, ByteRange in_page) const {
  return Apart(page) &&
         std::memcmp(CpuView(page) + in_page.first,
                     DeviceView(page) + in_page.first, in_page.count) != 0;
}

void BindCheck::AfterSync() {
  for (const Neighbour& neighbour : neighbours_) {
    if (std::memcmp(Target(neighbour.page), neighbour.bytes.data(),
                    kPageSize) != 0) {
      Report(Kind::kSyncOfWrongPart, neighbour.page,
             absl::StrCat("a sync of bytes ", bytes_.first, " to ",
                          bytes_.first + bytes_.count, " wrote to this page"));
      return;
    }
  }
  const uint64_t end = bytes_.first + bytes_.count;
  for (uint64_t at = bytes_.first; at < end;) {
    const uint64_t in_page = at % kPageSize;
    const uint64_t count = std::min(end - at, kPageSize - in_page);
    const auto page = static_cast<PageCount>(at >> kPageShift);
    at += count;
    if (!Differs(page, {in_page, count})) continue;
    if (parts_) {
      Report(Kind::kSyncOfWrongPart, page,
             "a sync of some of its bytes left them as they were");
    } else if (!for_device_ && binding_.bounce != nullptr) {
      Report(Kind::kBounceDataLost, page,
             "what the device wrote stayed in the bounce page");
    } else {
      Report(Kind::kStaleAfterSync, page,
             for_device_ ? "the device would read old bytes after a sync"
                         : "the CPU would read old bytes after a sync");
    }
    return;
  }
}

void BindCheck::KeepsBounced() {
  if (binding_.bounce == nullptr) return;
  for (PageCount page = 0; page < pages_.count(); ++page) {
    if (!Differs(page, {0, kPageSize})) continue;
    Report(Kind::kBounceDataLost, page,
           "what the device wrote stays in the bounce page");
    return;
  }
}

// --- Whose page it is ---

void BindCheck::LeaveDevice(PageRange range) {
  const DmaDomain& domain = binding_.port->domain();
  for (PageCount i = 0; i < range.count; ++i) {
    const PageCount page = range.first + i;
    if (!Apart(page)) continue;
    const uint64_t sum = debug_.TakeSum(domain, binding_.Address(pages_, page));
    if (sum == 0 || sum == SumOf(CpuView(page))) continue;
    Report(Kind::kCpuTouchedDevicesPage, page,
           "the CPU wrote to it while the device had it");
    return;
  }
}

void BindCheck::HaveOwner(PageRange range, DmaMapping::Owner owner) {
  const DmaDomain& domain = binding_.port->domain();
  for (PageCount i = 0; i < range.count; ++i) {
    const PageCount page = range.first + i;
    const DmaAddress address = binding_.Address(pages_, page);
    const bool sum = owner == DmaMapping::Owner::kDevice && Apart(page);
    debug_.SetOwner(domain, address, owner, sum ? SumOf(CpuView(page)) : 0);
    if (binding_.aliases == nullptr) continue;
    for (const DmaAlias& alias : *binding_.aliases) {
      debug_.SetOwner(*alias.domain,
                      binding_.AddressIn(*alias.domain, pages_, page), owner,
                      0);
    }
  }
}

}  // namespace twostep
