#include "tests/lab/cache_reference.h"

#include <algorithm>
#include <cstdlib>
#include <list>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace twostep {
namespace {

struct Object {
  uint64_t id = 0;
  uint64_t bytes = 0;
  int uses = 0;
};

// Objects in a row, oldest at the front, and where each is.
class Row {
 public:
  using Iterator = std::list<Object>::iterator;

  bool Has(uint64_t id) const { return places_.count(id) != 0; }
  Object& operator[](uint64_t id) { return *places_.at(id); }
  uint64_t bytes() const { return bytes_; }
  bool empty() const { return objects_.empty(); }
  std::list<Object>& objects() { return objects_; }
  Object& front() { return objects_.front(); }

  void Add(const Object& object) {
    places_[object.id] = objects_.insert(objects_.end(), object);
    bytes_ += object.bytes;
  }
  Object Drop(uint64_t id) {
    const Object object = *places_.at(id);
    objects_.erase(places_.at(id));
    places_.erase(id);
    bytes_ -= object.bytes;
    return object;
  }
  Object DropFront() { return Drop(front().id); }
  void ToBack(uint64_t id) { Add(Drop(id)); }
  Iterator At(uint64_t id) { return places_.at(id); }

 private:
  std::list<Object> objects_;
  std::unordered_map<uint64_t, Iterator> places_;
  uint64_t bytes_ = 0;
};

// A whole cache of its own, FIFO or LRU: takes in, evicting its oldest, what is
// not larger than it.
class RowCache : public CacheReference {
 public:
  enum class Hits : uint8_t { kStay, kToBack };

  RowCache(uint64_t capacity, Hits hits) : capacity_(capacity), hits_(hits) {}
  bool Request(uint64_t object, uint64_t bytes) override {
    if (row.Has(object)) {
      if (hits_ == Hits::kToBack) row.ToBack(object);
      return true;
    }
    if (bytes > capacity_) return false;
    while (row.bytes() + bytes > capacity_) row.DropFront();
    row.Add({object, bytes});
    return false;
  }

  Row row;

 private:
  const uint64_t capacity_;
  const Hits hits_;
};

class Clock : public CacheReference {
 public:
  explicit Clock(uint64_t capacity) : capacity_(capacity) {}
  bool Request(uint64_t object, uint64_t bytes) override {
    if (row_.Has(object)) {
      row_[object].uses = 1;
      return true;
    }
    if (bytes > capacity_) return false;
    while (row_.bytes() + bytes > capacity_) {
      Object oldest = row_.DropFront();
      if (oldest.uses != 0) row_.Add({oldest.id, oldest.bytes, 0});
    }
    row_.Add({object, bytes});
    return false;
  }

 private:
  const uint64_t capacity_;
  Row row_;
};

class Sieve : public CacheReference {
 public:
  explicit Sieve(uint64_t capacity) : capacity_(capacity) {}
  bool Request(uint64_t object, uint64_t bytes) override {
    if (row_.Has(object)) {
      row_[object].uses = 1;
      return true;
    }
    if (bytes > capacity_) return false;
    while (row_.bytes() + bytes > capacity_) Evict();
    row_.Add({object, bytes});
    return false;
  }

 private:
  void Evict() {
    auto at = hand_.has_value() ? row_.At(*hand_) : row_.objects().begin();
    while (at->uses != 0) {
      at->uses = 0;
      if (++at == row_.objects().end()) at = row_.objects().begin();
    }
    const auto next = std::next(at);
    hand_.reset();
    if (next != row_.objects().end()) hand_ = next->id;
    row_.Drop(at->id);
  }

  const uint64_t capacity_;
  Row row_;
  std::optional<uint64_t> hand_;
};

class S3Fifo : public CacheReference {
 public:
  explicit S3Fifo(uint64_t capacity)
      : capacity_(capacity),
        small_size_(static_cast<uint64_t>(capacity * .1)),
        ghosts_(static_cast<uint64_t>(capacity * .9), RowCache::Hits::kStay) {}
  bool Request(uint64_t object, uint64_t bytes) override {
    for (Row* row : {&small_, &main_}) {
      if (!row->Has(object)) continue;
      ++(*row)[object].uses;
      return true;
    }
    const bool was_ghost = ghosts_.row.Has(object);
    if (was_ghost) ghosts_.row.Drop(object);
    if (bytes >= small_size_) return false;
    while (small_.bytes() + main_.bytes() + bytes > capacity_) {
      evicted_ = true;
      if (main_.bytes() > capacity_ - small_size_ || small_.empty()) {
        EvictMain();
      } else {
        EvictSmall();
      }
    }
    const bool straight = !evicted_ && small_.bytes() >= small_size_;
    (was_ghost || straight ? main_ : small_).Add({object, bytes});
    return false;
  }

