#include "twostep/machine/user_mapping.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "gtest/gtest.h"
#include "twostep/machine/sync.h"

namespace twostep {
namespace {

using testing::ExitedWithCode;
using testing::KilledBySignal;

// Signal handlers get no argument.
std::byte* foreign_page = nullptr;
volatile sig_atomic_t handler_calls = 0;
struct sigaction replaced;
sigjmp_buf after_fault;

// A page outside of all mappings that may not be touched.
std::byte* MakeForeignPage() {
  void* page =
      mmap(nullptr, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return static_cast<std::byte*>(page);
}

// The compiler does not see that a touch may call ServeFault(): the fences keep
// what that reads and writes on its side of the touch.
uint8_t Read(const std::byte* at) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const auto value = static_cast<uint8_t>(
      *reinterpret_cast<const volatile unsigned char*>(at));
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return value;
}
void Write(std::byte* at, uint8_t value) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  *reinterpret_cast<volatile unsigned char*>(at) = value;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// A file whose page n begins with the byte n + 1, and a mapping that shows page
// `pages - 1 - n` of it at its page n.
class Mapped : public UserMapping::FaultHandler {
 public:
  explicit Mapped(PageCount pages) : Mapped(pages, NewFile(pages)) {}
  Mapped(PageCount pages, int file) : pages_(pages), file_(file) {
    auto mapping = UserMapping::Create(pages, *this);
    if (!mapping.ok()) std::abort();
    mapping_ = *std::move(mapping);
  }

  bool ServeFault(PageCount page, Access access) override {
    faults_.fetch_add(1, std::memory_order_relaxed);
    last_page_.store(page, std::memory_order_relaxed);
    last_access_.store(access, std::memory_order_relaxed);
    errno = EXFULL;
    if (mapping_ == nullptr) std::_Exit(1);  // told of a mapping that is gone
    if (!serves_) return false;
    return mapping_->Present({page, 1}, file_, FileOffset(page)).ok();
  }

  static int NewFile(PageCount pages) {
    const int file = memfd_create("user_mapping_test", MFD_CLOEXEC);
    if (ftruncate(file, PagesToBytes(pages)) != 0) std::abort();
    for (PageCount page = 0; page < pages; ++page) {
      const uint8_t mark = static_cast<uint8_t>(page + 1);
      if (pwrite(file, &mark, 1, PagesToBytes(page)) != 1) std::abort();
    }
    return file;
  }

  uint64_t FileOffset(PageCount page) const {
    return PagesToBytes(pages_ - 1 - page);
  }
  uint8_t Mark(PageCount page) const {
    return static_cast<uint8_t>(pages_ - page);
  }
  std::byte* At(PageCount page) const {
    return mapping_->data() + PagesToBytes(page);
  }
  uint8_t InFile(PageCount page) const {
    uint8_t byte = 0;
    if (pread(file_, &byte, 1, FileOffset(page)) != 1) std::abort();
    return byte;
  }

  UserMapping& mapping() { return *mapping_; }
  int file() const { return file_; }
  int faults() const { return faults_.load(std::memory_order_relaxed); }
  PageCount last_page() const {
    return last_page_.load(std::memory_order_relaxed);
  }
  Access last_access() const {
    return last_access_.load(std::memory_order_relaxed);
  }
  void StopServing() { serves_ = false; }
  void Unmap() { mapping_.reset(); }

