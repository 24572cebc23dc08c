#include "twostep/bo/ghosts.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/functional/function_ref.h"
#include "twostep/bo/bo_views.h"
#include "twostep/bo/host.h"

namespace twostep {

Ghost::Ghost(BufferObject& bo)
    : pages(std::move(bo.pages_)),
      binder(bo.binder_),
      binding(BoViews::LoseBinding(bo)),
      block(bo.block()),
      fences(std::move(bo.fences_)) {
  if (bo.manager_->kind() != MemoryManager::Kind::kNowhere) {
    manager = bo.manager_;
  }
}

void Ghost::Release(Host& host) {
  Machine& machine = host.machine_;
  if (manager != nullptr) {
    if (manager->kind() == MemoryManager::Kind::kAperture) {
      manager->Unbind(block, pages.count());
    }
    manager->Free(block, pages.count());
  }
  if (binder != nullptr) {
    const BindOutcome outcome =
        binder->Unbind(pages, *binding, DmaBinder::Contents::kDrop);
    TWOSTEP_CHECK(outcome.ok());
    host.ReturnBinding(std::move(binding));
  }
  pages.Release(machine.memory(), machine.swap());
  for (int i = 0; i < kResources; ++i) {
    if (!charged[i]) continue;
    client->ChargedTo(static_cast<Resource>(i)).Uncharge(pages.count());
  }
}

void Ghost::TakeCharges(BufferObject& bo) {
  if (bo.client_ == nullptr) return;
  client = bo.client_;
  for (const Resource resource : {Resource::kHost, Resource::kDma}) {
    if (!bo.Charged(resource)) continue;
    charged[static_cast<int>(resource)] = true;
    bo.SetCharged(resource, false);
  }
}

namespace {

void ForEachPart(const Ghost& ghost, const PhysicalMemory& memory,
                 absl::FunctionRef<void(const void*)> visit) {
  visit(nullptr);
  if (ghost.manager != nullptr) visit(ghost.manager);
  if (ghost.pages.home() == Pages::Home::kMemory) visit(&memory);
  for (int i = 0; i < kResources; ++i) {
    if (ghost.charged[i])
      visit(&ghost.client->account(static_cast<Resource>(i)));
  }
  if (ghost.binder == nullptr) return;
  const DmaBinding& binding = *ghost.binding;
  visit(ghost.binder);
  visit(binding.port);
  if (binding.addressing != DmaBinding::Addressing::kIova) return;
  if (binding.iova.node != 0) visit(&binding.port->domain());
  if (binding.aliases == nullptr) return;
  for (const DmaAlias& alias : *binding.aliases) {
    if (alias.iova.node != 0) visit(alias.domain);
  }
}

}  // namespace

std::vector<Ghosts::TimelineQueue>::iterator Ghosts::PlaceOf(
    Timeline* timeline) {
  const auto rank = [](const Timeline* one) {
    return std::pair(one == nullptr ? 0 : one->number(), one);
  };
  return std::lower_bound(queues_.begin(), queues_.end(), timeline,
                          [&](const TimelineQueue& one, const Timeline* other) {
                            return rank(one.timeline) < rank(other);
                          });
}

void Ghosts::Enqueue(Ghost& ghost) {
  Timeline* const timeline = ghost.awaited.timeline;
  auto at = PlaceOf(timeline);
  if (at == queues_.end() || at->timeline != timeline) {
    at = queues_.insert(at, TimelineQueue{timeline, {}});
  }
  at->queue.insert(ghost);
}

bool Ghosts::Await(Ghost& ghost) {
  absl::InlinedVector<Fence, 4> pending;
  ghost.fences.AppendDependencies(FenceUse::kWrite, &pending);
  if (pending.empty()) return false;
  ghost.awaited = pending.front();
  Enqueue(ghost);
  return true;
}

void Ghosts::Tie(Ghost& ghost, End end) {
  ghost.ties.clear();
  ForEachPart(ghost, host_.machine().memory(), [&](const void* part) {
    ghost.ties.push_back({});
    ghost.ties.back().ghost = &ghost;
    ghost.ties.back().part = part;
  });
  // Only now, as they stay where they are.
  for (Ghost::Tie& tie : ghost.ties) {
    Ties& with = with_[tie.part];
    with.insert(end == End::kOldest ? with.begin() : with.end(), tie);
  }
}

void Ghosts::Untie(Ghost& ghost) {
  for (Ghost::Tie& tie : ghost.ties) {
    const auto with = with_.find(tie.part);
    with->second.erase(Ties::s_iterator_to(tie));
    if (with->second.empty()) with_.erase(with);
  }
  ghost.ties.clear();
}

void Ghosts::Add(Ghost ghost) {
  MutexLock lock(mutex_);
  if (spare_.empty()) spare_.emplace_back();
  all_.splice(all_.end(), spare_, spare_.begin());
  Ghost& mine = all_.back().emplace(std::move(ghost));
  mine.here = std::prev(all_.end());
  mine.age = ++ages_;
  Tie(mine, End::kYoungest);
  if (!Await(mine)) {
    // Idle meanwhile: who looks next finds a fence that has signalled.
    mine.awaited = Fence{};
    Enqueue(mine);
  }
  any_.store(true, std::memory_order_release);
}

Ghosts::Storage Ghosts::TakeIdle() {
  Storage idle;
  for (TimelineQueue& one : queues_) {
    Queue& queue = one.queue;
    while (!queue.empty() && queue.begin()->awaited.Signalled()) {
      Ghost& ghost = *queue.begin();
      queue.erase(queue.begin());
      idle.splice(idle.end(), all_, ghost.here);
    }
  }
  std::erase_if(queues_,
                [](const TimelineQueue& one) { return one.queue.empty(); });
  for (auto it = idle.begin(); it != idle.end();) {
    const auto here = it++;
    if (Await(**here)) {
      all_.splice(all_.end(), idle, here);
    } else {
      Untie(**here);
    }
  }
  idle.sort([](const auto& a, const auto& b) { return a->age < b->age; });
  left_.fetch_add(idle.size(), std::memory_order_acq_rel);
  any_.store(!all_.empty(), std::memory_order_release);
  return idle;
}

absl::Status Ghosts::TakeOldest(const WaitLimit& limit, const void* part,
                                Storage* taken) {
  const auto with = with_.find(part);
  if (with == with_.end()) return absl::NotFoundError("");
  Ghost& oldest = *with->second.front().ghost;
  if (limit.mode == WaitLimit::Mode::kNoWait) {
    absl::Status pending = oldest.fences.Wait(FenceUse::kRead, limit);
    if (!pending.ok()) return pending;
  }
  const auto at = PlaceOf(oldest.awaited.timeline);
  at->queue.erase(Queue::s_iterator_to(oldest));
  if (at->queue.empty()) queues_.erase(at);
  Untie(oldest);
  taken->splice(taken->end(), all_, oldest.here);
  left_.fetch_add(1, std::memory_order_acq_rel);
  any_.store(!all_.empty(), std::memory_order_release);
  return absl::OkStatus();
}

bool Ghosts::PutBack(Storage* taken) {
  MutexLock lock(mutex_);
  Ghost& ghost = *taken->front();
  if (!Await(ghost)) return false;
  Tie(ghost, End::kOldest);
  all_.splice(all_.begin(), *taken);
  any_.store(true, std::memory_order_release);
  return true;
}

void Ghosts::Release(Storage taken, uint64_t* frames) {
  for (auto& ghost : taken) {
    if (frames != nullptr && ghost->pages.home() == Pages::Home::kMemory) {
      *frames += ghost->pages.count();
    }
    ghost->Release(host_);
    ghost.reset();
  }
  MutexLock lock(mutex_);
  if (spare_.size() < kMaxSpares) spare_.splice(spare_.end(), taken);
}

bool Ghosts::ReapIdle(uint64_t* frames) {
  if (!any_.load(std::memory_order_acquire)) return false;
  Storage idle;
  {
    MutexLock lock(mutex_);
    idle = TakeIdle();
  }
  if (idle.empty()) return false;
  Release(std::move(idle), frames);
  return true;
}

absl::Status Ghosts::Reap(const WaitLimit& limit, const void* part) {
  if (!any_.load(std::memory_order_acquire)) return absl::NotFoundError("");
  Storage taken;
  {
    MutexLock lock(mutex_);
    taken = TakeIdle();
    if (taken.empty()) {
      // Out of the lists while it is waited for: it is ours alone.
      absl::Status found = TakeOldest(limit, part, &taken);
      if (!found.ok()) return found;
    }
  }
  if (taken.size() == 1) {
    absl::Status idle = taken.front()->fences.Wait(FenceUse::kRead, limit);
    if (!idle.ok() && PutBack(&taken)) return idle;
  }
  Release(std::move(taken), nullptr);
  return absl::OkStatus();
}

}  // namespace twostep
