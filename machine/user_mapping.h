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

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "twostep/machine/types.h"

namespace twostep {

class UserMapping {
 public:
  // Serves the first touch of an absent page. Called on the faulting thread, in
  // a synchronous signal handler: it may lock and wait, but whoever touches a
  // mapping must not hold a lock that serving needs. After it returns true the
  // access is tried again; false hands the fault on (usually: the process
  // dies).
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
  ~UserMapping();
  UserMapping(const UserMapping&) = delete;
  UserMapping& operator=(const UserMapping&) = delete;

  std::byte* data() const { return data_; }
  PageCount pages() const { return pages_; }

  // Lets pages [range.first, + count) show `fd` from byte `offset` on, readable
  // and writable. One system call. kResourceExhausted when the kernel refuses
  // (its limit of mappings a process): the pages are as before.
  absl::Status Present(PageRange range, int fd, uint64_t offset);
  // Makes the pages absent: the next touch of each faults. One system call.
  void Kill(PageRange range);

 private:
  UserMapping(std::byte* data, PageCount pages, FaultHandler& handler);

  std::byte* const data_;
  const PageCount pages_;
  FaultHandler& handler_;
};

}  // namespace twostep

#endif  // MACHINE_USER_MAPPING_H_