 private:
  const PageCount pages_;
  const int file_;  // left open: tests are short
  Atomic<int> faults_{0};
  Atomic<PageCount> last_page_{0};
  Atomic<Access> last_access_{Access::kRead};
  bool serves_ = true;
  std::unique_ptr<UserMapping> mapping_;
};

TEST(UserMapping, FirstTouchShowsThatPageOnly) {
  Mapped mapped(4);
  EXPECT_EQ(Read(mapped.At(2)), mapped.Mark(2));
  EXPECT_EQ(mapped.faults(), 1);
  EXPECT_EQ(mapped.last_page(), 2u);
  EXPECT_EQ(Read(mapped.At(2) + kPageSize - 1), 0);
  EXPECT_EQ(mapped.faults(), 1);
  EXPECT_EQ(Read(mapped.At(1)), mapped.Mark(1));
  EXPECT_EQ(mapped.faults(), 2);
  EXPECT_EQ(mapped.last_page(), 1u);
}

TEST(UserMapping, FirstAndLastByteBelongToFirstAndLastPage) {
  Mapped mapped(3);
  Read(mapped.At(0));
  EXPECT_EQ(mapped.last_page(), 0u);
  Read(mapped.At(2) + kPageSize - 1);
  EXPECT_EQ(mapped.last_page(), 2u);
}

TEST(UserMapping, KilledPageFaultsAgainAndOthersDoNot) {
  Mapped mapped(5);
  for (PageCount page = 0; page < 5; ++page) Read(mapped.At(page));
  ASSERT_EQ(mapped.faults(), 5);
  mapped.mapping().Kill({1, 2});
  Read(mapped.At(0));
  Read(mapped.At(3));
  Read(mapped.At(4));
  EXPECT_EQ(mapped.faults(), 5);
  EXPECT_EQ(Read(mapped.At(1)), mapped.Mark(1));
  EXPECT_EQ(Read(mapped.At(2)), mapped.Mark(2));
  EXPECT_EQ(mapped.faults(), 7);
}

TEST(UserMapping, ReadAndWriteAreTold) {
  Mapped mapped(2);
  Read(mapped.At(0));
  EXPECT_EQ(mapped.last_access(), Access::kRead);
  Write(mapped.At(1), 9);
  EXPECT_EQ(mapped.last_access(), Access::kWrite);
  // A page that a read brought may be written without another fault.
  Write(mapped.At(0), 9);
  EXPECT_EQ(mapped.faults(), 2);
}

TEST(UserMapping, BytesAreThoseOfTheFile) {
  Mapped mapped(3);
  Write(mapped.At(1), 200);
  EXPECT_EQ(mapped.InFile(1), 200);
  mapped.mapping().Kill({0, 3});
  EXPECT_EQ(Read(mapped.At(1)), 200);
}

TEST(UserMapping, TwoMappingsOfOneFileSeeEachOther) {
  Mapped one(3);
  Mapped other(3, one.file());
  Write(one.At(1), 77);
  EXPECT_EQ(Read(other.At(1)), 77);
  Write(other.At(1), 78);
  EXPECT_EQ(Read(one.At(1)), 78);
  one.mapping().Kill({0, 3});
  EXPECT_EQ(Read(other.At(1)), 78);
  EXPECT_EQ(other.faults(), 1);
}

TEST(UserMapping, RangePresentedAtOnceDoesNotFault) {
  Mapped mapped(8);
  ASSERT_TRUE(mapped.mapping().Present({2, 3}, mapped.file(), 0).ok());
  EXPECT_EQ(Read(mapped.At(2)), 1);
  EXPECT_EQ(Read(mapped.At(4)), 3);
  EXPECT_EQ(mapped.faults(), 0);
  Read(mapped.At(5));
  EXPECT_EQ(mapped.faults(), 1);
}

TEST(UserMapping, EmptyRangesChangeNothing) {
  Mapped mapped(2);
  Read(mapped.At(0));
  mapped.mapping().Kill({0, 0});
  EXPECT_TRUE(mapped.mapping().Present({2, 0}, mapped.file(), 0).ok());
  Read(mapped.At(0));
  EXPECT_EQ(mapped.faults(), 1);
}

TEST(UserMapping, PresentingABadFileLeavesThePage) {
  Mapped mapped(2);
  Write(mapped.At(0), 5);
  EXPECT_EQ(mapped.mapping().Present({0, 1}, -1, 0).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Read(mapped.At(0)), 5);
  EXPECT_EQ(mapped.faults(), 1);
}

TEST(UserMapping, FaultKeepsErrno) {
  Mapped mapped(1);
  errno = ENOTTY;
  Read(mapped.At(0));
  EXPECT_EQ(errno, ENOTTY);
}

TEST(UserMapping, SystemCallOnAbsentPageFailsWithEfault) {
  Mapped mapped(1);
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  EXPECT_EQ(write(pipe_ends[1], mapped.At(0), 1), -1);
  EXPECT_EQ(errno, EFAULT);
  Read(mapped.At(0));
  EXPECT_EQ(write(pipe_ends[1], mapped.At(0), 1), 1);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

// The fault of one mapping is served from the other, itself absent: what a
// chain of imported bos does.
class Relay : public UserMapping::FaultHandler {
 public:
  Relay(Mapped& source, int file) : source_(source), file_(file) {}
  void Serve(UserMapping& mapping) { mapping_ = &mapping; }
  bool ServeFault(PageCount page, Access) override {
    seen_ = Read(source_.At(page));
    return mapping_->Present({page, 1}, file_, 0).ok();
  }
  int seen() const { return seen_; }

 private:
  Mapped& source_;
  const int file_;
  UserMapping* mapping_ = nullptr;
  int seen_ = -1;
};

TEST(UserMapping, ServingAFaultMayFaultInAnotherMapping) {
  Mapped source(2);
  Relay relay(source, source.file());
  auto mapping = UserMapping::Create(2, relay);
  ASSERT_TRUE(mapping.ok());
  relay.Serve(**mapping);
  EXPECT_EQ(Read((*mapping)->data()), 1);
  EXPECT_EQ(relay.seen(), source.Mark(0));
  EXPECT_EQ(source.faults(), 1);
}

TEST(UserMapping, FourThreadsOnOnePageAllGetIt) {
  constexpr int kRounds = 300;
  constexpr int kThreads = 4;
  Mapped mapped(1);
  Atomic<int> arrived{0};
  {
    std::vector<Thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int round = 0; round < kRounds; ++round) {
          arrived.fetch_add(1, std::memory_order_acq_rel);
          // All touch together, then one takes the page away from all.
          while (arrived.load(std::memory_order_acquire) <
                 (2 * round + 1) * kThreads) {
            CpuRelax();
            std::this_thread::yield();
          }
          std::byte* at = mapped.At(0) + 64 * (t + 1);
          Write(at, static_cast<uint8_t>(Read(at) + 1));
          arrived.fetch_add(1, std::memory_order_acq_rel);
          while (arrived.load(std::memory_order_acquire) <
                 (2 * round + 2) * kThreads) {
            CpuRelax();
            std::this_thread::yield();
          }
          if (t == 0) mapped.mapping().Kill({0, 1});
        }
      });
    }
  }
  for (int t = 0; t < kThreads; ++t) {
    EXPECT_EQ(Read(mapped.At(0) + 64 * (t + 1)), kRounds % 256);
  }
  EXPECT_GE(mapped.faults(), kRounds);
  EXPECT_LE(mapped.faults(), 2 * kThreads * kRounds + 1);
}

