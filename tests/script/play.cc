#include "tests/script/play.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/script/script_world.h"
#include "twostep/bo/exec.h"
#include "twostep/bo/shared_buffer.h"

namespace twostep {
namespace {

// A bo, and all that must be true of it.
struct ModelBo {
  BoRef ref;
  std::vector<uint32_t> pages;  // what each holds
  uint32_t client = 0;
  bool offered = false;
  int pins = 0;
  // While there are pins: where they found it.
  const MemoryManager* pinned_in = nullptr;
  PageCount pinned_at = 0;
  const DmaBinder* pinned_bound = nullptr;

  std::unique_ptr<CpuMapping> mapping;
  std::optional<SharedBuffer> shared;
  std::optional<uint32_t> exporter;
  std::unique_ptr<SharedAttachment> attachment;
  uint32_t importer = 0;
  bool follows = false;

  bool importer_pins() const {
    return attachment != nullptr && attachment->mapped() && !follows;
  }
};

class Player {
 public:
  Player(MachineKind machine, RecordingHooks* driver)
      : hooks_(driver == nullptr ? own_hooks_ : *driver),
        world_(machine, &hooks_) {}

  Ending Play(const std::vector<Step>& steps);

 private:
  std::string Do(const Step& step);
  std::string DoWithBo(const Step& step, ModelBo& bo);
  // What the audit and the model say after a step; empty when all is well.
  std::string Rules();
  std::string CheckBo(const ModelBo& bo);
  std::string CheckClients();
  std::string NotePurges();
  std::string End();

  void Create(const Step& step, ModelBo& bo);
  void Destroy(ModelBo& bo);
  void Pin(ModelBo& bo);
  void Unpin(ModelBo& bo);
  void Offer(ModelBo& bo, bool offered);

  // Null where the CPU cannot have the page now.
  std::byte* CpuPage(ModelBo& bo, PageCount page);
  std::string CpuRead(ModelBo& bo, PageCount page);
  std::string KernelWrite(ModelBo& bo, PageCount page, uint32_t value);

  std::array<Placement, 2> PlacesOf(const Step& step) const;
  WaitLimit LimitOf(const Step& step) const {
    return WaitLimit{step.hasty != 0 ? WaitLimit::Mode::kNoWait
                                     : WaitLimit::Mode::kWait};
  }
  bool InOneOf(const ModelBo& bo, const Step& step);
  // Whether an error is one that may be; empty then.
  std::string Judge(const absl::Status& status, const ModelBo& bo, bool hasty);
  std::string Validate(const Step& step, ModelBo& bo);
  std::string Discard(const Step& step, ModelBo& bo);
  std::string GiveUpAddresses(const Step& step, ModelBo& bo);
  std::string Submit(const Step& step);

  void Attach(const Step& step, ModelBo& bo);
  void Detach(ModelBo& bo);
  std::string Map(ModelBo& bo, absl::Status* status);
  std::string ImporterWork(const Step& step, ModelBo& bo, Access access);
  std::string CpuAccess(ModelBo& bo, bool begin);
  std::string Suspend(uint32_t number);
  std::string Resume(uint32_t number);

