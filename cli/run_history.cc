#include "twostep/cli/run_history.h"

#include <algorithm>
#include <utility>

#include "twostep/machine/dma_domain.h"

namespace twostep {

using Json = nlohmann::ordered_json;

void RunHistory::AddDevice(Device& device) {
  for (MemoryManager* manager : MemoryTypesOf(device)) {
    const std::string name =
        NameOn(first_device_, device.name(), manager->name());
    const uint64_t capacity = PagesToBytes(manager->pages());
    bins_->Extend({"memory", name, "bytes", capacity});
    bins_->Extend({"largest_hole", name, "bytes", capacity});
    bins_->Extend({"gpu_evictions", name, "count", 0, /*counter=*/true});
    parts_.push_back({.is_memory = true, .of = &device, .manager = manager});
    spaces_.push_back({SpaceMap(name, options_.columns), &device, manager});
  }
  if (device.port().domain().translated()) {
    spaces_.push_back({SpaceMap(NameOn(first_device_, device.name(), "IOVAs"),
                                options_.columns),
                       &device});
  }
  for (DmaBinder* binder : DmaTypesOf(device)) {
    const bool shared = host_->IsBuiltIn(*binder);
    const auto same = [&](const Part& part) { return part.binder == binder; };
    if (shared && std::any_of(parts_.begin(), parts_.end(), same)) continue;
    const std::string name =
        shared ? binder->name()
               : NameOn(first_device_, device.name(), binder->name());
    bins_->Extend({"dma", name, "bytes", binder->unit_bytes()});
    bins_->Extend({"dma_evictions", name, "count", 0, /*counter=*/true});
    parts_.push_back({.of = shared ? nullptr : &device, .binder = binder});
  }
}

void RunHistory::LookAt(Part& part) {
  if (part.manager != nullptr) {
    part.bytes = PagesToBytes(part.manager->used_pages());
    part.largest_hole =
        PagesToBytes(part.manager->Describe({.size = 1}).largest_hole);
    part.evictions = part.manager->evictions();
  } else if (part.binder != nullptr) {
    part.bytes = PagesToBytes(part.binder->bound_pages_now());
    part.evictions = part.binder->stats().evictions;
    part.copied_back_bytes = part.binder->stats().copied_back_bytes;
    part.bounced_bytes = part.binder->stats().bounced_bytes;
  }
}

std::vector<uint64_t> RunHistory::Values() {
  uint64_t copied_back = 0;
  uint64_t bounced = 0;
  for (Part& part : parts_) {
    LookAt(part);
    copied_back += part.copied_back_bytes;
    bounced += part.bounced_bytes;
  }
  const MoveStats& moves = host_->stats();
  std::vector<uint64_t> values = {
      all_bytes_,    moves.to_fixed_bytes, moves.from_fixed_bytes, copied_back,
      bounced,       moves.swap_out_bytes, moves.swap_in_bytes,    stall_ns_,
      last_stall_ns_};
  for (const Part& part : parts_) {
    values.push_back(part.bytes);
    if (part.is_memory) values.push_back(part.largest_hole);
    values.push_back(part.evictions);
  }
  return values;
}

void RunHistory::Began(Host& host, Device& device) {
  MutexLock lock(mutex_);
  host_ = &host;
  virtual_time_ = host.machine().clock().is_virtual();
  began_ns_ = virtual_time_ ? 0 : host.machine().clock().now_ns();
  first_device_ = device.name();
  std::vector<BinnedSeries> series = {
      {.group = "bos", .name = "all bos", .unit = "bytes"}};
  for (const char* name : {"to_vram", "from_vram", "dma_evict_copy", "bounce",
                           "swap_out", "swap_in"}) {
    series.push_back({"bytes_moved", name, "bytes", 0, /*counter=*/true});
  }
  series.push_back({"stall", "sum", "ns", 0, /*counter=*/true});
  series.push_back({"stall", "each", "ns"});
  bins_.emplace(std::move(series), options_.bins);
  AddDevice(device);
  Sample();
}

void RunHistory::Added(Device& device) {
  MutexLock lock(mutex_);
  if (host_ != nullptr) AddDevice(device);
}

void RunHistory::Leaving(Device& device) {
  MutexLock lock(mutex_);
  if (host_ == nullptr) return;
  for (Part& part : parts_) {
    if (part.of != &device) continue;
    LookAt(part);
    part.manager = nullptr;
    part.binder = nullptr;
    part.bytes = 0;
    part.largest_hole = 0;
  }
  for (Space& space : spaces_) {
    if (space.of != &device) continue;
    space.map.Skip(NowNs());
    space.of = nullptr;
  }
}

void RunHistory::LookAt(Space& space, uint64_t time_ns) {
  if (space.manager != nullptr) {
    space.manager->WithSpace(
        [&](RangeAllocator& blocks) { space.map.Take(time_ns, blocks); });
    return;
  }
  DmaDomain& domain = space.of->port().domain();
  // To look at it flushes what is queued, which would change the run.
  if (domain.queued_iova_pages() != 0) return space.map.Skip(time_ns);
  SpinLockHolder hold(domain.space_lock());
  space.map.Take(time_ns, domain.space());
}

void RunHistory::Sample() {
  const uint64_t now_ns = NowNs();
  bins_->Add(now_ns, frame_, Values());
  for (Space& space : spaces_) {
    if (space.of != nullptr && space.map.Due()) LookAt(space, now_ns);
  }
}

void RunHistory::Happened(const Event& event) {
  MutexLock lock(mutex_);
  if (host_ == nullptr) return;
  switch (event.kind) {
    case EventKind::kCreate:
      evictions_.Created(event);
      all_bytes_ += event.bytes();
      break;
    case EventKind::kDestroy:
      all_bytes_ -= event.bytes();
      break;
    case EventKind::kMove:
      if (event.submission == 0) break;
      under_way_[event.submission].moved_bytes += event.bytes();
      break;
    case EventKind::kEvict: {
      evictions_.Evicted(event);
      for (const uint8_t place : {event.from, event.to}) {
        std::string& name = places_[place];
        if (!name.empty()) continue;
        const Events::Place named = host_->events()->PlaceOf(place);
        name = NameOn(first_device_, named.device, named.name);
      }
      if (event.submission == 0) {
        if (options_.at_evictions) Sample();
        break;
      }
      Count& evicted = under_way_[event.submission].evicted;
      ++evicted.evictions;
      evicted.bytes += event.bytes();
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
  if (stalls_.size() == options_.stalls && at == stalls_.end()) return;
  stalls_.insert(at, stall);
  stalls_.resize(std::min(stalls_.size(), options_.stalls));
}

void RunHistory::Submitted(const Job& job) {
  MutexLock lock(mutex_);
  if (host_ == nullptr) return;
  const bool queued = job.fence.timeline != nullptr;
  last_stall_ns_ = queued ? stalls_before_.Before(job) : 0;
  stall_ns_ += last_stall_ns_;
  const Work work = std::exchange(under_way_[job.submission], {});
  under_way_.erase(job.submission);
  NoteStall({.stall_ns = last_stall_ns_,
             .asked_ns = job.asked_ns - began_ns_,
             .frame = frame_,
             .submission = job.submission,
             .evicted = work.evicted,
             .moved_bytes = work.moved_bytes});
  Sample();
}

void RunHistory::Named(uint64_t bo, uint64_t trace_bo) {
  MutexLock lock(mutex_);
  evictions_.Named(bo, trace_bo);
}

void RunHistory::FrameEnded() {
  MutexLock lock(mutex_);
  ++frame_;
}

void RunHistory::Ending() {
  MutexLock lock(mutex_);
  last_stall_ns_ = 0;
  Sample();
  const uint64_t now_ns = NowNs();
  for (Space& space : spaces_) {
    if (space.of != nullptr) LookAt(space, now_ns);
  }
  host_ = nullptr;
}

std::pair<uint64_t, uint64_t> RunHistory::Weight() const {
  MutexLock lock(mutex_);
  return {evictions_.evictions(), bins_.has_value() ? bins_->samples() : 0};
}

bool RunHistory::ShowsMoreThan(const RunHistory& other) const {
  return Weight() > other.Weight();
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

bool RunHistory::began() const {
  MutexLock lock(mutex_);
  return bins_.has_value();
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
  return {{"clock", virtual_time_ ? "virtual" : "real"},
          {"timeline", bins_->ToJson()},
          {"evictions", evictions_.ToJson(options_.evictions, places_)},
          {"stalls", StallsJson()},
          {"spaces", std::move(spaces)},
          {"spaces_not_seen", std::move(unseen)}};
}

}  // namespace twostep
