// A page fault through UserMapping beside the bare floor of its mechanism (a
// SIGSEGV handler that maps the page, and nothing else), and killing pages.
//
// The first argument is the number of pages; the second whether they lie one
// after the other in the file (0), or scattered (1: the kernel merges nothing).

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "twostep/machine/types.h"
#include "twostep/machine/user_mapping.h"

namespace twostep {
namespace {

constexpr PageCount kFilePages = 16384;

// A populated file, and which of its pages to show where.
class File {
 public:
  File(PageCount pages, bool scattered) : offsets_(kFilePages) {
    fd_ = memfd_create("user_mapping_benchmark", MFD_CLOEXEC);
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

void CountPages(benchmark::State& state, PageCount pages) {
  state.SetItemsProcessed(state.iterations() * pages);
  state.counters["s_per_page"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * pages,
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
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

void Fault(benchmark::State& state) {
  const PageCount pages = static_cast<PageCount>(state.range(0));
  const File file(pages, state.range(1) != 0);
  Server server(file, pages);
  for (auto _ : state) {
    Touch(server.mapping().data(), pages);
    state.PauseTiming();
    server.mapping().Kill({0, pages});
    state.ResumeTiming();
  }
  CountPages(state, pages);
}

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

void FaultFloor(benchmark::State& state) {
  const PageCount pages = static_cast<PageCount>(state.range(0));
  const File file(pages, state.range(1) != 0);
  // One page more, as behind a UserMapping: the same place in the kernel's
  // eyes.
  bare = {&file, static_cast<std::byte*>(Reserve(nullptr, pages + 1, 0))};
  struct sigaction action = {};
  struct sigaction before;
  action.sa_sigaction = &ServeBare;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &before);
  for (auto _ : state) {
    Touch(bare.data, pages);
    state.PauseTiming();
    Reserve(bare.data, pages, MAP_FIXED);
    state.ResumeTiming();
  }
  sigaction(SIGSEGV, &before, nullptr);
  munmap(bare.data, PagesToBytes(pages + 1));
  CountPages(state, pages);
}

void Kill(benchmark::State& state) {
  const PageCount pages = static_cast<PageCount>(state.range(0));
  const File file(pages, state.range(1) != 0);
  Server server(file, pages);
  for (auto _ : state) {
    state.PauseTiming();
    Touch(server.mapping().data(), pages);
    state.ResumeTiming();
    server.mapping().Kill({0, pages});
  }
  CountPages(state, pages);
}

// Of mappings of one size, with all others alive: finding one among many.
void CreateAndDestroy(benchmark::State& state) {
  const auto others = static_cast<size_t>(state.range(0));
  const File file(16, false);
  std::vector<std::unique_ptr<Server>> alive;
  for (size_t i = 0; i < others; ++i) {
    alive.push_back(std::make_unique<Server>(file, 16));
  }
  for (auto _ : state) {
    Server server(file, 16);
    benchmark::DoNotOptimize(server.mapping().data());
  }
}

void FaultAmongMappings(benchmark::State& state) {
  const auto mappings = static_cast<size_t>(state.range(0));
  const File file(16, false);
  std::vector<std::unique_ptr<Server>> alive;
  for (size_t i = 0; i < mappings; ++i) {
    alive.push_back(std::make_unique<Server>(file, 16));
  }
  size_t next = 0;
  for (auto _ : state) {
    UserMapping& mapping = alive[next++ * 7919 % mappings]->mapping();
    Touch(mapping.data(), 1);
    mapping.Kill({0, 1});
  }
}

BENCHMARK(FaultFloor)
    ->ArgsProduct({{512, 4096}, {0, 1}})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(Fault)
    ->ArgsProduct({{512, 4096}, {0, 1}})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(Kill)
    ->ArgsProduct({{16, 512, 4096}, {0, 1}})
    ->Iterations(50)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(CreateAndDestroy)->Arg(1)->Arg(1000)->Arg(10000);
BENCHMARK(FaultAmongMappings)->Arg(1)->Arg(1000)->Arg(10000);

}  // namespace
}  // namespace twostep
