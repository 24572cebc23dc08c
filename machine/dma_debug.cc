#include "twostep/machine/dma_debug.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "twostep/machine/dma_domain.h"
#include "twostep/machine/dma_port.h"

namespace twostep {
namespace {

// What the calling thread's mappings are for; null: nobody says.
DmaDebug::Scope*& ThisScope() {
  return PerThread<DmaDebug::Scope*, DmaDebug>::Get();
}

std::string Hex(uint64_t page) {
  return absl::StrFormat("%#x", page << kPageShift);
}

std::string WhoIs(const DmaUser& user) {
  const std::string name(user.name.empty() ? "somebody" : user.name);
  const std::string bo = user.bo == 0 ? "" : absl::StrCat(" for bo ", user.bo);
  return user.port == nullptr || user.port->name().empty()
             ? name + bo
             : absl::StrCat(name, bo, " of ", user.port->name());
}

// A call of that user's that concerns nothing that is mapped.
DmaMisuse OfNoMapping(DmaMisuse::Kind kind, const DmaUser& user,
                      std::string message) {
  return DmaMisuse{.kind = kind,
                   .bo = user.bo,
                   .device = user.port == nullptr ? "" : user.port->name(),
                   .message = std::move(message)};
}

const char* Words(DmaDirection direction) {
  switch (direction) {
    case DmaDirection::kBoth:
      return "both ways";
    case DmaDirection::kToDevice:
      return "to the device";
    case DmaDirection::kFromDevice:
      return "from the device";
  }
  return "";
}

}  // namespace

const char* NameOf(DmaMisuse::Kind kind) {
  static constexpr const char* kNames[] = {
      "unmap-of-no-address",
      "unmap-of-unmapped",
      "unmap-of-other-size",
      "unmap-of-other-kind",
      "unmap-of-other-frames",
      "unmap-of-other-segment-count",
      "unmap-in-other-direction",
      "map-error-unchecked",
      "sync-of-unmapped",
      "sync-out-of-range",
      "sync-in-other-direction",
      "sync-for-cpu-of-read-only",
      "sync-for-device-of-write-only",
      "sync-of-other-segment-count",
      "map-of-no-frame",
      "map-of-too-long-segment",
      "map-across-boundary",
      "map-of-misaligned-block",
      "map-overlaps",
      "map-overlaps-too-often",
      "left-at-teardown",
      "left-by-unbind",
      "cpu-touched-devices-page",
      "device-touched-cpus-page",
      "device-wrote-read-only",
      "stale-after-sync",
      "sync-of-wrong-part",
      "bounce-data-lost",
      "use-after-unmap",
      "beyond-mask",
  };
  static_assert(std::size(kNames) ==
                static_cast<size_t>(DmaMisuse::Kind::kBeyondMask) + 1);
  return kNames[static_cast<size_t>(kind)];
}

DmaDebug::DmaDebug(const PhysicalMemory& memory, DmaMisuseHandler handler)
    : memory_(memory) {
  if (handler != nullptr) handlers_.emplace_back(nullptr, std::move(handler));
  gone_.reserve(kRemembered);
}

void DmaDebug::TellTo(const void* teller, DmaMisuseHandler handler) {
  SpinLockHolder hold(lock_);
  handlers_.emplace_back(teller, std::move(handler));
}

void DmaDebug::StopTelling(const void* teller) {
  SpinLockHolder hold(lock_);
  std::erase_if(handlers_,
                [&](const auto& entry) { return entry.first == teller; });
}

void DmaDebug::Report(DmaMisuse misuse) {
  misuse.message = absl::StrCat(NameOf(misuse.kind), ": ", misuse.message);
  DmaMisuseHandler handler;
  {
    SpinLockHolder hold(lock_);
    if (!handlers_.empty()) handler = handlers_.back().second;
  }
  if (handler != nullptr) {
    handler(misuse);
    return;
  }
  std::fprintf(stderr, "twostep: DMA misuse: %s\n", misuse.message.c_str());
  std::fflush(stderr);
  std::abort();
}

void DmaDebug::Scope::Enter(const DmaUser& user) {
  user_ = user;
  outer_ = std::exchange(ThisScope(), this);
  if (outer_ == nullptr) return;
  if (user_->bo == 0) user_->bo = outer_->user_->bo;
  if (!outer_->user_->alias) return;
  user_->alias = true;
  user_->binding = outer_->user_->binding;
}

void DmaDebug::Scope::Leave() {
  ThisScope() = outer_;
  if (outer_ == nullptr) return;
  // Who asked for the whole is told as well.
  outer_->user_->map_refused |= user_->map_refused;
  outer_->user_->misused |= user_->misused;
}

DmaUser DmaDebug::UserOf(const Scope* scope) {
  return scope == nullptr ? DmaUser{} : *scope->user_;
}

bool DmaDebug::IsMemory(FrameNumber frame) const {
  return frame < memory_.frames(Zone::kDma32) ||
         (frame >= kNormalZoneFirstFrame &&
          frame - kNormalZoneFirstFrame < memory_.frames(Zone::kNormal));
}

uint64_t DmaDebug::PageOf(const DmaMapping& mapping, PageCount page) const {
  return mapping.direct
             ? mapping.domain->DirectAddress(mapping.frames[page]) >> kPageShift
             : mapping.iova.start + page;
}

DmaMisuse DmaDebug::About(Kind kind, const DmaMapping& mapping, PageCount page,
                          const std::string& what) const {
  const auto holder = holders_.find(mapping.user.binding);
  const bool pieces = mapping.piece != 0 ||
                      (holder != holders_.end() && holder->second.pieces > 1);
  DmaMisuse misuse{kind, mapping.user.bo, mapping.first_page + page,
                   mapping.device, mapping.name};
  DmaUser mapper = mapping.user;
  mapper.name = mapping.name;
  mapper.port = nullptr;  // it may be gone; its name is not
  misuse.message = absl::StrCat(
      what, "; page ", misuse.page,
      pieces ? absl::StrCat(", which is page ", page, " of ",
                            mapping.frames.size(), " of piece ",
                            mapping.piece + 1, " of the binding")
             : absl::StrCat(" of ", mapping.frames.size()),
      ", at ", Hex(PageOf(mapping, page)), " of ", mapping.domain->name(),
      mapping.device.empty() ? "" : absl::StrCat(" for ", mapping.device),
      ", mapped by ", WhoIs(mapper));
  return misuse;
}

const DmaDebug::Place* DmaDebug::At(const DmaDomain& domain,
                                    uint64_t page) const {
  const auto found = pages_.find(PageKey{&domain, page});
  return found == pages_.end() ? nullptr : &found->second;
}

// --- Mapping ---

std::optional<DmaMisuse> DmaDebug::FindWrongFrame(
    const DmaDomain& domain, bool direct, std::span<const FrameNumber> frames,
    bool* refuse) {
  const DmaUser user = UserOf(ThisScope());
  // Behind the pieces of the binding that are mapped.
  const auto holder = holders_.find(user.binding);
  const uint64_t before =
      user.binding == nullptr || holder == holders_.end() || user.alias
          ? 0
          : holder->second.pages;
  for (size_t i = 0; i < frames.size(); ++i) {
    if (!IsMemory(frames[i])) {
      *refuse = direct;
      DmaMisuse misuse = OfNoMapping(
          Kind::kMapOfNoFrame, user,
          absl::StrCat("page ", before + i, " is at ", Hex(frames[i]),
                       ", which is no memory of the machine; mapped by ",
                       WhoIs(user), " in ", domain.name()));
      misuse.page = static_cast<PageCount>(before + i);
      misuse.mapped_by = std::string(user.name);
      return misuse;
    }
    if (user.alias) continue;
    const auto held = frames_.find(frames[i]);
    if (held == frames_.end()) continue;
    const auto what = [&](const char* how) {
      return absl::StrCat(WhoIs(user), " maps ", how, " frame ", Hex(frames[i]),
                          ", page ", before + i, " of its own");
    };
    const auto page_in = [&](const DmaMapping& other) {
      const auto at =
          std::find(other.frames.begin(), other.frames.end(), frames[i]);
      return static_cast<PageCount>(at - other.frames.begin());
    };
    if (held->second.size() >= kMaxOverlap) {
      const DmaMapping& first = *held->second.front();
      return About(Kind::kMapOverlapsTooOften, first, page_in(first),
                   what("for the eighth time"));
    }
    for (const DmaMapping* other : held->second) {
      const bool same_place =
          direct && other->direct && other->domain == &domain;
      const bool only_read = user.direction == DmaDirection::kToDevice &&
                             other->user.direction == DmaDirection::kToDevice;
      if (only_read && !same_place) continue;
      *refuse = same_place;
      return About(Kind::kMapOverlaps, *other, page_in(*other),
                   what("once more"));
    }
  }
  return std::nullopt;
}

bool DmaDebug::MayMap(const DmaDomain& domain, bool direct,
                      std::span<const FrameNumber> frames) {
  bool refuse = false;
  std::optional<DmaMisuse> misuse;
  {
    SpinLockHolder hold(lock_);
    misuse = FindWrongFrame(domain, direct, frames, &refuse);
  }
  if (misuse.has_value()) {
    if (ThisScope() != nullptr) ThisScope()->user_->misused = true;
    Report(*std::move(misuse));
  }
  return !refuse;
}

void DmaDebug::Mapped(const DmaDomain& domain, const SpaceBlock* iova,
                      std::span<const FrameNumber> frames) {
  if (frames.empty()) return;
  auto mapping = std::make_unique<DmaMapping>();
  DmaMapping& one = *mapping;
  one.domain = &domain;
  one.direct = iova == nullptr;
  if (iova != nullptr) one.iova = *iova;
  one.frames.assign(frames.begin(), frames.end());
  one.user = UserOf(ThisScope());
  one.name = std::string(one.user.name);
  if (one.user.port != nullptr) one.device = one.user.port->name();
  // What belongs to a binding goes with that: bos that are bound to a device
  // that goes are reported by their host.
  if (one.user.binding != nullptr) one.user.port = nullptr;
  SpinLockHolder hold(lock_);
  if (one.user.bo == 0) {
    const auto holder = holders_.find(one.user.binding);
    if (holder != holders_.end()) one.user.bo = holder->second.bo;
  }
  for (PageCount i = 0; i < frames.size(); ++i) {
    pages_[PageKey{&domain, PageOf(one, i)}] = Place{&one, i};
    if (!one.user.alias) frames_[frames[i]].push_back(&one);
  }
  if (one.user.binding != nullptr && !one.user.alias) {
    Holder& holder = holders_[one.user.binding];
    one.first_page = static_cast<PageCount>(holder.pages);
    one.piece = holder.pieces++;
    holder.pages += frames.size();
    ++holder.mappings;
    holder.bo = one.user.bo;
  }
  if (one.user.port != nullptr) ++ports_[one.user.port];
  mappings_.emplace(&one, std::move(mapping));
}

void DmaDebug::MapRefused() {
  Scope* const scope = ThisScope();
  if (scope != nullptr) scope->user_->map_refused = true;
}

// --- Unmapping ---

DmaMapping* DmaDebug::MineOf(FrameNumber frame) {
  const Scope* const scope = ThisScope();
  const auto held = frames_.find(frame);
  if (scope == nullptr || held == frames_.end()) return nullptr;
  for (DmaMapping* mapping : held->second) {
    if (mapping->user.binding == scope->user_->binding) return mapping;
  }
  return nullptr;
}

DmaMapping DmaDebug::Remove(DmaMapping& mapping) {
  for (PageCount i = 0; i < mapping.frames.size(); ++i) {
    pages_.erase(PageKey{mapping.domain, PageOf(mapping, i)});
    if (mapping.user.alias) continue;
    const auto held = frames_.find(mapping.frames[i]);
    std::erase(held->second, &mapping);
    if (held->second.empty()) frames_.erase(held);
  }
  const auto holder = holders_.find(mapping.user.binding);
  if (holder != holders_.end() && !mapping.user.alias) {
    holder->second.pages -= mapping.frames.size();
    if (--holder->second.mappings == 0) holders_.erase(holder);
  }
  const auto port = ports_.find(mapping.user.port);
  if (port != ports_.end() && --port->second == 0) ports_.erase(port);
  const auto at = mappings_.find(&mapping);
  const std::unique_ptr<DmaMapping> removed = std::move(at->second);
  mappings_.erase(at);
  removed->user.name = {};
  removed->user.port = nullptr;
  DmaMapping copy = *removed;
  if (gone_.size() < kRemembered) {
    gone_.push_back(std::move(*removed));
  } else {
    gone_[next_gone_] = std::move(*removed);
    next_gone_ = (next_gone_ + 1) % kRemembered;
  }
  return copy;
}

std::optional<DmaMapping> DmaDebug::Unmapped(
    const DmaDomain& domain, const SpaceBlock& iova, PageCount pages,
    std::span<const FrameNumber> frames) {
  const Scope* const scope = ThisScope();
  const DmaUser user = UserOf(scope);
  const std::string call =
      absl::StrCat(WhoIs(user), " unmaps ", pages, " pages at ",
                   Hex(iova.start), " of ", domain.name());
  std::optional<DmaMisuse> misuse;
  std::optional<DmaMapping> undone;
  {
    SpinLockHolder hold(lock_);
    const Place* const place =
        iova.node == 0 ? nullptr : At(domain, iova.start);
    DmaMapping* mapping = place == nullptr ? nullptr : place->mapping;
    if (mapping == nullptr && !frames.empty()) mapping = MineOf(frames[0]);
    const auto none = [&](Kind kind, const char* why) {
      misuse = OfNoMapping(kind, user, absl::StrCat(call, ", ", why));
    };
    if (mapping == nullptr && iova.node == 0) {
      none(Kind::kUnmapOfNoAddress, "which is no address that Map gave");
    } else if (mapping == nullptr || (place != nullptr && place->page != 0)) {
      none(Kind::kUnmapOfUnmapped, "where no mapping begins");
      mapping = nullptr;
    } else if (mapping->direct) {
      misuse = About(Kind::kUnmapOfOtherKind, *mapping, 0,
                     absl::StrCat(call, ", of what has direct addresses"));
    } else if (mapping->frames.size() != pages) {
      misuse = About(Kind::kUnmapOfOtherSize, *mapping, 0, call);
    } else if (!frames.empty() &&
               !std::equal(frames.begin(), frames.end(),
                           mapping->frames.begin(), mapping->frames.end())) {
      const auto differ =
          std::mismatch(frames.begin(), frames.end(), mapping->frames.begin());
      misuse = About(Kind::kUnmapOfOtherFrames, *mapping,
                     static_cast<PageCount>(differ.first - frames.begin()),
                     absl::StrCat(call, ", as if frame ", Hex(*differ.first),
                                  " were behind it"));
    } else if (scope != nullptr && mapping->user.direction != user.direction) {
      misuse = About(Kind::kUnmapInOtherDirection, *mapping, 0,
                     absl::StrCat(call, ", mapped ", Words(user.direction)));
    }
    if (mapping != nullptr) undone = Remove(*mapping);
  }
  if (misuse.has_value()) Report(*std::move(misuse));
  return undone;
}

std::optional<DmaMapping> DmaDebug::UnmappedDirect(
    const DmaDomain& domain, std::span<const FrameNumber> frames) {
  if (frames.empty()) return std::nullopt;
  const Scope* const scope = ThisScope();
  const DmaUser user = UserOf(scope);
  const std::string call =
      absl::StrCat(WhoIs(user), " unmaps ", frames.size(), " frames from ",
                   Hex(frames[0]), " on in ", domain.name());
  std::optional<DmaMisuse> misuse;
  std::optional<DmaMapping> undone;
  {
    SpinLockHolder hold(lock_);
    const auto none = [&](Kind kind, const char* why) {
      misuse = OfNoMapping(kind, user, absl::StrCat(call, ", ", why));
    };
    const bool memory = IsMemory(frames[0]);
    const Place* const place =
        memory ? At(domain, domain.DirectAddress(frames[0]) >> kPageShift)
               : nullptr;
    DmaMapping* mapping = place == nullptr ? nullptr : place->mapping;
    if (mapping == nullptr) mapping = MineOf(frames[0]);
    if (!memory) {
      none(Kind::kUnmapOfNoAddress, "which is no memory of the machine");
      mapping = nullptr;
    } else if (mapping == nullptr || (place != nullptr && place->page != 0)) {
      none(Kind::kUnmapOfUnmapped, "where no mapping begins");
      mapping = nullptr;
    } else if (!mapping->direct) {
      misuse = About(Kind::kUnmapOfOtherKind, *mapping, 0,
                     absl::StrCat(call, ", of what has IOVAs"));
    } else if (mapping->frames.size() != frames.size()) {
      misuse = About(Kind::kUnmapOfOtherSegmentCount, *mapping, 0, call);
    } else if (!std::equal(frames.begin(), frames.end(),
                           mapping->frames.begin())) {
      const auto differ =
          std::mismatch(frames.begin(), frames.end(), mapping->frames.begin());
      misuse = About(Kind::kUnmapOfOtherFrames, *mapping,
                     static_cast<PageCount>(differ.first - frames.begin()),
                     absl::StrCat(call, ", as if frame ", Hex(*differ.first),
                                  " were one of them"));
    } else if (scope != nullptr && mapping->user.direction != user.direction) {
      misuse = About(Kind::kUnmapInOtherDirection, *mapping, 0,
                     absl::StrCat(call, ", mapped ", Words(user.direction)));
    }
    if (mapping != nullptr) undone = Remove(*mapping);
  }
  if (misuse.has_value()) Report(*std::move(misuse));
  return undone;
}

// --- Accesses ---

void DmaDebug::Accessed(const DmaPort& port, DmaAddress address, Access access,
                        bool reached) {
  const uint64_t page = address >> kPageShift;
  const bool write = access == Access::kWrite;
  const auto by_device = [&](const char* how) {
    return absl::StrCat(port.name().empty() ? "a device" : port.name(),
                        write ? " writes " : " reads ", how);
  };
  std::optional<DmaMisuse> misuse;
  {
    SpinLockHolder hold(lock_);
    // Once of each mapping.
    const auto tell =
        [&](Kind kind, DmaMapping& mapping, PageCount which, const char* how)
            ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_) {
              const uint32_t bit = uint32_t{1} << static_cast<int>(kind);
              if ((mapping.told & bit) != 0) return;
              mapping.told |= bit;
              misuse = About(kind, mapping, which, by_device(how));
            };
    const Place* const place = At(port.domain(), page);
    if (reached && place != nullptr) {
      DmaMapping& mapping = *place->mapping;
      if (!mapping.owners.empty() &&
          mapping.owners[place->page] == DmaMapping::Owner::kCpu) {
        tell(Kind::kDeviceTouchedCpusPage, mapping, place->page,
             "a page that the CPU has");
      } else if (write && mapping.user.direction == DmaDirection::kToDevice) {
        tell(Kind::kDeviceWroteReadOnly, mapping, place->page,
             "what is mapped for reading");
      }
    } else if (!reached && address > port.highest()) {
      misuse = DmaMisuse{
          Kind::kBeyondMask,
          0,
          0,
          port.name(),
          "",
          absl::StrCat(by_device(""), Hex(page), " of ", port.domain().name(),
                       ", and its mask ends at ",
                       absl::StrFormat("%#x", port.highest()))};
    } else if (!reached) {
      for (auto mapping = gone_.rbegin(); mapping != gone_.rend(); ++mapping) {
        if (mapping->domain != &port.domain()) continue;
        for (PageCount i = 0; i < mapping->frames.size(); ++i) {
          if (PageOf(*mapping, i) != page) continue;
          tell(Kind::kUseAfterUnmap, *mapping, i, "what has been unmapped");
          break;
        }
        if (misuse.has_value()) break;
      }
    }
  }
  if (misuse.has_value()) Report(*std::move(misuse));
}

