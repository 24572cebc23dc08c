#include "twostep/cli/perfetto_trace.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace twostep {
namespace {

constexpr const char* kGroupNames[] = {"program",      "device queues",
                                       "copy engines", "binders",
                                       "memory types", "clients"};

std::string Quoted(const std::string& text) {
  using Json = nlohmann::json;
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Microseconds, as the format has them.
std::string Micros(uint64_t ns) {
  return absl::StrFormat("%d.%03d", ns / 1000, ns % 1000);
}

}  // namespace

PerfettoTrace::PerfettoTrace(const std::string& path)
    : path_(path), file_(path) {
  MutexLock lock(mutex_);
  file_ << "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
}

absl::Status PerfettoTrace::Finish() {
  MutexLock lock(mutex_);
  file_ << "\n]}\n";
  file_.close();
  if (file_) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--perfetto: cannot write ", path_));
}

void PerfettoTrace::Line(const std::string& json) {
  file_ << (first_ ? "\n" : ",\n") << json;
  first_ = false;
}

void PerfettoTrace::Write(char phase, Group group, int track, uint64_t time_ns,
                          const std::string& name, const std::string& fields) {
  Line(absl::StrCat("{\"ph\":\"", std::string(1, phase),
                    "\",\"pid\":", Process(group), ",\"tid\":", track,
                    ",\"ts\":", Micros(time_ns), ",\"name\":", Quoted(name),
                    fields, "}"));
}

void PerfettoTrace::Slice(Group group, int track, uint64_t from_ns,
                          uint64_t to_ns, const std::string& name,
                          const std::string& fields) {
  // One of no length would not be seen, nor have arrows.
  const uint64_t ns = std::max<uint64_t>(to_ns - std::min(from_ns, to_ns), 1);
  Write('X', group, track, from_ns, name,
        absl::StrCat(",\"dur\":", Micros(ns), fields));
}

int PerfettoTrace::Track(Group group, const std::string& name) {
  const auto [at, added] = tracks_.try_emplace(
      {Process(group), name}, static_cast<int>(tracks_.size()) + 1);
  if (added) {
    Line(absl::StrCat(
        "{\"ph\":\"M\",\"pid\":", Process(group), ",\"tid\":", at->second,
        ",\"name\":\"thread_name\",\"args\":{\"name\":", Quoted(name), "}}"));
  }
  return at->second;
}

void PerfettoTrace::Began(Host& host, Device& device) {
  MutexLock lock(mutex_);
  ++machines_;
  host_ = &host;
  device_ = &device;
  counters_.clear();
  waiting_.clear();
  frame_ = 0;
  for (int group = 0; group < kGroups; ++group) {
    const std::string name =
        machines_ == 1 ? kGroupNames[group]
                       : absl::StrCat(kGroupNames[group], " ", machines_);
    Line(absl::StrCat(
        "{\"ph\":\"M\",\"pid\":", Process(static_cast<Group>(group)),
        ",\"name\":\"process_name\",\"args\":{\"name\":", Quoted(name), "}}"));
  }
  // There whether or not anything happens on them.
  for (int type = 0; type < kMaxDmaTypes; ++type) {
    const DmaBinder* binder = device.binder(static_cast<DmaType>(type));
    if (binder != nullptr) Track(kBinders, binder->name());
  }
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    const MemoryManager* manager =
        device.manager(static_cast<MemoryType>(type));
    if (manager != nullptr) Track(kMemory, manager->name());
  }
  Sample(host.machine().clock().now_ns());
}

void PerfettoTrace::Counter(Group group, const std::string& name,
                            uint64_t time_ns, uint64_t value) {
  const auto [at, added] = counters_.try_emplace(name, value);
  if (!added && at->second == value) return;
  at->second = value;
  Write('C', group, 0, time_ns, name,
        absl::StrCat(",\"args\":{\"value\":", value, "}"));
}

void PerfettoTrace::Sample(uint64_t time_ns) {
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    MemoryManager* manager = device_->manager(static_cast<MemoryType>(type));
    if (manager == nullptr ||
        manager->kind() == MemoryManager::Kind::kNowhere) {
      continue;
    }
    const std::string& name = manager->name();
    Counter(kMemory, absl::StrCat(name, " used"), time_ns,
            PagesToBytes(manager->used_pages()));
    Counter(kMemory, absl::StrCat(name, " largest hole"), time_ns,
            PagesToBytes(manager->Describe({.size = 1}).largest_hole));
    Counter(kMemory, absl::StrCat(name, " evictions"), time_ns,
            manager->evictions());
  }
  for (int type = 0; type < kMaxDmaTypes; ++type) {
    DmaBinder* binder = device_->binder(static_cast<DmaType>(type));
    if (binder == nullptr) continue;
    Counter(kBinders, absl::StrCat(binder->name(), " bound"), time_ns,
            PagesToBytes(binder->bound_pages_now()));
    Counter(kBinders, absl::StrCat(binder->name(), " evictions"), time_ns,
            binder->stats().evictions);
  }
  Counter(kCopies, "to fixed memory", time_ns, host_->stats().to_fixed_bytes);
  Counter(kCopies, "from fixed memory", time_ns,
          host_->stats().from_fixed_bytes);
}