 private:
  void EvictSmall() {
    while (!small_.empty()) {
      const Object object = small_.DropFront();
      if (object.uses < 2) {
        ghosts_.Request(object.id, object.bytes);
        return;
      }
      main_.Add({object.id, object.bytes});
    }
  }
  void EvictMain() {
    while (!main_.empty()) {
      const Object object = main_.DropFront();
      if (object.uses == 0) return;
      main_.Add({object.id, object.bytes, std::min(object.uses, 3) - 1});
    }
  }

  const uint64_t capacity_;
  const uint64_t small_size_;
  Row small_;
  Row main_;
  RowCache ghosts_;
  bool evicted_ = false;
};

class TwoQueue : public CacheReference {
 public:
  explicit TwoQueue(uint64_t capacity)
      : capacity_(capacity),
        in_size_(static_cast<uint64_t>(capacity * .25)),
        out_(static_cast<uint64_t>(capacity * .5), RowCache::Hits::kStay),
        main_(capacity - in_size_, RowCache::Hits::kToBack) {}
  bool Request(uint64_t object, uint64_t bytes) override {
    if (in_.Has(object)) return true;
    const bool was_out = out_.row.Has(object);
    if (was_out) out_.row.Drop(object);
    if (main_.row.Has(object)) return main_.Request(object, bytes);
    if (bytes > in_size_) return false;
    while (in_.bytes() + main_.row.bytes() + bytes > capacity_) {
      if (in_.bytes() > in_size_) {
        const Object oldest = in_.DropFront();
        out_.Request(oldest.id, oldest.bytes);
      } else {
        main_.row.DropFront();
      }
    }
    if (was_out) {
      main_.Request(object, bytes);
    } else {
      in_.Add({object, bytes});
    }
    return false;
  }

 private:
  const uint64_t capacity_;
  const uint64_t in_size_;
  Row in_;
  RowCache out_;
  RowCache main_;
};

// Names as in the paper.
class Arc : public CacheReference {
 public:
  explicit Arc(uint64_t capacity) : c_(capacity) {}
  bool Request(uint64_t object, uint64_t bytes) override {
    if (t1_.Has(object) || t2_.Has(object)) {
      if (t1_.Has(object)) t1_.Drop(object);
      if (t2_.Has(object)) t2_.Drop(object);
      t2_.Add({object, bytes});
      return true;
    }
    const bool in_b1 = b1_.Has(object);
    const bool in_b2 = b2_.Has(object);
    const double ratio =
        static_cast<double>(b2_.bytes()) / static_cast<double>(b1_.bytes());
    if (in_b1) {
      p_ = std::min(p_ + std::max(ratio, 1.), static_cast<double>(c_));
      b1_.Drop(object);
    } else if (in_b2) {
      const double inverse =
          static_cast<double>(b1_.bytes()) / static_cast<double>(b2_.bytes());
      p_ = std::max(p_ - std::max(inverse, 1.), 0.);
      b2_.Drop(object);
    }
    if (bytes > c_) return false;
    while (t1_.bytes() + t2_.bytes() + bytes > c_) {
      if (in_b1 || in_b2) {
        Replace(in_b2);
      } else {
        CaseFour(bytes);
      }
    }
    (in_b1 || in_b2 ? t2_ : t1_).Add({object, bytes});
    return false;
  }

 private:
  void CaseFour(uint64_t bytes) {
    const uint64_t l1 = t1_.bytes() + b1_.bytes();
    if (l1 + bytes > c_) {
      if (b1_.empty()) {
        t1_.DropFront();
        return;
      }
      b1_.DropFront();
    } else if (l1 + t2_.bytes() + b2_.bytes() >= 2 * c_ && !b2_.empty()) {
      b2_.DropFront();
    }
    Replace(false);
  }
  void Replace(bool in_b2) {
    const auto t1 = static_cast<double>(t1_.bytes());
    if (t2_.empty() || (!t1_.empty() && (t1 > p_ || (t1 == p_ && in_b2)))) {
      b1_.Add(t1_.DropFront());
    } else {
      b2_.Add(t2_.DropFront());
    }
  }

