// Timelines as a user meets them: --perfetto of replay and stress. What is held
// against Chrome's trace event format is what its viewers rely on.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/run_twostep.h"
#include "tests/trace/trace_writer.h"
#include "twostep/cli/perfetto_trace.h"
#include "twostep/machine/machine.h"

namespace twostep {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Trace {
  std::vector<Json> events;
  std::map<int, std::string> processes;
  std::map<std::pair<int, int>, std::string> tracks;

  explicit Trace(const std::string& path) {
    const Json json = Json::parse(Read(path));
    EXPECT_EQ(json["displayTimeUnit"], "ns");
    for (const Json& event : json["traceEvents"]) {
      if (event["ph"] != "M") {
        events.push_back(event);
      } else if (event["name"] == "process_name") {
        EXPECT_TRUE(
            processes.emplace(event["pid"], event["args"]["name"]).second);
      } else {
        EXPECT_EQ(event["name"], "thread_name");
        EXPECT_TRUE(tracks.emplace(At(event), event["args"]["name"]).second);
      }
    }
  }
  static std::pair<int, int> At(const Json& event) {
    return {event["pid"].get<int>(), event["tid"].get<int>()};
  }
  static int64_t Ns(const Json& micros) {
    return std::llround(micros.get<double>() * 1000);
  }
  // The last value of each counter: "memory types/vram used".
  std::map<std::string, uint64_t> Counters() const {
    std::map<std::string, uint64_t> counters;
    for (const Json& event : events) {
      if (event["ph"] != "C") continue;
      counters[absl::StrCat(processes.at(event["pid"]), "/",
                            event["name"].get<std::string>())] =
          event["args"]["value"];
    }
    return counters;
  }
  // "memory types/vram", of a slice or instant.
  std::string TrackOf(const Json& event) const {
    return absl::StrCat(processes.at(event["pid"]), "/", tracks.at(At(event)));
  }

