#ifndef LAB_RUN_OBSERVER_H_
#define LAB_RUN_OBSERVER_H_

// Who watches a run on a modelled machine, like a replay. Told of every event
// of the host, and of what the program and the GPU do, which a host does not
// know.

#include <cstdint>
#include <string>
#include <vector>

#include "twostep/bo/device.h"
#include "twostep/bo/events.h"
#include "twostep/bo/host.h"
#include "twostep/machine/timeline.h"

namespace twostep {

// Happened, Submitted, Added and Leaving may be called by any thread; the
// others by one, while no other tells of anything.
class RunObserver {
 public:
  struct Use {
    uint64_t bo = 0;  // its id
    bool written = false;
  };
  // Work of a GPU's, in the time of the machine's clock. A real clock does not
  // know when it is done: it starts and ends when it was queued.
  struct Job {
    uint32_t submission = 0;  // Exec::submission; 0: more work for an earlier
    Fence fence;              // on its queue; null: nothing was queued
    uint64_t asked_ns = 0;    // when the program began to ask for it
    uint64_t starts_ns = 0;
    uint64_t ends_ns = 0;
    std::vector<Use> uses;
  };

  virtual ~RunObserver() = default;

  // What the runs that begin from now on are called.
  virtual void Next(const std::string&) {}
  // All is set up, and there are no bos yet. The host outlives Ending, the
  // device as well unless it is said to leave.
  virtual void Began(Host& host, Device& device) = 0;
  // One more device; and one that goes before Ending, any of them. Nothing is
  // bound to either.
  virtual void Added(Device&) {}
  virtual void Leaving(Device&) {}
  // From whatever thread, as an EventOptions::callback.
  virtual void Happened(const Event& event) = 0;
  virtual void Submitted(const Job& job) = 0;
  // The bo has another name in the program's trace.
  virtual void Named(uint64_t bo, uint64_t trace_bo) = 0;
  virtual void FrameEnded() = 0;
  // All work is done, or the run has failed. What happens from here on is
  // clearing up.
  virtual void Ending() = 0;
};

// Several of them, told in turn.
class RunObservers : public RunObserver {
 public:
  void Add(RunObserver* observer) { all_.push_back(observer); }
  bool empty() const { return all_.empty(); }

  void Next(const std::string& name) override {
    for (RunObserver* one : all_) one->Next(name);
  }
  void Began(Host& host, Device& device) override {
    for (RunObserver* one : all_) one->Began(host, device);
  }
  void Added(Device& device) override {
    for (RunObserver* one : all_) one->Added(device);
  }
  void Leaving(Device& device) override {
    for (RunObserver* one : all_) one->Leaving(device);
  }
  void Happened(const Event& event) override {
    for (RunObserver* one : all_) one->Happened(event);
  }
  void Submitted(const Job& job) override {
    for (RunObserver* one : all_) one->Submitted(job);
  }
  void Named(uint64_t bo, uint64_t trace_bo) override {
    for (RunObserver* one : all_) one->Named(bo, trace_bo);
  }
  void FrameEnded() override {
    for (RunObserver* one : all_) one->FrameEnded();
  }
  void Ending() override {
    for (RunObserver* one : all_) one->Ending();
  }

 private:
  std::vector<RunObserver*> all_;
};

}  // namespace twostep

#endif  // LAB_RUN_OBSERVER_H_
