#include "twostep/bo/shrinkers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "twostep/machine/check.h"

namespace twostep {

Shrinkers::Registration::Registration(Shrinkers& shrinkers, std::string name,
                                      Callback callback)
    : shrinkers_(shrinkers),
      name_(std::move(name)),
      callback_(std::move(callback)) {
  MutexLock lock(shrinkers_.mutex_);
  shrinkers_.registrations_.push_back(this);
}

Shrinkers::Registration::~Registration() {
  MutexLock lock(shrinkers_.mutex_);
  while (at_work_) shrinkers_.done_.Wait(shrinkers_.mutex_);
  auto& all = shrinkers_.registrations_;
  all.erase(std::find(all.begin(), all.end(), this));
}

Shrinkers::~Shrinkers() { TWOSTEP_CHECK(registrations_.empty()); }

std::unique_ptr<Shrinkers::Registration> Shrinkers::Register(
    std::string name, Callback callback) {
  return std::unique_ptr<Registration>(
      new Registration(*this, std::move(name), std::move(callback)));
}

uint64_t Shrinkers::Ask(uint64_t pages) {
  uint64_t given = 0;
  MutexLock lock(mutex_);
  // Some may come and go while one is at work: as many as there are now.
  for (size_t left = registrations_.size(); left != 0 && given < pages;
       --left) {
    if (registrations_.empty()) break;
    turn_ = (turn_ + 1) % registrations_.size();
    Registration* const next = registrations_[turn_];
    if (next->at_work_) continue;
    next->at_work_ = true;
    mutex_.unlock();
    const uint64_t pages_of_this = next->callback_(pages - given);
    mutex_.lock();
    next->at_work_ = false;
    next->given_pages_ += pages_of_this;
    given += pages_of_this;
    done_.NotifyAll();
  }
  return given;
}

std::string Shrinkers::Report() const {
  std::string report;
  MutexLock lock(mutex_);
  for (const Registration* registration : registrations_) {
    absl::StrAppend(&report, registration->name_, ": ",
                    registration->given_pages_, " pages\n");
  }
  return report;
}

}  // namespace twostep
