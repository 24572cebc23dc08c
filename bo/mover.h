#ifndef BO_MOVER_H_
#define BO_MOVER_H_

// Carries one validation, eviction or swap-out through: both steps, the room
// they need, the contents, the roll-back. Lives for one call; what it could not
// evict stays reserved until it goes, so that no victim is tried twice.
//
// Making room: a gate keeps others from taking it (Room). Victims are first
// tried, the evictor's favourite first; when all that are left are reserved by
// other threads, they are waited for, with the ticket of this thread; and only
// when no other thread is in the middle of a move is there nothing to evict. An
// older ticket that is met on the way wins: the call ends with kAborted, and
// contention() says what to wait for.
//
// Private to the library. All calls REQUIRE the bo reserved by this thread.

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/contention.h"
#include "twostep/bo/device.h"
#include "twostep/bo/error.h"
#include "twostep/bo/host.h"
#include "twostep/bo/room.h"
#include "twostep/bo/shared_bind.h"
#include "twostep/bo/victim_search.h"

namespace twostep {

class Mover {
 public:
  Mover(Host& host, const WaitLimit& wait)
      : transit_(&host), host_(host), wait_(wait) {}
  ~Mover();
  Mover(const Mover&) = delete;
  Mover& operator=(const Mover&) = delete;

  // Device::Validate's slow path: `bo` is in none of the places, or in a
  // fallback. `throttled`: fallbacks come before evicting and promoting.
  absl::Status Validate(BufferObject& bo, Device& device,
                        PlacementList placements, bool throttled = false);
  // Brings the contents to frames that the CPU can reach, zeroed if there were
  // none; leaves a bo in fixed memory alone.
  absl::Status MakePresent(BufferObject& bo);
  // Binds `bo` for all that it is shared with, unless it is, and makes it
  // reachable for the importer. The contents leave fixed memory; a bo in an
  // aperture of the owner's stays there.
  absl::Status BindShared(BufferObject& bo, const SharedBind& bind);
  // Takes a bo that is idle out of the aperture it is in.
  void HideFromGpu(BufferObject& bo, Departure why);
  // Gives up step 2 and the addresses of step 1; the frames stay.
  absl::Status GiveUpAddresses(BufferObject& bo);
  // Undoes both steps; the contents end up in ordinary frames.
  absl::Status LeaveDevice(BufferObject& bo);
  // Swaps idle bos out in the order of their eviction, and drops worthless
  // ones, until at least `pages` frames are free that were not, or `max_bos`
  // were looked at; then those of them that are busy are set aside, and the
  // next call looks at others. How many frames came free. REQUIRES: made with
  // kNoWait.
  uint64_t GiveUpFrames(uint64_t pages, uint32_t max_bos);
  // Calls `take`, which takes coherent memory and IOVAs for who is no bo, until
  // it succeeds, making room in between as for a bo.
  absl::Status AcquireForUnit(DmaPort& port, PageCount pages,
                              absl::FunctionRef<BindOutcome()> take);
  // Gives the contents up, at once as far as others are concerned.
  void Drop(BufferObject& bo);

  uint64_t bytes_moved() const { return bytes_moved_; }
  // Validate left the bo in the fallback where it was.
  bool stayed() const { return stayed_; }
  // What stood in the way of each placement. REQUIRES: it was NoPlacement.
  std::vector<Obstacle> TakeObstacles() { return std::move(obstacles_); }
  // What the call lost. REQUIRES: it returned kAborted.
  Contention TakeContention() { return std::move(contention_); }

  // Hands the CPU's pages of a bo back to the device: kills the user mappings
  // of exactly those and syncs them.
  static absl::Status TakePagesFromCpu(BufferObject& bo, PageRange range);
  static absl::Status TakePagesFromCpu(BufferObject& bo) {
    return TakePagesFromCpu(bo, PageRange{0, bo.page_count()});
  }
  static void KillMappings(BufferObject& bo, PageRange range);
  // The other way. REQUIRES: bound, by a binder that hands over.
  static void GivePagesToCpu(BufferObject& bo, PageRange range,
                             DmaBinder::Contents contents);

 private:
  enum class Evicting : uint8_t { kNo, kYes };
  enum class Result : uint8_t {
    kDone,
    kShort,   // no room
    kBusy,    // room, had waiting been allowed
    kFailed,  // failure_ says why
    kLost,    // an older ticket was met: contention_, failure_
  };
  // Evicting into a full place evicts there, and so on, this deep.
  static constexpr int kMaxDepth = 4;
  static constexpr int kMostSettles = 100;
  static constexpr size_t kMostBusy = 64;  // met by who may not wait
  static constexpr int kMostIdleSearches = 8;
  static constexpr int kVainLooks = 16;

