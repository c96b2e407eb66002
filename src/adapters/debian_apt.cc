#include "adapters/debian_apt.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <map>

namespace ingot::adapters {
namespace {

using build::DebianPackage;
using build::DebianSource;

constexpr char kKeyring[] = "/usr/share/keyrings/debian-archive-keyring.gpg";
constexpr char kHelper[] = "/usr/lib/apt/apt-helper";
constexpr Milliseconds kUpdateTimeout{180'000};
constexpr Milliseconds kSolveTimeout{120'000};
constexpr Milliseconds kFetchTimeout{1'800'000};

std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3) {
      plain += static_cast<char>(value);
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// The host's settings on how to reach mirrors, as lines of an apt configuration.
std::string HostAcquireSettings() {
  auto dump = Run({.argv = {"apt-config", "dump"}}, kSolveTimeout);
  if (!dump || !dump->ok()) return "";  // defaults serve
  std::string kept;
  std::string_view rest = dump->out;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(rest.size(), end + 1));
    for (const std::string_view prefix :
         {"Acquire::http::Proxy", "Acquire::https::", "Acquire::http::User-Agent", "Acquire::Check-",
          "Acquire::ForceIPv"}) {
      if (line.starts_with(prefix)) kept += std::string(line) + "\n";
    }
  }
  return kept;
}

// apt's own words about the first thing that went wrong: "http://…  Could not connect …".
std::string FirstError(const std::string& err) {
  for (const std::string_view mark : {"E: Failed to fetch ", "W: Failed to fetch ", "E: "}) {
    const size_t at = err.find(mark);
    if (at == std::string::npos) continue;
    std::string line = err.substr(at + mark.size(), err.find('\n', at) - at - mark.size());
    while (line.ends_with('.')) line.pop_back();
    return line;
  }
  return err.substr(0, err.find('\n'));
}

Error MirrorError(const CommandResult& result) {
  const std::string why = FirstError(result.err);
  return Error(
      Code::kUnavailable,
      fmt::format("a Debian mirror did not give what was asked for: {}. Check the network and the apt "
                  "sources in /etc/apt, or name another mirror: INGOT_DEBIAN_MIRROR=\"http://…/debian "
                  "http://…/debian-security\"",
                  why));
}

Error MirrorTimeout(const std::vector<DebianSource>& sources) {
  std::string uris;
  for (const DebianSource& source : sources) {
    if (uris.find(source.uri) == std::string::npos) uris += (uris.empty() ? "" : ", ") + source.uri;
  }
  return Error(Code::kUnavailable,
               "no answer in time from the Debian mirrors " + uris +
                   ". Check the network, or name another mirror with INGOT_DEBIAN_MIRROR.");
}

// How apt names its copy of a source's Release file.
std::string ListName(const DebianSource& source) {
  std::string name = source.uri;
  if (const size_t scheme = name.find(':'); scheme != std::string::npos) name = name.substr(scheme + 1);
  while (name.starts_with('/')) name.erase(0, 1);
  name += "/dists/" + source.suite + "/InRelease";
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

}  // namespace

Result<int64_t> ParseReleaseDate(std::string_view release) {
  const size_t at = release.find("\nDate: ");
  if (at == std::string_view::npos) return Error(Code::kInvalid, "a Release file without a Date");
  const std::string text(release.substr(at + 7, release.find('\n', at + 1) - at - 7));
  struct tm time {};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S", &time);
  if (end == nullptr) return Error(Code::kInvalid, "a Release file with a bad Date: " + text);
  return static_cast<int64_t>(::timegm(&time));
}

Result<DebianPackage> ParseUriLine(std::string_view line, const std::vector<DebianSource>& sources) {
  const Error bad(Code::kInvalid, "apt-get printed a line that is not understood: " + std::string(line));
  if (!line.starts_with('\'')) return bad;
  const size_t quote = line.find('\'', 1);
  if (quote == std::string_view::npos) return bad;
  const std::string url(line.substr(1, quote - 1));
  std::vector<std::string> words;
  size_t at = quote + 1;
  while (at < line.size()) {
    const size_t end = std::min(line.find(' ', at), line.size());
    if (end > at) words.emplace_back(line.substr(at, end - at));
    at = end + 1;
  }
  if (words.size() != 3 || !words[2].starts_with("SHA256:")) return bad;
  std::string name = Unescape(words[0]);
  if (!name.ends_with(".deb")) return bad;
  name.resize(name.size() - 4);
  const size_t first = name.find('_');
  const size_t last = name.rfind('_');
  if (first == std::string::npos || first == last) return bad;
  DebianPackage package;
  package.name = name.substr(0, first);
  package.version = name.substr(first + 1, last - first - 1);
  package.architecture = name.substr(last + 1);
  package.sha256 = words[2].substr(7);
  const auto [end, error] =
      std::from_chars(words[1].data(), words[1].data() + words[1].size(), package.size_bytes);
  if (error != std::errc() || end != words[1].data() + words[1].size()) return bad;
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!url.starts_with(sources[i].uri + "/")) continue;
    package.source = i;
    package.path = url.substr(sources[i].uri.size() + 1);
    return package;
  }
  return bad;
}

