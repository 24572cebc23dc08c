#ifndef DMA_TYPES_DMA_BINDER_H_
#define DMA_TYPES_DMA_BINDER_H_

// Step 1. A binder carries out one DMA type: it makes pages reachable for a
// device, takes that back, and hands pages over between CPU and device. It
// keeps the order in which the bos bound through it are evicted. Knows pages
// and ports, not bos, and nothing of step 2.
//
// To add a type, derive and override the private virtuals; the public calls
// keep the rules (ownership, syncing, accounts) around them. A binder is
// thread-safe; Pages and DmaBinding are guarded by the caller.

#include <string>

#include "twostep/dma_types/bind_outcome.h"
#include "twostep/dma_types/binder_stats.h"
#include "twostep/dma_types/dma_binding.h"
#include "twostep/eviction/eviction_order.h"
#include "twostep/machine/machine.h"
#include "twostep/machine/range_allocator.h"
#include "twostep/machine/reservation_lock.h"

namespace twostep {

class DmaBinder {
 public:
  // Whether CPU and device may touch the pages at the same time.
  enum class Sharing : uint8_t {
    kShared,            // always: they see the same bytes
    kSharedIfCoherent,  // shared by coherent devices, handed over by others
    kHandedOver,        // never: each page is the device's or the CPU's
  };
  enum class CanRunOut : uint8_t { kNo, kYes };
  // Whether the bytes of the pages matter.
  enum class Contents : uint8_t { kKeep, kDrop };
  enum class Sync : uint8_t { kForDevice, kForCpu };

  using Stats = BinderStats;

  DmaBinder(std::string name, Machine& machine, Sharing sharing,
            CanRunOut can_run_out, std::unique_ptr<EvictionPolicy> policy);
  virtual ~DmaBinder() = default;
  DmaBinder(const DmaBinder&) = delete;
  DmaBinder& operator=(const DmaBinder&) = delete;

  const std::string& name() const { return name_; }
  virtual uint64_t unit_bytes() const { return 0; }  // there is; 0: unknown
  bool can_run_out() const { return can_run_out_ == CanRunOut::kYes; }
  bool hands_over(const DmaPort& port) const {
    return sharing_ == Sharing::kHandedOver ||
           (sharing_ == Sharing::kSharedIfCoherent && !port.coherent());
  }
  // Whether CPU and devices of all sorts see the same bytes at all times.
  bool one_view() const { return sharing_ == Sharing::kShared; }
  EvictionOrder& order() { return order_; }
  const EvictionOrder& order() const { return order_; }
  Stats& stats() { return stats_; }
  DmaExhaustion exhaustion() const { return exhaustion_; }
  // Before it binds anything.
  void SetExhaustion(DmaExhaustion what) { exhaustion_ = what; }
  uint64_t bound_pages_now() const { return stats_.bound_pages; }
  uint64_t pinned_pages_now() const { return stats_.pinned_pages; }

  // Held by who makes room in the binder's unit: Bind refuses all others
  // meanwhile.
  ReservationLock& gate() { return gate_; }
  // Waits out the binds that began before the gate was closed; they do not
  // block.
  void AwaitBinds();

  // Makes `pages` reachable through `port`. Pages that are absent are taken
  // zeroed; kKeep hands the bytes to the device, kDrop leaves them undefined
  // there. After an error everything is as before. kUnit and kFull also when
  // another has the gate.
  BindOutcome Bind(Pages& pages, DmaPort& port, Contents contents,
                   DmaBinding* binding);
  // Undoes Bind: the device's old addresses fault from here on. With kKeep all
  // bytes are in ordinary frames afterwards, with kDrop the frames of the
  // binder's own memory are gone. Only kKeep can fail (kHostFrames), and then
  // the pages stay bound. REQUIRES: the device is done with them.
  BindOutcome Unbind(Pages& pages, DmaBinding& binding, Contents contents);
  // Makes bound pages reachable in the domain of `port`, too, at addresses that
  // it can put on the bus. Short of nothing but IOVAs. Any Unbind undoes it.
  BindOutcome AddAlias(const Pages& pages, DmaPort& port, DmaBinding* binding);
  void RemoveAlias(const Pages& pages, const DmaDomain& domain,
                   DmaBinding* binding);

  // Gives up the addresses of pages in the binder's own memory, which stay, and
  // gets them anew: short of nothing but IOVAs. REQUIRES: as Unbind.
  void GiveUpAddresses(const Pages& pages, DmaBinding* binding);
  BindOutcome TakeAddresses(const Pages& pages, DmaBinding* binding);

  // Whether the addresses of any binding through `port` are within its reach,
  // and neighbours: by default an IOVA space sees to both.
  virtual bool Reaches(const DmaPort& port) const;
  virtual bool Contiguous(const DmaPort& port) const {
    return port.domain().always_translates();
  }