  bool StaysInFallback(BufferObject& bo, Device& device,
                       PlacementList placements, Placement::Use worst);
  // Both steps for one placement. Unless kDone, the bo is as before.
  Result Place(BufferObject& bo, Device& device, const Placement& placement,
               Evicting evicting);
  static bool OnAnother(const BufferObject& bo, const Device& device);
  Result MoveBetweenDevices(BufferObject& bo, Device& device,
                            const Placement& placement, Evicting evicting);
  Result Leave(BufferObject& bo, Evicting evicting);
  Result MoveToFixed(BufferObject& bo, Device& device,
                     const Placement& placement, Evicting evicting);
  Result MoveFromFixed(BufferObject& bo, Device& device,
                       const Placement& placement, Evicting evicting);
  Result Rebind(BufferObject& bo, Device& device, const Placement& placement,
                Evicting evicting);
  Result SwitchBinder(BufferObject& bo, Device& device, DmaBinder* to,
                      Evicting evicting);
  Result BindWith(BufferObject& bo, Device& owner, DmaType type);
  // Makes a bound bo reachable through `port`, too.
  Result AddAlias(BufferObject& bo, DmaPort& port);
  // Into one device from none, what that takes up being charged.
  Result Arrive(BufferObject& bo, Device& device, const Placement& placement,
                Evicting evicting);
  // What could not come from `old` goes back to where it was there.
  void PutBack(BufferObject& bo, Device& old, const Placement& was);

  // Step 1 and its undoing.
  Result DmaBind(BufferObject& bo, Device& device, DmaBinder& binder,
                 DmaBinder::Contents contents, Evicting evicting);
  Result DmaUnbind(BufferObject& bo, DmaBinder::Contents contents);
  // New addresses for a bo that gave up its own.
  Result TakeAddresses(BufferObject& bo, Evicting evicting);
  // Calls `take` until it has IOVAs for `bo`, making room for them in between.
  Result RetryForIovas(const BufferObject& bo, DmaPort& port, Evicting evicting,
                       absl::FunctionRef<BindOutcome()> take);
  // Step 2 of an aperture and its undoing.
  void ShowInAperture(BufferObject& bo, MemoryManager& manager,
                      const SpaceBlock& block);
  void HideFromAperture(BufferObject& bo);
  // For a bo that its aperture shows no more: gives up the space.
  void LeaveAperture(BufferObject& bo);

  // Charges the client of `bo` for what it is about to take up, making room
  // under the limits with other bos of that client.
  Result Charge(BufferObject& bo, std::initializer_list<Resource> resources,
                Evicting evicting);
  Result ChargeFor(BufferObject& bo, Device& device, const Placement& placement,
                   Evicting evicting);
  Result EvictOwn(const Client& client, Resource resource);
  EvictionOrder::Asker AskerFor(Resource resource) const {
    return {asker_ == nullptr ? nullptr : &asker_->account(resource)};
  }

  // Room.
  Result TakeSpace(const BufferObject& bo, MemoryManager& manager,
                   const SpaceRequest& request, Evicting evicting,
                   SpaceBlock* block, FenceSet* fences);
  // kDone: something has changed, ask for the room again. kShort: nothing can
  // be done.
  Result MakeRoom(Room* room, absl::FunctionRef<Result()> evict);
  Result Close(Room* room);
  // Without a ticket for as long as it need not wait: they come from one
  // counter, which all threads write.
  ReservationLock::Outcome LockAged(ReservationLock& lock);
  void ComeOfAge();
  Result EvictForSpace(MemoryManager& manager, const SpaceRequest& request);
  Result EvictForDma(DmaBinder& binder, BindOutcome::Scarce scarce,
                     PageCount pages, DmaPort& port);
  // Of owners beside the bos, see DmaOwners.
  bool AskOwners(const DmaBinder& binder, BindOutcome::Scarce scarce,
                 PageCount pages, const DmaPort& port, DmaOwners::Whom whom);
  // All that is bound through `port` and holds some of it.
  Result PurgePort(DmaBinder& binder, BindOutcome::Scarce scarce,
                   DmaPort& port);
  // In which bos that hold some of it stand.
  VictimSearch::Orders OrdersFor(DmaBinder& binder, BindOutcome::Scarce scarce);
  VictimSearch::Victims FindForDma(VictimSearch* search, DmaBinder& binder,
                                   BindOutcome::Scarce scarce, PageCount pages,
                                   DmaPort& port, bool* found);
  // Puts idle victims in the place of those that would be waited for while
  // others are kept out of the room: what `find` comes to without them, after a
  // few tries, if it is no more bos and none that is dearer. Gives back all
  // that are not victims. Where all are busy most calls try no more than once.
  void PreferIdle(VictimSearch::Victims* victims, const VictimSearch& search,
                  Resource resource,
                  absl::FunctionRef<VictimSearch::Victims(bool* found)> find);
  // VictimSearch::First, with that.
  VictimSearch::Victims FirstIdle(
      VictimSearch* search, Resource resource,
      absl::FunctionRef<bool(const BufferObject&)> accept =
          [](const BufferObject&) { return true; });
  void GiveBack(const VictimSearch::Victims& victims);
  // The victims that `search` came to, all reserved: those that cannot go stay
  // so, and the others go all the same. But where one is protected by now, as
  // others have taken from its client meanwhile, none goes: all are given back,
  // as the room of the others would not be enough.
  Result EvictAll(const VictimSearch& search,
                  const VictimSearch::Victims& victims,
                  absl::FunctionRef<Result(BufferObject&)> evict);
  // For a search that found nobody: waits for the bo that it passed over, if
  // any, and keeps it reserved if `fits` says that it might still be a victim.
  // kShort: there is none to wait for.
  Result AwaitVictim(const VictimSearch& search,
                     absl::FunctionRef<bool(const BufferObject&)> fits);
  // Gives up storage that bos have left behind. If none is idle, waits for some
  // that takes up some of `part`, see Ghosts: it costs no copy, so it comes
  // before evicting. kShort: there is none, or none that may be waited for.
  Result ReapGhosts(const void* part);
  Result MakeFrames();
  // Evicts one, swaps one out, of those whose turn it is. kShort: there is none
  // that can go.
  Result EvictOne(VictimSearch::Orders orders, const Client& client,
                  Resource resource);
  // Null: for the host; else for a client at its limit, of its own.
  Result SwapOutOne(const Client* limited);
  // Calls `take` until it has its frames, making some in between.
  Result RetryForFrames(absl::FunctionRef<Shortage::Kind()> take);
  Result TakeFrames(BufferObject& bo, FrameNumber highest,
                    PhysicalMemory::Zero zero);

