#ifndef MACHINE_USER_MAPPING_H_
#define MACHINE_USER_MAPPING_H_

// A range of this process's address space in which pages of a bo appear one by
// one: the model of a user mapping and its page faults. Knows files and
// offsets, not bos. A page is absent (touching it calls the handler), or
// present, showing one page of a file (a machine's memory, a GPU's VRAM).
//
//   absent --Present()--> present --Kill()--> absent
//
// Touching an absent page raises SIGSEGV; the process-wide handler installed
// with the first mapping calls the mapping's FaultHandler on the faulting
// thread. Faults elsewhere go to whatever handler was there before.
// docs/cpu-access.md has the costs, the limits and what an embedder's own
// signal handler must do.
//
// Thread-safe, except for destruction: nobody may touch the pages, or call the
// mapping, while it is destroyed. Present() and Kill() allocate nothing and
// may be called by a FaultHandler.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "twostep/machine/types.h"

namespace twostep {

class UserMapping {
 public:
  // Serves the first touch of an absent page. Called on the faulting thread, in
  // a synchronous signal handler: it may lock and wait, but whoever touches a
  // mapping must not hold a lock that serving needs. After it returns true the
  // access is tried again; false hands the fault on (usually: the process
  // dies). Threads that touch a page at once each get a call, so it may be
  // called for a page that is present by now: presenting it again is harmless.
  // It must let no exception out. The compiler does not see this call: what it
  // reads and the touching function itself wrote needs a fence in between
  // (std::atomic_signal_fence, or any call that is not inlined).
  class FaultHandler {
   public:
    virtual ~FaultHandler() = default;
    virtual bool ServeFault(PageCount page, Access access) = 0;
  };

  // Reserves room for `pages` > 0 pages, all absent. `handler` must outlive the
  // mapping. kResourceExhausted when the process has no room or too many
  // mappings.
  static absl::StatusOr<std::unique_ptr<UserMapping>> Create(
      PageCount pages, FaultHandler& handler);
  // Gives the addresses back to the process.
  ~UserMapping();
  UserMapping(const UserMapping&) = delete;
  UserMapping& operator=(const UserMapping&) = delete;

  // Installs the process-wide SIGSEGV handler, unless it already is: call it
  // before installing a handler of your own, which must then call the one that
  // it replaced for faults it does not know. Never uninstalled.
  static void InstallFaultHandler();

  std::byte* data() const { return data_; }
  PageCount pages() const { return pages_; }

  // Lets pages [range.first, + count) show `fd` from byte `offset` (a multiple
  // of kPageSize) on, readable and writable. One system call. The pages are as
  // before when it fails: kResourceExhausted when the kernel refuses (its limit
  // of mappings a process), kInvalidArgument when `fd` cannot be shown so.
  // Errors carry no text, which would have to be allocated.
  absl::Status Present(PageRange range, int fd, uint64_t offset);
  // Makes the pages absent: the next touch of each faults. One system call.
  // Cannot fail: where the kernel's limit of mappings forbids to cut the range
  // out of its surroundings, all pages of this mapping become absent instead.
  void Kill(PageRange range);

 private:
  friend class FaultDispatcher;

  UserMapping(std::byte* data, PageCount pages, FaultHandler& handler);
  std::byte* AddressOf(PageRange range) const;

  std::byte* const data_;
  const PageCount pages_;
  FaultHandler& handler_;
};

}  // namespace twostep

#endif  // MACHINE_USER_MAPPING_H_
