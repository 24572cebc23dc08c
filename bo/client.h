#ifndef BO_CLIENT_H_
#define BO_CLIENT_H_

// Whom bos are charged to: a process, a guest. A client has a budget of host
// memory, of DMA resources and of device memory: a limit, and what others
// cannot take from it; and a limit of handles and global names, in however many
// tables. Made by a Host, counted by ClientRef, by its bos and its tables.
// Thread-safe.

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "boost/smart_ptr/intrusive_ptr.hpp"
#include "twostep/eviction/eviction_order.h"
#include "twostep/machine/reservation_lock.h"

namespace twostep {

class Host;

// What a bo can take up, in pages of the bo.
enum class Resource : uint8_t {
  kHost,    // page frames, ordinary or a DMA type's own
  kDma,     // a DMA type that can run out
  kDevice,  // fixed memory of a device
};
inline constexpr int kResources = 3;
const char* NameOf(Resource resource);

struct HandleLimits {
  static constexpr uint32_t kMostHandles = uint32_t{1} << 20;

  uint32_t handles = uint32_t{1} << 16;  // at most kMostHandles
  uint32_t names = uint32_t{1} << 10;
};

struct ClientOptions {
  std::string name;
  Budget host;
  Budget dma;
  Budget device;
  HandleLimits handles;
};

class Client {
 public:
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const std::string& name() const { return name_; }
  // From 1 on; no two of a host's have the same at a time.
  uint32_t number() const { return number_; }
  const EvictionAccount& account(Resource resource) const {
    return *accounts_[static_cast<int>(resource)];
  }
  const HandleLimits& handle_limits() const { return handle_limits_; }
  // In all its tables, now.
  uint32_t handles() const { return handles_.load(); }
  uint32_t names() const { return names_.load(); }

 private:
  friend class Audit;
  friend class BufferObject;
  friend struct Ghost;
  friend class HandleTable;
  friend class Host;
  friend class Mover;
  friend void intrusive_ptr_add_ref(Client* client);
  friend void intrusive_ptr_release(Client* client);

  Client(Host& host, uint32_t number, const ClientOptions& options);
  ~Client() = default;

  EvictionAccount& ChargedTo(Resource resource) {
    return *accounts_[static_cast<int>(resource)];
  }
  ReservationLock& gate(Resource resource) {
    return gates_[static_cast<int>(resource)];
  }
  // Where the client's entries stand in orders of this resource; null: with
  // everybody's.
  const EvictionAccountPtr* section(Resource resource) const {
    const EvictionAccountPtr& section = sections_[static_cast<int>(resource)];
    return section == nullptr ? nullptr : &section;
  }

  Host& host_;
  const uint32_t number_;
  const std::string name_;
  std::array<std::shared_ptr<EvictionAccount>, kResources> accounts_;
  // The same where there is a budget.
  std::array<EvictionAccountPtr, kResources> sections_;
  // Held by who makes room under the limit.
  std::array<ReservationLock, kResources> gates_;
  const HandleLimits handle_limits_;
  Atomic<uint32_t> handles_{0};
  Atomic<uint32_t> names_{0};
  Atomic<uint32_t> references_{0};
};

using ClientRef = boost::intrusive_ptr<Client>;

// What everybody has; see Host::Report for when. Pages.
struct UsageReport {
  struct Line {
    std::string client;  // empty: bos without a client
    std::array<uint64_t, kResources> pages{};
    // Of bos that are gone or have moved, until the device is done with it.
    std::array<uint64_t, kResources> pending_pages{};
    uint64_t bos = 0;
    uint64_t swapped_pages = 0;
  };
  std::vector<Line> lines;
  // What the lines add up to.
  std::array<uint64_t, kResources> total_pages{};
};

}  // namespace twostep

#endif  // BO_CLIENT_H_
