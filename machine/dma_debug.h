#ifndef MACHINE_DMA_DEBUG_H_
#define MACHINE_DMA_DEBUG_H_

// Remembers every mapping of a machine's domains, and reports calls and
// accesses that do not fit them, as Linux's kernel/dma/debug.c does. A machine
// has one when it is asked to check (MachineOptions::check_dma); without it
// each hook is a branch on a null pointer.
//
// A wrong call is reported once, and then does what it should have: an unmap
// undoes what had been mapped, of what was never mapped nothing, and a frame
// that is mapped already is not mapped once more in the same place. Knows
// addresses and frames; what a binding is, dma_types/bind_check.h knows.
//
// Thread-safe. Handlers are called with no lock of this class held, amid the
// call that is wrong: they must not call back.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "twostep/machine/dma_misuse.h"
#include "twostep/machine/memory.h"
#include "twostep/machine/space.h"
#include "twostep/machine/sync.h"
#include "twostep/machine/types.h"

namespace twostep {

class DmaDomain;
class DmaPort;

// Who maps or unmaps, as reports name it.
struct DmaUser {
  const DmaPort* port = nullptr;
  absl::string_view name;         // of a DMA type, or an owner
  const void* binding = nullptr;  // tells one's mappings from another's
  uint64_t bo = 0;
  DmaDirection direction = DmaDirection::kBoth;
  bool alias = false;        // of pages that are mapped elsewhere, on purpose
  bool map_refused = false;  // set when a mapping was not to be had
  bool misused = false;      // set when one was reported
};

// Frames at contiguous IOVAs, or at their direct addresses.
struct DmaMapping {
  const DmaDomain* domain = nullptr;
  bool direct = false;
  SpaceBlock iova;  // unless direct
  std::vector<FrameNumber> frames;
  DmaUser user;  // its name and port may be gone: these are the copies
  std::string name;
  std::string device;
  uint32_t told = 0;  // kinds reported of it, by bits
  // Of a binding that is mapped in pieces, which are taken to be mapped in the
  // order of its pages: which one, and the page that it begins with.
  uint32_t piece = 0;
  PageCount first_page = 0;

  // Of each page; empty until somebody says so.
  enum class Owner : uint8_t { kDevice, kCpu, kBothByParts };
  std::vector<Owner> owners;
  // Of its bytes as the CPU had them when it became the device's; 0: none.
  std::vector<uint64_t> sums;
};

class DmaDebug {
 public:
  // A frame that is mapped more often than this at once is mapped too often
  // (Linux's ACTIVE_CACHELINE_MAX_OVERLAP).
  static constexpr size_t kMaxOverlap = 7;
  // Mappings that are gone and still known by name.
  static constexpr size_t kRemembered = 256;

  // Tells `handler`, or where it is null prints and stops the process.
  DmaDebug(const PhysicalMemory& memory, DmaMisuseHandler handler);
  DmaDebug(const DmaDebug&) = delete;
  DmaDebug& operator=(const DmaDebug&) = delete;

  // From now on, until the same `teller` stops, its handler is told.
  void TellTo(const void* teller, DmaMisuseHandler handler);
  void StopTelling(const void* teller);
  void Report(DmaMisuse misuse);

  // What the calling thread maps and unmaps meanwhile is that user's, or if it
  // names no bo, that user's for the bo of the scope around it. A null `debug`
  // makes it do nothing.
  class Scope {
   public:
    Scope(DmaDebug* debug, const DmaUser& user) {
      if (debug != nullptr) Enter(user);
    }
    ~Scope() {
      if (user_.has_value()) Leave();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    // REQUIRES: the machine is checked.
    bool map_refused() const { return user_->map_refused; }
    bool misused() const { return user_->misused; }

   private:
    friend class DmaDebug;
    void Enter(const DmaUser& user);
    void Leave();

    std::optional<DmaUser> user_;
    Scope* outer_ = nullptr;
  };

  // --- Hooks of DmaDomain and DmaPort ---
  // False: not to be carried out.
  bool MayMap(const DmaDomain& domain, bool direct,
              std::span<const FrameNumber> frames);
  void Mapped(const DmaDomain& domain, const SpaceBlock* iova,
              std::span<const FrameNumber> frames);
  void MapRefused();
  // What to undo; nullopt: nothing.
  std::optional<DmaMapping> Unmapped(const DmaDomain& domain,
                                     const SpaceBlock& iova, PageCount pages,
                                     std::span<const FrameNumber> frames);
  std::optional<DmaMapping> UnmappedDirect(const DmaDomain& domain,
                                           std::span<const FrameNumber> frames);
  void Accessed(const DmaPort& port, DmaAddress address, Access access,
                bool reached);
  void PortGoes(const DmaPort& port);

  // --- For bindings ---
  // Of what is mapped at `address`; nothing where nothing is.
  struct Found {
    DmaDirection direction;
    PageCount page;  // of the mapping
  };
  std::optional<Found> Find(const DmaDomain& domain, DmaAddress address) const;
  // Whose `binding` is, 0 where nobody has said; and how many pages its
  // mappings have, aliases aside.
  uint64_t BoOf(const void* binding) const;
  uint64_t PagesOf(const void* binding) const;
  void SetOwner(const DmaDomain& domain, DmaAddress address,
                DmaMapping::Owner owner, uint64_t sum);
  uint64_t TakeSum(const DmaDomain& domain, DmaAddress address);  // once
  // Nothing may be mapped for `binding` any more: reports if there is, once
  // for each user's name, and takes it for nobody's.
  void Undone(const void* binding, absl::string_view call);
  bool IsMemory(FrameNumber frame) const;

 private:
  using Kind = DmaMisuse::Kind;
  using PageKey = std::pair<const DmaDomain*, uint64_t>;
  struct Place {
    DmaMapping* mapping;
    PageCount page;
  };
  struct Holder {
    uint64_t pages = 0;
    uint64_t mappings = 0;
    uint32_t pieces = 0;  // that there have been
    uint64_t bo = 0;
  };

  static DmaUser UserOf(const Scope* scope);  // null: nobody has said
  uint64_t PageOf(const DmaMapping& mapping, PageCount page) const;
  // `page` is one of the mapping.
  DmaMisuse About(Kind kind, const DmaMapping& mapping, PageCount page,
                  const std::string& what) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  std::optional<DmaMisuse> FindWrongFrame(const DmaDomain& domain, bool direct,
                                          std::span<const FrameNumber> frames,
                                          bool* refuse)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  const Place* At(const DmaDomain& domain, uint64_t page) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  // A mapping of that frame by the user of this thread.
  DmaMapping* MineOf(FrameNumber frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  DmaMapping Remove(DmaMapping& mapping) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  const PhysicalMemory& memory_;
  mutable SpinLock lock_;
  std::vector<std::pair<const void*, DmaMisuseHandler>> handlers_
      ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<const DmaMapping*, std::unique_ptr<DmaMapping>> mappings_
      ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<PageKey, Place> pages_ ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<FrameNumber, std::vector<DmaMapping*>> frames_
      ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<const void*, Holder> holders_ ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<const DmaPort*, uint64_t> ports_ ABSL_GUARDED_BY(lock_);
  std::vector<std::string> leaking_ ABSL_GUARDED_BY(lock_);  // told of
  std::vector<DmaMapping> gone_ ABSL_GUARDED_BY(lock_);      // a ring
  size_t next_gone_ ABSL_GUARDED_BY(lock_) = 0;
};

}  // namespace twostep

#endif  // MACHINE_DMA_DEBUG_H_
