#ifndef EVICTION_ENTRY_QUEUE_H_
#define EVICTION_ENTRY_QUEUE_H_

// A queue of entries, linked through their hooks: what most policies are made
// of. The front goes first. Thread-compatible.

#include <iterator>

#include "boost/intrusive/list.hpp"
#include "twostep/eviction/eviction_policy.h"

namespace twostep {

class EntryQueue {
 public:
  bool empty() const { return list_.empty(); }
  // Null when empty, or past the end.
  EvictionHook* front() { return empty() ? nullptr : &list_.front(); }
  EvictionHook* back() { return empty() ? nullptr : &list_.back(); }
  EvictionHook* Behind(EvictionHook& entry) {
    auto next = std::next(List::s_iterator_to(entry));
    return next == list_.end() ? nullptr : &*next;
  }
  EvictionHook* Before(EvictionHook& entry) {
    auto at = List::s_iterator_to(entry);
    return at == list_.begin() ? nullptr : &*std::prev(at);
  }

  void PushBack(EvictionHook& entry) { list_.push_back(entry); }
  void PushFront(EvictionHook& entry) { list_.push_front(entry); }
  void Remove(EvictionHook& entry) { list_.erase(List::s_iterator_to(entry)); }
  // `entry` may stand in another queue.
  void MoveToBack(EvictionHook& entry, EntryQueue& from) {
    list_.splice(list_.end(), from.list_, List::s_iterator_to(entry));
  }
  void MoveToBack(EvictionHook& entry) { MoveToBack(entry, *this); }
  // All of `from`, in front.
  void PrependAll(EntryQueue& from) { list_.splice(list_.begin(), from.list_); }

 private:
  using List =
      boost::intrusive::list<EvictionHook,
                             boost::intrusive::constant_time_size<false>>;

  List list_;
};

}  // namespace twostep

#endif  // EVICTION_ENTRY_QUEUE_H_