void DmaDebug::PortGoes(const DmaPort& port) {
  std::optional<DmaMisuse> misuse;
  {
    SpinLockHolder hold(lock_);
    const auto left = ports_.find(&port);
    if (left == ports_.end()) return;
    for (const auto& [key, mapping] : mappings_) {
      if (mapping->user.port != &port) continue;
      mapping->user.port = nullptr;
      if (misuse.has_value()) continue;
      misuse =
          About(Kind::kLeftAtTeardown, *mapping, 0,
                absl::StrCat(port.name().empty() ? "a device" : port.name(),
                             " goes and leaves ", left->second,
                             " mappings, one of them:"));
    }
    ports_.erase(left);
  }
  if (misuse.has_value()) Report(*std::move(misuse));
}

// --- Bindings ---

std::optional<DmaDebug::Found> DmaDebug::Find(const DmaDomain& domain,
                                              DmaAddress address) const {
  SpinLockHolder hold(lock_);
  const Place* const place = At(domain, address >> kPageShift);
  if (place == nullptr) return std::nullopt;
  return Found{place->mapping->user.direction, place->page};
}

uint64_t DmaDebug::BoOf(const void* binding) const {
  SpinLockHolder hold(lock_);
  const auto holder = holders_.find(binding);
  if (holder != holders_.end()) return holder->second.bo;
  return UserOf(ThisScope()).bo;
}