Result<DebianApt> DebianApt::Open(const fs::path& directory, std::vector<DebianSource> sources,
                                  const std::string& architecture) {
  for (const char* program : {"apt-get", "apt-config"}) {
    if (!FindProgram(program)) {
      return Error(Code::kUnsupported, std::string("images from debian:… need ") + program +
                                           ", which is not installed. On Debian: apt-get install apt "
                                           "mmdebstrap debian-archive-keyring");
    }
  }
  if (!fs::exists(kKeyring)) {
    return Error(Code::kUnsupported, std::string("the keys of the Debian archive are missing (") + kKeyring +
                                         "). On Debian: apt-get install debian-archive-keyring");
  }
  DebianApt apt;
  apt.directory_ = directory;
  apt.sources_ = std::move(sources);
  for (const char* folder : {"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d",
                             "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"}) {
    TRY(MakeDirectories(directory / folder, 0755));
  }
  std::string list;
  for (const DebianSource& source : apt.sources_) {
    list += fmt::format("deb [signed-by={}] {} {} {}\n", kKeyring, source.uri, source.suite,
                        fmt::join(source.components, " "));
  }
  const std::string config = fmt::format(
      "{}Dir \"{}\";\nDir::State::status \"{}\";\nAPT::Architecture \"{}\";\nAPT::Architectures {{ \"{}\"; "
      "}};\n"
      "APT::Install-Recommends \"false\";\nAPT::Install-Suggests \"false\";\nAcquire::Languages \"none\";\n"
      "Acquire::ForceHash \"SHA256\";\nAcquire::Retries \"1\";\nAcquire::http::Timeout \"20\";\n"
      "Acquire::https::Timeout \"20\";\nAPT::Sandbox::User \"root\";\n"
      "APT::Update::Error-Mode \"any\";\n",
      HostAcquireSettings(), directory.string(), (directory / "var/lib/dpkg/status").string(), architecture,
      architecture);
  TRY(WriteFileAtomic(directory / "etc/apt/sources.list", list, 0644, Durability::kNone));
  TRY(WriteFileAtomic(directory / "apt.conf", config, 0644, Durability::kNone));
  TRY(WriteFileAtomic(directory / "var/lib/dpkg/status", "", 0644, Durability::kNone));
  return apt;
}