  const uint64_t c_;
  double p_ = 0;
  Row t1_, t2_, b1_, b2_;
};

// Stack S, queue Q and the non-resident of S in the order of their eviction,
// with a capacity in bytes for LIR and for HIR.
class Lirs : public CacheReference {
 public:
  explicit Lirs(uint64_t capacity)
      : capacity_(capacity),
        hir_limit_(
            std::max<uint64_t>(1, static_cast<uint64_t>(capacity * .01))),
        lir_limit_(capacity - hir_limit_) {}
  bool Request(uint64_t object, uint64_t bytes) override {
    const bool hit = Access(object, bytes);
    while (s_.bytes() > 2 * capacity_ && !gone_.empty()) {
      s_.Drop(gone_.DropFront().id);
    }
    return hit;
  }

 private:
  static constexpr int kLir = 1;  // Object::uses in s_

  bool Access(uint64_t object, uint64_t bytes) {
    if (s_.Has(object)) s_.ToBack(object);
    if (q_.Has(object)) q_.ToBack(object);
    if (s_.Has(object) && s_[object].uses == kLir) {
      Prune();
      return true;
    }
    if (s_.Has(object) && q_.Has(object)) {
      q_.Drop(object);
      BecomeLir(object, bytes);
      return true;
    }
    if (q_.Has(object)) {
      while (lir_bytes_ + bytes > lir_limit_) EvictLir();
      s_.Add({object, bytes});
      // What was made HIR for it may have pushed it out itself.
      if (!q_.Has(object)) gone_.Add({object, bytes});
      return true;
    }
    if (s_.Has(object)) {
      gone_.Drop(object);
      BecomeLir(object, bytes);
      return false;
    }
    if (bytes > lir_limit_ || bytes > hir_limit_) return false;
    if (lir_bytes_ + bytes <= lir_limit_) {
      s_.Add({object, bytes, kLir});
      lir_bytes_ += bytes;
      return false;
    }
    while (q_.bytes() + bytes > hir_limit_) EvictHir();
    s_.Add({object, bytes});
    q_.Add({object, bytes});
    return false;
  }
  void BecomeLir(uint64_t object, uint64_t bytes) {
    while (lir_bytes_ + bytes > lir_limit_) EvictLir();
    s_[object].uses = kLir;
    lir_bytes_ += bytes;
  }
  void EvictLir() {
    const Object lowest = s_.DropFront();
    if (lowest.uses != kLir) std::abort();
    lir_bytes_ -= lowest.bytes;
    while (q_.bytes() + lowest.bytes > hir_limit_) EvictHir();
    q_.Add({lowest.id, lowest.bytes});
    Prune();
  }
  void EvictHir() {
    const Object oldest = q_.DropFront();
    if (s_.Has(oldest.id)) gone_.Add(oldest);
  }
  void Prune() {
    while (s_.objects().size() > 1 && s_.front().uses != kLir) {
      const Object lowest = s_.DropFront();
      if (gone_.Has(lowest.id)) gone_.Drop(lowest.id);
    }
  }

  const uint64_t capacity_;
  const uint64_t hir_limit_;
  const uint64_t lir_limit_;
  uint64_t lir_bytes_ = 0;
  Row s_, q_, gone_;
};

class Gdsf : public CacheReference {
 public:
  // What misses cost: all the same; or 5 us and the time for the bytes at 12000
  // MiB a second.
  enum class Cost : uint8_t { kSame, kTime };

