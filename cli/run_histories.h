#ifndef CLI_RUN_HISTORIES_H_
#define CLI_RUN_HISTORIES_H_

// What a report shows of scenarios beside their verdicts: of each a RunHistory.
// A run may have many machines, one after the other; kept is that of the last
// run that has most to show.

#include <cstdint>
#include <memory>
#include <string>

#include "nlohmann/json.hpp"
#include "twostep/cli/run_history.h"
#include "twostep/lab/run_observer.h"

namespace twostep {

class RunHistories : public RunObserver {
 public:
  // Forgets the run before.
  void Next(const std::string& name) override;
  void Began(Host& host, Device& device) override;
  void Added(Device& device) override;
  void Leaving(Device& device) override;
  void Happened(const Event& event) override;
  void Submitted(const Job& job) override;
  void Named(uint64_t bo, uint64_t trace_bo) override;
  void FrameEnded() override;
  void Ending() override;

  // Of the last run, which has ended: docs/reports.md has the keys. Null where
  // there was no machine.
  nlohmann::ordered_json ToJson() const;

 private:
  std::string run_;
  uint64_t machines_ = 0;
  std::unique_ptr<RunHistory> now_;  // null: between machines
  std::unique_ptr<RunHistory> fullest_;
  uint64_t fullest_machine_ = 0;  // from 1 on
};

}  // namespace twostep

#endif  // CLI_RUN_HISTORIES_H_