  // Eviction.
  Result EvictGpu(BufferObject& victim);
  Result EvictDma(BufferObject& victim, Departure why);
  // The same also where contents are worthless.
  Result UndoDma(BufferObject& victim, Departure why);
  // Why the bo at work leaves its orders: it is a victim, or moves by choice.
  Departure Leaving() const {
    return depth_ > 0 ? Departure::kEvicted : Departure::kGone;
  }
  // EvictDma, then out to the swap store. REQUIRES: pages in ordinary frames.
  Result SwapOut(BufferObject& victim);
  // Unreserves a victim that is evicted; keeps one that could not be, so that
  // there is always one fewer to be tried.
  void Settle(BufferObject& victim, Result result);
  void NoteStuck();

  // Contents.
  Result Copy(BufferObject& bo, Device& device, CopySide from, CopySide to,
              const FenceSet& space_fences, Fence* fence);
  Result WaitIdle(BufferObject& bo);
  Result SwapIn(BufferObject& bo);

  Result Fail(absl::Status status);
  Result Busy(absl::Status pending);
  Result Short() const;
  // What a wait for a fence, and for a reservation, came to.
  Result Waited(const absl::Status& status);
  Result Reserved(ReservationLock::Outcome outcome, const BoRef& bo,
                  ReservationLock* gate);
  absl::Status ToStatus(BufferObject& bo, Result result);
  // `busy`: what was not waited for; OK if that is not what it failed for.
  Obstacle Describe(const BufferObject& bo, Device& device,
                    const Placement& placement, Evicting evicting,
                    const absl::Status& busy) const;
  absl::Status FitsNowhere(const BufferObject& bo) const;
  void DescribeDma(const BufferObject& bo, Device& device,
                   const Placement& placement, Obstacle* obstacle) const;
  static void Notify(BufferObject& bo, BoEvent event);

  InTransit transit_;
  Host& host_;
  const WaitLimit wait_;
  // For whom room is made: the client of the bo that the call is about.
  const Client* asker_ = nullptr;
  // At whose limit, if any, the last placement failed.
  std::optional<AtLimit> at_limit_;
  // How many bos had left the orders, and ghosts the list of them, when the
  // last search found none; nothing when one was on its way out.
  std::optional<uint64_t> left_;
  // Space that TakeSpace finds taken.
  std::optional<TakenSpace> taken_;
  // Of a caller that has none, once it waits for a reservation.
  std::optional<Ticket> late_ticket_;
  Contention contention_;
  std::vector<Obstacle> obstacles_;
  uint64_t bytes_moved_ = 0;
  int depth_ = 0;
  bool stayed_ = false;
  // The first that was passed over only because waiting was forbidden.
  absl::Status met_busy_;
  // Why victims could not go, if any could not: what they lacked.
  enum class Stuck : uint8_t { kNo, kNoRoom, kNoFrames };
  Stuck stuck_ = Stuck::kNo;
  absl::Status failure_;
  // What step 1 of the last placement tried ran out of.
  BindOutcome dma_outcome_;
  absl::InlinedVector<BufferObject*, 4> unmovable_;
  // Waited for, reserved, not evicted yet.
  absl::InlinedVector<BoRef, 2> awaited_;
  // Of unmovable_ bos that were waited for.
  absl::InlinedVector<BoRef, 2> kept_;
};

}  // namespace twostep

#endif  // BO_MOVER_H_