void PerfettoTrace::Copied(const Event& event) {
  Machine& machine = host_->machine();
  Timeline* const timeline = machine.timeline(event.fence_timeline);
  if (timeline == nullptr) return;
  // A real clock does not know when it will be done.
  const uint64_t due_ns = timeline->DueNs(event.fence_point);
  const CostModel& cost = machine.cost();
  const uint64_t took_ns =
      cost.engine_latency_ns +
      TransferNs(event.bytes(), event.kind == EventKind::kClear
                                    ? cost.vram_mib_per_s
                                    : cost.engine_mib_per_s);
  const uint64_t end_ns = std::max(due_ns, event.time_ns);
  Slice(kCopies, Track(kCopies, timeline->name()),
        due_ns == 0 ? end_ns : end_ns - std::min(took_ns, end_ns), end_ns,
        absl::StrCat(NameOf(event.kind), " bo ", event.bo),
        absl::StrCat(
            ",\"args\":{\"bytes\":", event.bytes(),
            ",\"from\":", Quoted(host_->events()->PlaceOf(event.from).name),
            ",\"to\":", Quoted(host_->events()->PlaceOf(event.to).name),
            ",\"submission\":", event.submission, "}"));
}

void PerfettoTrace::Evicted(const Event& event, bool arrow) {
  const Events& events = *host_->events();
  const Events::Place from = events.PlaceOf(event.from);
  const bool dma = event.limit == EventLimit::kDmaType ||
                   event.limit == EventLimit::kIova ||
                   event.limit == EventLimit::kClientDma;
  const Group group = dma ? kBinders : kMemory;
  const std::string fields = absl::StrCat(
      ",\"args\":{\"bo\":", event.bo, ",\"for_bo\":", event.for_bo,
      ",\"submission\":", event.submission, ",\"bytes\":", event.bytes(),
      ",\"limit\":\"", NameOf(event.limit),
      "\",\"to\":", Quoted(events.PlaceOf(event.to).name), "}");
  Slice(group, Track(group, from.name), event.time_ns, event.time_ns,
        absl::StrCat("evict bo ", event.bo),
        arrow ? absl::StrCat(",\"bind_id\":\"", machines_, ".",
                             event.submission, "\",\"flow_in\":true", fields)
              : fields);
}

void PerfettoTrace::Happened(const Event& event) {
  MutexLock lock(mutex_);
  if (host_ == nullptr) return;
  const Events& events = *host_->events();
  const std::string what = absl::StrCat(NameOf(event.kind), " bo ", event.bo);
  const std::string fields =
      absl::StrCat(",\"s\":\"t\",\"args\":{\"bytes\":", event.bytes(),
                   ",\"submission\":", event.submission, "}");
  switch (event.kind) {
    case EventKind::kDmaBind:
    case EventKind::kDmaUnbind: {
      const uint8_t place =
          event.kind == EventKind::kDmaBind ? event.to : event.from;
      Write('i', kBinders, Track(kBinders, events.PlaceOf(place).name),
            event.time_ns, what, fields);
      break;
    }
    case EventKind::kMove:
    case EventKind::kClear:
      Copied(event);
      break;
    case EventKind::kEvict:
      if (event.submission == 0) {
        Evicted(event, /*arrow=*/false);
      } else {
        waiting_[event.submission].push_back(event);
      }
      break;
    default:
      break;
  }
  const bool of_client = event.kind == EventKind::kFailure ||
                         event.kind == EventKind::kCpuFault ||
                         event.kind == EventKind::kEvict;
  if (event.client != 0 && of_client) {
    Write('i', kClients, Track(kClients, events.ClientName(event.client)),
          event.time_ns, what, fields);
  } else if (event.kind == EventKind::kFailure) {
    Write('i', kProgram, Track(kProgram, "submissions"), event.time_ns, what,
          fields);
  }
}

void PerfettoTrace::Submitted(const Job& job) {
  MutexLock lock(mutex_);
  if (host_ == nullptr) return;
  const uint64_t now_ns = host_->machine().clock().now_ns();
  const std::string name = absl::StrCat("submission ", job.submission);
  const std::string args = absl::StrCat(",\"args\":{\"frame\":", frame_,
                                        ",\"bos\":", job.uses.size(), "}");
  Slice(kProgram, Track(kProgram, "submissions"), job.asked_ns, now_ns, name,
        absl::StrCat(",\"bind_id\":\"", machines_, ".", job.submission,
                     "\",\"flow_out\":true", args));
  const auto evicted = waiting_.extract(job.submission);
  if (!evicted.empty()) {
    for (const Event& event : evicted.mapped()) Evicted(event, /*arrow=*/true);
  }
  if (job.fence.timeline != nullptr) {
    Slice(kQueues, Track(kQueues, job.fence.timeline->name()), job.starts_ns,
          job.ends_ns, name, args);
  }
  Sample(now_ns);
}

void PerfettoTrace::FrameEnded() {
  MutexLock lock(mutex_);
  ++frame_;
  Write('i', kProgram, Track(kProgram, "frames"),
        host_->machine().clock().now_ns(), absl::StrCat("frame ", frame_),
        ",\"s\":\"t\"");
}

void PerfettoTrace::Ending() {
  MutexLock lock(mutex_);
  // Of submissions that came to nothing.
  for (const auto& [submission, evicted] : waiting_) {
    for (const Event& event : evicted) Evicted(event, /*arrow=*/false);
  }
  waiting_.clear();
  Sample(host_->machine().clock().now_ns());
  host_ = nullptr;
}

}  // namespace twostep