TEST(UserMapping, FourThreadsOnDifferentPagesWhileMappingsComeAndGo) {
  constexpr PageCount kPages = 256;
  Mapped mapped(kPages);
  {
    std::vector<Thread> threads;
    for (PageCount t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (PageCount page = t; page < kPages; page += 4) {
          EXPECT_EQ(Read(mapped.At(page)), mapped.Mark(page));
          Mapped passing(2, mapped.file());
          EXPECT_EQ(Read(passing.At(1)), 1);
          EXPECT_EQ(passing.faults(), 1);
        }
      });
    }
  }
  EXPECT_EQ(mapped.faults(), static_cast<int>(kPages));
}

TEST(UserMapping, KillRacesWithTouchesAndLosesNoByte) {
  Mapped mapped(4);
  Atomic<bool> done{false};
  Thread killer([&] {
    while (!done.load(std::memory_order_acquire)) {
      mapped.mapping().Kill({0, 4});
      std::this_thread::yield();
    }
  });
  {
    std::vector<Thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 500; ++i) {
          std::byte* at = mapped.At(i % 4) + 8 + t;
          const uint8_t next = static_cast<uint8_t>(i);
          Write(at, next);
          EXPECT_EQ(Read(at), next);
        }
      });
    }
  }
  done.store(true, std::memory_order_release);
}

