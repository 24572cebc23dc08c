// What threads do to two bos that want one place, against a sequential model:
// each answer, also a refusal, must be one that the state allowed.

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "tests/explore/bos.h"
#include "tests/explore/cases.h"
#include "twostep/explore/history.h"

namespace twostep::explore {
namespace {

constexpr int kNone = -1;

// Room for one of two bos, which two clients use. Validating is the one call
// that others see the inside of: it has begun, and then it is done.
struct PlaceModel {
  // To be moved to the place is a copy, which takes its time.
  bool by_copy = false;
  int in_place = kNone;
  std::array<int, 2> owner{kNone, kNone};      // of each bo
  std::array<bool, 2> pinned{};                // each bo
  std::array<int, 2> validates{kNone, kNone};  // each client: which bo

  // Whether `client` may have been evicting `bo`: its victim is reserved.
  bool Evicts(int client, int bo) const {
    return validates[client] == 1 - bo && in_place == bo;
  }
  // What a validation of `bo` by `me` may come to now.
  bool MayAnswer(int me, int bo, ErrorKind answer, WaitLimit::Mode mode) const {
    const int other = 1 - bo;
    const bool beside = validates[1 - me] != kNone;
    const bool blocked = in_place == other && owner[other] != kNone;
    if (owner[bo] != me) return false;
    switch (answer) {
      case ErrorKind::kNone:
        return in_place != other || (!pinned[other] && !blocked);
      case ErrorKind::kCannotFit:
        // It stands in no order, whether somebody has it reserved or not.
        return in_place == other && pinned[other];
      case ErrorKind::kContended:
        // Only who waits for room has an age.
        return mode == WaitLimit::Mode::kWait && in_place != bo && beside;
      case ErrorKind::kBusy:
        return mode == WaitLimit::Mode::kNoWait && in_place != bo &&
               (blocked || beside || (by_copy && in_place == other));
      default:
        return false;
    }
  }
};

// Each call is one step of the model, but for validations.
class Client {
 public:
  Client(int me, Bos& bos, const std::vector<BoRef>& all,
         History<PlaceModel>& history)
      : me_(me), bos_(bos), all_(all), history_(history) {}

  bool TryReserve(int bo) {
    return history_.Do(
        Name("tries", bo), [&] { return all_[bo]->TryReserve(); },
        [=, me = me_](PlaceModel& model, bool taken) {
          const bool free = model.owner[bo] == kNone;
          if (!taken) return !free || model.Evicts(1 - me, bo);
          model.owner[bo] = me;
          return free;
        });
  }
  void Reserve(int bo) {
    Simply(
        "reserves", bo, [&] { all_[bo]->Reserve(); },
        [=, me = me_](PlaceModel& model) {
          return std::exchange(model.owner[bo], me) == kNone;
        });
  }
  void Unreserve(int bo) {
    Simply(
        "unreserves", bo, [&] { all_[bo]->Unreserve(); },
        [=, me = me_](PlaceModel& model) {
          return std::exchange(model.owner[bo], kNone) == me;
        });
  }
  // REQUIRES: reserved.
  void Pin(int bo) { SetPinned(bo, true); }
  void Unpin(int bo) { SetPinned(bo, false); }
  // REQUIRES: reserved. Whether it is in place.
  bool Validate(int bo, WaitLimit::Mode mode = WaitLimit::Mode::kWait) {
    Simply(
        "begins to validate", bo, [] {},
        [=, me = me_](PlaceModel& model) {
          model.validates[me] = bo;
          return true;
        });
    const ErrorKind answer = history_.Do(
        Name("validates", bo),
        [&] {
          ValidateContext context;
          context.wait.mode = mode;
          return KindOf(bos_.rig().device().Validate(
              *all_[bo], {&bos_.placement(), 1}, &context));
        },
        [=, me = me_](PlaceModel& model, ErrorKind answered) {
          if (!model.MayAnswer(me, bo, answered, mode)) return false;
          if (answered == ErrorKind::kNone) model.in_place = bo;
          model.validates[me] = kNone;
          return true;
        });
    return answer == ErrorKind::kNone;
  }
  // REQUIRES: reserved.
  void Look(int bo) {
    history_.Do(
        Name("looks at", bo), [&] { return bos_.InPlace(*all_[bo]); },
        [=](PlaceModel& model, bool there) {
          return there == (model.in_place == bo);
        });
  }

 private:
  std::string Name(const char* does, int bo) const {
    return std::to_string(me_) + " " + does + " bo " + std::to_string(bo);
  }
  // A call without an answer.
  template <typename Call, typename Apply>
  void Simply(const char* does, int bo, Call call, Apply apply) {
    history_.Do(
        Name(does, bo),
        [&] {
          call();
          return true;
        },
        [=](PlaceModel& model, bool) { return apply(model); });
  }
  void SetPinned(int bo, bool pinned) {
    Simply(
        pinned ? "pins" : "unpins", bo,
        [&] { pinned ? all_[bo]->Pin() : all_[bo]->Unpin(); },
        [=, me = me_](PlaceModel& model) {
          return model.owner[bo] == me &&
                 std::exchange(model.pinned[bo], pinned) != pinned;
        });
  }

  const int me_;
  Bos& bos_;
  const std::vector<BoRef>& all_;
  History<PlaceModel>& history_;
};

// Both play, each its own part; afterwards some order explains all answers.
void Explained(const Scarce& scarce, void (*one)(Client client),
               void (*other)(Client client)) {
  Bos bos(scarce);
  const std::vector<BoRef> all{bos.Make(3), bos.Make(3)};
  History<PlaceModel> history;
  {
    Thread first([&] { one(Client(0, bos, all, history)); });
    Thread second([&] { other(Client(1, bos, all, history)); });
  }
  const PlaceModel start{.by_copy =
                             scarce.placement.memory == MemoryType::kVram};
  Expect(history.Linearizable(start),
         "no order explains:\n" + history.Describe());
  bos.Check();
}

// Its own, and then a look at the other's.
template <int kMe>
void ValidateAndLook(Client client) {
  client.Reserve(kMe);
  if (client.Validate(kMe)) client.Look(kMe);
  client.Unreserve(kMe);
  if (client.TryReserve(1 - kMe)) {
    client.Look(1 - kMe);
    client.Unreserve(1 - kMe);
  }
}

void PinAndUnpin(Client client) {
  client.Reserve(0);
  if (client.Validate(0)) {
    client.Pin(0);
    client.Unreserve(0);
    client.Reserve(0);
    client.Look(0);
    client.Unpin(0);
  }
  client.Unreserve(0);
}

void ValidateHastily(Client client) {
  client.Reserve(1);
  if (client.Validate(1, WaitLimit::Mode::kNoWait)) client.Look(1);
  client.Unreserve(1);
}

}  // namespace

std::vector<Case> HistoryCases() {
  std::vector<Case> cases;
  AddForEachScarce(
      "linearizable", "reserve, validate and look against a model",
      [](const Scarce& scarce) {
        Explained(scarce, ValidateAndLook<0>, ValidateAndLook<1>);
      },
      &cases);
  AddForEachScarce(
      "linearizable_pin", "the same with pins: cannot fit is true",
      [](const Scarce& scarce) {
        Explained(scarce, PinAndUnpin, ValidateAndLook<1>);
      },
      &cases);
  AddForEachScarce(
      "linearizable_no_wait", "the same without waiting: busy is true",
      [](const Scarce& scarce) {
        Explained(scarce, ValidateAndLook<0>, ValidateHastily);
      },
      &cases);
  return cases;
}

}  // namespace twostep::explore
