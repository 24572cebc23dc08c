// The part of Mover that shares DMA units with those who are no bos.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "twostep/bo/mover.h"

namespace twostep {

bool Mover::AskOwners(const DmaBinder& binder, BindOutcome::Scarce scarce,
                      PageCount pages, const DmaPort& port,
                      DmaOwners::Whom whom) {
  const bool iovas = scarce == BindOutcome::Scarce::kIova;
  if (!iovas && &binder != &host_.binder(DmaType::kCoherent)) return false;
  DmaOwners& owners = host_.dma_owners();
  DmaDomain& domain = port.domain();
  const uint64_t all = iovas ? domain.used_iova_pages()
                             : host_.machine().coherent_pool().used_frames();
  const uint64_t theirs = iovas ? owners.iova_pages(domain) : owners.pages();
  return owners.Ask(iovas ? Relief::kUnbind : Relief::kFreePages, domain, pages,
                    all - std::min(all, theirs), whom);
}

absl::Status Mover::AcquireForUnit(DmaPort& port, PageCount pages,
                                   absl::FunctionRef<BindOutcome()> take) {
  DmaBinder& coherent = host_.binder(DmaType::kCoherent);
  Room unit(coherent.gate(), &coherent);
  Room iovas(port.domain().gate());
  Room frames(host_.machine().memory().gate());
  for (;;) {
    BindOutcome outcome{BindOutcome::Scarce::kUnit, Shortage::Kind::kFull};
    if (!unit.gate.HeldByOther()) outcome = take();
    if (outcome.ok()) return absl::OkStatus();
    const bool addresses = outcome.scarce == BindOutcome::Scarce::kIova;
    const bool tables = outcome.scarce == BindOutcome::Scarce::kHostFrames;
    const std::string what =
        addresses ? absl::StrCat("the IOVA space of ", port.domain().name())
        : tables  ? "the host, out of page frames for page tables,"
                  : "coherent memory";
    if (outcome.kind == Shortage::Kind::kNeverFits) {
      return MakeError(
          ErrorKind::kNeverFits,
          absl::StrCat(what, " can never hold ", pages * (kPageSize / kKiB),
                       " KiB", *outcome.reason == 0 ? "" : ", ",
                       outcome.reason));
    }
    if (host_.ReapGhosts({WaitLimit::Mode::kNoWait})) continue;
    const Result made =
        tables ? MakeRoom(&frames, [&] { return MakeFrames(); })
               : MakeRoom(addresses ? &iovas : &unit, [&] {
                   return EvictForDma(coherent, outcome.scarce, pages, port);
                 });
    if (made == Result::kDone) continue;
    if (made == Result::kFailed || made == Result::kLost) return failure_;
    if (made == Result::kBusy) {
      return WithPendingFence(MakeError(ErrorKind::kBusy, met_busy_.message()),
                              met_busy_);
    }
    return MakeError(ErrorKind::kCannotFit,
                     absl::StrCat(what, " has no ", pages * (kPageSize / kKiB),
                                  " KiB in one piece that anybody gives up"));
  }
}

}  // namespace twostep
