// Certificates of the running HAProxy, and the files that its next process starts with.
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "adapters/haproxy_impl.h"

namespace ingot::adapters {

namespace {

constexpr Milliseconds kCertificateTimeout{5000};
// One command with its payload has to fit into HAProxy's buffer of 16384 bytes.
constexpr size_t kMaxPem = 15000;

// An empty line would end the payload.
std::string WithoutEmptyLines(const std::string& pem) {
  std::string out;
  for (const char c : pem)
    if (c != '\r' && !(c == '\n' && (out.empty() || out.back() == '\n'))) out += c;
  if (!out.ends_with('\n')) out += '\n';
  return out;
}

}  // namespace

Result<void> HaproxyRouter::Impl::WriteMaintenance() {
  if (limits_.edge.maintenance.empty()) return {};
  if (limits_.edge.maintenance.size() > kMaxMaintenanceBytes)
    return Error(Code::kInvalid,
                 "the answer when nothing serves has " + std::to_string(limits_.edge.maintenance.size()) +
                     " bytes, and at most " + std::to_string(kMaxMaintenanceBytes) + " are possible");
  return WriteFileAtomic(options_.directory / "maintenance", limits_.edge.maintenance, 0644,
                         Durability::kNone);
}

Result<void> HaproxyRouter::Impl::WriteCertificates(const std::vector<std::string>& pems) {
  for (size_t i = 0; i < pems.size(); ++i) {
    // Its owner is HAProxy before it has its name: a process that starts meanwhile can read it.
    const fs::path file = options_.directory / CertificateName(i);
    const fs::path made = options_.directory / ("new." + CertificateName(i));
    TRY(WriteFileAtomic(made, pems[i], 0400, Durability::kNone));
    if (::chown(made.c_str(), options_.uid, options_.gid) < 0)
      return ErrnoError(errno, "give " + made.string() + " to HAProxy");
    if (::rename(made.c_str(), file.c_str()) < 0) return ErrnoError(errno, "rename to " + file.string());
  }
  return {};
}

Result<void> HaproxyRouter::Impl::PushCertificates(const std::vector<std::string>& pems) {
  for (size_t i = 0; i < pems.size(); ++i) {
    const std::string path = CertificatePath(i);
    const std::string pem = WithoutEmptyLines(pems[i]);
    if (pem.size() > kMaxPem)
      return Error(Code::kNoSpace, "a certificate, its chain and key of " + std::to_string(pem.size()) +
                                       " bytes are too many to be exchanged in the running HAProxy");
    // What it does not take is not left half done: the next certificate could not be set then.
    const auto refused = [&](const std::string& answer) {
      static_cast<void>(router_->Ask("abort ssl cert " + path, kCertificateTimeout).has_value());
      return Error(Code::kFailed, "HAProxy refuses a certificate: " + answer.substr(0, 300));
    };
    const std::string set = TRY(router_->Ask("set ssl cert " + path + " <<\n" + pem, kCertificateTimeout));
    if (set.find("Transaction created") == std::string::npos &&
        set.find("Transaction updated") == std::string::npos)
      return refused(set);
    const std::string commit = TRY(router_->Ask("commit ssl cert " + path, kCertificateTimeout));
    if (commit.find("Success!") == std::string::npos) return refused(commit);
  }
  return {};
}

Result<void> HaproxyRouter::Impl::TakeCertificates(Inner& inner, bool as_many) {
  if (as_many) {
    auto pushed = PushCertificates(limits_.edge.certificates);
    if (pushed || pushed.error().code() == Code::kFailed) return pushed;
  }
  TRY(RunPlans(inner.state, inner.sockets, true));
  inner.dirty = true;
  return Follow(inner, nullptr, true);
}

Result<void> HaproxyRouter::Impl::SetChallenges(const std::map<std::string, std::string>& challenges) {
  for (const auto& [token, answer] : challenges)
    for (const std::string& text : {token, answer})
      if (text.empty() || text.size() > 512 || !std::all_of(text.begin(), text.end(), [](unsigned char c) {
            return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
          }))
        return Error(Code::kInvalid, "\"" + text.substr(0, 100) + "\" is not a part of an ACME challenge");
  auto inner = inner_.lock();
  if (inner->state.challenges == challenges) return {};
  inner->state.challenges = challenges;
  if (inner->state.numbers.empty()) return {};
  return Follow(*inner, nullptr, true);
}

Result<void> HaproxyRouter::SetChallenges(const std::map<std::string, std::string>& challenges) {
  return impl_->SetChallenges(challenges);
}

Result<void> HaproxyRouter::Impl::SetCertificates(const std::vector<std::string>& pems) {
  auto inner = inner_.lock();
  const std::vector<std::string> former = limits_.edge.certificates;
  if (pems == former) return {};
  const bool as_many = pems.size() == former.size();
  auto taken = WriteCertificates(pems);
  if (taken) {
    limits_.edge.certificates = pems;
    if (!UsesTls(inner->state)) return {};
    taken = TakeCertificates(*inner, as_many);
    if (taken) return {};
  }
  // All of the former ones go on, also those whose successor was taken before another was refused.
  limits_.edge.certificates = former;
  static_cast<void>(WriteCertificates(former).has_value());
  if (as_many && UsesTls(inner->state)) static_cast<void>(PushCertificates(former).has_value());
  return taken;
}

}  // namespace ingot::adapters