TEST(UserMapping, UnmappingFreesTheAddresses) {
  Mapped mapped(16);
  Read(mapped.At(3));
  std::byte* const at = mapped.At(0);
  const uint64_t bytes = PagesToBytes(16);
  mapped.Unmap();
  void* again = mmap(at, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(again, at);
  Write(at, 1);
  EXPECT_EQ(mapped.faults(), 1);
  munmap(again, bytes);
}

// --- The kernel's limit of mappings.

// 0 where it is too high to be reached in a test.
PageCount LimitOfMappings() {
  long limit = 0;
  FILE* file = std::fopen("/proc/sys/vm/max_map_count", "r");
  if (file == nullptr) return 0;
  if (std::fscanf(file, "%ld", &limit) != 1) limit = 0;
  std::fclose(file);
  return limit <= 200000 ? static_cast<PageCount>(limit) : 0;
}

// Presents single pages from `first` on, of which the kernel can merge none,
// until it refuses. Returns the page that it refused.
PageCount PresentUntilRefused(Mapped& mapped, PageCount first,
                              absl::Status& status) {
  PageCount page = first;
  for (; page < mapped.mapping().pages(); ++page) {
    status = mapped.mapping().Present({page, 1}, mapped.file(), 0);
    if (!status.ok()) break;
  }
  return page;
}

class AtTheLimit : public testing::Test {
 protected:
  void SetUp() override {
    limit_ = LimitOfMappings();
    if (limit_ == 0) GTEST_SKIP() << "vm.max_map_count is out of reach";
  }
  PageCount limit_ = 0;
};

TEST_F(AtTheLimit, PresentIsRefusedAndChangesNothing) {
  // A file of one page, for a mapping of many.
  Mapped mapped(limit_ + 100, Mapped::NewFile(1));
  UserMapping& mapping = mapped.mapping();
  absl::Status status;
  const PageCount refused = PresentUntilRefused(mapped, 0, status);
  ASSERT_LT(refused, mapping.pages());
  ASSERT_GT(refused, limit_ / 2);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Read(mapped.At(refused - 1)), 1);
  EXPECT_EQ(mapped.faults(), 0);
  // Room again: the refused page is still absent, the others still present.
  mapping.Kill({0, 100});
  EXPECT_TRUE(mapping.Present({refused, 1}, mapped.file(), 0).ok());
  EXPECT_EQ(Read(mapped.At(refused)), 1);
  EXPECT_EQ(Read(mapped.At(100)), 1);
  EXPECT_EQ(mapped.faults(), 0);
}

TEST_F(AtTheLimit, KillStillTakesThePageAway) {
  Mapped few(16);
  Mapped many(limit_ + 100, few.file());
  ASSERT_TRUE(few.mapping().Present({0, 16}, few.file(), 0).ok());
  absl::Status status;
  PresentUntilRefused(many, 0, status);
  ASSERT_FALSE(status.ok());
  few.mapping().Kill({8, 1});
  many.Unmap();
  const int before = few.faults();
  EXPECT_EQ(Read(few.At(8)), few.Mark(8));
  EXPECT_EQ(few.faults(), before + 1);
}

// --- Signals beside ours. In processes of their own: the handler that ours
// replaces is the one of the first mapping.

void SetHandler(void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGUSR1);
  if (sigaction(SIGSEGV, &action, &replaced) != 0) std::abort();
}

bool IsBlocked(int signal_number) {
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, nullptr, &now);
  return sigismember(&now, signal_number) == 1;
}

void LetTheForeignPageBeUsed() {
  handler_calls = handler_calls + 1;
  mprotect(foreign_page, kPageSize, PROT_READ | PROT_WRITE);
}

// Ends the process with 0, or with the line of the first that does not hold.
#define EXPECT_IN_CHILD(condition) \
  if (!(condition)) std::_Exit(__LINE__ % 255 + 1)

class UserMappingDeathTest : public testing::Test {
 protected:
  void SetUp() override {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
  }
};

TEST_F(UserMappingDeathTest, ForeignFaultReachesTheHandlerBefore) {
  EXPECT_EXIT(
      {
        foreign_page = MakeForeignPage();
        SetHandler(
            [](int, siginfo_t* info, void*) {
              EXPECT_IN_CHILD(info->si_addr == foreign_page + 5);
              EXPECT_IN_CHILD(IsBlocked(SIGUSR1) && IsBlocked(SIGSEGV));
              LetTheForeignPageBeUsed();
            },
            0);
        Mapped mapped(2);
        Read(mapped.At(0));
        EXPECT_IN_CHILD(handler_calls == 0);
        Write(foreign_page + 5, 1);
        EXPECT_IN_CHILD(handler_calls == 1);
        EXPECT_IN_CHILD(!IsBlocked(SIGUSR1) && !IsBlocked(SIGSEGV));
        Read(mapped.At(1));
        EXPECT_IN_CHILD(handler_calls == 1 && mapped.faults() == 2);
        std::_Exit(0);
      },
      ExitedWithCode(0), "");
}

