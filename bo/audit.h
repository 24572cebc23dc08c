#ifndef BO_AUDIT_H_
#define BO_AUDIT_H_

// Checks everything about a host that its state must satisfy:
//   R1   what an aperture shows is DMA-bound, at the addresses it shows
//   R2   what was unbound from DMA is seen by no GPU
//   R3   bound and unpinned: on one order a step; pinned: on none
//   R7   a device reaches exactly the frames bound for it, nothing else
//   R8   every address is under the device's mask, and what a bo is shared
//        with gets no more segments than it takes
//   R13  what units, memory types, zones and clients count as used is what bos
//        use, and no client is above a limit
// and that no device access has faulted.

#include <string>
#include <vector>

#include "twostep/bo/host.h"

namespace twostep {

class Sharing;

struct Violation {
  std::string rule;  // "R3"
  std::string what;
};

class Audit {
 public:
  // Empty when all is well. REQUIRES: nobody uses the host meanwhile; device
  // work may be under way.
  static std::vector<Violation> Run(Host& host);

 private:
  struct Totals;

  explicit Audit(Host& host) : host_(host) {}
  void CheckBo(BufferObject& bo, Totals* totals);
  void CheckGhost(const Ghost& ghost, Totals* totals);
  void CheckBinding(const std::string& name, const Pages& pages,
                    const DmaBinding& binding, Totals* totals);
  void CheckAddresses(const std::string& name, const Pages& pages,
                      const DmaBinding& binding, Totals* totals);
  // Of devices in the domain of `port` that take addresses up to `highest`.
  void CheckReach(const std::string& name, const Pages& pages,
                  const DmaBinding& binding, const DmaPort& port,
                  DmaAddress highest);
  void CheckSharing(const BufferObject& bo, const Sharing& sharing);
  void CheckAperture(BufferObject& bo);
  void CheckOrders(BufferObject& bo);
  void CountPages(const Pages& pages, Totals* totals);
  void CheckTotals(const Totals& totals);
  void CheckClients(const Totals& totals);
  void Add(const char* rule, std::string what);
  void Compare(const char* rule, const std::string& what, uint64_t counted,
               uint64_t found);

  Host& host_;
  std::vector<Violation> violations_;
};

}  // namespace twostep

#endif  // BO_AUDIT_H_
