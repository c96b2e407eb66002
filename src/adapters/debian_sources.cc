#include "adapters/debian_sources.h"

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

namespace ingot::adapters {
namespace {

using build::DebianSource;

std::vector<std::string> SourceWords(std::string_view text) {
  std::istringstream stream{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return lines;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

std::string WithoutSlash(std::string uri) {
  while (uri.ends_with('/')) uri.pop_back();
  return uri;
}

constexpr std::array<std::string_view, 3> kSuffixes = {"", "-updates", "-security"};

// "deb822" stanza → entries.
void AddStanza(std::map<std::string, std::string>& fields, std::vector<DebianSource>& sources) {
  const auto words = [&](const char* name) { return SourceWords(fields[name]); };
  const std::vector<std::string> types = words("types");
  const bool binary = std::find(types.begin(), types.end(), "deb") != types.end();
  const std::vector<std::string> enabled = words("enabled");
  const bool off = !enabled.empty() && (Lower(enabled[0]) == "no" || Lower(enabled[0]) == "false");
  if (binary && !off) {
    for (const std::string& uri : words("uris")) {
      for (const std::string& suite : words("suites"))
        sources.push_back({WithoutSlash(uri), suite, words("components"), 0});
    }
  }
  fields.clear();
}

}  // namespace

std::vector<DebianSource> ParseSourcesList(std::string_view text) {
  std::vector<DebianSource> sources;
  for (std::string_view line : Lines(text)) {
    std::string clean(line.substr(0, line.find('#')));
    if (const size_t open = clean.find('['); open != std::string::npos) {
      const size_t close = clean.find(']', open);
      if (close == std::string::npos) continue;
      clean.erase(open, close - open + 1);
    }
    std::vector<std::string> words = SourceWords(clean);
    if (words.size() < 4 || words[0] != "deb") continue;
    sources.push_back({WithoutSlash(words[1]), words[2], {words.begin() + 3, words.end()}, 0});
  }
  return sources;
}

std::vector<DebianSource> ParseSourcesDeb822(std::string_view text) {
  std::vector<DebianSource> sources;
  std::map<std::string, std::string> fields;
  std::string last;
  for (const std::string_view line : Lines(text)) {
    if (line.starts_with('#')) continue;
    if (SourceWords(line).empty()) {
      AddStanza(fields, sources);
    } else if (line.front() == ' ' || line.front() == '\t') {
      fields[last] += " " + std::string(line);
    } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
      last = Lower(line.substr(0, colon));
      fields[last] = std::string(line.substr(colon + 1));
    }
  }
  AddStanza(fields, sources);
  return sources;
}

std::vector<DebianSource> SourcesFor(const std::string& suite, const std::string& host_codename,
                                     const std::vector<DebianSource>& host) {
  std::vector<DebianSource> found;
  for (const std::string& release : {suite, host_codename}) {
    if (release.empty()) continue;
    for (const std::string_view suffix : kSuffixes) {
      for (const DebianSource& source : host) {
        const bool has_main =
            std::find(source.components.begin(), source.components.end(), "main") != source.components.end();
        DebianSource wanted = source;
        wanted.suite = suite + std::string(suffix);
        if (source.suite == release + std::string(suffix) && has_main &&
            std::find(found.begin(), found.end(), wanted) == found.end()) {
          found.push_back(std::move(wanted));
        }
      }
    }
    if (!found.empty()) return found;
  }
  const std::string archive = "http://deb.debian.org/debian";
  return {{archive, suite, {"main"}, 0},
          {archive, suite + "-updates", {"main"}, 0},
          {archive + "-security", suite + "-security", {"main"}, 0}};
}

Result<std::vector<DebianSource>> SourcesOfMirrors(const std::string& suite, std::string_view mirrors) {
  std::vector<DebianSource> sources;
  for (const std::string& word : SourceWords(mirrors)) {
    const std::string uri = WithoutSlash(word);
    const bool known = uri.starts_with("http://") || uri.starts_with("https://") ||
                       uri.starts_with("file:/") || uri.starts_with("copy:/");
    if (!known) {
      return Error(Code::kInvalid, "INGOT_DEBIAN_MIRROR: " + uri +
                                       " is not a URL. Give it as http://deb.debian.org/debian, several "
                                       "separated by spaces.");
    }
    if (uri.ends_with("-security")) {
      sources.push_back({uri, suite + "-security", {"main"}, 0});
    } else {
      sources.push_back({uri, suite, {"main"}, 0});
      sources.push_back({uri, suite + "-updates", {"main"}, 0});
    }
  }
  return sources;
}

std::vector<DebianSource> ReadHostSources(const fs::path& etc_apt) {
  std::vector<DebianSource> sources;
  const auto add = [&](const fs::path& path) {
    // A file that cannot be read is one source less; what is missing in the end is said by Resolve.
    auto text = ReadFile(path, 1 << 20);
    if (!text) return;
    std::vector<DebianSource> more =
        path.extension() == ".sources" ? ParseSourcesDeb822(*text) : ParseSourcesList(*text);
    sources.insert(sources.end(), more.begin(), more.end());
  };
  add(etc_apt / "sources.list");
  if (auto names = ListDirectory(etc_apt / "sources.list.d")) {
    for (const std::string& name : *names) {
      if (name.ends_with(".list") || name.ends_with(".sources")) add(etc_apt / "sources.list.d" / name);
    }
  }
  return sources;
}

}  // namespace ingot::adapters
