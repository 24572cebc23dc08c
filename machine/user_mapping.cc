#include "twostep/machine/user_mapping.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "twostep/machine/check.h"
#include "twostep/machine/mapping_table.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

// A signal handler gets no argument of ours: these belong to the process, as
// its signal dispositions do.
constinit MappingTable mappings;
struct sigaction previous_action;
// Set before our handler is in.
constinit Atomic<const struct sigaction*> previous_handler{nullptr};
// The handler before us is SA_RESETHAND, and had its one call.
constinit Atomic<bool> previous_used_up{false};

// Behind the data of each mapping stays one page absent for good, so that the
// kernel never merges what two neighbours present: see Kill().
constexpr uint64_t kGuardBytes = kPageSize;

// The system call itself: the sanitizers' wrapper of mmap() would take it for a
// write to every byte, and report threads that touch one page at once.
bool MapFixed(std::byte* at, uint64_t bytes, int protection, int flags, int fd,
              uint64_t offset) {
  return syscall(SYS_mmap, at, bytes, protection, flags | MAP_FIXED, fd,
                 offset) != -1;
}

bool MapAbsent(std::byte* at, uint64_t bytes) {
  return MapFixed(at, bytes, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

// One mapping to give up when the process has reached its limit, at which the
// kernel refuses even what would leave fewer. Shared memory of its own, so that
// it merges with nothing.
constinit Atomic<void*> spare_mapping{nullptr};

void KeepASpareMapping() {
  void* spare =
      mmap(nullptr, kPageSize, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (spare == MAP_FAILED) return;
  void* none = nullptr;
  if (!spare_mapping.compare_exchange_strong(none, spare)) {
    munmap(spare, kPageSize);
  }
}

void GiveUpTheSpareMapping() {
  void* spare = spare_mapping.exchange(nullptr);
  if (spare != nullptr) munmap(spare, kPageSize);
}

#if defined(__x86_64__)

// Bits of the page fault's error code: Intel SDM volume 3, 4.7.
constexpr uint64_t kFaultWrite = 1 << 1;
constexpr uint64_t kFaultFetch = 1 << 4;

bool IsFetch(const ucontext_t& context) {
  return (context.uc_mcontext.gregs[REG_ERR] & kFaultFetch) != 0;
}

Access AccessOf(const ucontext_t& context) {
  return (context.uc_mcontext.gregs[REG_ERR] & kFaultWrite) != 0
             ? Access::kWrite
             : Access::kRead;
}

#elif defined(__aarch64__)

// The syndrome that Linux appends to the machine context (esr_context in its
// asm/sigcontext.h); its bit 6 is WnR, its top 6 bits the exception class.
// 0 where it is missing.
uint64_t SyndromeOf(const ucontext_t& context) {
  struct Record {
    uint32_t magic;
    uint32_t size;
  };
  constexpr uint32_t kSyndromeMagic = 0x45535201;
  const auto* bytes =
      reinterpret_cast<const std::byte*>(context.uc_mcontext.__reserved);
  constexpr size_t kBytes = sizeof(context.uc_mcontext.__reserved);
  for (size_t at = 0; at + sizeof(Record) + sizeof(uint64_t) <= kBytes;) {
    Record record;
    std::memcpy(&record, bytes + at, sizeof(record));
    if (record.size < sizeof(record)) break;
    if (record.magic == kSyndromeMagic) {
      uint64_t syndrome;
      std::memcpy(&syndrome, bytes + at + sizeof(record), sizeof(syndrome));
      return syndrome;
    }
    at += record.size;
  }
  return 0;
}

bool IsFetch(const ucontext_t& context) {
  constexpr uint64_t kInstructionAbort = 0x20;
  return (SyndromeOf(context) >> 26) == kInstructionAbort;
}

Access AccessOf(const ucontext_t& context) {
  const uint64_t syndrome = SyndromeOf(context);
  return syndrome == 0 || (syndrome & (1 << 6)) != 0 ? Access::kWrite
                                                     : Access::kRead;
}

#else

bool IsFetch(const ucontext_t&) { return false; }
Access AccessOf(const ucontext_t&) { return Access::kWrite; }

#endif

// What the kernel would have done without us.
void TakeDefaultAction(int signal_number, const siginfo_t& info) {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(signal_number, &action, nullptr);
  // A fault is repeated on return, and now kills with the right signal and
  // address. A signal that somebody sent is not.
  if (info.si_code <= 0) raise(signal_number);
}

// Hands the signal to the handler that ours replaced, as the kernel would have.
void Chain(int signal_number, siginfo_t* info, void* context) {
  const struct sigaction& previous =
      *previous_handler.load(std::memory_order_acquire);
  const bool has_info = (previous.sa_flags & SA_SIGINFO) != 0;
  if (!has_info && previous.sa_handler == SIG_IGN) {
    // The kernel ignores what was sent, but kills for a fault.
    if (info->si_code > 0) TakeDefaultAction(signal_number, *info);
    return;
  }
  const bool is_default = !has_info && previous.sa_handler == SIG_DFL;
  const bool one_shot =
      (previous.sa_flags & static_cast<int>(SA_RESETHAND)) != 0;
  if (is_default || (one_shot && previous_used_up.exchange(
                                     true, std::memory_order_relaxed))) {
    TakeDefaultAction(signal_number, *info);
    return;
  }
  sigset_t blocked = previous.sa_mask;
  if ((previous.sa_flags & SA_NODEFER) == 0) sigaddset(&blocked, signal_number);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  if (has_info) {
    previous.sa_sigaction(signal_number, info, context);
  } else {
    previous.sa_handler(signal_number);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer blocks all signals around every handler.
void AllowNestedFaults(int signal_number) {
  sigset_t self;
  sigemptyset(&self);
  sigaddset(&self, signal_number);
  pthread_sigmask(SIG_UNBLOCK, &self, nullptr);
}
#else
void AllowNestedFaults(int) {}  // SA_NODEFER does
#endif

}  // namespace

class FaultDispatcher {
 public:
  static void OnSignal(int signal_number, siginfo_t* info, void* context) {
    const int saved_errno = errno;
    AllowNestedFaults(signal_number);
    if (!Serve(*info, *static_cast<const ucontext_t*>(context))) {
      Chain(signal_number, info, context);
    }
    errno = saved_errno;
  }

 private:
  static bool Serve(const siginfo_t& info, const ucontext_t& context) {
    if (info.si_code != SEGV_ACCERR && info.si_code != SEGV_MAPERR) {
      return false;
    }
    const auto address = reinterpret_cast<uintptr_t>(info.si_addr);
    const UserMapping* mapping = mappings.Find(address >> kPageShift);
    if (mapping == nullptr) return false;
    // Present pages cannot be executed: serving would only repeat the fault.
    if (IsFetch(context)) return false;
    const auto start = reinterpret_cast<uintptr_t>(mapping->data_);
    return mapping->handler_.ServeFault(
        static_cast<PageCount>((address - start) >> kPageShift),
        AccessOf(context));
  }
};

void UserMapping::InstallFaultHandler() {
  [[maybe_unused]] static const bool installed = [] {
    TWOSTEP_CHECK(sigaction(SIGSEGV, nullptr, &previous_action) == 0);
    previous_handler.store(&previous_action, std::memory_order_release);
    struct sigaction action = {};
    action.sa_sigaction = &FaultDispatcher::OnSignal;
    // ONSTACK: the handler before us may be there for stack overflows.
    // NODEFER: serving a fault may touch another mapping.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
    sigemptyset(&action.sa_mask);
    KeepASpareMapping();
    TWOSTEP_CHECK(sigaction(SIGSEGV, &action, nullptr) == 0);
    return true;
  }();
}

absl::StatusOr<std::unique_ptr<UserMapping>> UserMapping::Create(
    PageCount pages, FaultHandler& handler) {
  TWOSTEP_CHECK(pages > 0);
  InstallFaultHandler();
  void* data = mmap(nullptr, PagesToBytes(pages) + kGuardBytes, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        "no room in the address space, or the process has too many mappings "
        "(vm.max_map_count)");
  }
  return std::unique_ptr<UserMapping>(
      new UserMapping(static_cast<std::byte*>(data), pages, handler));
}

UserMapping::UserMapping(std::byte* data, PageCount pages,
                         FaultHandler& handler)
    : data_(data), pages_(pages), handler_(handler) {
  mappings.Insert(reinterpret_cast<uintptr_t>(data_) >> kPageShift, pages_,
                  *this);
}

UserMapping::~UserMapping() {
  // Before the kernel can give the addresses to another mapping.
  mappings.Erase(reinterpret_cast<uintptr_t>(data_) >> kPageShift, pages_);
  if (munmap(data_, PagesToBytes(pages_) + kGuardBytes) != 0) {
    // At the limit of mappings the kernel does not cut a hole into what it
    // merged: the addresses stay taken, the file's pages do not.
    Kill({0, pages_});
  }
}

std::byte* UserMapping::AddressOf(PageRange range) const {
  TWOSTEP_CHECK(range.first <= pages_ && range.count <= pages_ - range.first);
  return data_ + PagesToBytes(range.first);
}

absl::Status UserMapping::Present(PageRange range, int fd, uint64_t offset) {
  std::byte* const at = AddressOf(range);
  TWOSTEP_CHECK(offset % kPageSize == 0);
  if (range.count == 0) return absl::OkStatus();
  if (MapFixed(at, PagesToBytes(range.count), PROT_READ | PROT_WRITE,
               MAP_SHARED, fd, offset)) {
    return absl::OkStatus();
  }
  return absl::Status(errno == ENOMEM || errno == EAGAIN
                          ? absl::StatusCode::kResourceExhausted
                          : absl::StatusCode::kInvalidArgument,
                      "");
}

void UserMapping::Kill(PageRange range) {
  std::byte* const at = AddressOf(range);
  if (range.count == 0) return;
  if (MapAbsent(at, PagesToBytes(range.count))) return;
  // The limit of mappings.
  GiveUpTheSpareMapping();
  if (!MapAbsent(at, PagesToBytes(range.count))) {
    // The range lies inside one mapping, which may not be cut. Taking away the
    // rights of everything between two guard pages cuts nothing; then give back
    // what the pages held, if the kernel lets us.
    TWOSTEP_CHECK(mprotect(data_, PagesToBytes(pages_), PROT_NONE) == 0);
    MapAbsent(data_, PagesToBytes(pages_));
  }
  KeepASpareMapping();
}

}  // namespace twostep
