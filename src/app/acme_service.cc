#include "app/acme_service.h"

#include <sys/prctl.h>

#include <algorithm>

#include "adapters/acme_client.h"
#include "app/signals.h"
#include "base/sha256.h"
#include "base/units.h"
#include "definition/scalars.h"

namespace ingot::app {

namespace {

constexpr Milliseconds kLook{1000};
constexpr size_t kMaxStateBytes = 1 << 20;

adapters::CurlHttp::Options AcmeHttp(const fs::path& ca) {
  adapters::CurlHttp::Options options;
  options.trust.system_authorities = ca;
  options.trust.directories.clear();
  return options;
}

Result<IssuedName> ReadName(const fs::path& directory, const std::string& name) {
  IssuedName out;
  out.name = name;
  const fs::path pem = directory / (name + ".pem");
  // One that is damaged is none: it is got anew.
  if (auto loaded = adapters::LoadCertificate(pem, pem); loaded) out.certificate = std::move(*loaded);
  auto text = ReadFile(directory / (name + ".json"), kMaxStateBytes);
  if (!text && text.error().code() == Code::kNotFound) return out;
  if (!text) return std::move(text).error();
  auto json = ParseJson(*text);
  if (!json || !json->is_object()) return out;  // torn by a power cut: the next order is a new one
  const JsonObject& fields = json->get_object();
  out.order = StringOr(fields, "order", "");
  out.failures = static_cast<uint32_t>(std::clamp<int64_t>(IntOr(fields, "failures", 0), 0, 1000));
  out.reason = StringOr(fields, "reason", "");
  if (auto next = ParseTime(StringOr(fields, "next", "")); next) out.next = *next;
  return out;
}

}  // namespace

std::string IssuedName::Waiting(WallTime now) const {
  if (certificate && certificate->ends > now) return "";
  const std::string what = certificate ? "its certificate ended at " + RenderTime(certificate->ends)
                                       : "it waits for its certificate";
  if (failures == 0) return what + (order.empty() ? "" : "; the authority has the order");
  return what + ": " + reason + "; next attempt at " + RenderTime(next);
}

WallTime RenewalOf(const std::string& name, const adapters::Certificate& certificate) {
  const Milliseconds life = certificate.ends - certificate.begins;
  // The same at each look, and another one for each name: 0 to 5 % of its life.
  const uint32_t spread = static_cast<uint32_t>(std::stoul(Sha256Hex(name).substr(0, 4), nullptr, 16)) % 51;
  return certificate.begins + life * 2 / 3 - life * spread / 1000;
}

Milliseconds BackoffOf(uint32_t failures, bool unreachable, std::optional<Milliseconds> asked) {
  constexpr Milliseconds kLongest = std::chrono::hours(6);
  // Authorities allow some five failed proofs of a name in an hour.
  Milliseconds pause = unreachable ? std::chrono::seconds(5) : std::chrono::minutes(2);
  for (uint32_t i = 1; i < failures && pause < kLongest; ++i) pause *= 2;
  return std::max(std::min(pause, kLongest), asked.value_or(Milliseconds(0)));
}

AcmeService::AcmeService(Parts parts) : parts_(std::move(parts)), http_(AcmeHttp(parts_.ca)) {}

AcmeService::~AcmeService() {
  Stop();
}

Result<std::vector<IssuedName>> AcmeService::Read(const fs::path& directory) {
  auto files = ListDirectory(directory);
  if (!files && files.error().code() == Code::kNotFound) return std::vector<IssuedName>();
  if (!files) return std::move(files).error();
  std::set<std::string> names;
  for (const std::string& file : *files)
    for (const std::string_view end : {".pem", ".json"})
      if (file.ends_with(end))
        if (std::string name = file.substr(0, file.size() - end.size()); definition::IsHostName(name))
          names.insert(std::move(name));
  std::vector<IssuedName> out;
  for (const std::string& name : names) out.push_back(TRY(ReadName(directory, name)));
  return out;
}

Result<std::unique_ptr<AcmeService>> AcmeService::Open(Parts parts) {
  std::unique_ptr<AcmeService> service(new AcmeService(std::move(parts)));
  const fs::path& directory = service->parts_.directory;
  TRY(MakeDirectories(directory, 0700));
  TRY(SweepAtomicWrites(directory));
  auto former = ReadFile(directory / "directory", kMaxStateBytes);
  const bool other = !former || *former != service->parts_.acme.directory;
  auto names = service->names_.lock();
  for (IssuedName& name : TRY(Read(directory))) {
    if (other) {
      // Another authority knows nothing of the order, and may have nothing against the name.
      name.order.clear();
      name.failures = 0;
      name.next = {};
      TRY(service->Save(name));
    }
    names->emplace(name.name, std::move(name));
  }
  if (other)
    TRY(WriteFileAtomic(directory / "directory", service->parts_.acme.directory, 0600, Durability::kDurable));
  return service;
}

void AcmeService::Start() {
  thread_ = std::thread([this] { Loop(); });
}

void AcmeService::Stop() {
  stopping_ = true;
  { auto held = sleep_.lock(); }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool AcmeService::Wait(Milliseconds duration) {
  const auto until = parts_.clock.Steady() + duration;
  auto held = sleep_.lock();
  while (!stopping_) {
    const auto left = until - parts_.clock.Steady();
    if (left <= SteadyTime::duration::zero()) return true;
    held.WaitFor(wake_, left);
  }
  return false;
}

std::vector<std::string> AcmeService::Pems() const {
  std::vector<std::string> out;
  auto names = names_.lock();
  for (const auto& [name, issued] : *names)
    if (issued.certificate) out.push_back(issued.certificate->pem);
  return out;
}

std::vector<IssuedName> AcmeService::Names() const {
  std::vector<IssuedName> out;
  auto names = names_.lock();
  for (const auto& [name, issued] : *names) out.push_back(issued);
  return out;
}

void AcmeService::Record(const std::string& kind, JsonObject detail) {
  LogToStderr(kind + " " + RenderJson(detail));
  if (auto put = parts_.events.Append({{"", "", kind, "ingot", std::move(detail)}}); !put)
    LogToStderr("cannot record " + kind + ": " + put.error().Render());
}

Result<void> AcmeService::Save(const IssuedName& name) {
  const JsonObject state{{"version", 1},
                         {"order", name.order},
                         {"failures", name.failures},
                         {"reason", name.reason},
                         {"next", RenderTime(name.next)}};
  return WriteFileAtomic(parts_.directory / (name.name + ".json"), RenderJson(state), 0600,
                         Durability::kDurable);
}

void AcmeService::Loop() {
  ::prctl(PR_SET_NAME, "acme");
  while (Wait(kLook)) {
    auto wanted = parts_.wanted();
    if (!wanted) {
      // Asked again: nothing is taken for unwanted meanwhile.
      if (trouble_ != wanted.error().message())
        LogToStderr("acme: which names are wanted cannot be told: " + wanted.error().Render());
      trouble_ = wanted.error().message();
      continue;
    }
    std::vector<std::string> due;
    {
      const WallTime now = parts_.clock.Now();
      auto names = names_.lock();
      for (auto& [name, issued] : *names) issued.wanted = wanted->contains(name);
      for (const std::string& name : *wanted) {
        IssuedName& issued = (*names)[name];
        issued.name = name;
        issued.wanted = true;
        // A clock that was set back must not hold it up for longer than an attempt would wait.
        if (issued.next > now && issued.next - now < std::chrono::hours(25)) continue;
        if (!issued.certificate || !issued.order.empty() || RenewalOf(name, *issued.certificate) <= now)
          due.push_back(name);
      }
    }
    for (const std::string& name : due) {
      if (stopping_) return;
      Attempt(name);
    }
  }
}

void AcmeService::Attempt(const std::string& name) {
  IssuedName issued = names_.lock()->at(name);
  const bool renews = issued.certificate.has_value();
  std::optional<Milliseconds> asked;
  auto got = Get(issued, asked);
  if (!got && got.error().code() == Code::kCancelled) return;  // the order goes on at the next start
  if (got) {
    issued.certificate = std::move(*got);
    issued.order.clear();
    issued.failures = 0;
    issued.reason.clear();
    issued.next = {};
  } else {
    ++issued.failures;
    issued.reason = got.error().Render();
    const bool unreachable = got.error().code() == Code::kUnavailable || got.error().code() == Code::kTimeout;
    issued.next = parts_.clock.Now() + BackoffOf(issued.failures, unreachable, asked);
  }
  // What cannot be saved is tried again after the next start, at worst by a second order.
  if (auto saved = Save(issued); !saved)
    LogToStderr("acme: the state of " + name + " cannot be saved: " + saved.error().Render());
  (*names_.lock())[name] = issued;
  if (!got) {
    Record("certificate.failed",
           {{"name", name}, {"reason", issued.reason}, {"next", RenderTime(issued.next)}});
    return;
  }
  Record(
      renews ? "certificate.renewed" : "certificate.issued",
      {{"name", name}, {"ends", RenderTime(issued.certificate->ends)}, {"authority", parts_.acme.directory}});
  parts_.on_change();
}

Result<adapters::Certificate> AcmeService::Get(IssuedName& issued, std::optional<Milliseconds>& asked) {
  const auto key_of = [](const fs::path& file) -> Result<adapters::AcmeKey> {
    auto pem = ReadFile(file, kMaxStateBytes);
    if (pem) return adapters::AcmeKey::FromPem(*pem);
    if (pem.error().code() != Code::kNotFound) return std::move(pem).error();
    adapters::AcmeKey made = TRY(adapters::AcmeKey::Generate());
    TRY(WriteFileAtomic(file, made.ToPem(), 0600, Durability::kDurable));
    return made;
  };
  adapters::AcmeClient::Options options;
  options.directory = parts_.acme.directory;
  options.email = parts_.acme.email;
  options.wait = [this](Milliseconds pause) { return Wait(pause); };
  options.publish = parts_.publish;
  options.cancelled = &stopping_;
  adapters::AcmeClient client(http_, TRY(key_of(parts_.directory / "account.key")), std::move(options));
  const fs::path key_file = parts_.directory / (issued.name + ".new.key");
  const adapters::AcmeKey key = TRY(key_of(key_file));
  const auto failed = [&](Error error) {
    asked = client.retry_after();
    return error;
  };
  if (issued.order.empty()) {
    auto order = client.NewOrder(issued.name);
    if (!order) return failed(std::move(order).error());
    issued.order = *order;
    TRY(Save(issued));
    (*names_.lock())[issued.name].order = issued.order;
  }
  auto chain = client.Finish(issued.order, TRY(key.SigningRequest(issued.name)));
  if (!chain) {
    // Given up by the authority, or forgotten: the next attempt is a new order.
    if (chain.error().code() == Code::kNotFound || chain.error().code() == Code::kRefused)
      issued.order.clear();
    return failed(std::move(chain).error());
  }
  issued.order.clear();
  // Looked at before it takes the place of the one in use.
  const fs::path made = parts_.directory / (issued.name + ".new.pem");
  TRY(WriteFileAtomic(made, *chain + "\n" + key.ToPem(), 0600, Durability::kDurable));
  adapters::Certificate loaded = TRY(adapters::LoadCertificate(made, made));
  if (std::find(loaded.names.begin(), loaded.names.end(), issued.name) == loaded.names.end())
    return Error(Code::kInvalid, "the authority issued a certificate that is not for " + issued.name);
  if (loaded.ends <= parts_.clock.Now())
    return Error(Code::kInvalid, "the authority issued a certificate that ended at " +
                                     RenderTime(loaded.ends) + "; see that this host's clock is right");
  const fs::path place = parts_.directory / (issued.name + ".pem");
  TRY(WriteFileAtomic(place, *chain + "\n" + key.ToPem(), 0600, Durability::kDurable));
  std::error_code ignored;
  fs::remove(made, ignored);
  fs::remove(key_file, ignored);
  return loaded;
}

}  // namespace ingot::app