TEST_F(UserMappingDeathTest, ForeignFaultReachesAPlainHandlerThatJumpsOut) {
  EXPECT_EXIT(
      {
        foreign_page = MakeForeignPage();
        struct sigaction action = {};
        action.sa_handler = [](int) {
          handler_calls = handler_calls + 1;
          siglongjmp(after_fault, 1);
        };
        sigaction(SIGSEGV, &action, nullptr);
        Mapped mapped(2);
        for (int i = 0; i < 3; ++i) {
          if (sigsetjmp(after_fault, 1) == 0) Write(foreign_page, 1);
        }
        EXPECT_IN_CHILD(handler_calls == 3);
        EXPECT_IN_CHILD(Read(mapped.At(0)) == 2);
        std::_Exit(0);
      },
      ExitedWithCode(0), "");
}

TEST_F(UserMappingDeathTest, HandlerInstalledLaterHandsOurFaultsOn) {
  EXPECT_EXIT(
      {
        foreign_page = MakeForeignPage();
        UserMapping::InstallFaultHandler();
        SetHandler(
            [](int number, siginfo_t* info, void* context) {
              if (info->si_addr == foreign_page) {
                LetTheForeignPageBeUsed();
              } else {
                replaced.sa_sigaction(number, info, context);
              }
            },
            0);
        Mapped mapped(2);  // must not put ours in front again
        Write(foreign_page, 1);
        EXPECT_IN_CHILD(handler_calls == 1 && mapped.faults() == 0);
        EXPECT_IN_CHILD(Read(mapped.At(1)) == 1);
        EXPECT_IN_CHILD(handler_calls == 1 && mapped.faults() == 1);
        std::_Exit(0);
      },
      ExitedWithCode(0), "");
}

TEST_F(UserMappingDeathTest, OneShotHandlerIsCalledOnce) {
  EXPECT_EXIT(
      {
        foreign_page = MakeForeignPage();
        SetHandler([](int, siginfo_t*, void*) { LetTheForeignPageBeUsed(); },
                   static_cast<int>(SA_RESETHAND));
        Mapped mapped(1);
        Write(foreign_page, 1);
        EXPECT_IN_CHILD(handler_calls == 1);
        Write(MakeForeignPage(), 1);
        std::_Exit(1);
      },
      KilledBySignal(SIGSEGV), "");
}

TEST_F(UserMappingDeathTest, ForeignFaultKillsByDefault) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        Mapped mapped(1);
        Read(mapped.At(0));
        Write(MakeForeignPage(), 1);
      },
      KilledBySignal(SIGSEGV), "");
}

TEST_F(UserMappingDeathTest, TouchBehindTheMappingKills) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        Mapped mapped(1);
        Read(mapped.At(1));
      },
      KilledBySignal(SIGSEGV), "");
}

TEST_F(UserMappingDeathTest, SentSignalKillsByDefault) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        Mapped mapped(1);
        raise(SIGSEGV);
        std::_Exit(1);
      },
      KilledBySignal(SIGSEGV), "");
}

TEST_F(UserMappingDeathTest, IgnoredMeansWhatItMeansToTheKernel) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_IGN);
        Mapped mapped(1);
        raise(SIGSEGV);  // ignored
        EXPECT_IN_CHILD(Read(mapped.At(0)) == 1);
        Write(MakeForeignPage(), 1);  // cannot be ignored
        std::_Exit(1);
      },
      KilledBySignal(SIGSEGV), "");
}

TEST_F(UserMappingDeathTest, UnservedFaultKills) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        Mapped mapped(1);
        mapped.StopServing();
        Read(mapped.At(0));
        std::_Exit(1);
      },
      KilledBySignal(SIGSEGV), "");
}

TEST_F(UserMappingDeathTest, AddressesOfAnEarlierMappingAreForeign) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        Mapped mapped(3);
        Mapped gone(3);
        std::byte* const at = gone.At(1);
        Read(at);
        gone.Unmap();
        void* reused =
            mmap(at, kPageSize, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        EXPECT_IN_CHILD(reused == at);
        Read(at);
        std::_Exit(3);
      },
      KilledBySignal(SIGSEGV), "");
}

#if defined(__x86_64__) || defined(__aarch64__)
TEST_F(UserMappingDeathTest, RunningAPageKillsInsteadOfFaultingForever) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_DFL);
        Mapped mapped(1);
        reinterpret_cast<void (*)()>(mapped.At(0))();
        std::_Exit(1);
      },
      KilledBySignal(SIGSEGV), "");
}
#endif

TEST_F(UserMappingDeathTest, RangeOutsideOfTheMappingIsABug) {
  EXPECT_DEATH(
      {
        Mapped mapped(4);
        mapped.mapping().Kill({3, 2});
      },
      "check failed");
}

}  // namespace
}  // namespace twostep