  // Hands those pages of `range` over that are not yet the device's / the
  // CPU's. REQUIRES: the device is done with them; for the device: no CPU
  // mapping.
  void SyncForDevice(Pages& pages, DmaBinding& binding, PageRange range);
  // kDrop: without the bytes, for who is going to overwrite them.
  void SyncForCpu(Pages& pages, DmaBinding& binding, PageRange range,
                  Contents contents = Contents::kKeep);

  // A partial sync, as dma_sync_single_range_for_*: by whole cache lines where
  // caches are in between. The pages stay whose they are.
  void SyncBytes(Pages& pages, DmaBinding& binding, ByteRange bytes,
                 Sync direction);

  // What stands in the way of binding `pages` pages: exact figures.
  Shortage Describe(PageCount pages, const DmaPort& port,
                    BindOutcome::Scarce scarce) const;
  // Whether undoing `binding`, which is one of this binder's, gives back some
  // of what `scarce` speaks of.
  bool Holds(BindOutcome::Scarce scarce, const DmaBinding& binding) const {
    return DoHolds(scarce, binding);
  }
  // Shows `use` the address space that `scarce` speaks of, or one part of it
  // after the other, with its lock held, and returns true; false when it has no
  // positions to choose by.
  bool WithSpace(
      BindOutcome::Scarce scarce, PageCount pages, DmaPort& port,
      absl::FunctionRef<void(RangeAllocator&, const SpaceRequest&)> use) {
    return DoWithSpace(scarce, pages, port, use);
  }

 protected:
  Machine& machine() const { return machine_; }
  // Frames of at most `highest` for absent pages, zeroed unless `contents` is
  // kDrop.
  Shortage::Kind TakeOrdinaryFrames(Pages& pages, FrameNumber highest,
                                    Contents contents);
  // Gives the frames addresses in the port's domain: IOVAs where it translates,
  // direct ones elsewhere; and takes them back.
  BindOutcome MapFrames(std::span<const FrameNumber> frames, DmaPort& port,
                        DmaBinding* binding);
  void UnmapFrames(std::span<const FrameNumber> frames, DmaBinding& binding);
  // CPU copies between frames, or parts of them, charged to the clock.
  void CopyFrames(std::span<const FrameNumber> from,
                  std::span<const FrameNumber> to);
  void CopyPart(FrameNumber from, FrameNumber to, ByteRange in_frame,
                uint64_t mib_per_s);

  // Moves bytes of pages that change hands, whole pages or parts of them. The
  // default cleans and invalidates caches for devices that are not coherent.
  virtual void DoSync(Pages& pages, DmaBinding& binding, ByteRange bytes,
                      Sync direction);
  // Visits the parts of the pages that `bytes` covers.
  static void ForEachPart(
      ByteRange bytes,
      absl::FunctionRef<void(PageCount page, ByteRange in_page)> visit);
  // By default each binding holds some of everything.
  virtual bool DoHolds(BindOutcome::Scarce, const DmaBinding&) const {
    return true;
  }
  virtual bool DoWithSpace(  // the default knows the IOVA space
      BindOutcome::Scarce scarce, PageCount pages, DmaPort& port,
      absl::FunctionRef<void(RangeAllocator&, const SpaceRequest&)> use);

 private:
  // Fills in addressing and whatever DoUnbind needs; takes frames for absent
  // pages, zeroed unless `contents` is kDrop. After an error: as before.
  virtual BindOutcome DoBind(Pages& pages, DmaPort& port, Contents contents,
                             DmaBinding* binding) = 0;
  virtual BindOutcome DoUnbind(Pages& pages, DmaBinding& binding,
                               Contents contents) = 0;
  // Asked for kUnit only.
  virtual Shortage DoDescribe(PageCount pages, const DmaPort& port,
                              BindOutcome::Scarce scarce) const = 0;
  // The highest ordinary frame that will do for `port`.
  virtual FrameNumber HighestFrame(const DmaPort&) const {
    return kNoFrame - 1;
  }

  void UnmapFrames(std::span<const FrameNumber> frames, DmaDomain& domain,
                   DmaBinding::Addressing addressing, const SpaceBlock& iova);
  void RemoveAliases(const Pages& pages, DmaBinding* binding);
  // DoSync, looked at from outside where the machine is checked.
  void MoveBytes(Pages& pages, DmaBinding& binding, ByteRange bytes,
                 Sync direction, bool parts);
  void HandOver(Pages& pages, DmaBinding& binding, PageRange range,
                Sync direction, Contents contents);

  const std::string name_;
  Machine& machine_;
  const Sharing sharing_;
  const CanRunOut can_run_out_;
  DmaExhaustion exhaustion_ = DmaExhaustion::kEvict;
  EvictionOrder order_;
  ReservationLock gate_;
  Atomic<uint32_t> binds_under_way_{0};
  Stats stats_;
};

}  // namespace twostep

#endif  // DMA_TYPES_DMA_BINDER_H_
