// Certificates that an authority issues (host.yaml: router.acme): which are wanted, those that are here, and
// the thread that gets and renews them. Below DIR (root/acme), docs/formats/host.md:
//
//   account.key       who we are to the authority
//   directory         its URL; with another one, what is pending is given up
//   NAME.pem          the certificate in use: its chain, its key
//   NAME.json         what is pending: the order, the last refusal, when the next attempt is due
//   NAME.new.key      the key of the order that is pending
//
// The former certificate stays in use until its successor is whole on disk.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "adapters/certificate.h"
#include "adapters/curl.h"
#include "audit/sink.h"
#include "base/sync.h"
#include "definition/host.h"

namespace ingot::app {

// What is known of one name.
struct IssuedName {
  std::string name;
  std::optional<adapters::Certificate> certificate;  // in use
  std::string order;                                 // URL of the one that is pending
  uint32_t failures = 0;                             // in a row
  std::string reason;                                // of the last
  WallTime next{};                                   // no attempt before
  bool wanted = false;                               // by a route, and no file has it
  // Why it has no certificate, or none that is valid at `now`, as a sentence; "" when it has one.
  std::string Waiting(WallTime now) const;
};
// When the certificate is to be renewed: after two thirds of its life, a little earlier for some names than
// for others.
WallTime RenewalOf(const std::string& name, const adapters::Certificate& certificate);
// How long after the n-th failure in a row. `asked`: by the authority.
Milliseconds BackoffOf(uint32_t failures, bool unreachable, std::optional<Milliseconds> asked);

class AcmeService {
 public:
  struct Parts {
    definition::HostAcme acme;
    fs::path ca;         // empty: the system's authorities
    fs::path directory;  // DIR
    Clock& clock;
    audit::Sink& events;
    // Names of routes with TLS, and no others. On the service's thread.
    std::function<Result<std::set<std::string>>()> wanted;
    std::function<Result<void>(const std::map<std::string, std::string>&)> publish;
    std::function<void()> on_change;  // Pems() is another
  };
  // Reads what is there: a certificate that cannot be used is left out, and got anew.
  static Result<std::unique_ptr<AcmeService>> Open(Parts parts);
  // What the directory says, without a service: for `doctor`. Empty when there is none.
  static Result<std::vector<IssuedName>> Read(const fs::path& directory);
  ~AcmeService();
  void Start();
  // Ends an attempt under way; it goes on at the next start.
  void Stop();

  // In use, by name; each with its chain and key.
  std::vector<std::string> Pems() const;
  std::vector<IssuedName> Names() const;

 private:
  explicit AcmeService(Parts parts);
  void Loop();
  void Attempt(const std::string& name);
  Result<adapters::Certificate> Get(IssuedName& name, std::optional<Milliseconds>& asked);
  Result<void> Save(const IssuedName& name);
  void Record(const std::string& kind, JsonObject detail);
  bool Wait(Milliseconds duration);

  Parts parts_;
  adapters::CurlHttp http_;
  std::atomic<bool> stopping_{false};
  mutable Sync<std::map<std::string, IssuedName>> names_;
  Sync<int> sleep_;
  std::condition_variable wake_;
  std::string trouble_;  // said already; of the thread
  std::thread thread_;
};

}  // namespace ingot::app
