// A client of certificate authorities that speak ACME (RFC 8555), proving names over http-01.
//
// An order goes on by steps, each of which asks the authority where it stands first: so one that was begun
// before a restart goes on from its URL alone.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "adapters/acme_key.h"
#include "base/clock.h"
#include "registry/client_http.h"

namespace ingot::adapters {

class AcmeClient {
 public:
  struct Options {
    std::string directory;  // URL
    std::string email;      // empty: the account has none
    // Sleeps; false: no longer wanted (the daemon ends).
    std::function<bool(Milliseconds)> wait;
    // Makes this what the name's HTTP listeners answer: token → key authorization; empty: nothing any more.
    std::function<Result<void>(const std::map<std::string, std::string>&)> publish;
    Milliseconds patience{90'000};                 // for an authority to decide
    const std::atomic<bool>* cancelled = nullptr;  // ends a request under way; outlives the client
  };
  AcmeClient(registry::ClientHttp& http, AcmeKey account, Options options)
      : http_(http), account_(std::move(account)), options_(std::move(options)) {}

  // The URL of a new order for a name. Errors here and below: kRefused with the authority's own words (its
  // problem document, RFC 7807), kUnavailable, kTimeout: it could not be asked, kInvalid: it answers what no
  // authority does, kCancelled.
  Result<std::string> NewOrder(const std::string& name);
  // Brings an order to its end: the chain in PEM. `request`: the signing request, DER. What has been
  // published is taken back. kNotFound: the authority no longer knows the order, or gave it up (then with
  // why).
  Result<std::string> Finish(const std::string& order, const std::string& request);

  // When the authority asked to come again after the last refusal; unset: it did not say.
  std::optional<Milliseconds> retry_after() const { return retry_after_; }

 private:
  struct Reply {
    int status = 0;
    std::string body;
    std::string location;
    std::optional<Milliseconds> retry_after;
    Json json;  // null: the body is none
  };
  Result<Reply> Exchange(const std::string& url, const std::string& body);
  Result<void> LoadDirectory();
  Result<std::string> TakeNonce();
  // Signs with the account's URL, or with its key where there is none yet; again when the nonce was too old.
  Result<Reply> Post(const std::string& url, const std::string& payload);
  Result<JsonObject> Get(const std::string& url, std::optional<Milliseconds>* again = nullptr);
  Result<void> EnsureAccount();
  Result<void> Authorize(const std::string& url);
  Result<JsonObject> Await(const std::string& url, const std::string& pending, const std::string& also);

  registry::ClientHttp& http_;
  const AcmeKey account_;
  const Options options_;
  std::string new_nonce_;
  std::string new_account_;
  std::string new_order_;
  std::string nonce_;
  std::string account_url_;
  std::map<std::string, std::string> published_;
  std::optional<Milliseconds> retry_after_;
};

// "rateLimited: too many certificates" of a problem document, with those of its parts.
std::string RenderProblem(const Json& problem);
// Seconds, or a date (RFC 9110, section 10.2.3); at most a day. Unset: neither.
std::optional<Milliseconds> ParseRetryAfter(std::string_view text, WallTime now);

}  // namespace ingot::adapters
