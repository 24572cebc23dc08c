// A page fault through UserMapping beside the bare floor of its mechanism (a
// SIGSEGV handler that maps the page, and nothing else), and killing pages.

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "tests/benchmark/rows.h"
#include "twostep/machine/types.h"
#include "twostep/machine/user_mapping.h"

namespace twostep {
namespace {

constexpr PageCount kFilePages = 16384;

// A populated file, and which of its pages to show where.
class File {
 public:
  File(PageCount pages, bool scattered) : offsets_(kFilePages) {
    fd_ = memfd_create("fault_benchmark", MFD_CLOEXEC);
    if (ftruncate(fd_, PagesToBytes(kFilePages)) != 0) std::abort();
    const std::vector<std::byte> zeros(kMiB);
    for (uint64_t at = 0; at < PagesToBytes(kFilePages); at += zeros.size()) {
      if (pwrite(fd_, zeros.data(), zeros.size(), at) < 0) std::abort();
    }
    for (PageCount page = 0; page < kFilePages; ++page) {
      offsets_[page] = PagesToBytes(page);
    }
    if (scattered) {
      std::shuffle(offsets_.begin(), offsets_.end(), std::mt19937_64(1));
    }
    offsets_.resize(pages);
  }
  ~File() { close(fd_); }

  int fd() const { return fd_; }
  uint64_t Offset(PageCount page) const { return offsets_[page]; }

 private:
  int fd_;
  std::vector<uint64_t> offsets_;
};

void Touch(std::byte* at, PageCount pages) {
  for (PageCount page = 0; page < pages; ++page) {
    *reinterpret_cast<volatile unsigned char*>(at + PagesToBytes(page)) = 1;
  }
}

class Server : public UserMapping::FaultHandler {
 public:
  explicit Server(const File& file, PageCount pages) : file_(file) {
    mapping_ = *UserMapping::Create(pages, *this);
  }
  bool ServeFault(PageCount page, Access) override {
    return mapping_->Present({page, 1}, file_.fd(), file_.Offset(page)).ok();
  }
  UserMapping& mapping() { return *mapping_; }

 private:
  const File& file_;
  std::unique_ptr<UserMapping> mapping_;
};

struct Floor {
  const File* file;
  std::byte* data;
} bare;

void ServeBare(int, siginfo_t* info, void*) {
  auto* const at = reinterpret_cast<std::byte*>(
      reinterpret_cast<uintptr_t>(info->si_addr) & ~(kPageSize - 1));
  const auto page = static_cast<PageCount>((at - bare.data) >> kPageShift);
  mmap(at, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
       bare.file->fd(), bare.file->Offset(page));
}

void* Reserve(void* at, PageCount pages, int flags) {
  return mmap(at, PagesToBytes(pages), PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

// Nanoseconds to touch all pages through a handler that does nothing else.
class BareFaults {
 public:
  BareFaults(const File& file, PageCount pages) : pages_(pages) {
    // One page more, as behind a UserMapping: the same place in the kernel's
    // eyes.
    bare = {&file, static_cast<std::byte*>(Reserve(nullptr, pages + 1, 0))};
  }
  ~BareFaults() { munmap(bare.data, PagesToBytes(pages_ + 1)); }

  double Ns() {
    struct sigaction action = {};
    struct sigaction before;
    action.sa_sigaction = &ServeBare;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &before);
    const double start_ns = CpuNs();
    Touch(bare.data, pages_);
    const double ns = CpuNs() - start_ns;
    Reserve(bare.data, pages_, MAP_FIXED);
    sigaction(SIGSEGV, &before, nullptr);
    return ns;
  }

 private:
  const PageCount pages_;
};

// Both in turn. Scattered: the kernel merges no neighbours.
void FaultBesideFloor(benchmark::State& state, bool scattered) {
  const auto pages = static_cast<PageCount>(Size(state));
  const File file(pages, scattered);
  Server server(file, pages);
  BareFaults floor(file, pages);
  double served_ns = 0, floor_ns = 0;
  for (auto _ : state) {
    const double start_ns = CpuNs();
    Touch(server.mapping().data(), pages);
    served_ns += CpuNs() - start_ns;
    server.mapping().Kill({0, pages});
    floor_ns += floor.Ns();
  }
  const double faults = static_cast<double>(state.iterations()) * pages;
  SetValue(state, served_ns / floor_ns);
  state.counters["us"] = served_ns / faults / 1e3;
  state.counters["floor_us"] = floor_ns / faults / 1e3;
}

void BareFault(benchmark::State& state) {
  const auto pages = static_cast<PageCount>(Size(state));
  const File file(pages, false);
  BareFaults floor(file, pages);
  double ns = 0;
  for (auto _ : state) ns += floor.Ns();
  SetValue(state, ns / static_cast<double>(state.iterations()) / pages / 1e3);
}

// How many system calls a child makes between two of getppid(), while this
// process looks on; negative where it may not.
int CountSystemCalls(absl::FunctionRef<void()> act) {
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    raise(SIGSTOP);
    getppid();
    act();
    getppid();
    _exit(0);
  }
  if (child < 0) return -1;
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) return -1;
  ptrace(PTRACE_SETOPTIONS, child, nullptr,
         PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  int calls = 0, marks = 0;
  while (true) {
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) break;
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
    __ptrace_syscall_info info{};
    ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info);
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
    if (info.entry.nr == SYS_getppid) {
      ++marks;
    } else if (marks == 1) {
      ++calls;
    }
  }
  return marks == 2 ? calls : -1;
}

