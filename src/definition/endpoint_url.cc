#include "definition/endpoint_url.h"

#include <algorithm>
#include <array>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "definition/listener.h"
#include "definition/problem.h"
#include "definition/scalars.h"

namespace ingot::definition {

namespace {

struct Scheme {
  std::string_view name;
  uint16_t port;  // 0: has none of its own
  bool tls;
};

// IANA's registrations and the vendors' documentation.
constexpr std::array<Scheme, 28> kSchemes = {{
    {"http", 80, false},    {"https", 443, true},       {"ws", 80, false},
    {"wss", 443, true},     {"postgres", 5432, false},  {"postgresql", 5432, false},
    {"mysql", 3306, false}, {"mariadb", 3306, false},   {"mongodb", 27017, false},
    {"redis", 6379, false}, {"rediss", 6379, true},     {"memcached", 11211, false},
    {"amqp", 5672, false},  {"amqps", 5671, true},      {"nats", 4222, false},
    {"kafka", 9092, false}, {"ldap", 389, false},       {"ldaps", 636, true},
    {"smtp", 25, false},    {"smtps", 465, true},       {"submission", 587, false},
    {"imap", 143, false},   {"imaps", 993, true},       {"mqtt", 1883, false},
    {"mqtts", 8883, true},  {"sqlserver", 1433, false}, {"tcp", 0, false},
    {"tls", 0, true},
}};

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

}  // namespace

Result<EndpointUrl> EndpointUrl::Parse(std::string_view text) {
  const auto bad = [&](const std::string& why) {
    return Error(Code::kInvalid,
                 "expected a URL such as https://api.example or postgres://db.example/shop; " + why);
  };
  const auto parsed = boost::urls::parse_uri({text.data(), text.size()});
  if (!parsed || text.size() > 2048) return bad(Quoted(text) + " is none");
  const boost::urls::url_view& url = *parsed;
  if (url.has_password())
    return Error(
        Code::kInvalid,
        "a password in the URL; keep it in `secrets`, which no plan or log shows, and let the program "
        "read it from /run/secrets");
  EndpointUrl out;
  out.scheme = Lower(std::string(url.scheme().data(), url.scheme().size()));
  out.host = Lower(url.host_address());
  if (out.scheme == "sqlite") {
    out.path = std::string(url.encoded_path().data(), url.encoded_path().size());
    const bool whole = out.host.empty() && out.path.size() > 1 && out.path.find('%') == std::string::npos &&
                       !url.has_port() && !url.has_query() && !url.has_fragment();
    return whole ? Result<EndpointUrl>(out) : bad("a database in a file is sqlite:///path/of/file");
  }
  if (out.host.empty()) return bad(Quoted(text) + " names no host");
  if (url.host_type() == boost::urls::host_type::name && !IsHostName(out.host))
    return bad(Quoted(out.host) + " is not a host name");
  if (url.host_type() == boost::urls::host_type::ipvfuture)
    return bad(Quoted(out.host) + " is not an address");
  out.path = std::string(url.encoded_path().data(), url.encoded_path().size());
  const auto* scheme =
      std::find_if(kSchemes.begin(), kSchemes.end(), [&](const Scheme& s) { return s.name == out.scheme; });
  out.tls = scheme != kSchemes.end() && scheme->tls;
  if (url.has_port() && !url.port().empty()) {
    const Result<uint16_t> port = ParsePort({url.port().data(), url.port().size()});
    if (!port) return bad(Quoted(url.port()) + " is not a port from 1 to 65535");
    out.port = *port;
  } else if (scheme != kSchemes.end() && scheme->port != 0) {
    out.port = scheme->port;
  } else {
    return bad("name the port: " + out.scheme + "://" + out.host + ":PORT");
  }
  return out;
}

}  // namespace ingot::definition