Command DebianApt::AptCommand(std::vector<std::string> argv) const {
  Command command;
  command.argv = std::move(argv);
  std::map<std::string, std::string> environment = {
      {"APT_CONFIG", (directory_ / "apt.conf").string()},
      {"LC_ALL", "C.UTF-8"},
      {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
  for (const char* name : {"http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"}) {
    if (const char* value = ::getenv(name)) environment[name] = value;
  }
  command.env = std::move(environment);
  command.die_with_parent = true;
  return command;
}

Result<void> DebianApt::Update(const build::DebianBase::Note& note) {
  std::string uris;
  for (const DebianSource& source : sources_) {
    if (uris.find(source.uri) == std::string::npos) uris += (uris.empty() ? "" : ", ") + source.uri;
  }
  note("asking " + uris + " for " + sources_.front().suite);
  auto result = Run(AptCommand({"apt-get", "-q", "update"}), kUpdateTimeout);
  if (!result) {
    if (result.error().code() == Code::kTimeout) return MirrorTimeout(sources_);
    return std::move(result).error();
  }
  if (!result->ok()) return MirrorError(*result);
  for (DebianSource& source : sources_) {
    const std::string release =
        TRY(ReadFile(directory_ / "var/lib/apt/lists" / ListName(source), size_t{16} << 20));
    source.released_s = TRY(ParseReleaseDate(release));
  }
  return {};
}

Result<std::vector<DebianPackage>> DebianApt::Solve(const std::vector<std::string>& packages) const {
  std::vector<std::string> argv = {"apt-get", "-q", "-y", "--print-uris", "install", "?essential"};
  for (const std::string& package : packages) {
    const bool valid =
        package.size() > 1 && !package.ends_with('-') &&
        package.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+.-") == std::string::npos &&
        std::isalnum(static_cast<unsigned char>(package.front())) != 0;
    if (!valid) return Error(Code::kInvalid, "\"" + package + "\" is not the name of a Debian package");
    argv.push_back(package);
  }
  const CommandResult result = TRY(Run(AptCommand(std::move(argv)), kSolveTimeout));
  if (!result.ok()) {
    const std::string why = FirstError(result.err);
    if (why.find("Unable to locate package") != std::string::npos ||
        why.find("no installation candidate") != std::string::npos) {
      return Error(
          Code::kNotFound,
          fmt::format("{} has no such package: {}. Check `packages`; packages.debian.org knows which "
                      "release has what.",
                      sources_.front().suite, why));
    }
    return Error(Code::kFailed, "apt-get cannot resolve the packages: " + result.err);
  }
  std::vector<DebianPackage> solved;
  std::string_view rest = result.out;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    if (rest.starts_with('\'')) solved.push_back(TRY(ParseUriLine(rest.substr(0, end), sources_)));
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  std::sort(solved.begin(), solved.end(), [](const DebianPackage& a, const DebianPackage& b) {
    return std::tie(a.name, a.architecture) < std::tie(b.name, b.architecture);
  });
  if (solved.empty()) return Error(Code::kFailed, "apt-get resolved to no package at all");
  return solved;
}

Result<void> DebianApt::Fetch(const std::vector<Download>& downloads) const {
  if (downloads.empty()) return {};
  std::vector<std::string> argv = {kHelper, "-q", "download-file"};
  for (const Download& download : downloads) {
    argv.push_back(download.url);
    argv.push_back(download.target.string());
    argv.push_back("SHA256:" + download.sha256);
  }
  auto result = Run(AptCommand(std::move(argv)), kFetchTimeout);
  if (!result) {
    if (result.error().code() == Code::kTimeout) return MirrorTimeout(sources_);
    return std::move(result).error();
  }
  if (result->ok()) return {};
  const std::string why = FirstError(result->err);
  if (why.find("404") != std::string::npos || why.find("File not found") != std::string::npos) {
    return Error(Code::kNotFound, "the mirror no longer has a package that ingot.lock pins: " + why +
                                      ". Run `ingot lock --upgrade` to pin what it has now, or name a mirror "
                                      "that keeps old versions with INGOT_DEBIAN_MIRROR.");
  }
  if (why.find("Hash Sum mismatch") != std::string::npos || why.find("mismatch") != std::string::npos) {
    return Error(Code::kCorrupt, "a package is not the one that ingot.lock pins: " + why +
                                     ". Try another mirror, or run `ingot lock --upgrade`.");
  }
  return MirrorError(*result);
}

}  // namespace ingot::adapters