// Nanoseconds a page, and system calls for the contiguous range.
void Kill(benchmark::State& state, bool scattered) {
  const auto pages = static_cast<PageCount>(Size(state));
  const File file(pages, scattered);
  Server server(file, pages);
  double ns = 0;
  for (auto _ : state) {
    Touch(server.mapping().data(), pages);
    const double start_ns = CpuNs();
    server.mapping().Kill({0, pages});
    ns += CpuNs() - start_ns;
  }
  SetValue(state, ns / static_cast<double>(state.iterations()) / pages);
  Touch(server.mapping().data(), pages);
  const int calls = CountSystemCalls([&] {
    server.mapping().Kill({0, pages});
  });
  if (calls < 0) return state.SkipWithError("it may not trace its own child");
  state.counters["system_calls"] = calls;
}

// Of mappings of one size, with all others alive: finding one among many.
void CreateAndDestroy(benchmark::State& state) {
  const auto others = static_cast<size_t>(Size(state));
  const File file(16, false);
  std::vector<std::unique_ptr<Server>> alive;
  for (size_t i = 0; i < others; ++i) {
    alive.push_back(std::make_unique<Server>(file, 16));
  }
  MeasureRow(state, [&] {
    Server server(file, 16);
    benchmark::DoNotOptimize(server.mapping().data());
  });
}

void FaultAmongMappings(benchmark::State& state) {
  const auto mappings = static_cast<size_t>(Size(state));
  const File file(16, false);
  std::vector<std::unique_ptr<Server>> alive;
  for (size_t i = 0; i < mappings; ++i) {
    alive.push_back(std::make_unique<Server>(file, 16));
  }
  size_t next = 0;
  MeasureRow(state, [&] {
    UserMapping& mapping = alive[next++ * 7919 % mappings]->mapping();
    Touch(mapping.data(), 1);
    mapping.Kill({0, 1});
  });
}

}  // namespace

std::vector<Row> FaultRows() {
  std::vector<Row> rows;
  rows.push_back(
      {.name = "floor/fault_bare_handler", .run = BareFault, .size = 512});
  for (const int64_t pages : {1, 512}) {
    rows.push_back({.name = absl::StrCat("fault_beside_floor/", pages),
                    .run = [](auto& state) { FaultBesideFloor(state, false); },
                    .size = pages});
  }
  rows.push_back({.name = "fault_beside_floor_scattered/512",
                  .run = [](auto& state) { FaultBesideFloor(state, true); },
                  .size = 512});
  for (const int64_t pages : {16, 512, 4096}) {
    rows.push_back({.name = absl::StrCat("kill_user_mapping/", pages),
                    .run = [](auto& state) { Kill(state, false); },
                    .size = pages,
                    .iterations = 10});
    rows.push_back({.name = absl::StrCat("kill_user_mapping_scattered/", pages),
                    .run = [](auto& state) { Kill(state, true); },
                    .size = pages,
                    .iterations = 10});
  }
  for (const int64_t others : {1, 1000}) {
    rows.push_back({.name = absl::StrCat("create_user_mapping_among/", others),
                    .run = CreateAndDestroy,
                    .size = others});
    rows.push_back({.name = absl::StrCat("fault_among_mappings/", others),
                    .run = FaultAmongMappings,
                    .size = others});
  }
  return rows;
}

}  // namespace twostep