  RecordingHooks own_hooks_;
  RecordingHooks& hooks_;
  ScriptWorld world_;
  std::array<ModelBo, kScriptBos> bos_;
  bool misuse_expected_ = false;
};

Ending Player::Play(const std::vector<Step>& steps) {
  for (size_t i = 0; i < steps.size(); ++i) {
    std::string wrong = Do(steps[i]);
    if (wrong.empty()) wrong = Rules();
    if (!wrong.empty()) return {i, wrong};
    hooks_.log.clear();
    if (steps[i].verb == Verb::kFailCopies) continue;
    hooks_.copies_until_failure = 0;
    hooks_.copy_failed = false;
  }
  return {steps.size(), End()};
}

std::string Player::Rules() {
  if (world_.wrong_pages() != 0) return "a device read stale bytes";
  std::string wrong = NotePurges();
  if (wrong.empty()) wrong = world_.Broken();
  std::vector<Misuse>& misuses = world_.misuses();
  if (wrong.empty() && misuses.empty() == misuse_expected_) {
    wrong = misuse_expected_ ? "a misuse was not reported"
                             : "misuse: " + misuses.front().message;
  }
  misuses.clear();
  misuse_expected_ = false;
  for (const ModelBo& bo : bos_) {
    if (wrong.empty() && bo.ref != nullptr) wrong = CheckBo(bo);
  }
  return wrong.empty() ? CheckClients() : wrong;
}

std::string Player::CheckBo(const ModelBo& bo) {
  const BufferObject& is = *bo.ref;
  const auto wrong = [&is](const char* what) {
    return absl::StrCat(what, ": ", is.DebugName(), ", ", WhereIs(is));
  };
  if (is.worthless() != bo.offered) return wrong("not as offered");
  if (is.pinned() != (bo.pins > 0 || bo.importer_pins())) {
    return wrong("pins do not add up");
  }
  if (bo.pins == 0) return "";
  if (&is.manager() != bo.pinned_in) return wrong("moved while pinned");
  if (is.manager().kind() != MemoryManager::Kind::kNowhere &&
      is.start_page() != bo.pinned_at) {
    return wrong("moved while pinned");
  }
  if (bo.pinned_bound != nullptr && is.binder() != bo.pinned_bound) {
    return wrong("unbound while pinned");
  }
  return "";
}

std::string Player::CheckClients() {
  const UsageReport report = world_.host().Report();
  for (uint32_t number = 1; number < kScriptClients; ++number) {
    const Client& client = *world_.client(number);
    for (int i = 0; i < kResources; ++i) {
      const auto resource = static_cast<Resource>(i);
      uint64_t held = 0;
      for (const ModelBo& bo : bos_) {
        if (bo.ref == nullptr || bo.client != number) continue;
        if (bo.ref->Holds(resource)) held += bo.ref->page_count();
      }
      const EvictionAccount& account = client.account(resource);
      uint64_t pending = 0;
      for (const UsageReport::Line& line : report.lines) {
        if (line.client == client.name()) pending = line.pending_pages[i];
      }
      // What a suspended device has saved is charged as well.
      if (account.used_pages() != held + pending && !world_.AnySuspended()) {
        return absl::StrCat("charged for what it has not: ", client.name(),
                            " for ", account.used_pages(), " pages of ",
                            NameOf(resource), ", with ", held, " and ", pending,
                            " pending");
      }
      if (account.used_pages() > account.budget().max_pages) {
        return absl::StrCat("above its limit: ", client.name());
      }
    }
  }
  return "";
}

// What was purged reads as zero. Offering it anew makes the next purge show as
// well.
std::string Player::NotePurges() {
  for (ModelBo& bo : bos_) {
    if (bo.ref == nullptr || !bo.ref->purged()) continue;
    const std::string which = bo.ref->DebugName();
    if (!bo.offered) return "purged, and nobody offered it: " + which;
    if (bo.pins > 0) return "purged while pinned: " + which;
    bo.pages.assign(bo.pages.size(), 0);
    Offer(bo, false);
    Offer(bo, true);
  }
  return "";
}

std::string Player::End() {
  world_.GiveFramesBack();
  world_.machine().memory().SetPageLimit(0);
  for (uint32_t number = 0; number < kScriptDevices; ++number) {
    std::string wrong = Resume(number);
    if (!wrong.empty()) return wrong;
  }
  for (ModelBo& bo : bos_) {
    for (PageCount page = 0; page < bo.pages.size(); ++page) {
      std::string wrong = CpuRead(bo, page);
      if (!wrong.empty()) return wrong;
    }
    Destroy(bo);
  }
  std::string wrong = Rules();
  if (!wrong.empty()) return wrong;
  wrong = world_.LeftBehind();
  if (!wrong.empty()) return "left behind: " + wrong;
  return Rules();
}

void Player::Create(const Step& step, ModelBo& bo) {
  if (bo.ref != nullptr) return;
  bo.pages.assign(1 + step.pages % kScriptMaxPages, 0);
  bo.client = step.client;
  bo.ref = *world_.host().CreateBo(PagesToBytes(bo.pages.size()),
                                   world_.client(step.client));
}

void Player::Destroy(ModelBo& bo) {
  while (bo.pins > 0) Unpin(bo);
  bo = ModelBo();
}

void Player::Pin(ModelBo& bo) {
  if (bo.pins == 2) return;
  bo.ref->Reserve();
  bo.ref->Pin();
  if (bo.pins++ == 0) {
    bo.pinned_in = &bo.ref->manager();
    bo.pinned_at = bo.ref->start_page();
    bo.pinned_bound = bo.ref->binder();
  }
  bo.ref->Unreserve();
}

void Player::Unpin(ModelBo& bo) {
  if (bo.pins == 0) return;
  bo.ref->Reserve();
  bo.ref->Unpin();
  bo.ref->Unreserve();
  --bo.pins;
}

void Player::Offer(ModelBo& bo, bool offered) {
  bo.ref->Reserve();
  bo.ref->SetWorthless(offered);
  bo.ref->Unreserve();
  bo.offered = offered;
}

std::byte* Player::CpuPage(ModelBo& bo, PageCount page) {
  if (bo.mapping == nullptr) bo.mapping = *CpuMapping::Create(bo.ref);
  if (!WaitForCpu(*bo.ref, Access::kWrite).ok()) return nullptr;
  // The fault itself is for most accesses; where it may fail, Touch says so
  // without a signal.
  if (!bo.ref->pages().present() || bo.ref->manager().fixed() ||
      world_.AnySuspended()) {
    if (!bo.mapping->Touch(PageRange{page, 1}, Access::kWrite).ok()) {
      return nullptr;
    }
  }
  return bo.mapping->data() + PagesToBytes(page);
}

std::string Player::CpuRead(ModelBo& bo, PageCount page) {
  const std::byte* const at = CpuPage(bo, page);
  if (at == nullptr) return "";
  std::string wrong = NotePurges();
  if (!wrong.empty() || PageHolds(at, bo.pages[page])) return wrong;
  uint32_t found;
  std::memcpy(&found, at, sizeof(found));
  return absl::StrCat("the CPU read stale bytes: ", bo.ref->DebugName(),
                      " page ", page, ", ", WhereIs(*bo.ref), ", ", found,
                      " instead of ", bo.pages[page]);
}

std::string Player::KernelWrite(ModelBo& bo, PageCount page, uint32_t value) {
  const bool dynamic =
      bo.ref->binder() == world_.device(0).binder(DmaType::kDynamic);
  auto mapping = KernelMapping::Create(bo.ref);
  misuse_expected_ = dynamic;
  if (!mapping.ok()) return "";
  if (dynamic) return "a kernel mapping of a bo bound to DYNAMIC";
  std::byte* const at = (*mapping)->data() + PagesToBytes(page);
  if (!PageHolds(at, bo.pages[page])) {
    return absl::StrCat("a kernel mapping is stale: ", bo.ref->DebugName(),
                        " page ", page);
  }
  WritePage(at, value);
  bo.pages[page] = value;
  return "";
}

std::array<Placement, 2> Player::PlacesOf(const Step& step) const {
  std::array<Placement, 2> places{
      world_.PlacementOf(static_cast<Place>(step.first)),
      world_.PlacementOf(static_cast<Place>(step.second))};
  places[0].use = Placement::Use::kDesired;
  return places;
}

bool Player::InOneOf(const ModelBo& bo, const Step& step) {
  Device& device = world_.device(step.device);
  for (const Placement& place : PlacesOf(step)) {
    if (world_.Stands(*bo.ref, device, place)) return true;
  }
  return false;
}

std::string Player::Judge(const absl::Status& status, const ModelBo& bo,
                          bool hasty) {
  bool may_be = false;
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kOutOfRange:
      may_be = true;
      break;
    case absl::StatusCode::kUnavailable:
      may_be = hasty || world_.AnySuspended();
      break;
    case absl::StatusCode::kFailedPrecondition:
      may_be = bo.ref->pinned();
      break;
    case absl::StatusCode::kInternal:
      may_be = hooks_.copy_failed;
      break;
    default:
      break;
  }
  if (may_be) return "";
  return absl::StrCat("an error that cannot be: ", bo.ref->DebugName(), ": ",
                      status.ToString());
}

std::string Player::Validate(const Step& step, ModelBo& bo) {
  Device& device = world_.device(step.device);
  const std::string before = WhereIs(bo.ref);
  const bool may_change =
      bo.ref->pages().home() == Pages::Home::kSwapped ||
      (bo.ref->device() != nullptr && bo.ref->device() != &device);
  ValidateContext context{.wait = LimitOf(step)};
  bo.ref->Reserve();
  const absl::Status status =
      device.Validate(*bo.ref, PlacesOf(step), &context);
  const bool in_place = InOneOf(bo, step);
  bo.ref->Unreserve();
  if (status.ok()) {
    return in_place ? ""
                    : absl::StrCat("not where it was asked to be: ",
                                   bo.ref->DebugName(), ", ", WhereIs(bo.ref));
  }
  std::string wrong = Judge(status, bo, step.hasty != 0);
  if (wrong.empty() && !may_change && WhereIs(bo.ref) != before) {
    wrong = absl::StrCat(
        "a failed validation moved a bo: ", bo.ref->DebugName(), " from ",
        before, " to ", WhereIs(bo.ref), ": ", status.ToString());
  }
  return wrong;
}

std::string Player::Discard(const Step& step, ModelBo& bo) {
  ValidateContext context;
  bo.ref->Reserve();
  const absl::Status status =
      world_.device(step.device).Validate(*bo.ref, {}, &context);
  bo.ref->Unreserve();
  if (status.ok()) bo.pages.assign(bo.pages.size(), 0);
  return Judge(status, bo, false);
}

std::string Player::GiveUpAddresses(const Step& step, ModelBo& bo) {
  ValidateContext context;
  bo.ref->Reserve();
  const absl::Status status =
      world_.device(step.device).GiveUpAddresses(*bo.ref, &context);
  bo.ref->Unreserve();
  return Judge(status, bo, false);
}

std::string Player::Submit(const Step& step) {
  Device& device = world_.device(step.device);
  const std::array<Placement, 2> places = PlacesOf(step);
  std::vector<std::pair<ModelBo*, Access>> used;
  Exec exec(device);
  for (uint32_t i = 0; i < kScriptBos; ++i) {
    ModelBo& bo = bos_[i];
    if ((step.bos >> i & 1) == 0 || bo.ref == nullptr) continue;
    const bool written = (step.writes >> i & 1) != 0;
    used.emplace_back(&bo, written ? Access::kWrite : Access::kRead);
    exec.Add(*bo.ref, places, written ? FenceUse::kWrite : FenceUse::kRead);
  }
  ValidateContext context{.wait = LimitOf(step)};
  const absl::Status status = exec.Run(&context);
  if (!status.ok()) {
    // Any of them may be the one.
    std::string wrong;
    for (const auto& [bo, access] : used) {
      wrong = Judge(status, *bo, step.hasty != 0);
      if (wrong.empty()) return "";
    }
    return wrong;
  }
  std::vector<PageAccess> accesses;
  for (const auto& [bo, access] : used) {
    if (!InOneOf(*bo, step)) {
      return absl::StrCat("not where it was asked to be: ",
                          bo->ref->DebugName(), ", ", WhereIs(bo->ref));
    }
    const PageCount page = step.page % bo->ref->page_count();
    PageAccess one{world_.Finder(*bo->ref, device, page, access),
                   bo->pages[page], access,
                   step.value + static_cast<uint32_t>(bo - bos_.data())};
    if (one.find == nullptr) continue;
    if (access == Access::kWrite) bo->pages[page] = one.writes;
    accesses.push_back(std::move(one));
  }
  exec.Finish(
      world_.Submit(step.device, exec.dependencies(), std::move(accesses)));
  return "";
}

void Player::Attach(const Step& step, ModelBo& bo) {
  if (bo.attachment != nullptr) return;
  // A bo has one exporter for good.
  if (!bo.exporter.has_value()) bo.exporter = 1 - step.device;
  if (step.device == *bo.exporter) return;
  bo.shared = *SharedBuffer::Export(bo.ref, world_.device(*bo.exporter));
  bo.importer = step.device;
  bo.follows = step.follows != 0;
  AttachOptions options;
  if (bo.follows) options.moved = [](SharedAttachment&) {};
  bo.attachment =
      *bo.shared->Attach(world_.device(step.device), std::move(options));
}

std::string Player::Map(ModelBo& bo, absl::Status* status) {
  ValidateContext context;
  *status = bo.attachment->Map(&context);
  if (status->ok()) {
    return bo.attachment->mapped() ? "" : "mapped, and is not";
  }
  return Judge(*status, bo, false);
}

std::string Player::ImporterWork(const Step& step, ModelBo& bo, Access access) {
  bo.ref->Reserve();
  absl::Status status;
  std::string wrong = Map(bo, &status);
  if (status.ok() && wrong.empty()) {
    const PageCount page = step.page % bo.ref->page_count();
    const FenceUse use =
        access == Access::kWrite ? FenceUse::kWrite : FenceUse::kRead;
    absl::InlinedVector<Fence, 4> dependencies;
    bo.ref->fences().AppendDependencies(use, &dependencies);
    DmaPort& port = world_.device(bo.importer).port();
    const DmaAddress address = bo.attachment->Address(page);
    const auto find = [&port, address, access] {
      return port.Resolve(address, access);
    };
    const Fence fence =
        world_.Submit(bo.importer, dependencies,
                      {PageAccess{find, bo.pages[page], access, step.value}});
    bo.ref->fences().Add(fence, use);
    if (access == Access::kWrite) bo.pages[page] = step.value;
  }
  bo.ref->Unreserve();
  return wrong;
}

std::string Player::CpuAccess(ModelBo& bo, bool begin) {
  const PageRange all{0, bo.ref->page_count()};
  return Judge(begin ? bo.shared->BeginCpuAccess(all, CpuUse::kReadWrite)
                     : bo.shared->EndCpuAccess(all),
               bo, false);
}

std::string Player::Suspend(uint32_t number) {
  Device& device = world_.device(number);
  const bool was = device.state() == DeviceState::kSuspended;
  // Whether a save that fails is undone is for whoever fails it to say.
  hooks_.copies_until_failure = 0;
  const absl::Status status = device.Suspend();
  if (was) {
    return status.ok() ? "a suspended device was suspended" : "";
  }
  if (!status.ok()) {
    // With a page limit below a bo's size, there can never be the frames.
    const bool no_frames =
        status.code() == absl::StatusCode::kResourceExhausted ||
        status.code() == absl::StatusCode::kOutOfRange;
    return device.state() == DeviceState::kRunning && no_frames
               ? ""
               : "a device half suspended: " + status.ToString();
  }
  for (const ModelBo& bo : bos_) {
    if (bo.ref == nullptr || bo.ref->pinned()) continue;
    if (&bo.ref->manager() == device.manager(MemoryType::kVram) ||
        &bo.ref->manager() == device.manager(MemoryType::kTt)) {
      return "on a suspended device: " + bo.ref->DebugName();
    }
  }
  return "";
}

std::string Player::Resume(uint32_t number) {
  Device& device = world_.device(number);
  if (device.state() != DeviceState::kSuspended) return "";
  hooks_.copies_until_failure = 0;
  const absl::Status status = device.Resume();
  return status.ok() ? "" : "a device does not resume: " + status.ToString();
}

std::string Player::Do(const Step& step) {
  switch (step.verb) {
    case Verb::kCreate:
      Create(step, bos_[step.bo]);
      return "";
    case Verb::kSubmit:
      return Submit(step);
    case Verb::kFailCopies:
      hooks_.copies_until_failure = static_cast<int>(step.value);
      return "";
    case Verb::kHostTakes:
      world_.TakeFrames(step.pages);
      return "";
    case Verb::kHostGives:
      world_.GiveFramesBack();
      return "";
    case Verb::kPageLimit:
      world_.machine().memory().SetPageLimit(step.pages);
      return "";
    case Verb::kShrink:
      world_.host().Shrink(step.pages);
      return "";
    case Verb::kSuspend:
      return Suspend(step.device);
    case Verb::kResume:
      return Resume(step.device);
    case Verb::kReap:
      world_.host().ReapGhosts(WaitLimit{});
      return "";
    default:
      return bos_[step.bo].ref == nullptr ? "" : DoWithBo(step, bos_[step.bo]);
  }
}

std::string Player::DoWithBo(const Step& step, ModelBo& bo) {
  const PageCount page = step.page % bo.ref->page_count();
  const bool shared = bo.attachment != nullptr;
  switch (step.verb) {
    case Verb::kDrop:
      Destroy(bo);
      break;
    case Verb::kCpuWrite:
      if (std::byte* const at = CpuPage(bo, page)) {
        WritePage(at, step.value);
        bo.pages[page] = step.value;
      }
      break;
    case Verb::kCpuRead:
      return CpuRead(bo, page);
    case Verb::kCpuUnmap:
      bo.mapping.reset();
      break;
    case Verb::kKernelWrite:
      return KernelWrite(bo, page, step.value);
    case Verb::kValidate:
      return Validate(step, bo);
    case Verb::kGiveUpAddresses:
      return GiveUpAddresses(step, bo);
    case Verb::kDiscard:
      return Discard(step, bo);
    case Verb::kPin:
      Pin(bo);
      break;
    case Verb::kUnpin:
      Unpin(bo);
      break;
    case Verb::kOffer:
    case Verb::kReclaim:
      Offer(bo, step.verb == Verb::kOffer);
      break;
    case Verb::kAttach:
      Attach(step, bo);
      break;
    case Verb::kDetach:
      bo.attachment.reset();
      break;
    case Verb::kMap:
    case Verb::kUnmap: {
      if (!shared) break;
      absl::Status status;
      std::string wrong;
      bo.ref->Reserve();
      if (step.verb == Verb::kMap) {
        wrong = Map(bo, &status);
      } else {
        bo.attachment->Unmap();
      }
      bo.ref->Unreserve();
      return wrong;
    }
    case Verb::kImporterRead:
      return shared ? ImporterWork(step, bo, Access::kRead) : "";
    case Verb::kImporterWrite:
      return shared ? ImporterWork(step, bo, Access::kWrite) : "";
    case Verb::kBeginCpu:
    case Verb::kEndCpu:
      return bo.shared.has_value() ? CpuAccess(bo, step.verb == Verb::kBeginCpu)
                                   : "";
    case Verb::kWait:
      (void)WaitForCpu(*bo.ref, Access::kWrite);
      break;
    default:
      break;
  }
  return "";
}

// Words before the first colon, without numbers.
std::string KindOf(const std::string& what) {
  std::string kind;
  for (const char c : what.substr(0, what.find(':'))) {
    if (c < '0' || c > '9') kind += c;
  }
  return kind;
}

}  // namespace

bool Ending::SameKindAs(const Ending& other) const {
  return KindOf(what) == KindOf(other.what);
}

Ending Play(const Script& script, RecordingHooks* driver) {
  return Player(script.machine, driver).Play(script.steps);
}

Ending PlayApart(const Script& script, RecordingHooks* driver) {
  int ends[2];
  if (pipe(ends) != 0) return {0, "no pipe"};
  const pid_t child = fork();
  if (child == 0) {
    const Ending ending = Play(script, driver);
    const std::string bytes = absl::StrCat(ending.step, " ", ending.what);
    const ssize_t written = write(ends[1], bytes.data(), bytes.size());
    _exit(written == static_cast<ssize_t>(bytes.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string bytes;
  char buffer[4096];
  for (ssize_t got; (got = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    bytes.append(buffer, static_cast<size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const size_t space = bytes.find(' ');
  if (status != 0 || space == std::string::npos) {
    return {script.steps.size(),
            absl::StrCat("the process ended with status: ", status)};
  }
  return {std::stoul(bytes), bytes.substr(space + 1)};
}

}  // namespace twostep