  Gdsf(uint64_t capacity, Cost cost) : capacity_(capacity), cost_(cost) {}
  bool Request(uint64_t object, uint64_t bytes) override {
    ++now_;
    const auto it = objects_.find(object);
    if (it != objects_.end()) {
      order_.erase(it->second.place);
      ++it->second.uses;
      Rank(object, &it->second);
      return true;
    }
    if (bytes > capacity_) return false;
    while (used_ + bytes > capacity_) {
      const Place lowest = *order_.begin();
      inflation_ = std::get<0>(lowest);
      order_.erase(order_.begin());
      used_ -= objects_[std::get<2>(lowest)].bytes;
      objects_.erase(std::get<2>(lowest));
    }
    used_ += bytes;
    Known& known = objects_[object];
    known.bytes = bytes;
    known.uses = 1;
    Rank(object, &known);
    return false;
  }

 private:
  // Rank, time of the last request, object.
  using Place = std::tuple<double, uint64_t, uint64_t>;
  struct Known {
    uint64_t bytes = 0;
    uint64_t uses = 0;
    Place place;
  };

  void Rank(uint64_t object, Known* known) {
    constexpr uint64_t kPerSecond = 12000ull << 20;
    const double cost =
        cost_ == Cost::kSame
            ? 1e6
            : static_cast<double>(5000 +
                                  (known->bytes * 1000000000 + kPerSecond - 1) /
                                      kPerSecond);
    const double rank = inflation_ + static_cast<double>(known->uses) * cost /
                                         static_cast<double>(known->bytes);
    known->place = {rank, now_, object};
    order_.insert(known->place);
  }

  const uint64_t capacity_;
  const Cost cost_;
  uint64_t used_ = 0;
  uint64_t now_ = 0;
  double inflation_ = 0;
  std::unordered_map<uint64_t, Known> objects_;
  std::set<Place> order_;
};

class Belady : public CacheReference {
 public:
  Belady(const std::vector<uint32_t>& objects, uint64_t capacity)
      : capacity_(capacity) {
    for (size_t i = 0; i < objects.size(); ++i) {
      uses_[objects[i]].push_back(i);
    }
    for (auto& [object, uses] : uses_) {
      std::reverse(uses.begin(), uses.end());
    }
  }
  bool Request(uint64_t object, uint64_t bytes) override {
    std::vector<uint64_t>& uses = uses_[object];
    const bool hit =
        cached_.erase({uses.back(), object}) != 0;  // its next use is now
    uses.pop_back();
    if (!hit) {
      if (bytes > capacity_) return false;
      while (used_ + bytes > capacity_) {
        const uint64_t last = std::prev(cached_.end())->second;
        cached_.erase(std::prev(cached_.end()));
        used_ -= bytes_[last];
      }
      used_ += bytes;
      bytes_[object] = bytes;
    }
    // Those that are not used again are all alike.
    cached_.insert({uses.empty() ? ~uint64_t{0} : uses.back(), object});
    return hit;
  }

 private:
  const uint64_t capacity_;
  uint64_t used_ = 0;
  std::unordered_map<uint64_t, std::vector<uint64_t>> uses_;  // last first
  std::unordered_map<uint64_t, uint64_t> bytes_;
  std::set<std::pair<uint64_t, uint64_t>> cached_;  // next use, object
};

}  // namespace

std::unique_ptr<CacheReference> MakeCacheReference(const std::string& policy,
                                                   uint64_t capacity) {
  if (policy == "fifo") {
    return std::make_unique<RowCache>(capacity, RowCache::Hits::kStay);
  }
  if (policy == "lru") {
    return std::make_unique<RowCache>(capacity, RowCache::Hits::kToBack);
  }
  if (policy == "clock") return std::make_unique<Clock>(capacity);
  if (policy == "sieve") return std::make_unique<Sieve>(capacity);
  if (policy == "s3fifo") return std::make_unique<S3Fifo>(capacity);
  if (policy == "2q") return std::make_unique<TwoQueue>(capacity);
  if (policy == "arc") return std::make_unique<Arc>(capacity);
  if (policy == "lirs") return std::make_unique<Lirs>(capacity);
  if (policy == "gdsf") {
    return std::make_unique<Gdsf>(capacity, Gdsf::Cost::kSame);
  }
  if (policy == "gdsf:cost=1") {
    return std::make_unique<Gdsf>(capacity, Gdsf::Cost::kTime);
  }
  return nullptr;
}

std::unique_ptr<CacheReference> MakeBeladyReference(
    const std::vector<uint32_t>& objects, uint64_t capacity) {
  return std::make_unique<Belady>(objects, capacity);
}

}  // namespace twostep
