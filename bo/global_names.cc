#include "twostep/bo/global_names.h"

#include <random>
#include <utility>

#include "twostep/machine/check.h"

namespace twostep {
namespace {

NameSequence::Key Entropy() {
  std::random_device device;
  return {device(), device(), device(), device()};
}

}  // namespace

GlobalNames::GlobalNames(std::optional<uint64_t> seed)
    : sequence_(seed.has_value() ? NameSequence(*seed)
                                 : NameSequence(Entropy())) {}

GlobalNames::~GlobalNames() { TWOSTEP_CHECK(size() == 0); }

BoName GlobalNames::Publish(BoRef bo) {
  SpinLockHolder hold(lock_);
  BoName name = BoName::kNone;
  while (name == BoName::kNone) name = BoName{sequence_.Next()};
  bos_.emplace(name, std::move(bo));
  return name;
}

void GlobalNames::Withdraw(BoName name) {
  BoRef bo;  // goes, and perhaps its storage, outside of the lock
  SpinLockHolder hold(lock_);
  const auto it = bos_.find(name);
  TWOSTEP_CHECK(it != bos_.end());
  bo = std::move(it->second);
  bos_.erase(it);
}

BoRef GlobalNames::Find(BoName name) const {
  SpinLockHolder hold(lock_);
  const auto it = bos_.find(name);
  return it == bos_.end() ? nullptr : it->second;
}

size_t GlobalNames::size() const {
  SpinLockHolder hold(lock_);
  return bos_.size();
}

}  // namespace twostep
