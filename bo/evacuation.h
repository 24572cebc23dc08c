#ifndef BO_EVACUATION_H_
#define BO_EVACUATION_H_

// Takes the bos of a device that goes, for good or for a while, away from it,
// one at a time, whatever other threads do with the others: reserves each,
// pinned or not, busy or not, mapped or not. Knows how to bring contents home;
// why they must come is the caller's.
//
// Pins hold nothing in place here, but are kept. User mappings are killed and
// fault again where the contents are then. A kernel mapping stays at its
// addresses and shows the contents where they are: at home, or the copy that is
// kept of them; what is written through it while they move is lost.
//
// Private to the library.

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "twostep/bo/buffer_object.h"
#include "twostep/bo/device.h"
#include "twostep/bo/device_life.h"

namespace twostep {

class Evacuation {
 public:
  // `device` is one that nobody can validate for any more.
  explicit Evacuation(Device& device);

  // Brings the bos of the device to (NONE, SYSTEM), or drops their contents.
  // Attachments of the device are detached; what others who share it have bound
  // stays so. `leaving` is told of each use of the device, before: by which bo,
  // and "in TT of" or the like.
  using Leaving =
      absl::FunctionRef<void(const BufferObject&, const std::string& where)>;
  Unplugged BringAllHome(Unplugging::Contents contents, Leaving leaving);
  // Brings those home that are not pinned, and copies the contents of pinned
  // ones in fixed memory to bos without a device, charged to the same clients.
  // kResourceExhausted when there are no frames for that, or a client is at its
  // limit; an end of the wait: some have left then.
  absl::Status Save(const WaitLimit& limit, std::vector<SavedContents>* saved);
  // Waits for all that the copy engine was told to do.
  absl::Status AwaitEngine(const WaitLimit& limit);
  // Copies them back, and empties `saved`; after an error, which may be an end
  // of the wait, it has all still, as the memory may be lost with the device.
  absl::Status Restore(const WaitLimit& limit,
                       std::vector<SavedContents>* saved);
  // The same for a device whose memory has kept its bytes: waits only for those
  // that kernel mappings may have changed. Where they cannot be copied back the
  // memory counts. After an end of the wait `saved` has what is left.
  absl::Status Undo(const WaitLimit& limit, std::vector<SavedContents>* saved);
  // Empties `saved`: what is in the device's memory counts.
  void Forget(std::vector<SavedContents>* saved);
  // Gives them to their bos at home, for a device that does not come back. What
  // was restored is read once more where the memory can be.
  void BringHome(Unplugging::CopyEngine engine,
                 std::vector<SavedContents>* saved);

 private:
  class WithoutPins;
  // Shows every bo, reserved, to `visit`, again as long as that lost against an
  // older thread. The first other error ends it.
  absl::Status ForEachBo(
      const WaitLimit& limit,
      absl::FunctionRef<absl::Status(BufferObject&, Contention*)> visit);
  absl::Status LeaveDevice(BufferObject& bo, Contention* contention);
  void Drop(BufferObject& bo);
  // Whether the addresses of `bo` are others' as well, and need nothing of this
  // device.
  bool StaysBound(const BufferObject& bo) const;
  // Gives up a place in an aperture, and nothing else.
  void Hide(BufferObject& bo);
  absl::Status SaveOne(BufferObject& bo, const WaitLimit& limit,
                       std::vector<SavedContents>* saved,
                       Contention* contention);
  bool IsInItsPlace(const BufferObject& bo) const;
  // Both are reserved then; else nothing is.
  absl::Status ReserveToCopyBack(const SavedContents& saved,
                                 const WaitLimit& limit);
  enum class OnFailure : uint8_t { kCopyCounts, kMemoryCounts };
  // Of reserved ones, and gives them back.
  absl::Status CopyBack(SavedContents* saved, OnFailure on_failure);
  // Copies from, or to, the place of `fixed`, and waits for it, however long
  // that takes: nobody may have either before it has ended.
  absl::Status CopyFixed(BufferObject& fixed, BufferObject& frames,
                         Access access_to_fixed);

  Device& device_;
  Host& host_;
  // One age for all: in the end it is the oldest.
  Ticket ticket_;
};

}  // namespace twostep

#endif  // BO_EVACUATION_H_
