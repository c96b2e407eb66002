// host.yaml's block `router`.
#include <arpa/inet.h>

#include <algorithm>

#include "definition/endpoint_url.h"
#include "definition/listener.h"
#include "definition/problem.h"
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

Shape<HostRouter::Certificate> HostCertificate() {
  using Certificate = HostRouter::Certificate;
  Fields<Certificate> fields("router_certificate", "A certificate; files are read again when they change.");
  fields
      .Required("certificate", &Certificate::certificate, FilePath("a file"),
                "PEM: the certificate, then those between it and its authority.")
      .Required("key", &Certificate::key, FilePath("a file"), "PEM: its private key.");
  return fields.ToShape();
}

Shape<std::string> AcmeDirectory() {
  Shape<std::string> shape = Text("the URL of an authority's directory");
  const auto read = shape.read;
  shape.read = [read](Reader& reader, const Node& node, std::string& out) {
    if (!read(reader, node, out)) return false;
    const Result<EndpointUrl> url = EndpointUrl::Parse(out);
    const bool http = url && url->scheme == "http" &&
                      (url->host == "localhost" || url->host == "127.0.0.1" || url->host == "::1");
    return (url && url->scheme == "https") || http ||
           reader.Fail(node, "expected the https URL of an authority's directory, not " + Quoted(out));
  };
  return shape;
}

bool IsNameGlob(std::string_view text) {
  return !text.empty() && text.size() <= 253 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-*?") == std::string_view::npos;
}

bool IsEmail(std::string_view text) {
  const size_t at = text.find('@');
  return at != std::string_view::npos && at > 0 && at + 1 < text.size() && text.size() <= 254 &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > ' ' && c < 0x7f && c != '"'; });
}

Shape<HostAcme> AcmeShape() {
  Fields<HostAcme> fields("router_acme", "An authority that issues certificates by ACME (RFC 8555).");
  fields.Required("directory", &HostAcme::directory, AcmeDirectory(), "The URL of its directory.")
      .Optional("email", &HostAcme::email, TextThat("an email address", "^[^@ ]+@[^@ ]+$", IsEmail),
                "Whom it may write to.")
      .Optional("ca", &HostAcme::ca, FilePath("a file"),
                "PEM: whom its own TLS is believed by; the system's authorities if not given.")
      .Optional("domains", &HostAcme::domains,
                ListOf(TextThat("a host name, * for any part of one", "^[a-z0-9.*?-]+$", IsNameGlob), 1),
                "Names it may be asked for; all that routes have if not given.");
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
        ListOf(Listen()), [member](std::vector<std::string> listeners, HostRouter& out) {
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
      .Optional("acme", &HostRouter::acme, AcmeShape(),
                "Who issues certificates for names of routes with tls that no file has.")
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
        if (router.acme && router.http.empty())
          return reader.Fail("acme proves names over HTTP; expected a listener in http");
        const std::string twice = Twice(router);
        return twice.empty() || reader.Fail("the listener " + twice + " is there twice");
      });
  return fields.ToShape();
}

}  // namespace ingot::definition
