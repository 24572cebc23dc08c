#include "twostep/cli/perfetto_trace.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "twostep/cli/json_text.h"
#include "twostep/cli/observed_device.h"

namespace twostep {
namespace {

constexpr const char* kGroupNames[] = {"program",      "device queues",
                                       "copy engines", "binders",
                                       "memory types", "clients"};

std::string Quoted(const std::string& text) { return JsonLine(text); }

// Microseconds, as the format has them.
std::string Micros(uint64_t ns) {
  return absl::StrFormat("%d.%03d", ns / 1000, ns % 1000);
}

uint64_t PassedOver(const EventSkips& skips) {
  return uint64_t{skips.reserved} + skips.mine + skips.stuck +
         skips.protected_bos + skips.unhelpful;
}

// Of a failure: what was short, if that was why.
std::string ForWantOf(const Event& event) {
  if (event.kind != EventKind::kFailure || event.limit == EventLimit::kNone) {
    return "";
  }
  return absl::StrCat(",\"limit\":\"", twostep::NameOf(event.limit),
                      "\",\"passed_over\":", PassedOver(event.skipped));
}

}  // namespace

PerfettoTrace::PerfettoTrace(const std::string& path, uint64_t max_events)
    : max_events_(max_events), file_({"--perfetto", path}) {
  MutexLock lock(mutex_);
  file_.stream() << "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
}

absl::Status PerfettoTrace::Finish() {
  MutexLock lock(mutex_);
  file_.stream() << "\n]}\n";
  return file_.Close();
}

std::string PerfettoTrace::EndedAt() {
  MutexLock lock(mutex_);
  return ended_at_;
}

void PerfettoTrace::Line(const std::string& json) {
  file_.stream() << (lines_ == 0 ? "\n" : ",\n") << json;
  ++lines_;
}

bool PerfettoTrace::Silent() {
  if (host_ == nullptr) return true;
  if (lines_ < max_events_) return false;
  ended_at_ = run_;
  waiting_.clear();
  host_ = nullptr;
  return true;
}

void PerfettoTrace::Write(char phase, Group group, int track, uint64_t time_ns,
                          const std::string& name, const std::string& fields) {
  Line(absl::StrCat("{\"ph\":\"", std::string(1, phase),
                    "\",\"pid\":", Process(group), ",\"tid\":", track,
                    ",\"ts\":", Micros(time_ns - std::min(began_ns_, time_ns)),
                    ",\"name\":", Quoted(name), fields, "}"));
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

int PerfettoTrace::LaneFrom(uint64_t from_ns, uint64_t to_ns) {
  size_t lane = 0;
  while (lane < lane_ends_ns_.size() && lane_ends_ns_[lane] > from_ns) ++lane;
  if (lane == lane_ends_ns_.size()) lane_ends_ns_.push_back(0);
  lane_ends_ns_[lane] = to_ns;
  return Track(kProgram, lane == 0 ? "submissions"
                                   : absl::StrCat("submissions ", lane + 1));
}

std::string PerfettoTrace::NameOf(uint8_t place) const {
  const Events::Place named = host_->events()->PlaceOf(place);
  return NameOn(first_device_, named.device, named.name);
}

std::string PerfettoTrace::BoName(uint64_t bo) const {
  const auto found = trace_bos_.find(bo);
  return found == trace_bos_.end()
             ? absl::StrCat("bo ", bo)
             : absl::StrCat("bo ", bo, " (trace ", found->second, ")");
}

void PerfettoTrace::Named(uint64_t bo, uint64_t trace_bo) {
  MutexLock lock(mutex_);
  if (bo != trace_bo && !Silent()) trace_bos_[bo] = trace_bo;
}

std::string PerfettoTrace::Arrow(uint32_t submission) const {
  // Read as a hexadecimal number of 64 bits; what is none is dropped.
  return absl::StrFormat(",\"bind_id\":\"0x%x\"",
                         static_cast<uint64_t>(machines_) << 32 | submission);
}

void PerfettoTrace::Next(const std::string& name) {
  MutexLock lock(mutex_);
  run_ = name;
  machines_of_run_ = 0;
}

void PerfettoTrace::Began(Host& host, Device& device) {
  MutexLock lock(mutex_);
  if (lines_ >= max_events_) {
    if (ended_at_.empty()) ended_at_ = run_;
    return;
  }
  ++machines_;
  ++machines_of_run_;
  host_ = &host;
  devices_.clear();
  first_device_ = device.name();
  began_ns_ = host.machine().clock().now_ns();
  lane_ends_ns_.clear();
  tracks_.clear();
  counters_.clear();
  waiting_.clear();
  trace_bos_.clear();
  frame_ = 0;
  const std::string run = run_.empty() ? "" : absl::StrCat(run_, ": ");
  const std::string number =
      machines_of_run_ == 1 ? "" : absl::StrCat(" ", machines_of_run_);
  for (int group = 0; group < kGroups; ++group) {
    Line(absl::StrCat(
        "{\"ph\":\"M\",\"pid\":", Process(static_cast<Group>(group)),
        ",\"name\":\"process_name\",\"args\":{\"name\":",
        Quoted(absl::StrCat(run, kGroupNames[group], number)), "}}"));
  }
  AddDevice(device);
}

void PerfettoTrace::AddDevice(Device& device) {
  devices_.push_back(&device);
  // There whether or not anything happens on them.
  for (const DmaBinder* binder : DmaTypesOf(device)) {
    Track(kBinders, host_->IsBuiltIn(*binder)
                        ? binder->name()
                        : NameOn(first_device_, device.name(), binder->name()));
  }
  for (int type = 0; type < kMaxMemoryTypes; ++type) {
    const MemoryManager* manager =
        device.manager(static_cast<MemoryType>(type));
    if (manager == nullptr) continue;
    Track(kMemory, manager == &host_->system_manager()
                       ? manager->name()
                       : NameOn(first_device_, device.name(), manager->name()));
  }
  Sample(host_->machine().clock().now_ns());
}

void PerfettoTrace::Added(Device& device) {
  MutexLock lock(mutex_);
  if (!Silent()) AddDevice(device);
}

void PerfettoTrace::Leaving(Device& device) {
  MutexLock lock(mutex_);
  if (!Silent()) SampleDevice(device, host_->machine().clock().now_ns());
  std::erase(devices_, &device);
}

void PerfettoTrace::Counter(Group group, const std::string& name,
                            uint64_t time_ns, uint64_t value) {
  const auto [at, added] = counters_.try_emplace(name, value);
  if (!added && at->second == value) return;
  at->second = value;
  Write('C', group, 0, time_ns, name,
        absl::StrCat(",\"args\":{\"value\":", value, "}"));
}

void PerfettoTrace::SampleBinder(const std::string& name, DmaBinder& binder,
                                 uint64_t time_ns) {
  Counter(kBinders, absl::StrCat(name, " bound"), time_ns,
          PagesToBytes(binder.bound_pages_now()));
  Counter(kBinders, absl::StrCat(name, " evictions"), time_ns,
          binder.stats().evictions);
}

void PerfettoTrace::SampleDevice(Device& device, uint64_t time_ns) {
  for (MemoryManager* manager : MemoryTypesOf(device)) {
    const std::string name =
        NameOn(first_device_, device.name(), manager->name());
    Counter(kMemory, absl::StrCat(name, " used"), time_ns,
            PagesToBytes(manager->used_pages()));
    Counter(kMemory, absl::StrCat(name, " largest hole"), time_ns,
            PagesToBytes(manager->Describe({.size = 1}).largest_hole));
    Counter(kMemory, absl::StrCat(name, " evictions"), time_ns,
            manager->evictions());
  }
  for (DmaBinder* binder : DmaTypesOf(device)) {
    if (host_->IsBuiltIn(*binder)) continue;
    SampleBinder(NameOn(first_device_, device.name(), binder->name()), *binder,
                 time_ns);
  }
}

void PerfettoTrace::Sample(uint64_t time_ns) {
  for (Device* device : devices_) SampleDevice(*device, time_ns);
  for (DmaBinder* binder : host_->Binders()) {
    if (!host_->IsBuiltIn(*binder)) continue;
    SampleBinder(binder->name(), *binder, time_ns);
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
        absl::StrCat(twostep::NameOf(event.kind), " ", BoName(event.bo)),
        absl::StrCat(",\"args\":{\"bytes\":", event.bytes(),
                     ",\"from\":", Quoted(NameOf(event.from)),
                     ",\"to\":", Quoted(NameOf(event.to)),
                     ",\"submission\":", event.submission, "}"));
}

void PerfettoTrace::Evicted(const Event& event, bool arrow) {
  const bool dma = event.limit == EventLimit::kDmaType ||
                   event.limit == EventLimit::kIova ||
                   event.limit == EventLimit::kClientDma;
  const Group group = dma ? kBinders : kMemory;
  const std::string fields = absl::StrCat(
      ",\"args\":{\"bo\":", event.bo, ",\"for_bo\":", event.for_bo,
      ",\"submission\":", event.submission, ",\"bytes\":", event.bytes(),
      ",\"limit\":\"", twostep::NameOf(event.limit),
      "\",\"to\":", Quoted(NameOf(event.to)), ",\"pass\":", event.pass,
      ",\"passed_over\":", PassedOver(event.skipped),
      ",\"waited_ns\":", event.waited_ns, "}");
  Slice(group, Track(group, NameOf(event.from)), event.time_ns, event.time_ns,
        absl::StrCat("evict ", BoName(event.bo)),
        arrow
            ? absl::StrCat(Arrow(event.submission), ",\"flow_in\":true", fields)
            : fields);
}

void PerfettoTrace::Happened(const Event& event) {
  MutexLock lock(mutex_);
  if (Silent()) return;
  const std::string what =
      absl::StrCat(twostep::NameOf(event.kind), " ", BoName(event.bo));
  const std::string fields =
      absl::StrCat(",\"s\":\"t\",\"args\":{\"bytes\":", event.bytes(),
                   ",\"submission\":", event.submission, ForWantOf(event), "}");
  switch (event.kind) {
    case EventKind::kDmaBind:
    case EventKind::kDmaUnbind: {
      const uint8_t place =
          event.kind == EventKind::kDmaBind ? event.to : event.from;
      Write('i', kBinders, Track(kBinders, NameOf(place)), event.time_ns, what,
            fields);
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
    Write('i', kClients,
          Track(kClients, host_->events()->ClientName(event.client)),
          event.time_ns, what, fields);
  } else if (event.kind == EventKind::kFailure) {
    Write('i', kProgram, Track(kProgram, "submissions"), event.time_ns, what,
          fields);
  }
}

void PerfettoTrace::Submitted(const Job& job) {
  MutexLock lock(mutex_);
  if (Silent()) return;
  const uint64_t now_ns = host_->machine().clock().now_ns();
  const std::string args = absl::StrCat(",\"args\":{\"frame\":", frame_,
                                        ",\"bos\":", job.uses.size(), "}");
  const std::string name =
      job.submission == 0 ? "job" : absl::StrCat("submission ", job.submission);
  if (job.submission != 0) {
    const auto evicted = waiting_.extract(job.submission);
    const bool arrow = !evicted.empty();
    Slice(kProgram, LaneFrom(job.asked_ns, now_ns), job.asked_ns, now_ns, name,
          arrow
              ? absl::StrCat(Arrow(job.submission), ",\"flow_out\":true", args)
              : args);
    if (arrow) {
      for (const Event& event : evicted.mapped()) {
        Evicted(event, /*arrow=*/true);
      }
    }
  }
  if (job.fence.timeline != nullptr) {
    Slice(kQueues, Track(kQueues, job.fence.timeline->name()), job.starts_ns,
          job.ends_ns, name, args);
  }
  Sample(now_ns);
}

void PerfettoTrace::FrameEnded() {
  MutexLock lock(mutex_);
  if (Silent()) return;
  ++frame_;
  Write('i', kProgram, Track(kProgram, "frames"),
        host_->machine().clock().now_ns(), absl::StrCat("frame ", frame_),
        ",\"s\":\"t\"");
}

void PerfettoTrace::Ending() {
  MutexLock lock(mutex_);
  if (Silent()) return;
  // Of submissions that came to nothing.
  for (const auto& [submission, evicted] : waiting_) {
    for (const Event& event : evicted) Evicted(event, /*arrow=*/false);
  }
  waiting_.clear();
  Sample(host_->machine().clock().now_ns());
  host_ = nullptr;
}

}  // namespace twostep
