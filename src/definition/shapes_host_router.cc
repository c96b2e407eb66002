// host.yaml's block `router`.
#include <arpa/inet.h>

#include <algorithm>

#include "definition/listener.h"
#include "definition/scalars.h"
#include "definition/shapes_host.h"

namespace ingot::definition {

namespace {

constexpr size_t kMostCertificates = 500;
constexpr size_t kMostNetworks = 200;

// "10.0.0.0/8", "192.0.2.7", "2001:db8::/32".
bool IsNetwork(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, std::min(slash, size_t{64})));
  in6_addr parsed{};
  const bool v4 = ::inet_pton(AF_INET, address.c_str(), &parsed) == 1;
  const bool v6 = !v4 && ::inet_pton(AF_INET6, address.c_str(), &parsed) == 1;
  if (slash == std::string_view::npos) return v4 || v6;
  const std::string_view bits = text.substr(slash + 1);
  if ((!v4 && !v6) || bits.empty() || bits.size() > 3 ||
      !std::all_of(bits.begin(), bits.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return false;
  return std::stoi(std::string(bits)) <= (v4 ? 32 : 128);
}

Shape<std::vector<std::string>> Networks() {
  return ListOf(
      TextThat("an address or network such as 10.0.0.0/8", "^[0-9a-f.:]+(/[0-9]{1,3})?$", IsNetwork));
}

// As the router opens them: IPv4.
Shape<std::vector<std::string>> RouterListeners() {
  Shape<std::string> shape = Listen();
  const auto read = shape.read;
  shape.read = [read](Reader& reader, const Node& node, std::string& out) {
    if (!read(reader, node, out)) return false;
    return !out.starts_with('[') || reader.Fail(node, "IPv6 listeners are not yet supported");
  };
  return ListOf(shape);
}

Shape<HostRouter::Certificate> HostCertificate() {
  using Certificate = HostRouter::Certificate;
  Fields<Certificate> fields("router_certificate", "A certificate; files are read again when they change.");
  fields
      .Required("certificate", &Certificate::certificate, FilePath("a file"),
                "PEM: the certificate, then those between it and its authority.")
      .Required("key", &Certificate::key, FilePath("a file"), "PEM: its private key.");
  return fields.ToShape();
}

Shape<HostRouter> RouterLimits() {
  Fields<HostRouter> fields("router_limits", "What a client may ask of the router.");
  const Milliseconds least(1);
  fields
      .Optional("request_body", &HostRouter::request_body_bytes, Size(),
                "The largest body; a longer one, or one whose length is not declared, is refused.")
      .Optional("request_headers", &HostRouter::request_headers, Duration(least),
                "How long a client may take to send a request's headers.", "\"10s\"")
      .Optional("response", &HostRouter::response, Duration(least),
                "How long an instance may be silent while a client waits.", "\"5m\"")
      .Optional("idle", &HostRouter::idle, Duration(least), "How long a client may be silent.", "\"5m\"")
      .Optional("tunnel", &HostRouter::tunnel, Duration(least),
                "How long both may be silent in a WebSocket or a raw connection.", "\"1h\"");
  return fields.ToShape();
}

// A listener of both lists, or twice in one; empty when there is none.
std::string Twice(const HostRouter& router) {
  std::vector<Listener> seen;
  for (const auto* list : {&router.http, &router.https})
    for (const std::string& text : *list) {
      const Result<Listener> listener = Listener::Parse(text);
      if (!listener) continue;
      for (const Listener& other : seen)
        if (other.ConflictsWith(*listener)) return text;
      seen.push_back(*listener);
    }
  return "";
}

}  // namespace

Shape<HostRouter> HostRouterShape() {
  Fields<HostRouter> fields("host_router", "How the outside reaches services.");
  const auto replacing = [](std::vector<std::string> HostRouter::*member) {
    return As<HostRouter, std::vector<std::string>>(
        RouterListeners(), [member](std::vector<std::string> listeners, HostRouter& out) {
          out.*member = std::move(listeners);
        });
  };
  fields
      .Part("http", replacing(&HostRouter::http),
            "Where routes by host name are served, and those with tls sent on to HTTPS.", "[\":80\"]")
      .Part("https", replacing(&HostRouter::https), "Where routes by host name with tls are served.",
            "[\":443\"]")
      .Optional("certificates", &HostRouter::certificates, ListOf(HostCertificate()),
                "Certificates, chosen by the name that the client asks for; otherwise the first.")
      .Optional("proxy_protocol_from", &HostRouter::proxy_protocol_from, Networks(),
                "Who begins each connection with a PROXY protocol header.")
      .Optional("trusted_proxies", &HostRouter::trusted_proxies, Networks(),
                "Whose X-Forwarded-For and X-Forwarded-Proto are believed.")
      .Optional("maintenance", &HostRouter::maintenance, FilePath("a file"),
                "The body of the answer when nothing serves (503); a line of text if not given.")
      .Part("limits", RouterLimits(), "What a client may ask of the router.")
      .Check([](Reader& reader, const Node&, HostRouter& router) {
        if (router.certificates.size() > kMostCertificates ||
            router.proxy_protocol_from.size() > kMostNetworks ||
            router.trusted_proxies.size() > kMostNetworks)
          return reader.Fail("more than the " + std::to_string(kMostCertificates) + " certificates or " +
                             std::to_string(kMostNetworks) + " networks that there may be");
        const std::string twice = Twice(router);
        return twice.empty() || reader.Fail("the listener " + twice + " is there twice");
      });
  return fields.ToShape();
}

}  // namespace ingot::definition