uint64_t DmaDebug::PagesOf(const void* binding) const {
  SpinLockHolder hold(lock_);
  const auto holder = holders_.find(binding);
  return holder == holders_.end() ? 0 : holder->second.pages;
}

void DmaDebug::SetOwner(const DmaDomain& domain, DmaAddress address,
                        DmaMapping::Owner owner, uint64_t sum) {
  SpinLockHolder hold(lock_);
  const Place* const place = At(domain, address >> kPageShift);
  if (place == nullptr) return;
  DmaMapping& mapping = *place->mapping;
  if (mapping.owners.empty()) {
    mapping.owners.resize(mapping.frames.size(), DmaMapping::Owner::kDevice);
    mapping.sums.resize(mapping.frames.size(), 0);
  }
  mapping.owners[place->page] = owner;
  mapping.sums[place->page] = sum;
}

uint64_t DmaDebug::TakeSum(const DmaDomain& domain, DmaAddress address) {
  SpinLockHolder hold(lock_);
  const Place* const place = At(domain, address >> kPageShift);
  return place == nullptr || place->mapping->sums.empty()
             ? 0
             : std::exchange(place->mapping->sums[place->page], 0);
}

void DmaDebug::Undone(const void* binding, absl::string_view call) {
  std::optional<DmaMisuse> misuse;
  {
    SpinLockHolder hold(lock_);
    const auto holder = holders_.find(binding);
    if (holder == holders_.end()) return;
    for (const auto& [key, mapping] : mappings_) {
      if (mapping->user.binding != binding) continue;
      mapping->user.binding = nullptr;
      // Its device will not be blamed for it as well.
      const auto port = ports_.find(mapping->user.port);
      if (port != ports_.end() && --port->second == 0) ports_.erase(port);
      mapping->user.port = nullptr;
      if (std::find(leaking_.begin(), leaking_.end(), mapping->name) !=
          leaking_.end()) {
        continue;
      }
      leaking_.push_back(mapping->name);
      misuse =
          About(Kind::kLeftByUnbind, *mapping, 0,
                absl::StrCat(call, " leaves ", holder->second.mappings,
                             " mappings behind, as each further one will:"));
    }
    holders_.erase(holder);
  }
  if (misuse.has_value()) Report(*std::move(misuse));
}

}  // namespace twostep