  // Whether viewers can show it: every event has what its sort must have,
  // tracks have names, counters go forward in time, and slices of a track lie
  // within or beside each other.
  void ExpectWellFormed() const {
    std::map<std::pair<int, std::string>, int64_t> sampled_ns;
    std::map<std::pair<int, int>, std::vector<std::pair<int64_t, int64_t>>>
        slices;
    for (const Json& event : events) {
      ASSERT_TRUE(event["name"].is_string() && event["ts"].is_number())
          << event;
      ASSERT_EQ(processes.count(event["pid"]), 1u) << event;
      const int64_t at_ns = Ns(event["ts"]);
      EXPECT_GE(at_ns, 0) << event;
      const std::string phase = event["ph"];
      if (phase == "C") {
        EXPECT_TRUE(event["args"]["value"].is_number_unsigned()) << event;
        int64_t& before_ns = sampled_ns[{event["pid"], event["name"]}];
        EXPECT_GE(at_ns, before_ns) << event;
        before_ns = at_ns;
        continue;
      }
      ASSERT_EQ(tracks.count(At(event)), 1u) << event;
      if (phase == "i") {
        EXPECT_EQ(event["s"], "t") << event;
        continue;
      }
      ASSERT_EQ(phase, "X") << event;
      const int64_t took_ns = Ns(event["dur"]);
      EXPECT_GT(took_ns, 0) << event;
      // Of two that begin together the longer one is the outer one.
      slices[At(event)].emplace_back(at_ns, -took_ns);
    }
    for (auto& [track, of_track] : slices) {
      std::sort(of_track.begin(), of_track.end());
      std::vector<int64_t> ends_ns;
      for (const auto& [at_ns, minus_took_ns] : of_track) {
        while (!ends_ns.empty() && ends_ns.back() <= at_ns) ends_ns.pop_back();
        ends_ns.push_back(at_ns - minus_took_ns);
        if (ends_ns.size() == 1) continue;
        EXPECT_LE(ends_ns.back(), ends_ns[ends_ns.size() - 2])
            << processes.at(track.first) << "/" << tracks.at(track) << " at "
            << at_ns;
      }
    }
  }
  // Every arrow begins at one slice, no later than it ends, and every beginning
  // has an end. Returns how many there are.
  size_t ExpectArrows() const {
    std::map<std::string, int64_t> begins_ns;
    std::set<std::string> ended;
    size_t arrows = 0;
    for (const Json& event : events) {
      if (!event.value("flow_out", false)) continue;
      uint64_t id = 0;  // as readers take it
      EXPECT_TRUE(absl::SimpleHexAtoi(
          event["bind_id"].get_ref<const std::string&>(), &id))
          << event;
      EXPECT_TRUE(begins_ns.emplace(event["bind_id"], Ns(event["ts"])).second);
    }
    for (const Json& event : events) {
      if (!event.value("flow_in", false)) continue;
      ++arrows;
      const auto from = begins_ns.find(event["bind_id"]);
      EXPECT_NE(from, begins_ns.end()) << event;
      if (from == begins_ns.end()) continue;
      EXPECT_LE(from->second, Ns(event["ts"])) << event;
      ended.insert(from->first);
    }
    EXPECT_EQ(ended.size(), begins_ns.size());
    return arrows;
  }
};

TEST(Perfetto, OfSeveralTracesProcessesHaveTheirNames) {
  const std::string trace =
      WriteTempFile("twice.botrace", "#botrace 1\nc 1 4096 t\ng 0 1\nf\nd 1\n");
  const std::string path = WriteTempFile("twice.json", "");
  const Ran ran = Twostep(
      absl::StrCat("replay --quiet --perfetto ", path, " ", trace, " ", trace));
  EXPECT_EQ(ran.code, 0) << ran.output;
  std::set<std::string> names;
  for (const auto& [pid, name] : Trace(path).processes) names.insert(name);
  EXPECT_EQ(names.size(), 12u);
  EXPECT_EQ(names.count(trace + " (1 of 2): program"), 1u);
  EXPECT_EQ(names.count(trace + " (2 of 2): memory types"), 1u);
}

TEST(Perfetto, TracksCountersAndArrowsOfAReplay) {
  TraceWriterOptions options;
  options.records = 400;
  options.live_bos = 20;
  const std::string file = WriteTempFile("replay.perfetto", "");
  const std::string json = WriteTempFile("replay.json", "");
  const Ran ran = Twostep(absl::StrCat(
      "replay --quiet --unbacked --perfetto ", file, " --json ", json, " ",
      WriteTempFile("p.botrace", WriteTraceToString(options))));
  EXPECT_EQ(ran.code, 0) << ran.output;
  const Trace trace(file);
  const Json figures = Json::parse(Read(json));

  std::map<std::string, size_t> on;
  double copied_until = 0;
  for (const Json& event : trace.events) {
    if (event["ph"] == "C") continue;
    const std::string track = trace.TrackOf(event);
    ++on[track];
    // A copy engine does one thing at a time.
    if (track == "copy engines/gpu0.copy") {
      EXPECT_GE(event["ts"].get<double>() + 1e-6, copied_until);
      copied_until = event["ts"].get<double>() + event["dur"].get<double>();
    }
  }
  size_t jobs = 0;
  for (const auto& [track, count] : on) {
    if (track.find("device queues/gpu0.queue") == 0) jobs += count;
  }
  EXPECT_EQ(jobs, figures["submissions"]);
  EXPECT_EQ(on["program/submissions"], figures["submissions"]);
  EXPECT_EQ(on["program/frames"], figures["frames"]);
  EXPECT_GT(on["copy engines/gpu0.copy"], 0u);
  EXPECT_EQ(on["memory types/vram"], figures["gpu_evictions"]["vram"]);
  std::set<std::string> names;
  for (const auto& [at, name] : trace.tracks) names.insert(name);
  for (const char* name : {"dynamic", "coherent", "cma", "none", "tt"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
  const std::map<std::string, uint64_t> counters = trace.Counters();
  EXPECT_EQ(counters.at("memory types/vram evictions"),
            figures["gpu_evictions"]["vram"]);
  EXPECT_EQ(counters.at("copy engines/to fixed memory"),
            figures["bytes_moved"]["to_vram"]);
  EXPECT_EQ(counters.at("copy engines/from fixed memory"),
            figures["bytes_moved"]["from_vram"]);
  EXPECT_LE(counters.at("memory types/vram used") +
                counters.at("memory types/vram largest hole"),
            figures["vram_bytes"].get<uint64_t>());
  trace.ExpectWellFormed();
  EXPECT_GE(trace.ExpectArrows(), figures["gpu_evictions"]["vram"]);
  uint64_t passed_over = 0;
  for (const Json& event : trace.events) {
    if (event["ph"] != "X" || !event["args"].contains("for_bo")) continue;
    EXPECT_EQ(event["args"]["pass"], 2) << event;
    passed_over += event["args"]["passed_over"].get<uint64_t>();
  }
  EXPECT_GT(passed_over, 0u);
}

// The sum over all counters of the group, of any machine, whose names end so.
uint64_t Sum(const Trace& trace, const std::string& group,
             const std::string& end) {
  uint64_t sum = 0;
  for (const auto& [name, value] : trace.Counters()) {
    if (absl::StartsWith(name, group) && absl::EndsWith(name, end)) {
      sum += value;
    }
  }
  return sum;
}

struct StressCase {
  const char* scenario;
  const char* options;
  bool evicts_in_submissions;
};

// One thread in virtual time, threads of several processes, long-running work
// on a real clock, several devices.
TEST(Perfetto, StressHasAGroupForEachScenarioAndSeedWithItsAccounts) {
  const StressCase cases[] = {
      {"xe_evict/evict-small", "--seed 3 --seeds 2 --unbacked", true},
      {"xe_evict/evict-mixed-many-threads-small", "", true},
      {"xe_evict/evict-small-cm", "", true},
      {"twostep/dma-iova-exhaust", "", true},
      {"twostep/two-drivers-one-iommu", "", false},
      {"twostep/flink-storm", "", false},
  };
  for (const StressCase& one : cases) {
    SCOPED_TRACE(one.scenario);
    const std::string file = WriteTempFile("stress.perfetto", "");
    const std::string json = WriteTempFile("stress.json", "");
    const Ran ran =
        Twostep(absl::StrCat("stress ", one.scenario, " ", one.options,
                             " --perfetto ", file, " --json ", json));
    ASSERT_EQ(ran.code, 0) << ran.output;
    const Json row = Json::parse(Read(json))["rows"][0];
    const Trace trace(file);
    trace.ExpectWellFormed();
    const size_t arrows = trace.ExpectArrows();
    EXPECT_TRUE(arrows > 0 || !one.evicts_in_submissions);
    uint64_t gpu_evictions = 0;
    uint64_t dma_evictions = 0;
    std::set<std::string> groups;
    for (const auto& [pid, name] : trace.processes) groups.insert(name);
    const uint64_t first = row["first_seed"];
    for (uint64_t seed = first; seed < first + row["seeds"].get<uint64_t>();
         ++seed) {
      const std::string run = absl::StrCat(one.scenario, " seed ", seed, ": ");
      for (const char* group : {"program", "device queues", "copy engines",
                                "binders", "memory types", "clients"}) {
        EXPECT_EQ(groups.count(run + group), 1u) << run << group;
      }
      gpu_evictions += Sum(trace, run + "memory types", " evictions");
      dma_evictions += Sum(trace, run + "binders", " evictions");
      // All bos are gone by then.
      EXPECT_EQ(Sum(trace, run + "memory types", " used"), 0u);
      EXPECT_EQ(Sum(trace, run + "binders", " bound"), 0u);
    }
    EXPECT_EQ(gpu_evictions, row["gpu_evictions"]);
    EXPECT_EQ(dma_evictions, row["dma_evictions"]);
  }
}

TEST(Perfetto, TheTypesOfSeveralDevicesAreToldApart) {
  const std::string file = WriteTempFile("devices.perfetto", "");
  const Ran ran = Twostep(absl::StrCat("stress hot-unplug --perfetto ", file));
  ASSERT_EQ(ran.code, 0) << ran.output;
  const Trace trace(file);
  trace.ExpectWellFormed();
  std::set<std::string> names;
  for (const auto& [at, name] : trace.tracks) names.insert(name);
  for (const char* name : {"vram", "gpu1 vram", "gpu0.copy", "gpu1.copy"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
  EXPECT_EQ(names.count("gpu1 dynamic"), 0u);
}

TEST(Perfetto, AFileThatIsFullEndsAndSaysWhere) {
  const std::string path = WriteTempFile("full.perfetto", "");
  PerfettoTrace perfetto(path, /*max_events=*/110);
  for (const char* run : {"one", "two", "three"}) {
    auto machine = Machine::Create({}, {Backing::kUnbacked});
    ASSERT_TRUE(machine.ok()) << machine.status();
    auto host = Host::Create(**machine, {.events = {.ring_events = 2}});
    ASSERT_TRUE(host.ok()) << host.status();
    auto device = Device::Create(**host, GpuConfig{});
    ASSERT_TRUE(device.ok()) << device.status();
    perfetto.Next(run);
    perfetto.Began(**host, **device);
    for (int frame = 0; frame < 40; ++frame) perfetto.FrameEnded();
    perfetto.Ending();
  }
  EXPECT_TRUE(perfetto.Finish().ok());
  EXPECT_EQ(perfetto.EndedAt(), "two");
  const Trace trace(path);
  trace.ExpectWellFormed();
  EXPECT_LE(trace.events.size(), 110u);
  std::set<std::string> frames;
  for (const Json& event : trace.events) {
    if (event["ph"] == "i") frames.insert(trace.TrackOf(event));
  }
  EXPECT_EQ(frames, (std::set<std::string>{"one: program/frames",
                                           "two: program/frames"}));
}

TEST(Perfetto, AFileThatCannotBeWrittenIsSaid) {
  for (const char* command : {"replay --quiet", "stress evict-small"}) {
    const Ran ran =
        Twostep(absl::StrCat(command, " --unbacked --perfetto /nowhere/trace"));
    EXPECT_EQ(ran.code, 2) << command;
    EXPECT_THAT(ran.output, HasSubstr("/nowhere/trace"));
  }
}

}  // namespace
}  // namespace twostep
