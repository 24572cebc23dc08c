#include "twostep/cli/run_history.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/dma_domain.h"
#include "twostep/machine/machine.h"

namespace twostep {

using Json = nlohmann::ordered_json;

std::vector<BinnedSeries> RunHistory::Series() const {
  std::vector<BinnedSeries> series = {
      {.group = "bos", .name = "all bos", .unit = "bytes"}};
  for (const MemoryManager* manager : MemoryTypesOf(*device_)) {
    const uint64_t capacity = PagesToBytes(manager->pages());
    series.push_back({"memory", manager->name(), "bytes", capacity});
    series.push_back({"largest_hole", manager->name(), "bytes", capacity});
    series.push_back(
        {"gpu_evictions", manager->name(), "count", 0, /*counter=*/true});
  }
  for (const DmaBinder* binder : DmaTypesOf(*device_)) {
    series.push_back({"dma", binder->name(), "bytes", binder->unit_bytes()});
    series.push_back(
        {"dma_evictions", binder->name(), "count", 0, /*counter=*/true});
  }
  for (const char* name : {"to_vram", "from_vram", "dma_evict_copy", "bounce",
                           "swap_out", "swap_in"}) {
    series.push_back({"bytes_moved", name, "bytes", 0, /*counter=*/true});
  }
  series.push_back({"stall", "sum", "ns", 0, /*counter=*/true});
  series.push_back({"stall", "each", "ns"});
  return series;
}

std::vector<uint64_t> RunHistory::Values() const {
  std::vector<uint64_t> values = {all_bytes_};
  for (MemoryManager* manager : MemoryTypesOf(*device_)) {
    values.push_back(PagesToBytes(manager->used_pages()));
    values.push_back(PagesToBytes(manager->Describe({.size = 1}).largest_hole));
    values.push_back(manager->evictions());
  }
  uint64_t copied_back = 0;
  uint64_t bounced = 0;
  for (DmaBinder* binder : DmaTypesOf(*device_)) {
    values.push_back(PagesToBytes(binder->bound_pages_now()));
    values.push_back(binder->stats().evictions);
    copied_back += binder->stats().copied_back_bytes;
    bounced += binder->stats().bounced_bytes;
  }
  const MoveStats& moves = host_->stats();
  values.insert(values.end(),
                {moves.to_fixed_bytes, moves.from_fixed_bytes, copied_back,
                 bounced, moves.swap_out_bytes, moves.swap_in_bytes});
  values.insert(values.end(), {stall_ns_, last_stall_ns_});
  return values;
}

void RunHistory::Began(Host& host, Device& device) {
  MutexLock lock(mutex_);
  host_ = &host;
  device_ = &device;
  bins_.emplace(Series(), kMostBins);
  for (MemoryManager* manager : MemoryTypesOf(*device_)) {
    spaces_.push_back({SpaceMap(manager->name()), manager});
  }
  if (device.port().domain().translated()) {
    spaces_.push_back({SpaceMap("IOVAs")});
  }
  Sample();
}

void RunHistory::LookAt(Space& space, uint64_t time_ns) {
  if (space.manager != nullptr) {
    space.manager->WithSpace(
        [&](RangeAllocator& blocks) { space.map.Take(time_ns, blocks); });
    return;
  }
  DmaDomain& domain = device_->port().domain();
  // To look at it flushes what is queued, which would change the run.
  if (domain.queued_iova_pages() != 0) return space.map.Skip(time_ns);
  SpinLockHolder hold(domain.space_lock());
  space.map.Take(time_ns, domain.space());
}

void RunHistory::Sample() {
  const uint64_t now_ns = host_->machine().clock().now_ns();
  bins_->Add(now_ns, frame_, Values());
  for (Space& space : spaces_) {
    if (space.map.Due()) LookAt(space, now_ns);
  }
}

void RunHistory::Happened(const Event& event) {
  MutexLock lock(mutex_);
  if (host_ == nullptr) return;
  switch (event.kind) {
    case EventKind::kCreate:
      all_bytes_ += event.bytes();
      break;
    case EventKind::kDestroy:
      all_bytes_ -= event.bytes();
      break;
    case EventKind::kMove:
      if (event.submission != 0) moved_bytes_ += event.bytes();
      break;
    case EventKind::kEvict: {
      Count& count = pairs_[{.victim = event.bo,
                             .for_bo = event.for_bo,
                             .from = event.from,
                             .to = event.to,
                             .limit = event.limit}];
      ++count.evictions;
      count.bytes += event.bytes();
      for (const uint8_t place : {event.from, event.to}) {
        std::string& name = places_[place];
        if (name.empty()) name = host_->events()->PlaceOf(place).name;
      }
      if (event.submission == 0) break;
      ++evicted_.evictions;
      evicted_.bytes += event.bytes();
      break;
    }
    default:
      break;
  }
}

void RunHistory::NoteStall(const Stall& stall) {
  if (stall.stall_ns == 0) return;
  ++stalled_;
  const auto at = std::upper_bound(
      stalls_.begin(), stalls_.end(), stall,
      [](const Stall& a, const Stall& b) { return a.stall_ns > b.stall_ns; });
  if (stalls_.size() == kMostStalls && at == stalls_.end()) return;
  stalls_.insert(at, stall);
  stalls_.resize(std::min(stalls_.size(), kMostStalls));
}

void RunHistory::Submitted(const Job& job) {
  MutexLock lock(mutex_);
  if (host_ == nullptr) return;
  last_stall_ns_ = stalls_before_.Before(job);
  stall_ns_ += last_stall_ns_;
  NoteStall({.stall_ns = last_stall_ns_,
             .asked_ns = job.asked_ns,
             .frame = frame_,
             .submission = job.submission,
             .evicted = std::exchange(evicted_, {}),
             .moved_bytes = std::exchange(moved_bytes_, 0)});
  Sample();
}

void RunHistory::Named(uint64_t bo, uint64_t trace_bo) {
  MutexLock lock(mutex_);
  trace_bos_[bo] = trace_bo;
}

void RunHistory::FrameEnded() {
  MutexLock lock(mutex_);
  ++frame_;
}

void RunHistory::Ending() {
  MutexLock lock(mutex_);
  last_stall_ns_ = 0;
  Sample();
  const uint64_t now_ns = host_->machine().clock().now_ns();
  for (Space& space : spaces_) LookAt(space, now_ns);
  host_ = nullptr;
}

Json RunHistory::BoJson(uint64_t bo) const {
  const auto named = trace_bos_.find(bo);
  if (bo == 0) return nullptr;
  return named == trace_bos_.end() ? bo : named->second;
}

Json RunHistory::PairsJson() const {
  std::vector<std::pair<Pair, Count>> pairs(pairs_.begin(), pairs_.end());
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const auto& a, const auto& b) {
                     return a.second.bytes > b.second.bytes;
                   });
  Json rows = Json::array();
  Count all;
  Count left_out;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto& [pair, count] = pairs[i];
    all.evictions += count.evictions;
    all.bytes += count.bytes;
    if (i >= kMostPairs) {
      left_out.evictions += count.evictions;
      left_out.bytes += count.bytes;
      continue;
    }
    rows.push_back({{"victim", BoJson(pair.victim)},
                    {"for_bo", BoJson(pair.for_bo)},
                    {"limit", NameOf(pair.limit)},
                    {"from", places_.at(pair.from)},
                    {"to", places_.at(pair.to)},
                    {"evictions", count.evictions},
                    {"bytes", count.bytes}});
  }
  return {{"evictions", all.evictions},
          {"bytes", all.bytes},
          {"pairs", pairs.size()},
          {"rows", std::move(rows)},
          {"left_out",
           {{"pairs", pairs.size() - std::min(pairs.size(), kMostPairs)},
            {"evictions", left_out.evictions},
            {"bytes", left_out.bytes}}}};
}

Json RunHistory::StallsJson() const {
  Json rows = Json::array();
  for (const Stall& stall : stalls_) {
    rows.push_back({{"submission", stall.submission},
                    {"frame", stall.frame},
                    {"asked_ns", stall.asked_ns},
                    {"stall_ns", stall.stall_ns},
                    {"evictions", stall.evicted.evictions},
                    {"evicted_bytes", stall.evicted.bytes},
                    {"moved_bytes", stall.moved_bytes}});
  }
  return {{"stall_ns", stall_ns_},
          {"submissions", stalled_},
          {"rows", std::move(rows)}};
}

Json RunHistory::ToJson() const {
  MutexLock lock(mutex_);
  Json spaces = Json::array();
  Json unseen = Json::array();
  for (const Space& space : spaces_) {
    if (space.map.seen()) {
      spaces.push_back(space.map.ToJson());
    } else {
      unseen.push_back(space.map.name());
    }
  }
  return {{"timeline", bins_->ToJson()},
          {"evictions", PairsJson()},
          {"stalls", StallsJson()},
          {"spaces", std::move(spaces)},
          {"spaces_not_seen", std::move(unseen)}};
}

}  // namespace twostep
