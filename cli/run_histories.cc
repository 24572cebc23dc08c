#include "twostep/cli/run_histories.h"

#include <utility>

namespace twostep {

void RunHistories::Next(const std::string& name) {
  run_ = name;
  machines_ = 0;
  fullest_.reset();
}

void RunHistories::Began(Host& host, Device& device) {
  ++machines_;
  now_ = std::make_unique<RunHistory>(kScenarioHistory);
  now_->Began(host, device);
}

void RunHistories::Added(Device& device) {
  if (now_ != nullptr) now_->Added(device);
}

void RunHistories::Leaving(Device& device) {
  if (now_ != nullptr) now_->Leaving(device);
}

void RunHistories::Happened(const Event& event) {
  if (now_ != nullptr) now_->Happened(event);
}

void RunHistories::Submitted(const Job& job) {
  if (now_ != nullptr) now_->Submitted(job);
}

void RunHistories::Named(uint64_t bo, uint64_t trace_bo) {
  if (now_ != nullptr) now_->Named(bo, trace_bo);
}

void RunHistories::FrameEnded() {
  if (now_ != nullptr) now_->FrameEnded();
}

void RunHistories::Ending() {
  if (now_ == nullptr) return;
  now_->Ending();
  std::unique_ptr<RunHistory> ended = std::move(now_);
  if (fullest_ != nullptr && !ended->ShowsMoreThan(*fullest_)) return;
  fullest_ = std::move(ended);
  fullest_machine_ = machines_;
}

nlohmann::ordered_json RunHistories::ToJson() const {
  if (fullest_ == nullptr) return nullptr;
  return {{"run", run_},
          {"machine", fullest_machine_},
          {"machines", machines_},
          {"history", fullest_->ToJson()}};
}

}  // namespace twostep
